/** A set of pieces as BEP 3 writes it. Invariant: `count` bits are set, none of them at or past `size`. */
export class BitField {
  readonly size: number;
  readonly bytes: Uint8Array;
  #count = 0;

  constructor(size: number) {
    this.size = size;
    this.bytes = new Uint8Array((size + 7) >>> 3);
  }

  /** @returns undefined when `bytes` is not a bit field of `size` bits: wrong length, or spare bits set. */
  static from(bytes: Uint8Array, size: number): BitField | undefined {
    const field = new BitField(size);
    if (bytes.length !== field.bytes.length) return undefined;
    field.bytes.set(bytes);
    const spare = bytes.length * 8 - size;
    if (spare > 0 && (bytes[bytes.length - 1]! & ((1 << spare) - 1)) !== 0) return undefined;
    for (const byte of bytes) for (let bits = byte; bits !== 0; bits &= bits - 1) field.#count += 1;
    return field;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.size;
  }

  has(index: number): boolean {
    return (this.bytes[index >>> 3]! & (0x80 >>> (index & 7))) !== 0;
  }

  /** @returns whether it is new. */
  set(index: number): boolean {
    if (this.has(index)) return false;
    this.bytes[index >>> 3]! |= 0x80 >>> (index & 7);
    this.#count += 1;
    return true;
  }

  clear(index: number): void {
    if (!this.has(index)) return;
    this.bytes[index >>> 3]! &= ~(0x80 >>> (index & 7));
    this.#count -= 1;
  }

  fill(): void {
    for (let index = 0; index < this.size; index += 1) this.set(index);
  }

  /** Whether it has a piece that `other` (of the same size) lacks. */
  exceeds(other: BitField): boolean {
    for (let at = 0; at < this.bytes.length; at += 1) if ((this.bytes[at]! & ~other.bytes[at]!) !== 0) return true;
    return false;
  }
}
