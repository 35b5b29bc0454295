/** VP9: bitstream specification 6.2 (uncompressed header) and annex A (levels); "VP Codec ISO Media File Format Binding" 1.0 (vpcC, codec string). */
import type { CodecConfig, ColourInfo } from '../types.ts';
import { BitReader, BitstreamError, makeBox, twoDigits } from './bits.ts';
import { mergeColour } from './colour.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

/** chromaSubsampling of vpcC. */
const CHROMA_420_COLOCATED = 1;
const CHROMA_422 = 2;
const CHROMA_444 = 3;

interface Vp9Features {
  readonly profile: number;
  /** 10 * level; 0 when unknown. */
  readonly level: number;
  readonly bitDepth: number;
  readonly chroma: number;
  readonly colour?: ColourInfo;
}

interface Vp9KeyFrame extends Vp9Features {
  readonly width: number;
  readonly height: number;
}

/** Level times ten, greatest luma sample rate, picture size and dimension (annex A). */
const LEVELS: readonly (readonly [number, number, number, number])[] = [
  [10, 829_440, 36_864, 512],
  [11, 2_764_800, 73_728, 768],
  [20, 4_608_000, 122_880, 960],
  [21, 9_216_000, 245_760, 1344],
  [30, 20_736_000, 552_960, 2048],
  [31, 36_864_000, 983_040, 2752],
  [40, 83_558_400, 2_228_224, 4160],
  [41, 160_432_128, 2_228_224, 4160],
  [50, 311_951_360, 8_912_896, 8384],
  [51, 588_251_136, 8_912_896, 8384],
  [52, 1_176_502_272, 8_912_896, 8384],
  [60, 1_176_502_272, 35_651_584, 16_832],
  [61, 2_353_004_544, 35_651_584, 16_832],
  [62, 4_706_009_088, 35_651_584, 16_832],
];

/** The lowest level (times ten) that holds the picture at this rate (frames per second, 0 when unknown); 62 beyond the table. */
export function vp9Level(width: number, height: number, frameRate: number): number {
  const size = width * height;
  const fits = LEVELS.find(
    ([, maxRate, maxSize, maxDimension]) =>
      size * frameRate <= maxRate && size <= maxSize && Math.max(width, height) <= maxDimension,
  );
  return fits?.[0] ?? 62;
}

/** color_space of the bitstream (7.2.2) as primaries and matrix; it says nothing of the transfer. */
const COLOUR_SPACES: Readonly<Record<number, readonly [primaries: number, matrix: number]>> = {
  1: [6, 6],
  2: [1, 1],
  3: [6, 6],
  4: [7, 7],
  5: [9, 9],
};

const CS_RGB = 7;

function readColour(bits: BitReader, profile: number): { chroma: number; colour?: ColourInfo } {
  const space = bits.read(3);
  if (space === CS_RGB) {
    if ((profile & 1) === 0) throw new BitstreamError('RGB in a profile without it');
    bits.skip(1);
    return { chroma: CHROMA_444, colour: { primaries: 1, transfer: 13, matrix: 0, fullRange: true } };
  }
  const fullRange = bits.flag();
  let chroma = CHROMA_420_COLOCATED;
  if ((profile & 1) === 1) {
    const [x, y] = [bits.flag(), bits.flag()];
    bits.skip(1);
    if (!x && y) throw new NotCopiedError('VP9 video with 4:4:0 sampling has no place in MP4');
    chroma = x ? CHROMA_422 : CHROMA_444;
  }
  const known = COLOUR_SPACES[space];
  if (known === undefined && !fullRange) return { chroma };
  return { chroma, colour: { primaries: known?.[0] ?? 2, transfer: 2, matrix: known?.[1] ?? 2, fullRange } };
}

/** uncompressed_header() of a key frame; undefined for any other frame. @throws BitstreamError, NotCopiedError */
function parseKeyFrame(packet: Uint8Array): Vp9KeyFrame | undefined {
  const bits = new BitReader(packet);
  if (bits.read(2) !== 2) throw new BitstreamError('no VP9 frame marker');
  const profile = bits.read(1) + 2 * bits.read(1);
  if (profile === 3 && bits.flag()) throw new BitstreamError('the profile is out of range');
  if (bits.flag()) return undefined; // show_existing_frame
  if (bits.flag()) return undefined; // not a key frame
  bits.skip(2); // show_frame, error_resilient_mode
  if (bits.read(24) !== 0x498342) throw new BitstreamError('no VP9 sync code');
  const bitDepth = profile >= 2 ? (bits.flag() ? 12 : 10) : 8;
  const colour = readColour(bits, profile);
  const width = bits.read(16) + 1;
  const height = bits.read(16) + 1;
  return { profile, level: 0, bitDepth, ...colour, width, height };
}

/** Matroska's CodecPrivate: a list of (id, length 1, value). */
function parseFeatureList(data: Uint8Array): Vp9Features | undefined {
  const values = new Map<number, number>();
  for (let at = 0; at + 2 < data.length && data[at + 1] === 1; at += 3) values.set(data[at]!, data[at + 2]!);
  const profile = values.get(1);
  const bitDepth = values.get(3);
  const chroma = values.get(4);
  if (profile === undefined || bitDepth === undefined || chroma === undefined) return undefined;
  return { profile, level: values.get(2) ?? 0, bitDepth, chroma };
}

function parseVpcC(data: Uint8Array): Vp9Features | undefined {
  if (data.length < 8) return undefined;
  const flags = data[2]!;
  const colour = { primaries: data[3]!, transfer: data[4]!, matrix: data[5]!, fullRange: (flags & 1) === 1 };
  return { profile: data[0]!, level: data[1]!, bitDepth: flags >>> 4, chroma: (flags >>> 1) & 7, colour };
}

function parseFeatures(data: Uint8Array | undefined): Vp9Features | undefined {
  if (data === undefined || data.length < 6) return undefined;
  // Level 1 does not exist: an id followed by the length 1 is Matroska's list.
  const isList = data[0]! >= 1 && data[0]! <= 4 && data[1] === 1;
  const isFullBox = data.length >= 12 && data[0] === 1 && data[1] === 0 && data[2] === 0 && data[3] === 0;
  const features = isList ? parseFeatureList(data) : parseVpcC(isFullBox ? data.subarray(4) : data);
  if (features === undefined || features.profile > 3 || features.chroma > CHROMA_444) return undefined;
  return [8, 10, 12].includes(features.bitDepth) ? features : undefined;
}

export function vp9NeedsFirstPacket(record: Uint8Array | undefined): boolean {
  return parseFeatures(record) === undefined;
}

function vp9CodecString(features: Vp9Features, level: number, colour: ColourInfo): string {
  const short = `vp09.${twoDigits(features.profile)}.${twoDigits(level)}.${twoDigits(features.bitDepth)}`;
  const long = [features.chroma, colour.primaries, colour.transfer, colour.matrix, colour.fullRange ? 1 : 0]
    .map(twoDigits)
    .join('.');
  return long === '01.01.01.01.00' || long === '01.02.02.02.00' ? short : `${short}.${long}`;
}

/** @throws BitstreamError, NotCopiedError */
export function describeVp9(input: CodecInput): CodecConfig {
  const record = parseFeatures(input.privateData);
  const wanted = record === undefined || input.width === undefined || input.height === undefined;
  const frame = wanted && input.firstPacket !== undefined ? parseKeyFrame(input.firstPacket) : undefined;
  const features = record ?? frame;
  if (features === undefined) throw new NotCopiedError('the VP9 video does not begin with a key frame');
  const width = frame?.width ?? input.width ?? 0;
  const height = frame?.height ?? input.height ?? 0;
  if (width < 1 || height < 1 || width > 65_535 || height > 65_535) {
    throw new NotCopiedError('the size of the VP9 video is not known');
  }
  const unspecified = { primaries: 2, transfer: 2, matrix: 2, fullRange: false };
  const known = mergeColour(mergeColour(record?.colour, input.colour), frame?.colour);
  const colour = known ?? unspecified;
  const level = features.level >= 10 ? features.level : vp9Level(width, height, input.frameRate ?? 0);
  const body = Uint8Array.of(
    ...[1, 0, 0, 0, features.profile, level],
    (features.bitDepth << 4) | (features.chroma << 1) | (colour.fullRange ? 1 : 0),
    ...[colour.primaries, colour.transfer, colour.matrix, 0, 0],
  );
  return {
    codec: 'vp9',
    sampleEntry: 'vp09',
    configBox: makeBox('vpcC', body),
    codecString: vp9CodecString(features, level, colour),
    video: { width, height, bitDepth: features.bitDepth, ...(known && { colour: known }) },
  };
}
