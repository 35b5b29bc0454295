/** Lacing: several frames in one block (RFC 9559, section 10.3). */
import { readSize, vintLength } from './ebml.ts';

export const LACING_NONE = 0;
const LACING_XIPH = 1;
const LACING_FIXED = 2;
const LACING_EBML = 3;

/**
 * Offsets of the frames in a block's data: n + 1 numbers, frame i from `offsets[i]` (inclusive) to `offsets[i + 1]` (exclusive).
 * Empty when the lacing is damaged.
 * @param start offset of the byte after the block's flags. @param stop the block's end, exclusive.
 */
export function laceOffsets(buf: Uint8Array, start: number, stop: number, lacing: number): number[] {
  if (lacing === LACING_NONE) return [start, stop];
  if (start >= stop) return [];
  const frames = (buf[start] ?? 0) + 1;
  if (lacing === LACING_FIXED) return fixedLace(frames, start + 1, stop);
  const sizes: number[] = [];
  let at: number;
  if (lacing === LACING_XIPH) at = xiphSizes(buf, start + 1, stop, frames, sizes);
  else if (lacing === LACING_EBML) at = ebmlSizes(buf, start + 1, stop, frames, sizes);
  else return [];
  if (at < 0) return [];
  const offsets = [at];
  for (const size of sizes) {
    at += size;
    if (size < 0 || at > stop) return [];
    offsets.push(at);
  }
  offsets.push(stop);
  return offsets;
}

function fixedLace(frames: number, start: number, stop: number): number[] {
  const size = (stop - start) / frames;
  if (!Number.isInteger(size)) return [];
  return Array.from({ length: frames + 1 }, (_, i) => start + i * size);
}

/** Fills the sizes of all frames but the last; the offset behind them, or -1 when damaged. */
function xiphSizes(buf: Uint8Array, start: number, stop: number, frames: number, sizes: number[]): number {
  let at = start;
  for (let i = 0; i < frames - 1; i++) {
    let size = 0;
    for (;;) {
      if (at >= stop) return -1;
      const byte = buf[at++] ?? 0;
      size += byte;
      if (byte !== 255) break;
    }
    sizes.push(size);
  }
  return at;
}

/** The first size is a variable-size integer, the next ones signed differences to the one before. */
function ebmlSizes(buf: Uint8Array, start: number, stop: number, frames: number, sizes: number[]): number {
  let at = start;
  let size = 0;
  for (let i = 0; i < frames - 1; i++) {
    const length = at < stop ? vintLength(buf[at] ?? 0) : 0;
    if (length === 0 || at + length > stop) return -1;
    const value = readSize(buf, at, length);
    // "All ones" is a plain number in a lace, yet no writer needs it: a longer form is.
    if (value < 0) return -1;
    size = i === 0 ? value : size + value - (2 ** (7 * length - 1) - 1);
    if (size < 0) return -1;
    sizes.push(size);
    at += length;
  }
  return at;
}
