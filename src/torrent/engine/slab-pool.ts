/**
 * The memory of pieces in the making, for all torrents: slabs of at most `SLAB` bytes, so that a piece of any size needs
 * only what is arriving just now.
 *
 * Invariant: who opens a part of a piece reserves its slab's size first, and gives it back when the part is on the disk
 * and hashed or dropped; `#reserved` is the sum of that, and never above the limit but by what is urgent, which may go
 * `URGENT_SHARE` further. Memory is taken when the first byte arrives.
 */

/** A multiple of a block. */
export const SLAB = 256 * 1024;
const URGENT_SHARE = 1.25;

export class SlabPool {
  #limit: number;
  #reserved = 0;
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;
  #lent = 0;

  /** @param limit bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  set limit(bytes: number) {
    this.#limit = bytes;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Bytes that are promised; 0 when nothing is being made. */
  get reserved(): number {
    return this.#reserved;
  }

  hasRoom(bytes: number, urgent: boolean): boolean {
    const limit = urgent ? this.#limit * URGENT_SHARE : this.#limit;
    return this.#reserved === 0 || this.#reserved + bytes <= limit;
  }

  /** @returns false when there is no room now. Something always fits when nothing is reserved. */
  reserve(bytes: number, urgent: boolean): boolean {
    if (!this.hasRoom(bytes, urgent)) return false;
    this.#reserved += bytes;
    return true;
  }

  unreserve(bytes: number): void {
    this.#reserved -= bytes;
    if (this.#reserved === 0) this.#trim(this.#limit / 4);
  }

  /** Memory of that size, of arbitrary content. */
  acquire(bytes: number): Buffer {
    this.#lent += bytes;
    const slab = this.#free.get(bytes)?.pop();
    if (slab !== undefined) {
      this.#freeBytes -= bytes;
      return slab;
    }
    // What lies idle has other sizes.
    if (this.#lent + this.#freeBytes > this.#limit) this.#trim(Math.max(0, this.#limit - this.#lent));
    return Buffer.allocUnsafeSlow(bytes);
  }

  release(slab: Buffer): void {
    this.#lent -= slab.length;
    if (this.#lent + this.#freeBytes + slab.length > this.#limit) return;
    const free = this.#free.get(slab.length);
    if (free === undefined) this.#free.set(slab.length, [slab]);
    else free.push(slab);
    this.#freeBytes += slab.length;
  }

  #trim(to: number): void {
    for (const [size, free] of this.#free) {
      while (this.#freeBytes > to && free.pop() !== undefined) this.#freeBytes -= size;
      if (free.length === 0) this.#free.delete(size);
    }
  }
}
