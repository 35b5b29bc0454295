import type { AppError } from '../errors.ts';

/**
 * Why a run ended: it made the last segment; nobody asked for anything any more; another run needed its place; it never got one; the source was closed; it failed.
 */
export type RunEnd = 'complete' | 'idle' | 'displaced' | 'no-room' | 'closed' | 'failed';

let last = 0;

/**
 * What can be told of one run, kept by the run itself.
 *
 * Invariant: `state` goes from `queued` to `running` to `ended`, or from `queued` to `ended`; `reason` is there exactly when it has ended. Its clock runs only while the
 * run works, not while it waits for somebody to want more.
 */
export class RunRecord {
  /** Counts in this process, from 1. */
  readonly id = ++last;
  readonly rendition: string;
  /** Segment with which it began. */
  readonly first: number;
  readonly createdAt = new Date();
  state: 'queued' | 'running' | 'ended' = 'queued';
  /** Segments made. */
  made = 0;
  /** Seconds of the presentation that these last. */
  seconds = 0;
  /** Seconds on the presentation's clock up to which it has made segments. */
  position: number;
  /** How often it broke and went on. */
  retries = 0;
  endedAt: Date | undefined;
  reason: RunEnd | undefined;
  error: AppError | undefined;
  readonly #changed: (record: RunRecord) => void;
  #workedMs = 0;
  #since: number | undefined;

  /**
   * @param position seconds on the presentation's clock at which its first segment starts
   * @param changed called when it begins and when it has ended
   */
  constructor(rendition: string, first: number, position: number, changed: (record: RunRecord) => void) {
    this.rendition = rendition;
    this.first = first;
    this.position = position;
    this.#changed = changed;
  }

  /** Whether it makes a segment now. */
  get isWorking(): boolean {
    return this.#since !== undefined;
  }

  /** Seconds of the presentation made per second of work; undefined before the first segment. */
  get speed(): number | undefined {
    if (this.made === 0) return undefined;
    const ms = this.#workedMs + (this.#since === undefined ? 0 : performance.now() - this.#since);
    return this.seconds / Math.max(0.001, ms / 1000);
  }

  begun(): void {
    this.state = 'running';
    this.works();
    this.#changed(this);
  }

  works(): void {
    this.#since ??= performance.now();
  }

  rests(): void {
    if (this.#since !== undefined) this.#workedMs += performance.now() - this.#since;
    this.#since = undefined;
  }

  madeSegment({ start, duration }: { readonly start: number; readonly duration: number }): void {
    this.made += 1;
    this.seconds += duration;
    this.position = start + duration;
    // What a segment under way has taken so far does not count against those that are made.
    if (this.#since !== undefined) {
      this.rests();
      this.works();
    }
  }

  ended(reason: RunEnd, error: AppError | undefined): void {
    this.rests();
    this.state = 'ended';
    this.reason = reason;
    this.error = reason === 'failed' ? error : undefined;
    this.endedAt = new Date();
    this.#changed(this);
  }
}
