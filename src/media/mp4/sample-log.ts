/** Which samples of one track lie where in an MP4 that is being written: what its tables are made from (ISO/IEC 14496-12, 8.6, 8.7). */

/** Samples in decode order; times in ticks of the track on the clip's clock, where 0 is what is shown first. */
export class SampleLog {
  /** Ticks per second. */
  readonly timescale: number;
  readonly times: number[] = [];
  readonly sizes: number[] = [];
  /** Numbers of the sync samples, from 1. */
  readonly sync: number[] = [];
  /** Byte position of each chunk, relative to the media data, and how many samples it has. */
  readonly chunks: { readonly offset: number; samples: number }[] = [];

  constructor(timescale: number) {
    this.timescale = timescale;
  }

  get count(): number {
    return this.times.length;
  }

  /** @param seconds presentation time. @param offset of the sample's first byte in the media data. @param newChunk whether a chunk begins with it. */
  add(seconds: number, size: number, key: boolean, offset: number, newChunk: boolean): void {
    this.times.push(Math.round(seconds * this.timescale));
    this.sizes.push(size);
    if (key) this.sync.push(this.times.length);
    const chunk = this.chunks.at(-1);
    if (newChunk || !chunk) this.chunks.push({ offset, samples: 1 });
    else chunk.samples += 1;
  }

  /** @param end where the last sample ends, seconds. */
  timing(end: number): SampleTiming {
    const count = this.times.length;
    const decode = Float64Array.from(this.times).sort();
    const first = decode[0] ?? 0;
    for (let i = 1; i < count; i++) decode[i] = Math.max(decode[i] as number, (decode[i - 1] as number) + 1);
    let shift = 0;
    for (let i = 0; i < count; i++) shift = Math.max(shift, (decode[i] as number) - (this.times[i] as number));
    const durations = new Uint32Array(count);
    const offsets = new Uint32Array(count);
    const last = Math.max(Math.round(end * this.timescale), (decode[count - 1] ?? 0) + 1);
    for (let i = 0; i < count; i++) {
      durations[i] = (decode[i + 1] ?? last) - (decode[i] as number);
      offsets[i] = (this.times[i] as number) - (decode[i] as number) + shift;
    }
    return {
      durations,
      offsets,
      mediaTime: shift + Math.max(0, -first),
      delay: Math.max(0, first) / this.timescale,
      presented: (last - Math.max(0, first)) / this.timescale,
      total: last - first,
    };
  }
}

/**
 * Decode times are the presentation times in ascending order, as in fragments (docs/decisions/0006); composition offsets are moved up by what makes them all
 * positive, and the edit list takes that off again.
 */
export interface SampleTiming {
  /** Of the samples, ticks. */
  readonly durations: Uint32Array;
  /** From decode to composition time, ticks, none negative. */
  readonly offsets: Uint32Array;
  /** Composition time at which the clip begins, ticks: samples that end earlier are only decoded. */
  readonly mediaTime: number;
  /** Seconds from the clip's beginning to the track's. */
  readonly delay: number;
  /** Seconds that are shown. */
  readonly presented: number;
  /** Sum of all durations, ticks. */
  readonly total: number;
}
