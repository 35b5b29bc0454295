/** HEVC configuration: ISO/IEC 14496-15, 8.3.3 (HEVCDecoderConfigurationRecord) and annex E (codec string). */
import type { CodecConfig } from '../types.ts';
import { BitstreamError, concatBytes, makeBox, slice, uint16 } from './bits.ts';
import { mergeColour } from './colour.ts';
import { type HevcSps, type ProfileTierLevel, parseHevcSps } from './hevc-sps.ts';
import { type CodecInput, NotCopiedError } from './input.ts';
import { annexBUnits, packetUnits, parameterSets, sized, startsWithStartCode } from './nal.ts';

const NAL_VPS = 32;
const NAL_SPS = 33;
const NAL_PPS = 34;
const SET_TYPES = [NAL_VPS, NAL_SPS, NAL_PPS] as const;

interface HevcArray {
  readonly type: number;
  readonly units: readonly Uint8Array[];
}

interface HevcConfiguration {
  /** Bytes of each NAL unit length: 1, 2 or 4. */
  readonly lengthSize: number;
  readonly arrays: readonly HevcArray[];
}

/** Bytes before the arrays. */
const FIXED_SIZE = 23;

/** @throws BitstreamError */
function parseHevcConfiguration(data: Uint8Array): HevcConfiguration {
  // Old writers left configurationVersion at 0.
  if (data.length < FIXED_SIZE || data[0]! > 1) throw new BitstreamError('not an HEVCDecoderConfigurationRecord');
  const lengthSize = (data[21]! & 3) + 1;
  if (lengthSize === 3) throw new BitstreamError('NAL unit lengths of three bytes do not exist');
  const arrays: HevcArray[] = [];
  let at = FIXED_SIZE;
  for (let left = data[22]!; left > 0; left--) {
    const type = slice(data, at, 1)[0]! & 0x3f;
    const count = uint16(data, at + 1);
    at += 3;
    const units: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const size = uint16(data, at);
      units.push(slice(data, at + 2, size));
      at += 2 + size;
    }
    arrays.push({ type, units });
  }
  return { lengthSize, arrays };
}

/** Is this a unit of that type in the base layer (nuh_layer_id 0)? Other layers have sets of another syntax. */
function isBaseUnit(unit: Uint8Array, type: number): boolean {
  return unit.length > 2 && (unit[0]! & 0x81) === 0 && unit[0]! >>> 1 === type && unit[1]! >>> 3 === 0;
}

function hasAllSets(units: readonly Uint8Array[]): boolean {
  return SET_TYPES.every((type) => units.some((unit) => isBaseUnit(unit, type)));
}

function makeHevcConfiguration(units: readonly Uint8Array[], lengthSize: number): Uint8Array | undefined {
  if (!hasAllSets(units)) return undefined;
  const arrays = SET_TYPES.map((type) => parameterSets(units, (unit) => isBaseUnit(unit, type)));
  const sps = parseHevcSps(arrays[1]![0]!);
  const { profile } = sps;
  const head = concatBytes([
    Uint8Array.of(1, (profile.space << 6) | (profile.highTier ? 0x20 : 0) | profile.idc),
    profile.compatibility,
    profile.constraints,
    Uint8Array.of(profile.level),
    // min_spatial_segmentation_idc 0 and parallelismType 0: unknown.
    Uint8Array.of(0xf0, 0x00, 0xfc),
    Uint8Array.of(0xfc | sps.chromaFormat, 0xf8 | (sps.bitDepth - 8), 0xf8 | (sps.bitDepthChroma - 8)),
    // avgFrameRate and constantFrameRate 0: unspecified.
    Uint8Array.of(0, 0, (sps.temporalLayers << 3) | (sps.temporalIdNested ? 4 : 0) | (lengthSize - 1)),
    Uint8Array.of(arrays.length),
  ]);
  const body = arrays.flatMap((sets, i) => [
    Uint8Array.of(0x80 | SET_TYPES[i]!, sets.length >>> 8, sets.length & 0xff),
    ...sets.map(sized),
  ]);
  return concatBytes([head, ...body]);
}

/** The hvcC body for an Annex B stream, NAL unit lengths of four bytes; undefined when the packet lacks parameter sets or they are damaged. */
export function hevcConfigFromAnnexB(firstKeyPacket: Uint8Array): Uint8Array | undefined {
  try {
    return makeHevcConfiguration(annexBUnits(firstKeyPacket), 4);
  } catch (error) {
    if (error instanceof BitstreamError) return undefined;
    throw error;
  }
}

/** Is a first packet needed, because the record has no parameter sets? A damaged record is not helped by one. */
export function hevcNeedsFirstPacket(record: Uint8Array | undefined): boolean {
  if (record === undefined || record.length === 0) return true;
  if (startsWithStartCode(record)) return hevcConfigFromAnnexB(record) === undefined;
  try {
    return !hasAllSets(parseHevcConfiguration(record).arrays.flatMap((array) => array.units));
  } catch {
    return false;
  }
}

/**
 * A copy fit for `hvc1`: version 1, and the arrays of parameter sets marked complete, which is their mandatory value there
 * (14496-15, 8.3.3.1.3).
 */
function recordForHvc1(record: Uint8Array, arrays: readonly HevcArray[]): Uint8Array {
  const result = record.slice();
  result[0] = 1;
  let at = FIXED_SIZE;
  for (const { type, units } of arrays) {
    if (SET_TYPES.some((set) => set === type)) result[at] = result[at]! | 0x80;
    at += 3;
    for (const unit of units) at += 2 + unit.length;
  }
  // What follows the arrays is no part of the record.
  return result.subarray(0, at);
}

/** The record with parameter sets in it, wherever they come from. */
function completeRecord(input: CodecInput): Uint8Array {
  const { privateData, firstPacket } = input;
  let lengthSize = 4;
  let units: Uint8Array[] = [];
  if (privateData !== undefined && privateData.length > 0) {
    if (startsWithStartCode(privateData)) {
      units = annexBUnits(privateData);
    } else {
      const parsed = parseHevcConfiguration(privateData);
      lengthSize = parsed.lengthSize;
      units = parsed.arrays.flatMap((array) => array.units);
      if (hasAllSets(units)) return recordForHvc1(privateData, parsed.arrays);
    }
  }
  if (firstPacket !== undefined) units = [...units, ...packetUnits(firstPacket, lengthSize)];
  const record = makeHevcConfiguration(units, lengthSize);
  if (record === undefined) throw new NotCopiedError('the HEVC video has no parameter sets where they must be');
  return record;
}

/** Annex E of 14496-15: `hvc1.[space]profile.compatibility.tier+level[.constraint bytes]`. */
function hevcCodecString(profile: ProfileTierLevel): string {
  const space = ['', 'A', 'B', 'C'][profile.space]!;
  let reversed = 0;
  for (let i = 0; i < 32; i++) {
    if ((profile.compatibility[i >>> 3]! & (0x80 >>> (i & 7))) !== 0) reversed += 2 ** i;
  }
  const constraints = [...profile.constraints];
  while (constraints.length > 0 && constraints.at(-1) === 0) constraints.pop();
  const parts = [
    'hvc1',
    `${space}${profile.idc}`,
    reversed.toString(16).toUpperCase(),
    `${profile.highTier ? 'H' : 'L'}${profile.level}`,
    ...constraints.map((byte) => byte.toString(16).toUpperCase()),
  ];
  return parts.join('.');
}

/** @throws BitstreamError, NotCopiedError */
export function describeHevc(input: CodecInput): CodecConfig {
  const record = completeRecord(input);
  const units = parseHevcConfiguration(record).arrays.flatMap((array) => array.units);
  const unit = units.find((candidate) => isBaseUnit(candidate, NAL_SPS));
  if (unit === undefined) throw new BitstreamError('no sequence parameter set');
  const sps: HevcSps = parseHevcSps(unit);
  const colour = mergeColour(sps.colour, input.colour);
  return {
    codec: 'hevc',
    sampleEntry: 'hvc1',
    configBox: makeBox('hvcC', record),
    codecString: hevcCodecString(sps.profile),
    video: {
      width: sps.width,
      height: sps.height,
      bitDepth: sps.bitDepth,
      ...(sps.frameRate !== undefined && { frameRate: sps.frameRate }),
      ...(sps.reorderFrames !== undefined && { reorderFrames: sps.reorderFrames }),
      ...(colour && { colour }),
      ...(sps.pixelAspect && { pixelAspect: sps.pixelAspect }),
    },
  };
}
