/**
 * From ticks to seconds. Matroska rounds times to its ticks, mostly of 1 ms; audio times are put back on the codec's
 * frame grid. Every function here is pure: a packet has the same time whichever cut asks.
 */
import type { BlockWalker } from './walker.ts';

/** Above one tick: what rounding the origin and the frame adds. */
const TOLERANCE = 0.0001;

export class TrackTiming {
  /** Nanoseconds per Segment Tick. */
  readonly #scale: number;
  /** Segment Ticks per Track Tick (TrackTimestampScale). */
  readonly #trackScale: number;
  /** Nanoseconds. */
  readonly #delay: number;
  #origin = 0;
  /** Seconds; 0: times stay as they are. */
  #frame = 0;
  readonly #reach: number;

  constructor(timestampScale: number, trackScale: number, codecDelay: number) {
    this.#scale = timestampScale;
    this.#trackScale = trackScale;
    this.#delay = codecDelay;
    this.#reach = timestampScale / 1e9 + TOLERANCE;
  }

  /**
   * Puts times on the grid `origin + n * frame` (seconds) where they are at most about a tick off it; times that are farther off (gaps, drifting
   * recordings) stay. Called once, before the first packet is given out.
   */
  setGrid(origin: number, frame: number): void {
    // A grid finer than the rounding says nothing.
    if (frame <= this.#reach * 3) return;
    this.#origin = origin;
    this.#frame = frame;
  }

  /** Frame length of the grid in seconds, 0 when there is none. */
  get frame(): number {
    return this.#frame;
  }

  /** Presentation time in seconds of Segment Ticks (cluster, cue) plus Track Ticks (block), as written. */
  raw(segmentTicks: number, trackTicks = 0): number {
    return ((segmentTicks + trackTicks * this.#trackScale) * this.#scale - this.#delay) / 1e9;
  }

  /** The walker's present block's time as written. */
  rawOf(walker: BlockWalker): number {
    return this.raw(walker.clusterTicks, walker.relative);
  }

  /** The present block's time in Segment Ticks, comparable with a cue's. */
  ticksOf(walker: BlockWalker): number {
    return walker.clusterTicks + walker.relative * this.#trackScale;
  }

  /** A length in Track Ticks in seconds. */
  length(trackTicks: number): number {
    return (trackTicks * this.#trackScale * this.#scale) / 1e9;
  }

  /** The time on the grid. */
  snap(time: number): number {
    if (this.#frame === 0) return time;
    const snapped = this.#origin + Math.round((time - this.#origin) / this.#frame) * this.#frame;
    return Math.abs(snapped - time) <= this.#reach ? snapped : time;
  }
}
