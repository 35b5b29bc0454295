/** Times of samples: stts, ctts, stss, stps (ISO/IEC 14496-12, 8.6; QuickTime for stps). Run-length tables stay runs. */
import { child, entryCount, withWords } from './boxes.ts';

/** Position of the last element <= `value` in an ascending array that starts at or below it; 0 at least. */
export function lastAtMost(array: Uint32Array | Float64Array, value: number): number {
  let low = 0;
  let high = array.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (array[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** Decode times. */
export class TimeRuns {
  /** First sample of each run. */
  readonly #first: Uint32Array;
  /** Its decode time, ticks. */
  readonly #start: Float64Array;
  readonly #delta: Uint32Array;

  constructor(first: Uint32Array, start: Float64Array, delta: Uint32Array) {
    this.#first = first;
    this.#start = start;
    this.#delta = delta;
  }

  /** Whether each sample lasts one tick: so QuickTime counts PCM frames. */
  get everyTick(): boolean {
    return this.#delta.length === 1 && this.#delta[0] === 1;
  }

  at(index: number): number {
    const run = lastAtMost(this.#first, index);
    return this.#start[run]! + (index - this.#first[run]!) * this.#delta[run]!;
  }

  fill(first: number, end: number, decode: Float64Array, durations: Uint32Array): void {
    let run = lastAtMost(this.#first, first);
    for (let i = first; i < end; ) {
      const stop = Math.min(end, this.#first[run + 1] ?? end);
      const delta = this.#delta[run]!;
      let time = this.#start[run]! + (i - this.#first[run]!) * delta;
      for (; i < stop; i++) {
        decode[i - first] = time;
        durations[i - first] = delta;
        time += delta;
      }
      run += 1;
    }
  }

  /** The last sample whose time is <= `ticks`, -1 before the first; unbounded after the last run. */
  indexAt(ticks: number): number {
    if (!(ticks >= this.#start[0]!)) return -1;
    const run = lastAtMost(this.#start, ticks);
    const next = this.#first[run + 1] ?? Number.POSITIVE_INFINITY;
    const delta = this.#delta[run]!;
    if (delta === 0) return next - 1;
    return Math.min(next - 1, this.#first[run]! + Math.floor((ticks - this.#start[run]!) / delta));
  }
}

/** `stts` (8.6.1.2). The last run goes on for samples that it does not count. Deltas that are negative in 32 bits (old QuickTime) are one tick. */
export function timeRuns(stts: DataView | undefined): TimeRuns {
  const count = stts === undefined ? 0 : entryCount(stts, 4, 8, 'stts');
  const first = new Uint32Array(Math.max(1, count));
  const start = new Float64Array(first.length);
  const delta = new Uint32Array(first.length).fill(1);
  let kept = 0;
  let sample = 0;
  let time = 0;
  for (let i = 0; i < count && sample < 2 ** 32; i++) {
    const samples = stts!.getUint32(8 + 8 * i);
    if (samples === 0) continue;
    const ticks = stts!.getInt32(12 + 8 * i);
    first[kept] = sample;
    start[kept] = time;
    delta[kept] = ticks < 0 ? 1 : ticks;
    sample += samples;
    time += samples * delta[kept]!;
    kept += 1;
  }
  kept = Math.max(1, kept);
  return new TimeRuns(first.subarray(0, kept), start.subarray(0, kept), delta.subarray(0, kept));
}

/** Composition offsets. */
export class CompositionRuns {
  readonly min: number;
  readonly max: number;
  readonly #first: Uint32Array;
  readonly #offset: Int32Array;

  constructor(first: Uint32Array, offset: Int32Array, min: number, max: number) {
    this.#first = first;
    this.#offset = offset;
    this.min = min;
    this.max = max;
  }

  at(index: number): number {
    return this.#offset[lastAtMost(this.#first, index)]!;
  }

  fill(first: number, end: number, offsets: Int32Array): void {
    let run = lastAtMost(this.#first, first);
    for (let i = first; i < end; ) {
      const stop = Math.min(end, this.#first[run + 1] ?? end);
      const offset = this.#offset[run]!;
      for (; i < stop; i++) offsets[i - first] = offset;
      run += 1;
    }
  }
}

const NONE = new CompositionRuns(new Uint32Array(1), new Int32Array(1), 0, 0);

/**
 * `ctts` (8.6.1.3) for the first `samples` samples. Offsets are signed in version 0 too: many writers put negative ones there. Samples that it
 * does not count have the offset 0.
 */
export function compositionRuns(ctts: DataView | undefined, samples: number): CompositionRuns {
  if (ctts === undefined || samples === 0) return NONE;
  return withWords(ctts, 8, 2 * entryCount(ctts, 4, 8, 'ctts'), (table) => compositionRunsOf(table, samples));
}

/** @param table sample count and offset of each entry. */
function compositionRunsOf(table: Uint32Array, samples: number): CompositionRuns {
  const count = table.length / 2;
  const first = new Uint32Array(count + 1);
  const offset = new Int32Array(count + 1);
  let kept = 0;
  let sample = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count && sample < samples; i++) {
    const run = table[2 * i]!;
    if (run === 0) continue;
    const ticks = table[2 * i + 1]! | 0;
    first[kept] = sample;
    offset[kept] = ticks;
    if (ticks < min) min = ticks;
    if (ticks > max) max = ticks;
    sample += run;
    kept += 1;
  }
  if (sample < samples) {
    first[kept] = sample;
    min = Math.min(min, 0);
    max = Math.max(max, 0);
    kept += 1;
  }
  return new CompositionRuns(first.subarray(0, kept), offset.subarray(0, kept), min, max);
}

/** `stss` (8.6.2) and QuickTime's `stps` (partial: open groups of pictures), from 0; undefined when every sample is a random access point. */
export function syncSamples(stbl: DataView, samples: number): Uint32Array | undefined {
  const stss = child(stbl, 'stss');
  if (stss === undefined) return undefined;
  const full = numbers(stss, samples, 'stss');
  const stps = child(stbl, 'stps');
  const partial = stps === undefined ? new Uint32Array(0) : numbers(stps, samples, 'stps');
  if (partial.length > 0) {
    const all = [...new Set([...full, ...partial])].sort((a, b) => a - b);
    return Uint32Array.from(all);
  }
  // A list that names nothing: the first sample must be one, else nothing could be decoded.
  return full.length > 0 ? full : new Uint32Array(samples > 0 ? 1 : 0);
}

/** Sample numbers from 1, made to count from 0; those out of order or range are left out. */
function numbers(box: DataView, samples: number, name: string): Uint32Array {
  const count = entryCount(box, 4, 4, name);
  return withWords(box, 8, count, (list) => {
    let kept = 0;
    let last = 0;
    for (const number of list) {
      if (number <= last || number > samples) continue;
      list[kept++] = number - 1;
      last = number;
    }
    return list.slice(0, kept);
  });
}
