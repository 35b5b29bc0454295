/** HEVC sequence parameter set: ISO/IEC 23008-2, 7.3.2.2 and Annex E. */
import { BitReader, BitstreamError, slice } from './bits.ts';
import { plausibleFrameRate, readVuiHead, unescapeRbsp, type Vui } from './nal.ts';

export interface ProfileTierLevel {
  readonly space: number;
  readonly highTier: boolean;
  readonly idc: number;
  /** general_profile_compatibility_flags, four bytes. */
  readonly compatibility: Uint8Array;
  /** From general_progressive_source_flag on, six bytes. */
  readonly constraints: Uint8Array;
  readonly level: number;
}

export interface HevcSps extends Vui {
  readonly profile: ProfileTierLevel;
  readonly chromaFormat: number;
  readonly bitDepth: number;
  readonly bitDepthChroma: number;
  readonly width: number;
  readonly height: number;
  readonly temporalLayers: number;
  readonly temporalIdNested: boolean;
}

const NAL_SPS = 33;

function readBytes(bits: BitReader, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => bits.read(8));
}

/** profile_tier_level(1, maxSubLayersMinus1), 7.3.3. */
function readProfileTierLevel(bits: BitReader, maxSubLayersMinus1: number): ProfileTierLevel {
  const space = bits.read(2);
  const highTier = bits.flag();
  const idc = bits.read(5);
  const compatibility = readBytes(bits, 4);
  const constraints = readBytes(bits, 6);
  const level = bits.read(8);
  const present: (readonly [boolean, boolean])[] = [];
  for (let i = 0; i < maxSubLayersMinus1; i++) present.push([bits.flag(), bits.flag()]);
  if (maxSubLayersMinus1 > 0) bits.skip(2 * (8 - maxSubLayersMinus1));
  for (const [profilePresent, levelPresent] of present) bits.skip((profilePresent ? 88 : 0) + (levelPresent ? 8 : 0));
  return { space, highTier, idc, compatibility, constraints, level };
}

/** scaling_list_data(), 7.3.4. */
function skipScalingLists(bits: BitReader): void {
  for (let sizeId = 0; sizeId < 4; sizeId++) {
    for (let matrixId = 0; matrixId < 6; matrixId += sizeId === 3 ? 3 : 1) {
      if (!bits.flag()) {
        bits.ue();
        continue;
      }
      const coefficients = Math.min(64, 1 << (4 + (sizeId << 1)));
      if (sizeId > 1) bits.se();
      for (let i = 0; i < coefficients; i++) bits.se();
    }
  }
}

/** st_ref_pic_set(index), 7.3.7; `deltaPocs` holds the number of pictures of each set before it. */
function skipShortTermSet(bits: BitReader, index: number, deltaPocs: number[]): void {
  const predicted = index > 0 && bits.flag();
  if (predicted) {
    bits.skip(1); // delta_rps_sign
    bits.ue(); // abs_delta_rps_minus1
    let count = 0;
    for (let i = 0; i <= deltaPocs[index - 1]!; i++) {
      const used = bits.flag();
      if (used || bits.flag()) count++;
    }
    deltaPocs.push(count);
    return;
  }
  const negative = bits.ueMax(16, 'num_negative_pics');
  const positive = bits.ueMax(16, 'num_positive_pics');
  for (let i = 0; i < negative + positive; i++) {
    bits.ue();
    bits.skip(1);
  }
  deltaPocs.push(negative + positive);
}

/** Everything between the bit depths and the VUI. */
/** @returns sps_max_num_reorder_pics of the highest layer. */
function skipToVui(bits: BitReader, maxSubLayersMinus1: number): number {
  const log2MaxPoc = bits.ueMax(12, 'log2_max_pic_order_cnt_lsb_minus4') + 4;
  const layers = bits.flag() ? maxSubLayersMinus1 + 1 : 1;
  let reorderFrames = 0;
  for (let i = 0; i < layers; i++) {
    bits.ue(); // sps_max_dec_pic_buffering_minus1
    reorderFrames = bits.ueMax(15, 'sps_max_num_reorder_pics');
    bits.ue(); // sps_max_latency_increase_plus1
  }
  for (let i = 0; i < 6; i++) bits.ue(); // coding and transform block sizes, hierarchy depths
  if (bits.flag() && bits.flag()) skipScalingLists(bits);
  bits.skip(2); // amp_enabled_flag, sample_adaptive_offset_enabled_flag
  if (bits.flag()) {
    bits.skip(8); // pcm_sample_bit_depth_luma_minus1, chroma
    bits.ue();
    bits.ue();
    bits.skip(1);
  }
  const sets = bits.ueMax(64, 'num_short_term_ref_pic_sets');
  const deltaPocs: number[] = [];
  for (let i = 0; i < sets; i++) skipShortTermSet(bits, i, deltaPocs);
  if (bits.flag()) {
    const count = bits.ueMax(32, 'num_long_term_ref_pics_sps');
    bits.skip(count * (log2MaxPoc + 1));
  }
  bits.skip(2); // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
  return reorderFrames;
}

function readVui(bits: BitReader): Vui {
  const head = readVuiHead(bits);
  bits.skip(3); // neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
  if (bits.flag()) for (let i = 0; i < 4; i++) bits.ue(); // default display window
  if (!bits.flag()) return head;
  const unitsInTick = bits.read(32);
  const timeScale = bits.read(32);
  const frameRate = unitsInTick > 0 ? plausibleFrameRate(timeScale / unitsInTick) : undefined;
  return { ...head, ...(frameRate !== undefined && { frameRate }) };
}

/** Picture size within the conformance window (7.4.3.2.1). */
function readPictureSize(bits: BitReader, chromaFormat: number): { width: number; height: number } {
  let width = bits.ueMax(65_535, 'pic_width_in_luma_samples');
  let height = bits.ueMax(65_535, 'pic_height_in_luma_samples');
  if (bits.flag()) {
    const unitX = chromaFormat === 1 || chromaFormat === 2 ? 2 : 1;
    const unitY = chromaFormat === 1 ? 2 : 1;
    width -= unitX * (bits.ue() + bits.ue());
    height -= unitY * (bits.ue() + bits.ue());
  }
  if (width <= 0 || height <= 0) throw new BitstreamError('the picture size is out of range');
  return { width, height };
}

/** @param unit the NAL unit with its two header bytes. @throws BitstreamError */
export function parseHevcSps(unit: Uint8Array): HevcSps {
  if (((slice(unit, 0, 3)[0]! >>> 1) & 0x3f) !== NAL_SPS) throw new BitstreamError('not a sequence parameter set');
  const bits = new BitReader(unescapeRbsp(unit.subarray(2)));
  bits.skip(4); // sps_video_parameter_set_id
  const maxSubLayersMinus1 = bits.read(3);
  if (maxSubLayersMinus1 > 6) throw new BitstreamError('sps_max_sub_layers_minus1 is out of range');
  const temporalIdNested = bits.flag();
  const profile = readProfileTierLevel(bits, maxSubLayersMinus1);
  bits.ueMax(15, 'sps_seq_parameter_set_id');
  const chromaFormat = bits.ueMax(3, 'chroma_format_idc');
  if (chromaFormat === 3) bits.skip(1); // separate_colour_plane_flag
  const size = readPictureSize(bits, chromaFormat);
  const bitDepth = 8 + bits.ueMax(8, 'bit_depth_luma_minus8');
  const bitDepthChroma = 8 + bits.ueMax(8, 'bit_depth_chroma_minus8');
  let vui: Vui = {};
  try {
    vui = { reorderFrames: skipToVui(bits, maxSubLayersMinus1) };
    if (bits.flag()) vui = { ...vui, ...readVui(bits) };
  } catch (error) {
    // What decoders and sample entries need is there; colour and timing come from the container then.
    if (!(error instanceof BitstreamError)) throw error;
  }
  const layers = { temporalLayers: maxSubLayersMinus1 + 1, temporalIdNested };
  // bit depths above 15 do not fit the record's three bits
  if (bitDepth > 15 || bitDepthChroma > 15) throw new BitstreamError('the bit depth is out of range');
  return { profile, chromaFormat, bitDepth, bitDepthChroma, ...size, ...layers, ...vui };
}
