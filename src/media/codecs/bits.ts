/** Bit and byte level helpers shared by the codec parsers. */

/** A bitstream that ends too early or breaks its specification. Never leaves this folder: `describeCodec` turns it into words. */
export class BitstreamError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BitstreamError';
  }
}

/** Reads bits from the most significant one on. Every read past the end throws BitstreamError. */
export class BitReader {
  readonly #data: Uint8Array;
  #position = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  /** Bits read so far. */
  get position(): number {
    return this.#position;
  }

  /** Bits that are left. */
  get remaining(): number {
    return this.#data.length * 8 - this.#position;
  }

  /** The next `count` bits (0..32) as an unsigned number. */
  read(count: number): number {
    if (count > this.remaining) throw new BitstreamError('the bitstream ends early');
    let value = 0;
    let left = count;
    while (left > 0) {
      const inByte = 8 - (this.#position & 7);
      const take = Math.min(inByte, left);
      const byte = this.#data[this.#position >>> 3]!;
      const bits = (byte >>> (inByte - take)) & ((1 << take) - 1);
      value = value * 2 ** take + bits;
      this.#position += take;
      left -= take;
    }
    return value;
  }

  flag(): boolean {
    return this.read(1) === 1;
  }

  skip(count: number): void {
    if (count > this.remaining) throw new BitstreamError('the bitstream ends early');
    this.#position += count;
  }

  align(): void {
    this.#position = (this.#position + 7) & ~7;
  }

  /** Exp-Golomb ue(v) of ISO/IEC 14496-10 and 23008-2, 9.1/9.2: 0..2^32-2. */
  ue(): number {
    let zeros = 0;
    while (!this.flag()) {
      zeros++;
      if (zeros > 31) throw new BitstreamError('an Exp-Golomb code is too long');
    }
    return 2 ** zeros - 1 + this.read(zeros);
  }

  /** Exp-Golomb ue(v) that must be at most `maximum`. */
  ueMax(maximum: number, name: string): number {
    const value = this.ue();
    if (value > maximum) throw new BitstreamError(`${name} is out of range`);
    return value;
  }

  /** Exp-Golomb se(v). */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }
}

/** Collects bits, most significant first. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #used = 0;

  /** Appends the low `count` bits (0..32) of `value`. */
  write(count: number, value: number): this {
    for (let bit = count - 1; bit >= 0; bit--) {
      if (this.#used % 8 === 0) this.#bytes.push(0);
      if (Math.floor(value / 2 ** bit) % 2 === 1) this.#bytes[this.#bytes.length - 1]! |= 0x80 >>> (this.#used % 8);
      this.#used++;
    }
    return this;
  }

  /** What was written, the last byte filled with zero bits. */
  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const result = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** An ISO/IEC 14496-12 box with its eight-byte header. */
export function makeBox(type: string, ...body: readonly Uint8Array[]): Uint8Array {
  const header = new Uint8Array(8);
  const result = concatBytes([header, ...body]);
  new DataView(result.buffer).setUint32(0, result.length);
  for (let i = 0; i < 4; i++) result[4 + i] = type.charCodeAt(i);
  return result;
}

/** A box of type FullBox, version 0 and flags 0. */
export function makeFullBox(type: string, ...body: readonly Uint8Array[]): Uint8Array {
  return makeBox(type, new Uint8Array(4), ...body);
}

/** Bytes equal? */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Big endian, two bytes at `offset`. @throws BitstreamError past the end. */
export function uint16(data: Uint8Array, offset: number): number {
  if (offset < 0 || offset + 2 > data.length) throw new BitstreamError('the record ends early');
  return data[offset]! * 256 + data[offset + 1]!;
}

/** `size` bytes at `offset`. @throws BitstreamError when they are not all there. */
export function slice(data: Uint8Array, offset: number, size: number): Uint8Array {
  if (offset < 0 || size < 0 || offset + size > data.length) throw new BitstreamError('the record ends early');
  return data.subarray(offset, offset + size);
}

export function hexByte(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0');
}

export function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
