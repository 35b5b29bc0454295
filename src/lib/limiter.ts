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
    signal.throwIfAborted();
    if (this.#running < this.#limit) this.#running += 1;
    else await this.#turn(signal); // the slot is handed over by the task that ends
    try {
      return await task();
    } finally {
      const next = this.#waiting.values().next().value;
      if (next === undefined) this.#running -= 1;
      else next();
    }
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
