import { AppError } from '../errors.ts';

/** A run that has waited so long for a place tells those who wait for it to come back later. */
const QUEUE_MS = 10_000;

/** What the pool needs to know of a run. */
export interface PooledRun {
  /** Whether somebody waits for one of its segments. */
  readonly needed: boolean;
  begin(): void;
  /** Perhaps it may go on now with what nobody waits for. */
  resume(): void;
  stop(reason: AppError): Promise<void>;
}

/**
 * How many runs may transcode at once, in the whole process.
 *
 * Invariant: `#running` has at most `limit` runs; `#queued` is empty unless `#running` is full. A run that nobody waits for makes room for one that is needed: it
 * does not count any more from when it is told to end, so that nobody waits for its process, which is gone within moments.
 */
export class RunPool {
  /** Runs at work at once. */
  readonly limit: number;
  readonly #running = new Set<PooledRun>();
  readonly #queued = new Map<PooledRun, NodeJS.Timeout>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get size(): number {
    return this.#running.size;
  }

  /** Runs that wait for a place. */
  get queued(): number {
    return this.#queued.size;
  }

  /**
   * Whether somebody waits for a segment: nothing is made ahead meanwhile, since it would take the processor from it. Not while runs are queued: they take
   * turns then, and a turn is worth more than one segment.
   */
  get busy(): boolean {
    return this.#queued.size === 0 && this.#running.values().some(({ needed }) => needed);
  }

  /** Told by a run when nobody waits for it any more. */
  eased(): void {
    if (!this.busy) for (const run of this.#running) run.resume();
  }

  /** Begins the run now, or when there is room. */
  add(run: PooledRun): void {
    if (this.#running.size < this.limit) {
      this.#begin(run);
      return;
    }
    const busy = (): void => {
      void run.stop(
        new AppError('server-busy', `All ${this.limit} transcoders are at work for others; try again soon.`),
      );
    };
    this.#queued.set(run, setTimeout(busy, QUEUE_MS));
    this.#makeRoom();
  }

  /** Told by a run that has made all that is wanted, or has had its turn: its place may be needed. */
  idle(): void {
    if (this.#queued.size > 0) this.#makeRoom();
  }

  /** Told by a run that ended. */
  remove(run: PooledRun): void {
    this.#running.delete(run);
    clearTimeout(this.#queued.get(run));
    this.#queued.delete(run);
    this.#beginNext();
  }

  #beginNext(): void {
    const next = this.#queued.keys().next().value;
    if (next !== undefined && this.#running.size < this.limit) {
      clearTimeout(this.#queued.get(next));
      this.#queued.delete(next);
      this.#begin(next);
    }
  }

  #begin(run: PooledRun): void {
    this.#running.add(run);
    run.begin();
  }

  #makeRoom(): void {
    for (const run of this.#running) {
      if (run.needed) continue;
      this.#running.delete(run);
      this.#beginNext();
      void run.stop(new AppError('server-busy', 'The transcoder was needed elsewhere.'));
      return;
    }
  }
}
