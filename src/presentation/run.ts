import { AppError, toAppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { RunPool } from './run-pool.ts';
import type { RunEnd, RunRecord } from './run-record.ts';

/** Makes segments one after the other from `first` on, until the end of the rendition. Pulled only as fast as they are wanted. */
export type SegmentMaker = (first: number, signal: AbortSignal) => AsyncGenerator<Uint8Array>;

/** Segments that a run makes beyond the last one that was asked for. */
export const LOOK_AHEAD = 3;
/** A run that nobody asked for anything ends after this time. */
const IDLE_MS = 10_000;

/**
 * One run: contiguous segments of one rendition, made while somebody wants them.
 *
 * Invariant: `next` is the segment being made; a segment that somebody waits for is >= `next`; the maker is pulled only while somebody waits, or `next` <=
 * `#wanted` and nobody waits for any other run either. A run is queued, then running, then ended; the pool moves it from queued to running, only `#end` ends it,
 * and then nobody waits any more.
 */
export class Run {
  readonly #make: SegmentMaker;
  readonly #deliver: (n: number, bytes: Uint8Array) => void;
  readonly #pool: RunPool;
  readonly #ended: (error: AppError | undefined) => void;
  readonly #reach: number;
  readonly #has: (n: number) => boolean;
  readonly #record: RunRecord;
  readonly #broke: (error: AppError) => void;
  readonly #owner = new AbortController();
  readonly #waiting = new Map<
    number,
    { promise: Promise<Uint8Array>; settle: PromiseWithResolvers<Uint8Array>; count: number }
  >();
  #next: number;
  #wanted: number;
  /** Segments made since other runs wait for a place. */
  #turn = 0;
  #more: (() => void) | undefined;
  /** Nobody has asked for anything for too long. */
  #unwanted = false;
  #done: Promise<void> | undefined;

  constructor(options: {
    readonly first: number;
    /** A request so many segments ahead of the one being made waits for it; one further ahead is worth a run of its own. */
    readonly reach: number;
    readonly make: SegmentMaker;
    readonly pool: RunPool;
    /** Called with each segment, before those who wait for it get it. */
    readonly deliver: (n: number, bytes: Uint8Array) => void;
    /** Whether a segment is there already, made by another run: it is not made again for nobody. */
    readonly has: (n: number) => boolean;
    readonly record: RunRecord;
    /** Called with each failure, whether it goes on or not. */
    readonly broke: (error: AppError) => void;
    /** Called once. */
    readonly ended: (error: AppError | undefined) => void;
  }) {
    this.#next = options.first;
    this.#wanted = options.first;
    this.#reach = options.reach;
    this.#has = options.has;
    this.#make = options.make;
    this.#pool = options.pool;
    this.#deliver = options.deliver;
    this.#record = options.record;
    this.#broke = options.broke;
    this.#ended = options.ended;
  }

  /** Whether a request for segment `n` should wait for this run. */
  covers(n: number): boolean {
    return !this.#owner.signal.aborted && n >= this.#next && n <= Math.max(this.#next + this.#reach, this.#wanted);
  }

  /** Whether somebody waits for a segment: such a run is not ended for the sake of another. */
  get needed(): boolean {
    return this.#waiting.size > 0;
  }

  /** Segment `n`, which the run covers. A waiter that leaves ends only its own wait; the last one takes with it what was made ahead for it. */
  async wait(n: number, signal: AbortSignal): Promise<Uint8Array> {
    let entry = this.#waiting.get(n);
    if (entry === undefined) {
      const settle = Promise.withResolvers<Uint8Array>();
      settle.promise.catch(() => {}); // each waiter sees it
      entry = { promise: settle.promise, settle, count: 0 };
      this.#waiting.set(n, entry);
    }
    entry.count += 1;
    this.#wanted = Math.max(this.#wanted, n + LOOK_AHEAD);
    this.#more?.();
    try {
      return await waitFor(entry.promise, signal);
    } finally {
      entry.count -= 1;
      if (entry.count === 0 && this.#waiting.get(n) === entry) {
        this.#waiting.delete(n);
        if (!this.needed) this.#wanted = this.#next;
        this.#ease();
      }
    }
  }

  /** Called by the pool when others need it less. */
  resume(): void {
    this.#more?.();
  }

  #ease(): void {
    if (!this.needed) this.#pool.eased();
  }

  /** Whether the next segment is to be made now. */
  get #goesOn(): boolean {
    return this.needed || (this.#next <= this.#wanted && !this.#has(this.#next) && !this.#pool.busy);
  }

  /** Called by the pool when there is room. */
  begin(): void {
    if (this.#done !== undefined) return;
    this.#record.begun();
    this.#done = this.#work();
  }

  /** Ends the run; resolves when its process is gone. Those who wait get `reason`. */
  async stop(reason: AppError): Promise<void> {
    this.#owner.abort(reason);
    if (this.#done === undefined) this.#end(reason);
    await this.#done;
  }

  async #work(): Promise<void> {
    let failure: AppError | undefined;
    try {
      await this.#produceWithRetry();
    } catch (error) {
      failure = toAppError(error);
    }
    this.#end(failure);
  }

  /** A run that breaks is tried once more from its last good segment. */
  async #produceWithRetry(): Promise<void> {
    for (let failedAt = -1; ; ) {
      try {
        return await this.#produce();
      } catch (error) {
        if (this.#owner.signal.aborted) throw error;
        this.#broke(toAppError(error));
        if (failedAt === this.#next) throw error;
        failedAt = this.#next;
        this.#record.retries += 1;
      }
    }
  }

  async #produce(): Promise<void> {
    for await (const bytes of this.#make(this.#next, this.#owner.signal)) {
      const n = this.#next;
      this.#next += 1;
      this.#deliver(n, bytes);
      this.#waiting.get(n)?.settle.resolve(bytes);
      this.#waiting.delete(n);
      this.#ease();
      this.#giveWay();
      if (!this.#goesOn && !(await this.#demand())) {
        this.#unwanted = true;
        return;
      }
    }
  }

  /** A viewer who asks for one segment after the other would else keep a place for the whole film. */
  #giveWay(): void {
    this.#turn = this.#pool.queued > 0 ? this.#turn + 1 : 0;
    if (this.#turn > LOOK_AHEAD && !this.needed) this.#pool.idle();
  }

  /** Waits until the next segment is to be made; false when it was not for long enough. */
  async #demand(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const idle = setTimeout(() => resolve(false), IDLE_MS);
    this.#more = () => {
      if (this.#goesOn) resolve(true);
    };
    this.#record.rests();
    this.#pool.idle();
    try {
      return await waitFor(promise, this.#owner.signal);
    } finally {
      clearTimeout(idle);
      this.#record.works();
      this.#more = undefined;
    }
  }

  #end(failure: AppError | undefined): void {
    const reason = this.#reason(failure);
    this.#pool.remove(this);
    if (!this.#owner.signal.aborted)
      this.#owner.abort(failure ?? new AppError('transcode-failed', 'The run has ended.'));
    const error = failure ?? new AppError('transcode-failed', 'The transcoder ended before this segment.');
    for (const { settle } of this.#waiting.values()) settle.reject(error);
    this.#waiting.clear();
    this.#pool.eased();
    this.#record.ended(reason, failure);
    this.#ended(failure);
  }

  #reason(failure: AppError | undefined): RunEnd {
    if (failure === undefined) return this.#unwanted ? 'idle' : 'complete';
    if (!this.#owner.signal.aborted) return 'failed';
    if (failure.code === 'server-closing') return 'closed';
    return this.#done === undefined ? 'no-room' : 'displaced';
  }
}
