import { waitFor } from '../lib/abort.ts';
import type { Limiter } from '../lib/limiter.ts';
import { Shared } from '../lib/shared.ts';

/**
 * Places among those that may read, one for each cut of the source: whoever makes something of a cut that others are at goes in with them, since
 * sources answer the same reads at the same time from one.
 *
 * Invariant: a cut has a place, or waits for one, exactly while at least one task is at it.
 */
export class CutPlaces {
  readonly #limiter: Limiter;
  readonly #places = new Shared<number, AsyncDisposable>();

  constructor(limiter: Limiter) {
    this.#limiter = limiter;
  }

  /** Runs `task` when there is room for cut `n`. @throws the signal's reason if it aborts while waiting; else what `task` throws. */
  async run<T>(n: number, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await using place = this.#places.acquire(n, async (unwanted) => {
      const acquired = await this.#limiter.acquire(unwanted);
      return { [Symbol.asyncDispose]: async () => acquired[Symbol.dispose]() };
    });
    await waitFor(place.value, signal);
    return await task();
  }
}
