/** EBML elements (RFC 8794) as bytes. */
import { concatBytes } from '../codecs/bits.ts';

/** The size of a Segment or Cluster that ends with the stream: all VINT_DATA bits set (RFC 8794, section 6.2). */
const UNKNOWN_SIZE = Uint8Array.of(0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
const utf8 = new TextEncoder();

/** An element ID as it stands, its length marker included. */
export function idBytes(id: number): Uint8Array {
  const length = id > 0xffffff ? 4 : id > 0xffff ? 3 : id > 0xff ? 2 : 1;
  return bigEndian(id, length);
}

/** Unsigned, below 2^53. */
export function bigEndian(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

/** Bytes that `sizeBytes` takes for a size below 2^53. */
export function sizeLength(size: number): number {
  let length = 1;
  // All bits set means unknown, so the largest value of each length is left out.
  while (size >= 2 ** (7 * length) - 1) length++;
  return length;
}

/** A VINT of the shortest length. */
export function sizeBytes(size: number): Uint8Array {
  const length = sizeLength(size);
  const bytes = bigEndian(size, length);
  bytes[0] = (bytes[0] ?? 0) | (0x80 >> (length - 1));
  return bytes;
}

export function master(id: number, ...children: readonly Uint8Array[]): Uint8Array {
  return binary(id, concatBytes(children));
}

export function unknownSizeMaster(id: number): Uint8Array {
  return concatBytes([idBytes(id), UNKNOWN_SIZE]);
}

export function binary(id: number, body: Uint8Array): Uint8Array {
  return concatBytes([idBytes(id), sizeBytes(body.length), body]);
}

export function uint(id: number, value: number): Uint8Array {
  let length = 1;
  while (value >= 2 ** (8 * length)) length++;
  return binary(id, bigEndian(value, length));
}

export function float(id: number, value: number): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setFloat64(0, value);
  return binary(id, body);
}

export function text(id: number, value: string): Uint8Array {
  return binary(id, utf8.encode(value));
}
