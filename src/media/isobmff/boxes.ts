/** Boxes of ISO/IEC 14496-12, 4.2, within memory. Every view covers exactly one box's body, so that nothing can be read beyond it. */

import { processPool } from '../../lib/buffer-pool.ts';

/** What is wrong with a file, as a clause for people; the reader puts the file's name before it and makes it an AppError. */
export class BoxError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BoxError';
  }
}

export interface Box {
  readonly type: string;
  /** The body, without the header. */
  readonly view: DataView;
  /** Bytes of the header: 8 or 16. */
  readonly headerSize: number;
}

export function viewOf(bytes: Uint8Array, start = 0, end = bytes.length): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** The bytes of a view from `start` (inclusive) to `end` (exclusive), not copied. */
export function bytesOf(view: DataView, start = 0, end = view.byteLength): Uint8Array {
  if (start > end || end > view.byteLength) throw new BoxError('a field lies outside its box');
  return new Uint8Array(view.buffer, view.byteOffset + start, end - start);
}

/** @throws RangeError beyond the view. */
export function fourCC(view: DataView, offset: number): string {
  return String.fromCharCode(
    view.getUint8(offset),
    view.getUint8(offset + 1),
    view.getUint8(offset + 2),
    view.getUint8(offset + 3),
  );
}

/** An unsigned 64-bit integer as a double: exact below 2^53. */
export function u64(view: DataView, offset: number): number {
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

/** A signed 64-bit integer as a double: exact within +-2^53. */
export function i64(view: DataView, offset: number): number {
  return view.getInt32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

/**
 * The boxes of a container's body from `start` on. Ends silently at the first size that its container cannot hold: what came before it
 * is still good.
 */
export function* boxes(view: DataView, start = 0): Generator<Box> {
  let offset = start;
  while (offset + 8 <= view.byteLength) {
    let size = view.getUint32(offset);
    let headerSize = 8;
    if (size === 1) {
      if (offset + 16 > view.byteLength) return;
      size = u64(view, offset + 8);
      headerSize = 16;
    } else if (size === 0) {
      size = view.byteLength - offset;
    }
    if (size < headerSize || offset + size > view.byteLength) return;
    const body = new DataView(view.buffer, view.byteOffset + offset + headerSize, size - headerSize);
    yield { type: fourCC(view, offset + 4), view: body, headerSize };
    offset += size;
  }
}

/** The body of the first box of a type, or undefined. */
export function child(view: DataView | undefined, type: string, start = 0): DataView | undefined {
  if (view === undefined) return undefined;
  for (const box of boxes(view, start)) if (box.type === type) return box.view;
  return undefined;
}

/** The body at the end of a path of box types. */
export function descend(view: DataView | undefined, ...path: string[]): DataView | undefined {
  let at = view;
  for (const type of path) at = child(at, type);
  return at;
}

/**
 * The entries of a table in a FullBox: the count of 32 bits at `offset`, then records of `recordSize` bytes.
 * @throws BoxError when the box is shorter than its count says.
 */
export function entryCount(view: DataView, offset: number, recordSize: number, name: string): number {
  if (view.byteLength < offset + 4) throw new BoxError(`its table ${name} is cut off`);
  const count = view.getUint32(offset);
  if (offset + 4 + count * recordSize > view.byteLength) {
    throw new BoxError(`its table ${name} says ${count} entries, more than the box holds`);
  }
  return count;
}

const utf8 = new TextDecoder('utf-8');

/** UTF-8 up to the first zero byte; text that is no UTF-8 comes with replacement characters. */
export function utf8Text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return utf8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

const BIG_ENDIAN_HOST = new Uint8Array(Uint32Array.of(1).buffer)[3] === 1;

/**
 * What `use` makes of `count` 32-bit numbers of a table, which are in memory that is only lent to it. A film's tables have 100,000s of them, and a film is
 * opened once: reading each through the DataView, before the compiler has caught up, would be most of the time.
 * @throws RangeError when the box does not hold them; callers have checked its entry count.
 */
export function withWords<T>(view: DataView, offset: number, count: number, use: (table: Uint32Array) => T): T {
  const table = new Uint8Array(view.buffer, view.byteOffset + offset, 4 * count);
  const bytes = processPool.acquire(4 * count);
  try {
    bytes.set(table);
    if (!BIG_ENDIAN_HOST) Buffer.from(bytes.buffer, 0, 4 * count).swap32();
    return use(new Uint32Array(bytes.buffer, 0, count));
  } finally {
    processPool.release(bytes);
  }
}
