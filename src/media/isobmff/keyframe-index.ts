/** The key-frame index of a track whose sample tables are known, and what one walk over them tells besides. */
import type { KeyframeIndex } from '../types.ts';
import type { PresentedTrack, SampleList, Span } from './presented-track.ts';

export interface TrackSummary {
  /** Seconds: presentation of the first sample that is not priming, end of the last. */
  readonly startTime: number;
  readonly endTime: number;
  readonly bytes: () => number;
  readonly frameRate?: number;
}

export interface VideoIndex {
  readonly keyframes: KeyframeIndex;
  /** Position of each key frame among the presented samples; those before the first one are never delivered. */
  readonly positions: Uint32Array;
}

/** Collects key frames in decode order; keeps `times` strictly and `positions` weakly ascending, whatever the file says. */
export class KeyframeCollector {
  #times: number[] = [];
  #starts: number[] = [];
  #positions: number[] = [];

  get length(): number {
    return this.#times.length;
  }

  get lastTime(): number {
    return this.#times.at(-1) ?? Number.NEGATIVE_INFINITY;
  }

  /** A key frame. Returns false when it does not come after the one before in time: then it is no place to cut. */
  addKey(pts: number, byte: number): boolean {
    if (!(pts > this.lastTime)) return false;
    this.#times.push(pts);
    this.#starts.push(pts);
    this.#positions.push(Math.max(byte, this.#positions.at(-1) ?? 0));
    return true;
  }

  /** Any frame after the last key frame. */
  addFrame(pts: number): void {
    const last = this.#starts.length - 1;
    if (last >= 0 && pts < this.#starts[last]!) this.#starts[last] = pts;
  }

  finish(): KeyframeIndex {
    return {
      times: Float64Array.from(this.#times),
      starts: Float64Array.from(this.#starts),
      positions: Float64Array.from(this.#positions),
    };
  }
}

/** Where random access points are at most every fourth frame, only the frames near them are looked at. */
const SPARSE = 4;

export function indexVideo(track: PresentedTrack): VideoIndex & { summary: TrackSummary } {
  const { sync, count } = track.table;
  const index = new VideoIndexer(track);
  if (sync !== undefined && sync.length * SPARSE <= count) index.walkKeys();
  else index.walkAll();
  return index.finish();
}

class VideoIndexer {
  readonly #track: PresentedTrack;
  readonly #collector = new KeyframeCollector();
  readonly #positions: number[] = [];
  #end = Number.NEGATIVE_INFINITY;
  #lowest = Number.POSITIVE_INFINITY;

  constructor(track: PresentedTrack) {
    this.#track = track;
  }

  /** Every frame. */
  walkAll(): void {
    this.#track.forEachBlock([[0, this.#track.count]], (block, position) => this.#add(block, position));
  }

  /**
   * Only the frames that can come before a key frame in presentation although they follow it in decoding, those that an edit squeezes, and
   * the last ones.
   */
  walkKeys(): void {
    const spans: Span[] = [];
    let done = 0;
    for (const [from, to] of this.#track.spansNearKeys()) {
      if (to > done) spans.push([Math.max(done, from), to]);
      done = Math.max(done, to);
    }
    this.#track.forEachBlock(spans, (block, position) => this.#add(block, position));
  }

  #add({ pts, durations, keys, offsets, count }: SampleList, position: number): void {
    for (let i = 0; i < count; i++) {
      const time = pts[i]!;
      if (keys[i] === 1 && this.#collector.addKey(time, offsets[i]!)) this.#positions.push(position + i);
      else this.#collector.addFrame(time);
      if (time < this.#lowest) this.#lowest = time;
      const stop = time + durations[i]!;
      if (stop > this.#end) this.#end = stop;
    }
  }

  finish(): VideoIndex & { summary: TrackSummary } {
    const rate = frameRateOf(this.#track);
    return {
      keyframes: this.#collector.finish(),
      positions: Uint32Array.from(this.#positions),
      summary: {
        startTime: Math.max(this.#lowest, Math.min(this.#track.editStart, this.#end)),
        endTime: this.#end,
        bytes: () => this.#track.table.totalBytes(),
        ...(rate !== undefined && { frameRate: rate }),
      },
    };
  }
}

/** Average over the samples, the last one's own duration left out: writers invent it. */
function frameRateOf({ table, timescale }: PresentedTrack): number | undefined {
  const { count } = table;
  if (count < 2) return undefined;
  const ticks = table.decodeTime(count - 1) - table.decodeTime(0);
  return ticks > 0 ? ((count - 1) * timescale) / ticks : undefined;
}

/** Audio and subtitles: their times ascend in all but broken files, so that both ends tell enough. */
export function summarise(track: PresentedTrack): TrackSummary | undefined {
  if (track.count === 0) return undefined;
  const head = track.collect([[0, 1]]);
  const tail = track.collect([[track.count - 1, track.count]]);
  const endTime = tail.pts[0]! + tail.durations[0]!;
  return {
    startTime: Math.max(head.pts[0]!, Math.min(track.editStart, endTime)),
    endTime,
    bytes: () => track.table.totalBytes(),
  };
}

/** Seconds between the places where an audio file may be entered, about. */
const AUDIO_STEP = 2;
const MAX_AUDIO_POINTS = 100_000;

/** Places where reading may start in a file without video. */
export function indexAudio(track: PresentedTrack, summary: TrackSummary): KeyframeIndex {
  const collector = new KeyframeCollector();
  const steps = Math.ceil((summary.endTime - summary.startTime) / AUDIO_STEP);
  const stride = Math.max(1, Math.floor(track.count / Math.min(MAX_AUDIO_POINTS, Math.max(1, steps))));
  for (let position = 0; position < track.count; position += stride) {
    const { pts, offsets } = track.collect([[position, position + 1]]);
    // Priming counts as the start.
    collector.addKey(Math.max(pts[0]!, summary.startTime), offsets[0]!);
  }
  if (collector.length === 0) collector.addKey(summary.startTime, 0);
  return collector.finish();
}
