/**
 * A track as its edit list presents it. A position counts presented samples in decode order, over all edits: a sample that two edits present has
 * two positions.
 *
 * Video: each edit begins at the key frame from which its first frame can be decoded; frames before the edit's start are kept, their times squeezed
 * to 1/90000 s apart just before it. Frames that its end hides, but that others need, are squeezed after the last shown one.
 * Audio: the first edit keeps packets up to `PREROLL` before its start (priming: their times lie below the start); later edits follow without
 * overlap, by whole packets.
 */
import { BoxError } from './boxes.ts';
import { type Edit, WHOLE_MEDIA } from './edit-list.ts';
import type { SampleTable } from './sample-table.ts';

/** Samples of one cut, as parallel arrays in decode order. */
export interface SampleList {
  readonly count: number;
  /** Bytes in the source. */
  readonly offsets: Float64Array;
  readonly sizes: Uint32Array;
  /** Seconds. */
  readonly pts: Float64Array;
  readonly durations: Float64Array;
  readonly keys: Uint8Array;
}

/** What one edit presents. */
interface Part {
  /** Position of its first sample. */
  readonly base: number;
  /** Samples of the table, from inclusive, to exclusive. */
  readonly first: number;
  readonly end: number;
  readonly edit: Edit;
  /** Squeezed times, by sample, in seconds. */
  readonly squeezed?: ReadonlyMap<number, number>;
}

/** Positions, from inclusive, to exclusive. */
export type Span = readonly [from: number, to: number];

const SQUEEZE = 1 / 90000;
/** Seconds of audio before the first edit that are delivered. */
const PREROLL = 0.25;
/** All edits together may present the media about four times, and a million samples more: a list that repeats a film thousands of times is an attack. */
const MAX_REPEATS = 4;
const MAX_EXTRA = 1_000_000;
const BLOCK = 4096;

export class PresentedTrack {
  readonly table: SampleTable;
  readonly timescale: number;
  /** Presented samples. */
  readonly count: number;
  readonly isVideo: boolean;
  readonly #parts: readonly Part[];
  /** Samples looked at and presented while the parts are made. */
  #work = 0;

  /** @throws BoxError when the edits present an absurd number of samples. */
  constructor(table: SampleTable, edits: readonly Edit[], timescale: number, kind: 'video' | 'audio' | 'subtitle') {
    this.table = table;
    this.timescale = timescale;
    this.isVideo = kind === 'video';
    let parts = this.#makeParts(edits, kind);
    // A list that shows nothing at all hides the media from everyone; better to play it.
    if (parts.length === 0 && table.count > 0) parts = this.#makeParts([WHOLE_MEDIA], kind);
    this.#parts = parts;
    const last = parts.at(-1);
    this.count = last === undefined ? 0 : last.base + last.end - last.first;
  }

  /** Where the first edit begins, in seconds: nothing before it is meant to be heard. */
  get editStart(): number {
    return this.#parts[0]?.edit.start ?? 0;
  }

  /**
   * Calls `visit` with blocks of up to 4096 samples, all or the given ones, in order of their positions. The list's arrays are used again for the next block.
   */
  forEachBlock(spans: readonly Span[], visit: (block: SampleList, position: number) => void): void {
    const scratch = new Scratch(BLOCK);
    const block = listOf(BLOCK);
    for (const [from, to] of spans) {
      for (const { part, first, end } of this.#pieces(from, to)) {
        for (let at = first; at < end; at += BLOCK) {
          const stop = Math.min(end, at + BLOCK);
          this.#fill(part, at, stop, block, 0, scratch);
          visit({ ...block, count: stop - at }, part.base + at - part.first);
        }
      }
    }
  }

  /** The samples of some spans. */
  collect(spans: readonly Span[]): SampleList {
    let count = 0;
    for (const [from, to] of spans) count += to - from;
    const list = listOf(count);
    const scratch = new Scratch(count);
    let at = 0;
    for (const [from, to] of spans) {
      for (const { part, first, end } of this.#pieces(from, to)) {
        this.#fill(part, first, end, list, at, scratch);
        at += end - first;
      }
    }
    return { ...list, count: at };
  }

  /**
   * Spans that hold every sample whose presentation time lies from `from` (inclusive) to `to` (exclusive), and perhaps some neighbours.
   */
  spansOfTime(from: number, to: number): Span[] {
    const spans: Span[] = [];
    const { table } = this;
    for (const { base, first, end, edit, squeezed } of this.#parts) {
      // Squeezed frames lie outside of the linear mapping: then the whole part is a candidate.
      const low = squeezed ? first : table.indexAtDecodeTime(this.#mediaTicks(edit, from) - table.maxOffset - 1);
      const high = squeezed ? end : table.indexAtDecodeTime(this.#mediaTicks(edit, to) - table.minOffset + 1) + 1;
      const start = Math.max(first, low);
      const stop = Math.min(end, high);
      if (start < stop) spans.push([base + start - first, base + stop - first]);
    }
    return spans;
  }

  /**
   * Spans in ascending order that hold every key frame, every frame that may be presented before the key frame it follows, every squeezed
   * frame, and the last to be presented. They may overlap.
   */
  *spansNearKeys(): Generator<Span> {
    const { table } = this;
    const sync = table.sync!;
    for (const { base, first, end, squeezed } of this.#parts) {
      let low = Number.POSITIVE_INFINITY;
      let high = Number.NEGATIVE_INFINITY;
      if (squeezed) {
        for (const index of squeezed.keys()) {
          low = Math.min(low, index);
          high = Math.max(high, index);
        }
      }
      // A part begins with a key frame.
      for (let k = lowerBound(sync, first); k < sync.length && sync[k]! < end; k++) {
        const key = sync[k]!;
        const next = Math.min(end, sync[k + 1] ?? end);
        const near = table.indexAtDecodeTime(table.compositionTime(key) - table.minOffset) + 1;
        const stop = key <= high && next > low ? next : Math.max(key + 1, Math.min(next, near));
        yield [base + key - first, base + stop - first];
      }
      const tail = table.indexAtDecodeTime(table.decodeTime(end - 1) + table.minOffset - table.maxOffset - 1);
      yield [base + Math.max(first, tail) - first, base + end - first];
    }
  }

  /** Whether any sample of the span has another description than the first one. */
  changesDescription([from, to]: Span): boolean {
    return this.#pieces(from, to).some(({ first, end }) => this.table.changesDescription(first, end));
  }

  /** The samples of a span, by the parts in which they lie. */
  #pieces(from: number, to: number): { part: Part; first: number; end: number }[] {
    const parts = this.#parts;
    let low = 0;
    let high = parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (parts[middle]!.base <= from) low = middle + 1;
      else high = middle;
    }
    const pieces: { part: Part; first: number; end: number }[] = [];
    for (let i = Math.max(0, low - 1); i < parts.length && parts[i]!.base < to; i++) {
      const part = parts[i]!;
      const first = Math.max(part.first, part.first + from - part.base);
      const end = Math.min(part.end, part.first + to - part.base);
      if (first < end) pieces.push({ part, first, end });
    }
    return pieces;
  }

  #mediaTicks(edit: Edit, seconds: number): number {
    return edit.mediaTime + (seconds - edit.start) * this.timescale;
  }

  #fill(part: Part, first: number, end: number, list: SampleList, at: number, scratch: Scratch): void {
    const { table, timescale } = this;
    const { edit, squeezed } = part;
    const { decode, offsets, durations } = scratch;
    table.times(first, end, decode, offsets, durations);
    if (at === 0) table.locate(first, end, list.offsets, list.sizes);
    else table.locate(first, end, list.offsets.subarray(at), list.sizes.subarray(at));
    const count = end - first;
    for (let i = 0; i < count; i++) {
      list.pts[at + i] = (decode[i]! + offsets[i]! - edit.mediaTime) / timescale + edit.start;
      list.durations[at + i] = durations[i]! / timescale;
    }
    if (squeezed) {
      for (let i = 0; i < count; i++) list.pts[at + i] = squeezed.get(first + i) ?? list.pts[at + i]!;
    }
    const { sync } = table;
    list.keys.fill(sync === undefined ? 1 : 0, at, at + count);
    if (sync !== undefined) {
      for (let k = lowerBound(sync, first); k < sync.length && sync[k]! < end; k++)
        list.keys[at + sync[k]! - first] = 1;
    }
  }

  #makeParts(edits: readonly Edit[], kind: 'video' | 'audio' | 'subtitle'): Part[] {
    const parts: Part[] = [];
    let base = 0;
    for (const [i, edit] of (edits.length > 0 ? edits : [WHOLE_MEDIA]).entries()) {
      if (this.table.count === 0) break;
      if (edit === WHOLE_MEDIA) return [this.#wholePart()];
      const isLast = i === edits.length - 1;
      const part =
        kind === 'video' ? this.#videoPart(edit, base) : this.#otherPart(edit, base, parts.length === 0, isLast);
      if (part === undefined || part.first >= part.end) continue;
      parts.push(part);
      base += part.end - part.first;
      this.#spend(part.end - part.first);
    }
    return parts;
  }

  #spend(samples: number): void {
    this.#work += samples;
    if (this.#work > MAX_REPEATS * this.table.count + MAX_EXTRA) {
      throw new BoxError('its edit list repeats the media more often than any film does');
    }
  }

  #compositionTime(index: number): number {
    this.#spend(1);
    return this.table.compositionTime(index);
  }

  /** A track without edits: times as they are, also those below zero. */
  #wholePart(): Part {
    return { base: 0, first: this.table.sync?.[0] ?? 0, end: this.table.count, edit: WHOLE_MEDIA };
  }

  /** Audio and subtitles: whole packets, chosen by their times. */
  #otherPart(edit: Edit, base: number, isFirst: boolean, isLast: boolean): Part | undefined {
    if (edit.dwell) return undefined;
    const { table, timescale } = this;
    const low = edit.mediaTime;
    const high = low + edit.duration * timescale;
    const half = (index: number) => (isFirst ? PREROLL * timescale : this.#durationAt(index) / 2);
    let first = Math.max(0, table.indexAtDecodeTime(low - table.maxOffset));
    while (first > 0 && this.#compositionTime(first - 1) >= low - half(first - 1)) first -= 1;
    while (first < table.count && this.#compositionTime(first) < low - half(first)) first += 1;
    let end = Math.min(table.count, table.indexAtDecodeTime(high - table.minOffset) + 1);
    while (end > first && this.#compositionTime(end - 1) >= high - (isLast ? 0 : this.#durationAt(end - 1) / 2))
      end -= 1;
    return { base, first, end, edit };
  }

  #durationAt(index: number): number {
    return index + 1 < this.table.count
      ? Math.max(0, this.table.decodeTime(index + 1) - this.table.decodeTime(index))
      : 0;
  }

  #videoPart(edit: Edit, base: number): Part | undefined {
    const { table } = this;
    const low = edit.mediaTime;
    const high = edit.dwell ? low : low + edit.duration * this.timescale;
    const first = this.#keyAtMost(low);
    let end = Math.min(table.count, table.indexAtDecodeTime(high - table.minOffset) + 1);
    while (end > first && this.#compositionTime(end - 1) >= high) end -= 1;
    const hidden: number[] = [];
    const stop = Math.min(end > first ? end : table.count, table.indexAtDecodeTime(low - table.minOffset) + 1);
    for (let i = first; i < stop; i++) if (this.#compositionTime(i) < low) hidden.push(i);
    if (end <= first || edit.dwell) return this.#stillPart(edit, base, first, hidden);
    const late: number[] = [];
    for (let i = Math.max(first, table.indexAtDecodeTime(high - table.maxOffset)); i < end; i++) {
      if (this.#compositionTime(i) >= high) late.push(i);
    }
    if (hidden.length + late.length === 0) return { base, first, end, edit };
    return { base, first, end, edit, squeezed: this.#squeeze(edit, hidden, late, high) };
  }

  /** An edit that shows one frame, which began before it: a dwell, or an edit shorter than its frame. */
  #stillPart(edit: Edit, base: number, first: number, hidden: number[]): Part | undefined {
    const { table } = this;
    const exact = table.compositionTime(first) === edit.mediaTime ? first : -1;
    if (hidden.length === 0 && exact < 0) return undefined;
    const order = exact >= 0 ? [...hidden, exact] : hidden;
    order.sort((a, b) => table.compositionTime(a) - table.compositionTime(b));
    const squeezed = new Map(order.map((index, rank) => [index, edit.start - (order.length - 1 - rank) * SQUEEZE]));
    const end = order.reduce((highest, index) => Math.max(highest, index + 1), first);
    for (let i = first; i < end; i++) if (!squeezed.has(i)) squeezed.set(i, edit.start + SQUEEZE);
    return { base, first, end, edit, squeezed };
  }

  #squeeze(edit: Edit, head: number[], late: number[], high: number): Map<number, number> {
    const { table } = this;
    const byTime = (a: number, b: number) => table.compositionTime(a) - table.compositionTime(b);
    head.sort(byTime);
    late.sort(byTime);
    const squeezed = new Map<number, number>();
    for (const [rank, index] of head.entries()) squeezed.set(index, edit.start - (head.length - rank) * SQUEEZE);
    if (late.length === 0) return squeezed;
    let shown = edit.mediaTime;
    for (let i = late[0]!, seen = 0; i >= 0 && seen < 64; i--, seen++) {
      const time = table.compositionTime(i);
      if (time < high) shown = Math.max(shown, time);
    }
    const lastShown = (shown - edit.mediaTime) / this.timescale + edit.start;
    const step = Math.min(SQUEEZE, (edit.start + edit.duration - lastShown) / (late.length + 1));
    for (const [rank, index] of late.entries()) squeezed.set(index, lastShown + (rank + 1) * step);
    return squeezed;
  }

  /** The last random access point whose presentation time is at or before `ticks`; the first one when there is none. */
  #keyAtMost(ticks: number): number {
    const { table } = this;
    const { sync } = table;
    let low = 0;
    let high = sync?.length ?? table.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (table.compositionTime(sync === undefined ? middle : sync[middle]!) <= ticks) low = middle + 1;
      else high = middle;
    }
    const at = Math.max(0, low - 1);
    return sync === undefined ? at : (sync[at] ?? 0);
  }
}

class Scratch {
  readonly decode: Float64Array;
  readonly offsets: Int32Array;
  readonly durations: Uint32Array;

  constructor(capacity: number) {
    this.decode = new Float64Array(capacity);
    this.offsets = new Int32Array(capacity);
    this.durations = new Uint32Array(capacity);
  }
}

export function listOf(capacity: number): SampleList {
  return {
    count: capacity,
    offsets: new Float64Array(capacity),
    sizes: new Uint32Array(capacity),
    pts: new Float64Array(capacity),
    durations: new Float64Array(capacity),
    keys: new Uint8Array(capacity),
  };
}

/** Position of the first element >= `value`. */
function lowerBound(array: Uint32Array | Float64Array, value: number): number {
  let low = 0;
  let high = array.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (array[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
