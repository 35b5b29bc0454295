/**
 * Reusable byte buffers.
 *
 * Invariant: the memory behind a buffer is in exactly one of two places: lent (one live array in `#lent` stands for it)
 * or kept (on a list of `#kept`, with no array in `#lent`). `acquire` and `reclaim` move kept -> lent under a new array,
 * `release` moves lent -> kept, and nothing is written to what is kept: under the array that was released it is known until it is lent again. So memory is never lent twice, and an array that was released, or was never ours, is ignored.
 * Lent memory that is never released is simply collected.
 */
export class BufferPool {
  readonly #maxKept: number;
  /** Class size in bytes -> what was released of that class; the map's order is the order of last use, oldest first. */
  readonly #kept = new Map<number, Uint8Array[]>();
  readonly #lent = new WeakSet<Uint8Array>();
  #keptBytes = 0;

  /** @param maxKeptBytes what may lie idle in the pool; lent buffers do not count. */
  constructor(maxKeptBytes = 64 * 1024 * 1024) {
    this.#maxKept = maxKeptBytes;
  }

  /** Bytes that lie idle. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** An array of exactly `length` bytes whose content is arbitrary: the caller overwrites all of it. */
  acquire(length: number): Uint8Array<ArrayBuffer> {
    const least = sizeClass(length);
    for (let size = least; size <= MOST_WASTE * least; size = sizeClass(size + 1)) {
      const free = this.#kept.get(size);
      // What came back last: it is in the processor's cache yet.
      if (free !== undefined) return this.#lend(this.#take(size, free, free.length - 1), length);
    }
    // allocUnsafeSlow: memory of its own, and not zeroed, which would cost as much as the read that follows.
    return this.#lend(Buffer.allocUnsafeSlow(least).buffer as ArrayBuffer, length);
  }

  /** What was released as `bytes`, if nobody has had its memory since: it is as it was, under a new array. Undefined otherwise. */
  reclaim(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const size = bytes.buffer.byteLength;
    const free = this.#kept.get(size);
    const at = free?.indexOf(bytes) ?? -1;
    if (free === undefined || at < 0) return undefined;
    return this.#lend(this.#take(size, free, at), bytes.length);
  }

  /** Takes back an array that `acquire` or `reclaim` returned. Anything else (a view of it, a foreign or released array) is ignored. */
  release(bytes: Uint8Array): void {
    if (!this.#lent.delete(bytes)) return;
    const size = bytes.buffer.byteLength;
    // Transferred to a worker while it was lent: nothing is left to reuse.
    if (size === 0) return;
    const free = this.#kept.get(size) ?? [];
    free.push(bytes);
    this.#kept.delete(size);
    this.#kept.set(size, free);
    this.#keptBytes += size;
    this.#evict();
  }

  #lend(memory: ArrayBuffer, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(memory, 0, length);
    if (memory.byteLength <= this.#maxKept) this.#lent.add(bytes);
    return bytes;
  }

  /** Takes out what is kept at `at` in its class. */
  #take(size: number, free: Uint8Array[], at: number): ArrayBuffer {
    const [{ buffer }] = free.splice(at, 1) as [Uint8Array<ArrayBuffer>];
    this.#keptBytes -= size;
    this.#kept.delete(size);
    if (free.length > 0) this.#kept.set(size, free);
    return buffer;
  }

  #evict(): void {
    for (const [size, free] of this.#kept) {
      while (this.#keptBytes > this.#maxKept && free.shift() !== undefined) this.#keptBytes -= size;
      if (free.length === 0) this.#kept.delete(size);
      if (this.#keptBytes <= this.#maxKept) return;
    }
  }
}

const SMALLEST = 4096;
/** Rather than fresh memory, what is kept is lent for as little as the `MOST_WASTE`th part of it: fresh pages cost more than the copying into them. */
const MOST_WASTE = 2;

/** The smallest of 1, 1.25, 1.5 and 1.75 times a power of two that holds `length` bytes: at most 25 % is wasted. */
function sizeClass(length: number): number {
  if (length <= SMALLEST) return SMALLEST;
  const step = 2 ** (Math.floor(Math.log2(length - 1)) - 2);
  return Math.ceil(length / step) * step;
}

/** The pool of the process: what one source or segment gives back, the next one uses. */
export const processPool = new BufferPool(32 * 1024 * 1024);
