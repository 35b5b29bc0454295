/**
 * Reusable byte buffers.
 *
 * Invariant: the memory behind a buffer is in exactly one of two places: lent (one live array in `#lent` stands for it)
 * or kept (on a list of `#kept`, with no array in `#lent`). `acquire` moves kept -> lent under a new array, `release`
 * moves lent -> kept. So memory is never lent twice, and an array that was released, or was never ours, is ignored.
 * Lent memory that is never released is simply collected.
 */
export class BufferPool {
  readonly #maxKept: number;
  /** Class size in bytes -> free memory of that class; the map's order is the order of last use, oldest first. */
  readonly #kept = new Map<number, ArrayBuffer[]>();
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
    const size = sizeClass(length);
    const free = this.#kept.get(size);
    const memory = free?.pop();
    if (free !== undefined && memory !== undefined) {
      this.#keptBytes -= size;
      this.#kept.delete(size);
      if (free.length > 0) this.#kept.set(size, free);
    }
    // allocUnsafeSlow: memory of its own, and not zeroed, which would cost as much as the read that follows.
    const bytes = new Uint8Array(memory ?? Buffer.allocUnsafeSlow(size).buffer, 0, length);
    if (size <= this.#maxKept) this.#lent.add(bytes);
    return bytes;
  }

  /** Takes back an array that `acquire` returned. Anything else (a view of it, a foreign or released array) is ignored. */
  release(bytes: Uint8Array): void {
    if (!this.#lent.delete(bytes)) return;
    const memory = bytes.buffer as ArrayBuffer;
    // Transferred to a worker while it was lent: nothing is left to reuse.
    if (memory.byteLength === 0) return;
    const size = memory.byteLength;
    const free = this.#kept.get(size) ?? [];
    free.push(memory);
    this.#kept.delete(size);
    this.#kept.set(size, free);
    this.#keptBytes += size;
    this.#evict();
  }

  #evict(): void {
    for (const [size, free] of this.#kept) {
      while (this.#keptBytes > this.#maxKept && free.pop() !== undefined) this.#keptBytes -= size;
      if (free.length === 0) this.#kept.delete(size);
      if (this.#keptBytes <= this.#maxKept) return;
    }
  }
}

const SMALLEST = 4096;

/** The smallest of 1, 1.25, 1.5 and 1.75 times a power of two that holds `length` bytes: at most 25 % is wasted. */
function sizeClass(length: number): number {
  if (length <= SMALLEST) return SMALLEST;
  const step = 2 ** (Math.floor(Math.log2(length - 1)) - 2);
  return Math.ceil(length / step) * step;
}

/** The pool of the process: what one source or segment gives back, the next one uses. */
export const processPool = new BufferPool(32 * 1024 * 1024);
