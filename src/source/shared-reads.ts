/**
 * Reads of the same range at the same time, or soon after each other, are one read: the picture and the sound of a segment lie in the same bytes.
 *
 * Invariant: a read is in `#held` from its beginning until it has failed, or every taker has given its view back or has left; for that time, and until
 * nothing writes into it any more, its memory is lent by the pool.
 */
import type { BufferPool } from '../lib/buffer-pool.ts';

/** Reads whose memory is looked for in the pool, for each source. */
const REMEMBERED = 4;
/** Shorter reads are of heads and tables, which nobody reads twice. */
const MEMORABLE = 64 * 1024;

interface Reading {
  /** Fills `bytes` with what lies at `offset`; once it has settled, nothing writes into them. */
  fill(bytes: Uint8Array, offset: number, signal: AbortSignal): Promise<void>;
  /** @throws when what was read before may not be what is there now. */
  confirm(): void;
}

interface Shared {
  readonly key: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly controller: AbortController;
  readonly filled: Promise<void>;
  isFilled: boolean;
  takers: number;
}

export class SharedReads {
  readonly #pool: BufferPool;
  readonly #reading: Reading;
  readonly #held = new Map<string, Shared>();
  readonly #views = new WeakMap<Uint8Array, Shared>();
  /** As what the last reads were given back to the pool, the oldest first. The pool may have lent it to others since. */
  readonly #remembered = new Map<string, WeakRef<Uint8Array>>();

  constructor(pool: BufferPool, reading: Reading) {
    this.#pool = pool;
    this.#reading = reading;
  }

  /**
   * A view of the `length` bytes at `offset`, to be given back. When the signal aborts, this wait ends at once, and the read if nobody else waits for it.
   * @throws what the reading throws; the signal's reason.
   */
  take(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const key = `${offset}+${length}`;
    const held = this.#present(key) ?? this.#begin(key, offset, length);
    held.takers += 1;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#leave(held);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      held.filled.then(
        () => {
          if (signal?.aborted) return;
          signal?.removeEventListener('abort', leave);
          const view = held.bytes.subarray();
          this.#views.set(view, held);
          resolve(view);
        },
        (error: unknown) => {
          signal?.removeEventListener('abort', leave);
          reject(error);
        },
      );
    });
  }

  /** Anything but what `take` gave, or that twice, is ignored. */
  giveBack(view: Uint8Array): void {
    const held = this.#views.get(view);
    if (held === undefined) return;
    this.#views.delete(view);
    this.#leave(held);
  }

  #begin(key: string, offset: number, length: number): Shared {
    const bytes = this.#pool.acquire(length);
    const controller = new AbortController();
    const work = async (): Promise<void> => {
      try {
        await this.#reading.fill(bytes, offset, controller.signal);
        held.isFilled = true;
        // All have left before the bytes were there.
        if (held.takers === 0) this.#rest(held);
      } catch (error) {
        this.#forget(held);
        this.#pool.release(bytes);
        throw error;
      }
    };
    const filled = Promise.withResolvers<void>();
    const held: Shared = { key, bytes, controller, filled: filled.promise, isFilled: false, takers: 0 };
    this.#held.set(key, held);
    work().then(filled.resolve, filled.reject);
    // Each taker hears of a failure; where none is left it is nobody's concern.
    held.filled.catch(() => {});
    return held;
  }

  /** What is held, or lies in the pool untouched. */
  #present(key: string): Shared | undefined {
    const held = this.#held.get(key);
    const before = held ? undefined : this.#remembered.get(key)?.deref();
    if (held?.isFilled || before) this.#reading.confirm();
    const bytes = before && this.#pool.reclaim(before);
    if (bytes === undefined) return held;
    const filled = Promise.resolve();
    const again = { key, bytes, controller: new AbortController(), filled, isFilled: true, takers: 0 };
    this.#held.set(key, again);
    return again;
  }

  #leave(held: Shared): void {
    held.takers -= 1;
    if (held.takers > 0) return;
    if (held.isFilled) this.#rest(held);
    else {
      this.#forget(held);
      held.controller.abort();
    }
  }

  #forget(held: Shared): void {
    if (this.#held.get(held.key) === held) this.#held.delete(held.key);
  }

  /** Its memory goes back to the pool, and is found there by who comes soon. */
  #rest(held: Shared): void {
    const { key, bytes } = held;
    this.#forget(held);
    this.#pool.release(bytes);
    if (bytes.length < MEMORABLE) return;
    this.#remembered.delete(key);
    this.#remembered.set(key, new WeakRef(bytes));
    if (this.#remembered.size <= REMEMBERED) return;
    const [oldest] = this.#remembered.keys();
    this.#remembered.delete(oldest as string);
  }
}
