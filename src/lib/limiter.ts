/**
 * Lets at most `limit` tasks run at once; the others wait in order of arrival.
 *
 * Invariant: `#running` <= `limit`, and `#waiting` is empty whenever `#running` < `limit`.
 */
export class Limiter {
  readonly #limit: number;
  #running = 0;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `task` when there is room. @throws the signal's reason if it aborts while waiting; else what `task` throws. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    using _place = await this.acquire(signal);
    return await task();
  }

  /** A place among those that run, to be given back by disposing of it, once. @throws the signal's reason if it aborts before. */
  async acquire(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#running < this.#limit) this.#running += 1;
    else await this.#turn(signal); // the place is handed over by the one that ends
    return { [Symbol.dispose]: () => this.#release() };
  }

  #release(): void {
    const next = this.#waiting.values().next().value;
    if (next === undefined) this.#running -= 1;
    else next();
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        this.#waiting.delete(start);
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.delete(start);
        reject(signal.reason);
      };
      this.#waiting.add(start);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
