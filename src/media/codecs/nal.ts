import type { ColourInfo } from '../types.ts';
import { type BitReader, BitstreamError, concatBytes, sameBytes } from './bits.ts';

/** Where parameter sets are looked for: they come first in a packet, and a damaged one could be cut into millions. */
const MAX_UNITS = 1024;

/** Parameter sets are stored with 16-bit sizes. */
const MAX_PARAMETER_SET = 65_535;

/** Position of the first byte after the next 00 00 01 at or after `from`, or -1. */
function afterStartCode(data: Uint8Array, from: number): number {
  let i = from + 2;
  while (i < data.length) {
    const byte = data[i]!;
    if (byte > 1) i += 3;
    else if (byte === 1 && data[i - 1] === 0 && data[i - 2] === 0) return i + 1;
    else i++;
  }
  return -1;
}

/** Does the data begin with an Annex B start code (00 00 01 or 00 00 00 01)? */
export function startsWithStartCode(data: Uint8Array): boolean {
  if (data.length < 4 || data[0] !== 0 || data[1] !== 0) return false;
  return data[2] === 1 || (data[2] === 0 && data[3] === 1);
}

/**
 * Calls `visit` with the bounds (start inclusive, end exclusive) of each NAL unit of an Annex B byte stream (ISO/IEC 14496-10, 23008-2,
 * Annex B), zero bytes around them left out, until it returns false.
 */
function visitAnnexB(data: Uint8Array, visit: (start: number, end: number) => boolean): void {
  let start = afterStartCode(data, 0);
  while (start >= 0) {
    const next = afterStartCode(data, start);
    let end = next < 0 ? data.length : next - 3;
    while (end > start && data[end - 1] === 0) end--;
    if (end > start && !visit(start, end)) return;
    start = next;
  }
}

/** The first NAL units of an Annex B byte stream, at most MAX_UNITS, as views. */
export function annexBUnits(data: Uint8Array): Uint8Array[] {
  const units: Uint8Array[] = [];
  visitAnnexB(data, (start, end) => units.push(data.subarray(start, end)) < MAX_UNITS);
  return units;
}

/** Annex B byte stream to NAL units with four-byte lengths. Bytes before the first start code are dropped. */
export function annexBToLengthPrefixed(data: Uint8Array): Uint8Array {
  let size = 0;
  visitAnnexB(data, (start, end) => {
    size += 4 + end - start;
    return true;
  });
  const result = new Uint8Array(size);
  const view = new DataView(result.buffer);
  let at = 0;
  visitAnnexB(data, (start, end) => {
    view.setUint32(at, end - start);
    result.set(data.subarray(start, end), at + 4);
    at += 4 + end - start;
    return true;
  });
  return result;
}

/** The first NAL units of a length-prefixed packet, as views, at most MAX_UNITS; stops at the first length that does not fit. `lengthSize` is 1..4 bytes. */
function lengthPrefixedUnits(data: Uint8Array, lengthSize: number): Uint8Array[] {
  const units: Uint8Array[] = [];
  let at = 0;
  while (at + lengthSize <= data.length && units.length < MAX_UNITS) {
    let size = 0;
    for (let i = 0; i < lengthSize; i++) size = size * 256 + data[at + i]!;
    at += lengthSize;
    if (size > data.length - at) break;
    if (size > 0) units.push(data.subarray(at, at + size));
    at += size;
  }
  return units;
}

/** NAL units of a packet of either kind. */
export function packetUnits(data: Uint8Array, lengthSize: number): Uint8Array[] {
  // 00 00 01 could be the head of a 4-byte length of 256..511 bytes: the lengths must then add up exactly.
  if (!startsWithStartCode(data)) return lengthPrefixedUnits(data, lengthSize);
  const units = lengthPrefixedUnits(data, lengthSize);
  let size = 0;
  for (const unit of units) size += lengthSize + unit.length;
  return size === data.length ? units : annexBUnits(data);
}

/** Those units that `wanted` accepts, each once. @throws BitstreamError when one is too long for a configuration record. */
export function parameterSets(units: readonly Uint8Array[], wanted: (unit: Uint8Array) => boolean): Uint8Array[] {
  const sets: Uint8Array[] = [];
  for (const unit of units) {
    if (!wanted(unit) || sets.some((set) => sameBytes(set, unit))) continue;
    if (unit.length > MAX_PARAMETER_SET) throw new BitstreamError('a parameter set is too long');
    sets.push(unit);
  }
  return sets;
}

/** A 16-bit size and the unit itself. */
export function sized(unit: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(unit.length >>> 8, unit.length & 0xff), unit]);
}

/** The RBSP of a NAL unit: emulation prevention bytes (the 03 of 00 00 03) taken out. */
export function unescapeRbsp(unit: Uint8Array): Uint8Array {
  const result = new Uint8Array(unit.length);
  let size = 0;
  let zeros = 0;
  for (const byte of unit) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    result[size++] = byte;
  }
  return result.subarray(0, size);
}

/** What both video usability informations tell. */
export interface Vui {
  readonly pixelAspect?: readonly [number, number];
  readonly colour?: ColourInfo;
  readonly frameRate?: number;
  /** Frames that precede any frame in decoding order and follow it in output order, at most. */
  readonly reorderFrames?: number;
}

/** Table E-1 (the same in ISO/IEC 14496-10 and 23008-2), from aspect_ratio_idc 1 on. */
const ASPECT_RATIOS: readonly (readonly [number, number])[] = [
  [1, 1],
  [12, 11],
  [10, 11],
  [16, 11],
  [40, 33],
  [24, 11],
  [20, 11],
  [32, 11],
  [80, 33],
  [18, 11],
  [15, 11],
  [64, 33],
  [160, 99],
  [4, 3],
  [3, 2],
  [2, 1],
];

const EXTENDED_SAR = 255;

/** The common beginning of vui_parameters(): sample aspect ratio, overscan, video signal type, chroma location. */
export function readVuiHead(bits: BitReader): { pixelAspect?: readonly [number, number]; colour?: ColourInfo } {
  let pixelAspect: readonly [number, number] | undefined;
  let colour: ColourInfo | undefined;
  if (bits.flag()) {
    const idc = bits.read(8);
    pixelAspect = idc === EXTENDED_SAR ? [bits.read(16), bits.read(16)] : ASPECT_RATIOS[idc - 1];
    if (pixelAspect !== undefined && (pixelAspect[0] === 0 || pixelAspect[1] === 0)) pixelAspect = undefined;
  }
  if (bits.flag()) bits.skip(1); // overscan_appropriate_flag
  if (bits.flag()) {
    bits.skip(3); // video_format
    const fullRange = bits.flag();
    const described = bits.flag();
    colour = described
      ? { primaries: bits.read(8), transfer: bits.read(8), matrix: bits.read(8), fullRange }
      : { primaries: 2, transfer: 2, matrix: 2, fullRange };
  }
  if (bits.flag()) {
    bits.ue(); // chroma_sample_loc_type_top_field
    bits.ue();
  }
  return { ...(pixelAspect && { pixelAspect }), ...(colour && { colour }) };
}

/** Frames per second, when it is one: encoders of variable frame rates declare clock ticks instead. */
export function plausibleFrameRate(rate: number): number | undefined {
  return rate >= 0.1 && rate <= 480 ? rate : undefined;
}
