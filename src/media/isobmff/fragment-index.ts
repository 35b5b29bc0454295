/** Indexes of fragmented files: `sidx` (ISO/IEC 14496-12, 8.16.3) and `mfra` (8.8.9 to 8.8.11). */
import { boxes, descend, i64, u64, viewOf } from './boxes.ts';
import type { TopLevelBox, Window } from './file-layout.ts';

/** A random access point as an index tells it. */
interface IndexPoint {
  /** Byte position of the fragment that begins with it. */
  readonly offset: number;
  /** Ticks of the index: earliest presentation time from here on, and that of the random access point. */
  readonly start: number;
  readonly time: number;
}

export interface FragmentIndex {
  readonly points: readonly IndexPoint[];
  /** Ticks per second. */
  readonly timescale: number;
  /** Byte position after the last fragment. */
  readonly end: number;
  /** Presentation end of the last fragment, ticks; undefined when the index does not tell. */
  readonly endTime?: number;
}

const MAX_POINTS = 1_000_000;
const MAX_DEPTH = 4;
const MAX_BOX = 32 * 1024 * 1024;

interface Gathered {
  readonly points: IndexPoint[];
  timescale: number;
  time: number;
  end: number;
}

/**
 * The segment index of a track, from the sidx boxes between `moov` and the first fragment; undefined when there is none that covers the file.
 * @throws RangeError when one is damaged.
 */
export async function readSegmentIndex(
  window: Window,
  start: number,
  trackId: number,
): Promise<FragmentIndex | undefined> {
  const found: TopLevelBox[] = [];
  let offset = start;
  for (let i = 0; i < 1000; i++) {
    const box = await window.box(offset, 4096);
    if (box === undefined || box.type === 'moof' || box.type === 'mdat') break;
    if (box.type === 'sidx') found.push(box);
    offset = box.end;
  }
  for (const box of found) {
    const gathered: Gathered = { points: [], timescale: 0, time: 0, end: 0 };
    if (!(await gather(window, box, trackId, gathered, 0)) || gathered.points.length === 0) continue;
    const { points, timescale, end, time } = gathered;
    if (await isEndOfFragments(window, end)) return { points, timescale, end, endTime: time };
  }
  return undefined;
}

/** Whether no fragment follows the last one of an index: it may end with the file, or be cut off before. */
async function isEndOfFragments(window: Window, end: number): Promise<boolean> {
  let offset = end;
  for (let i = 0; i < 8; i++) {
    if (offset + 8 > window.source.size) return true;
    const box = await window.box(offset);
    if (box === undefined) return true;
    if (box.type !== 'free' && box.type !== 'skip')
      return box.type === 'mfra' || box.type === 'meta' || box.type === 'uuid';
    offset = box.end;
  }
  return false;
}

/** Reads one sidx and those that it refers to. False when it belongs to another track or cannot be used. */
async function gather(
  window: Window,
  box: TopLevelBox,
  trackId: number,
  into: Gathered,
  depth: number,
): Promise<boolean> {
  const size = box.end - box.offset - box.headerSize;
  if (depth > MAX_DEPTH || size > MAX_BOX) return false;
  const view = viewOf(await window.bytes(box.offset + box.headerSize, size));
  if (view.getUint32(4) !== trackId) return false;
  const timescale = view.getUint32(8);
  if (timescale === 0 || (into.timescale !== 0 && into.timescale !== timescale)) return false;
  into.timescale = timescale;
  const wide = view.getUint8(0) >= 1;
  let time = wide ? u64(view, 12) : view.getUint32(12);
  let offset = box.end + (wide ? u64(view, 20) : view.getUint32(16));
  const at = wide ? 28 : 20;
  const count = view.getUint16(at + 2);
  for (let i = 0, entry = at + 4; i < count; i++, entry += 12) {
    const reference = view.getUint32(entry);
    const duration = view.getUint32(entry + 4);
    const sap = view.getUint32(entry + 8);
    if (offset >= window.source.size || into.points.length >= MAX_POINTS) break;
    if (reference >>> 31) {
      const nested = await window.box(offset);
      if (nested?.type !== 'sidx' || !(await gather(window, nested, trackId, into, depth + 1))) return false;
    } else if (sap >>> 31 || ((sap >>> 28) & 7) > 0) {
      into.points.push({ offset, start: time, time: time + (sap & 0x0fffffff) });
    }
    time += duration;
    offset += reference & 0x7fffffff;
    into.end = Math.max(into.end, offset);
    into.time = Math.max(into.time, time);
  }
  return true;
}

/**
 * The random access points of a track as `mfra` at the end of the file lists them; undefined when it does not.
 * @throws RangeError when it is damaged.
 */
export async function readRandomAccess(
  window: Window,
  trackId: number,
  timescale: number,
): Promise<FragmentIndex | undefined> {
  const { size } = window.source;
  const mfro = viewOf(await window.bytes(size - 16, 16));
  if (mfro.byteLength < 16 || mfro.getUint32(4) !== 0x6d66726f) return undefined;
  const length = mfro.getUint32(12);
  if (length < 24 || length > Math.min(size, MAX_BOX)) return undefined;
  const bytes = await window.bytes(size - length, length);
  const mfra = boxes(viewOf(bytes)).next().value;
  if (mfra === undefined || mfra.type !== 'mfra') return undefined;
  for (const { type, view } of boxes(mfra.view)) {
    if (type !== 'tfra' || view.byteLength < 16 || view.getUint32(4) !== trackId) continue;
    const points = randomAccessPoints(view);
    if (points.length > 0) return { points, timescale, end: size - length };
  }
  return undefined;
}

function randomAccessPoints(tfra: DataView): IndexPoint[] {
  const wide = tfra.getUint8(0) === 1;
  const lengths = tfra.getUint32(8) & 63;
  const trafBytes = ((lengths >> 4) & 3) + 1;
  const trunBytes = ((lengths >> 2) & 3) + 1;
  const sampleBytes = (lengths & 3) + 1;
  const record = (wide ? 16 : 8) + trafBytes + trunBytes + sampleBytes;
  const count = Math.min(MAX_POINTS, tfra.getUint32(12), Math.floor((tfra.byteLength - 16) / record));
  const number = (at: number, bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + tfra.getUint8(at + i);
    return value;
  };
  const points: IndexPoint[] = [];
  for (let i = 0, at = 16; i < count; i++, at += record) {
    const time = wide ? i64(tfra, at) : tfra.getUint32(at);
    const offset = wide ? i64(tfra, at + 8) : tfra.getUint32(at + 4);
    const numbers = at + (wide ? 16 : 8) + trafBytes;
    const isFirst = number(numbers, trunBytes) === 1 && number(numbers + trunBytes, sampleBytes) === 1;
    if (isFirst) points.push({ offset, start: time, time });
  }
  return points;
}

/** Seconds of the tail that is searched for the last fragment of a file without any index. */
const TAIL = 1024 * 1024;

/** A moof near the end of the file; found by its name, so that what it holds must prove it. */
export async function* lastFragments(window: Window): AsyncGenerator<{ bytes: Uint8Array; offset: number }> {
  const { size } = window.source;
  const from = Math.max(0, size - TAIL);
  const tail = await window.bytes(from, size - from);
  const buffer = Buffer.from(tail.buffer, tail.byteOffset, tail.length);
  let tries = 0;
  for (let at = buffer.lastIndexOf('moof'); at >= 4 && tries < 16; at = buffer.lastIndexOf('moof', at - 1), tries++) {
    const start = at - 4;
    const length = buffer.readUInt32BE(start);
    const bytes = tail.subarray(start, start + length);
    if (length < 16 || bytes.length < length) continue;
    if (descend(viewOf(bytes), 'moof', 'mfhd') !== undefined) yield { bytes, offset: from + start };
  }
}
