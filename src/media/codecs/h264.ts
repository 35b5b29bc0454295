/** H.264: ISO/IEC 14496-10 (sequence parameter set, 7.3.2.1, Annex E) and 14496-15, 5.3.3 (AVCDecoderConfigurationRecord). */
import type { CodecConfig } from '../types.ts';
import { BitReader, BitstreamError, concatBytes, hexByte, makeBox, slice, uint16 } from './bits.ts';
import { mergeColour } from './colour.ts';
import { type CodecInput, NotCopiedError } from './input.ts';
import {
  annexBUnits,
  packetUnits,
  parameterSets,
  plausibleFrameRate,
  readVuiHead,
  sized,
  startsWithStartCode,
  unescapeRbsp,
  type Vui,
} from './nal.ts';

/** Of encoders that don't tell: B-frames, of which some are references. */
const USUAL_REORDER_FRAMES = 2;
const NAL_SPS = 7;
const NAL_PPS = 8;

/** Profiles whose sequence parameter set carries chroma format and bit depth. */
const HIGH_PROFILES = new Set([44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244]);

export interface AvcConfiguration {
  /** Bytes of each NAL unit length: 1, 2 or 4. */
  readonly lengthSize: number;
  readonly sps: readonly Uint8Array[];
  readonly pps: readonly Uint8Array[];
}

interface AvcSps extends Vui {
  readonly id: number;
  readonly profile: number;
  readonly constraints: number;
  readonly level: number;
  readonly chromaFormat: number;
  readonly bitDepth: number;
  readonly bitDepthChroma: number;
  readonly width: number;
  readonly height: number;
  /** Every picture is a frame: no fields, no macroblock pairs of them. */
  readonly frameMbsOnly: boolean;
}

/** @throws BitstreamError */
export function parseAvcConfiguration(data: Uint8Array): AvcConfiguration {
  if (data.length < 7 || data[0] !== 1) throw new BitstreamError('not an AVCDecoderConfigurationRecord');
  const lengthSize = (data[4]! & 3) + 1;
  if (lengthSize === 3) throw new BitstreamError('NAL unit lengths of three bytes do not exist');
  let at = 5;
  const readSets = (mask: number): Uint8Array[] => {
    const count = slice(data, at++, 1)[0]! & mask;
    const sets: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const size = uint16(data, at);
      sets.push(slice(data, at + 2, size));
      at += 2 + size;
    }
    return sets;
  };
  const sps = readSets(0x1f);
  const pps = readSets(0xff);
  return { lengthSize, sps, pps };
}

function skipScalingList(bits: BitReader, size: number): void {
  let last = 8;
  let next = 8;
  for (let i = 0; i < size; i++) {
    if (next !== 0) next = (last + bits.se() + 256) & 0xff;
    if (next !== 0) last = next;
  }
}

function skipPictureOrderCount(bits: BitReader): void {
  const type = bits.ueMax(2, 'pic_order_cnt_type');
  if (type === 0) bits.ue();
  if (type !== 1) return;
  bits.skip(1);
  bits.se();
  bits.se();
  const count = bits.ueMax(255, 'num_ref_frames_in_pic_order_cnt_cycle');
  for (let i = 0; i < count; i++) bits.se();
}

function readChroma(bits: BitReader): { chromaFormat: number; bitDepth: number; bitDepthChroma: number } {
  const chromaFormat = bits.ueMax(3, 'chroma_format_idc');
  if (chromaFormat === 3) bits.skip(1); // separate_colour_plane_flag
  const bitDepth = 8 + bits.ueMax(6, 'bit_depth_luma_minus8');
  const bitDepthChroma = 8 + bits.ueMax(6, 'bit_depth_chroma_minus8');
  bits.skip(1); // qpprime_y_zero_transform_bypass_flag
  if (bits.flag()) {
    const lists = chromaFormat === 3 ? 12 : 8;
    for (let i = 0; i < lists; i++) if (bits.flag()) skipScalingList(bits, i < 6 ? 16 : 64);
  }
  return { chromaFormat, bitDepth, bitDepthChroma };
}

function readVui(bits: BitReader): Vui {
  let vui: Vui = readVuiHead(bits);
  if (bits.flag()) {
    const unitsInTick = bits.read(32);
    const timeScale = bits.read(32);
    bits.skip(1); // fixed_frame_rate_flag
    const frameRate = unitsInTick > 0 ? plausibleFrameRate(timeScale / (2 * unitsInTick)) : undefined;
    vui = { ...vui, ...(frameRate !== undefined && { frameRate }) };
  }
  try {
    return { ...vui, ...readRestriction(bits) };
  } catch (error) {
    if (error instanceof BitstreamError) return vui;
    throw error;
  }
}

/** What follows the timing: of the HRD parameters and the bitstream restriction (E.1.1), only the reordering matters here. */
function readRestriction(bits: BitReader): Pick<Vui, 'reorderFrames'> {
  let hrd = false;
  for (const _kind of ['NAL', 'VCL']) {
    if (!bits.flag()) continue;
    hrd = true;
    skipHrd(bits);
  }
  if (hrd) bits.skip(1); // low_delay_hrd_flag
  bits.skip(1); // pic_struct_present_flag
  if (!bits.flag()) return {};
  bits.skip(1); // motion_vectors_over_pic_boundaries_flag
  for (let i = 0; i < 4; i++) bits.ue(); // largest picture, macroblock, motion vectors
  return { reorderFrames: bits.ueMax(16, 'max_num_reorder_frames') };
}

function skipHrd(bits: BitReader): void {
  const count = bits.ueMax(31, 'cpb_cnt_minus1') + 1;
  bits.skip(8); // bit_rate_scale, cpb_size_scale
  for (let i = 0; i < count; i++) {
    bits.ue();
    bits.ue();
    bits.skip(1);
  }
  bits.skip(20); // lengths of delays and of the time offset
}

/** Picture size after cropping (7.4.2.1.1). */
function readPictureSize(
  bits: BitReader,
  chromaFormat: number,
): { width: number; height: number; frameMbsOnly: boolean } {
  const widthInMbs = bits.ueMax(4095, 'pic_width_in_mbs') + 1;
  const heightInUnits = bits.ueMax(4095, 'pic_height_in_map_units') + 1;
  const frameMbsOnly = bits.flag();
  if (!frameMbsOnly) bits.skip(1);
  bits.skip(1); // direct_8x8_inference_flag
  const fields = frameMbsOnly ? 1 : 2;
  let width = widthInMbs * 16;
  let height = heightInUnits * 16 * fields;
  if (bits.flag()) {
    const unitX = chromaFormat === 1 || chromaFormat === 2 ? 2 : 1;
    const unitY = (chromaFormat === 1 ? 2 : 1) * fields;
    width -= unitX * (bits.ue() + bits.ue());
    height -= unitY * (bits.ue() + bits.ue());
  }
  if (width <= 0 || height <= 0 || width > 65_535 || height > 65_535) {
    throw new BitstreamError('the picture size is out of range');
  }
  return { width, height, frameMbsOnly };
}

/** @param unit the NAL unit with its header byte. @throws BitstreamError */
export function parseAvcSps(unit: Uint8Array): AvcSps {
  if ((slice(unit, 0, 4)[0]! & 0x1f) !== NAL_SPS) throw new BitstreamError('not a sequence parameter set');
  const bits = new BitReader(unescapeRbsp(unit.subarray(1)));
  const profile = bits.read(8);
  const constraints = bits.read(8);
  const level = bits.read(8);
  const id = bits.ueMax(31, 'seq_parameter_set_id');
  const chroma = HIGH_PROFILES.has(profile) ? readChroma(bits) : { chromaFormat: 1, bitDepth: 8, bitDepthChroma: 8 };
  bits.ue(); // log2_max_frame_num_minus4
  skipPictureOrderCount(bits);
  bits.ue(); // max_num_ref_frames
  bits.skip(1);
  const size = readPictureSize(bits, chroma.chromaFormat);
  let vui: Vui = {};
  try {
    if (bits.flag()) vui = readVui(bits);
  } catch (error) {
    // Some writers cut the set short after the picture size: what decoders need is there.
    if (!(error instanceof BitstreamError)) throw error;
  }
  // Baseline profile has no B slices.
  const reordering = profile === 66 ? { reorderFrames: 0 } : {};
  return { id, profile, constraints, level, ...chroma, ...size, ...reordering, ...vui };
}

function isType(type: number): (unit: Uint8Array) => boolean {
  return (unit) => (unit[0]! & 0x1f) === type;
}

export function makeAvcConfiguration(units: readonly Uint8Array[], lengthSize: number): Uint8Array | undefined {
  const sps = parameterSets(units, isType(NAL_SPS)).slice(0, 31);
  const pps = parameterSets(units, isType(NAL_PPS)).slice(0, 255);
  const first = sps[0];
  if (first === undefined || pps.length === 0) return undefined;
  const { profile, constraints, level, chromaFormat, bitDepth, bitDepthChroma } = parseAvcSps(first);
  const parts = [
    Uint8Array.of(1, profile, constraints, level, 0xfc | (lengthSize - 1), 0xe0 | sps.length),
    ...sps.map(sized),
    Uint8Array.of(pps.length),
    ...pps.map(sized),
  ];
  // 14496-15, 5.3.3.1.2: all profiles but Baseline, Main and Extended end with chroma format and bit depths.
  if (![66, 77, 88].includes(profile)) {
    parts.push(Uint8Array.of(0xfc | chromaFormat, 0xf8 | (bitDepth - 8), 0xf8 | (bitDepthChroma - 8), 0));
  }
  return concatBytes(parts);
}

/** The avcC body for an Annex B stream, NAL unit lengths of four bytes; undefined when the packet lacks parameter sets or they are damaged. */
export function avcConfigFromAnnexB(firstKeyPacket: Uint8Array): Uint8Array | undefined {
  try {
    return makeAvcConfiguration(annexBUnits(firstKeyPacket), 4);
  } catch (error) {
    if (error instanceof BitstreamError) return undefined;
    throw error;
  }
}

/** Is a first packet needed, because the record has no parameter sets? A damaged record is not helped by one. */
export function avcNeedsFirstPacket(record: Uint8Array | undefined): boolean {
  if (record === undefined || record.length === 0) return true;
  if (startsWithStartCode(record)) return avcConfigFromAnnexB(record) === undefined;
  try {
    const { sps, pps } = parseAvcConfiguration(record);
    return sps.length === 0 || pps.length === 0;
  } catch {
    return false;
  }
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
      const parsed = parseAvcConfiguration(privateData);
      if (parsed.sps.length > 0 && parsed.pps.length > 0) return privateData;
      lengthSize = parsed.lengthSize;
      units = [...parsed.sps, ...parsed.pps];
    }
  }
  if (firstPacket !== undefined) units = [...units, ...packetUnits(firstPacket, lengthSize)];
  const record = makeAvcConfiguration(units, lengthSize);
  if (record === undefined) throw new NotCopiedError('the H.264 video has no parameter sets where they must be');
  return record;
}

/** @throws BitstreamError, NotCopiedError */
export function describeH264(input: CodecInput): CodecConfig {
  const record = completeRecord(input);
  const sps = parseAvcSps(parseAvcConfiguration(record).sps[0]!);
  const colour = mergeColour(sps.colour, input.colour);
  return {
    codec: 'h264',
    sampleEntry: 'avc1',
    configBox: makeBox('avcC', record),
    codecString: `avc1.${hexByte(sps.profile)}${hexByte(sps.constraints)}${hexByte(sps.level)}`,
    video: {
      width: sps.width,
      height: sps.height,
      bitDepth: sps.bitDepth,
      ...(sps.frameRate !== undefined && { frameRate: sps.frameRate }),
      reorderFrames: sps.reorderFrames ?? USUAL_REORDER_FRAMES,
      ...(colour && { colour }),
      ...(sps.pixelAspect && { pixelAspect: sps.pixelAspect }),
    },
  };
}
