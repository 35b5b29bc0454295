/**
 * Segments by name, fetched once for all who want them at the same time, and kept for those who want them next: the audio of a segment whose video was
 * asked for, the neighbour whose first packets belong to the segment before.
 *
 * Invariant: `#kept` holds one lease for each of its names, the least recently used first, and no more than `limit` bytes unless it holds one alone.
 */
import { waitFor } from '../../lib/abort.ts';
import { type Lease, Shared } from '../../lib/shared.ts';

interface Sized {
  /** That it holds. */
  readonly bytes: number;
}

class Held<V> implements AsyncDisposable {
  readonly value: V;

  constructor(value: V) {
    this.value = value;
  }

  /** Memory: the collector's. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

export class SegmentCache<V extends Sized> implements AsyncDisposable {
  readonly #shared = new Shared<string, Held<V>>();
  readonly #kept = new Map<string, { readonly lease: Lease<Held<V>>; readonly bytes: number }>();
  readonly #limit: number;
  #bytes = 0;

  /** @param limit bytes kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * The value of `name`, made with `make` when nobody has it. `make` ends when nobody waits for it any more.
   * @throws what `make` throws; the signal's reason.
   */
  async get(name: string, make: (signal: AbortSignal) => Promise<V>, signal: AbortSignal): Promise<V> {
    const lease = this.#shared.acquire(name, async (unwanted) => new Held(await make(unwanted)));
    try {
      const { value } = await waitFor(lease.value, signal);
      this.#keep(name, lease, value.bytes);
      return value;
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  #keep(name: string, lease: Lease<Held<V>>, bytes: number): void {
    const before = this.#kept.get(name);
    if (before) this.#drop(name, before);
    this.#kept.set(name, { lease, bytes });
    this.#bytes += bytes;
    for (const [oldest, held] of this.#kept) {
      if (this.#bytes <= this.#limit || this.#kept.size === 1) break;
      this.#drop(oldest, held);
    }
  }

  #drop(name: string, { lease, bytes }: { readonly lease: Lease<Held<V>>; readonly bytes: number }): void {
    this.#kept.delete(name);
    this.#bytes -= bytes;
    void lease.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [name, held] of this.#kept) this.#drop(name, held);
    await this.#shared.settled();
  }
}
