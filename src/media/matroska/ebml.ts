/**
 * EBML primitives over a byte array (RFC 8794). Nothing here allocates by a length that the file states: every
 * length is first checked against the bytes that contain it.
 */
import { Buffer } from 'node:buffer';

/** Element size as stated by "all ones" (RFC 8794, section 6.2). */
export const UNKNOWN_SIZE = -1;
/** A size that is no valid or no usable number (over 2^53). */
export const BAD_SIZE = -2;
/** The longest element header that Matroska allows: 4 bytes of ID, 8 of size. */
export const MAX_HEADER = 12;

/** A copy that outlives the buffer. (`slice` is none where the buffer is a Buffer.) */
export function copyOf(buf: Uint8Array, start = 0, stop = buf.length): Uint8Array {
  return new Uint8Array(buf.subarray(start, stop));
}

/** Length in bytes of an element ID by its first byte; 0 when it can't be one. */
export function idLength(first: number): number {
  return first >= 0x80 ? 1 : first >= 0x40 ? 2 : first >= 0x20 ? 3 : first >= 0x10 ? 4 : 0;
}

/** Length in bytes of a variable-size integer by its first byte; 0 when it can't be one. */
export function vintLength(first: number): number {
  return first === 0 ? 0 : Math.clz32(first) - 23;
}

/** The ID of `length` bytes (1 to 4) at `at`, marker included. */
export function readId(buf: Uint8Array, at: number, length: number): number {
  let id = 0;
  for (let i = 0; i < length; i++) id = id * 256 + (buf[at + i] ?? 0);
  return id;
}

/** The size of `length` bytes (1 to 8) at `at`: bytes, UNKNOWN_SIZE or BAD_SIZE. */
export function readSize(buf: Uint8Array, at: number, length: number): number {
  const mask = 0xff >> length;
  let value = (buf[at] ?? 0) & mask;
  let ones = value === mask;
  for (let i = 1; i < length; i++) {
    const byte = buf[at + i] ?? 0;
    if (byte !== 0xff) ones = false;
    value = value * 256 + byte;
  }
  if (ones) return UNKNOWN_SIZE;
  return value > Number.MAX_SAFE_INTEGER ? BAD_SIZE : value;
}

/** Unsigned integer of 0 to 8 bytes; above 2^53 the nearest double. */
export function readUint(buf: Uint8Array, start: number, stop: number): number {
  let value = 0;
  const end = Math.min(stop, start + 8);
  for (let i = start; i < end; i++) value = value * 256 + (buf[i] ?? 0);
  return value;
}

/** Signed integer of 0 to 8 bytes, two's complement. */
export function readInt(buf: Uint8Array, start: number, stop: number): number {
  const length = Math.min(stop - start, 8);
  if (length <= 0) return 0;
  const value = readUint(buf, start, stop);
  return (buf[start] ?? 0) >= 0x80 ? value - 2 ** (8 * length) : value;
}

/** Float of 4 or 8 bytes; 0 for an empty element, NaN for any other length. */
function readFloat(buf: Uint8Array, start: number, stop: number): number {
  const length = stop - start;
  if (length === 0) return 0;
  if (length !== 4 && length !== 8) return Number.NaN;
  const view = new DataView(buf.buffer, buf.byteOffset + start, length);
  return length === 4 ? view.getFloat32(0) : view.getFloat64(0);
}

/** UTF-8 or ASCII string without what follows a terminating zero; at most `limit` bytes of it. */
function readString(buf: Uint8Array, start: number, stop: number, limit = 4096): string {
  const length = Math.max(0, Math.min(stop - start, limit));
  const text = Buffer.from(buf.buffer, buf.byteOffset + start, length).toString('utf8');
  const zero = text.indexOf('\0');
  return zero < 0 ? text : text.slice(0, zero);
}

/** A 64-bit UID as a text key, so that no precision is lost. */
function readUid(buf: Uint8Array, start: number, stop: number): string {
  const hex = Buffer.from(buf.buffer, buf.byteOffset + start, Math.min(stop - start, 8)).toString('hex');
  return hex.replace(/^0+/, '');
}

/**
 * Walks the children of a master element that is wholly in memory. After `next()` returned true, `id`, `start`
 * (inclusive) and `stop` (exclusive) describe the child's data. It ends at the parent's end and at the first thing that
 * is no element or leaves its parent: what came before counts.
 */
export class ElementCursor {
  readonly buf: Uint8Array;
  end: number;
  id = 0;
  start = 0;
  stop: number;

  /**
   * @param end exclusive; past the buffer's end only for a walk over headers (`whole` tells whether the data is there).
   */
  constructor(buf: Uint8Array, start = 0, end = buf.length) {
    this.buf = buf;
    this.stop = start;
    this.end = end;
  }

  /** Walks another part of the same buffer, where a new cursor for each of very many would be too much. @param end exclusive. */
  reset(start: number, end: number): void {
    this.stop = start;
    this.end = end;
  }

  /** Whether the present element's data is in memory. */
  get whole(): boolean {
    return this.stop <= this.buf.length;
  }

  next(): boolean {
    const { buf, end } = this;
    let at = this.stop;
    if (at >= end) return false;
    const idBytes = idLength(buf[at] ?? 0);
    if (idBytes === 0 || at + idBytes >= end) return false;
    this.id = readId(buf, at, idBytes);
    at += idBytes;
    const sizeBytes = vintLength(buf[at] ?? 0);
    if (sizeBytes === 0 || at + sizeBytes > end) return false;
    const size = readSize(buf, at, sizeBytes);
    at += sizeBytes;
    if (size === BAD_SIZE) return false;
    const stop = size === UNKNOWN_SIZE ? end : at + size;
    if (stop > end) return false;
    this.start = at;
    this.stop = stop;
    return true;
  }

  /** The children of the present element. */
  enter(): ElementCursor {
    return new ElementCursor(this.buf, this.start, this.stop);
  }

  uint(): number {
    return readUint(this.buf, this.start, this.stop);
  }

  float(): number {
    return readFloat(this.buf, this.start, this.stop);
  }

  text(limit?: number): string {
    return readString(this.buf, this.start, this.stop, limit);
  }

  uid(): string {
    return readUid(this.buf, this.start, this.stop);
  }

  /** The present element's data, as a copy: it outlives the buffer that was read. */
  bytes(): Uint8Array {
    return copyOf(this.buf, this.start, this.stop);
  }
}
