/** AV1: bitstream specification 5.5 (sequence header OBU); AV1 in ISO-BMFF 2.3 (av1C) and 5 (codec string). */
import type { CodecConfig, ColourInfo } from '../types.ts';
import { BitReader, BitstreamError, concatBytes, makeBox, twoDigits } from './bits.ts';
import { mergeColour, UNSPECIFIED } from './colour.ts';
import { type CodecInput, NotCopiedError } from './input.ts';
import { plausibleFrameRate } from './nal.ts';

const OBU_SEQUENCE_HEADER = 1;
const RECORD_MARKER = 0x81;
const SELECT = 2;

interface Av1Sequence {
  readonly profile: number;
  readonly level: number;
  readonly tier: number;
  readonly width: number;
  readonly height: number;
  readonly frameRate?: number;
  readonly bitDepth: number;
  readonly monochrome: boolean;
  readonly subsamplingX: number;
  readonly subsamplingY: number;
  readonly chromaSamplePosition: number;
  readonly colour: ColourInfo;
}

/** The payload of the first sequence header among low-overhead OBUs (5.3), or undefined; stops where they are damaged. */
function findSequenceHeader(data: Uint8Array): Uint8Array | undefined {
  let at = 0;
  while (at < data.length) {
    const header = data[at]!;
    if ((header & 0x80) !== 0) return undefined; // obu_forbidden_bit
    let start = at + ((header & 4) !== 0 ? 2 : 1);
    let size = data.length - start;
    if ((header & 2) !== 0) {
      size = 0;
      for (let i = 0; ; i++) {
        const byte = data[start++];
        if (byte === undefined || i === 8) return undefined;
        size += (byte & 0x7f) * 2 ** (7 * i);
        if ((byte & 0x80) === 0) break;
      }
    }
    if (size < 0 || size > data.length - start) return undefined;
    if (((header >>> 3) & 15) === OBU_SEQUENCE_HEADER) return data.subarray(start, start + size);
    at = start + size;
  }
  return undefined;
}

function readUvlc(bits: BitReader): number {
  let zeros = 0;
  while (!bits.flag()) if (++zeros >= 32) return 2 ** 32 - 1;
  return 2 ** zeros - 1 + bits.read(zeros);
}

interface OperatingPoint {
  readonly level: number;
  readonly tier: number;
  readonly frameRate?: number;
}

/** Timing, decoder model and operating points of 5.5.1; tells those of the first point. */
function readOperatingPoints(bits: BitReader): OperatingPoint {
  let frameRate: number | undefined;
  let decoderModel = false;
  let delayLength = 0;
  if (bits.flag()) {
    const unitsInTick = bits.read(32);
    const timeScale = bits.read(32);
    // equal_picture_interval
    if (bits.flag()) {
      const ticks = readUvlc(bits) + 1;
      if (unitsInTick > 0) frameRate = plausibleFrameRate(timeScale / (unitsInTick * ticks));
    }
    decoderModel = bits.flag();
    if (decoderModel) {
      delayLength = bits.read(5) + 1;
      bits.skip(32 + 5 + 5);
    }
  }
  const initialDisplayDelay = bits.flag();
  const count = bits.read(5) + 1;
  let first: OperatingPoint = { level: 0, tier: 0 };
  for (let i = 0; i < count; i++) {
    bits.skip(12); // operating_point_idc
    const level = bits.read(5);
    const tier = level > 7 ? bits.read(1) : 0;
    if (decoderModel && bits.flag()) bits.skip(2 * delayLength + 1);
    if (initialDisplayDelay && bits.flag()) bits.skip(4);
    if (i === 0) first = { level, tier, ...(frameRate !== undefined && { frameRate }) };
  }
  return first;
}

/** From enable_superres back to the size: the tools of 5.5.1 between picture size and colour. */
function skipTools(bits: BitReader): void {
  bits.skip(4); // enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
  const orderHint = bits.flag();
  if (orderHint) bits.skip(2);
  const screenContent = bits.flag() ? SELECT : bits.read(1);
  if (screenContent > 0 && !bits.flag()) bits.skip(1);
  if (orderHint) bits.skip(3);
}

type Colour = Omit<Av1Sequence, 'profile' | 'level' | 'tier' | 'width' | 'height' | 'frameRate'>;

/** color_config(), 5.5.2. */
function readColour(bits: BitReader, profile: number): Colour {
  const highBitDepth = bits.flag();
  const bitDepth = profile === 2 && highBitDepth ? (bits.flag() ? 12 : 10) : highBitDepth ? 10 : 8;
  const monochrome = profile === 1 ? false : bits.flag();
  let [primaries, transfer, matrix] = [UNSPECIFIED, UNSPECIFIED, UNSPECIFIED];
  if (bits.flag()) [primaries, transfer, matrix] = [bits.read(8), bits.read(8), bits.read(8)];
  if (monochrome) {
    const colour = { primaries, transfer, matrix, fullRange: bits.flag() };
    return { bitDepth, monochrome, subsamplingX: 1, subsamplingY: 1, chromaSamplePosition: 0, colour };
  }
  if (primaries === 1 && transfer === 13 && matrix === 0) {
    const colour = { primaries, transfer, matrix, fullRange: true };
    return { bitDepth, monochrome, subsamplingX: 0, subsamplingY: 0, chromaSamplePosition: 0, colour };
  }
  const colour = { primaries, transfer, matrix, fullRange: bits.flag() };
  let [subsamplingX, subsamplingY] = profile === 0 ? [1, 1] : profile === 1 ? [0, 0] : [1, 0];
  if (profile === 2 && bitDepth === 12) {
    subsamplingX = bits.read(1);
    subsamplingY = subsamplingX === 1 ? bits.read(1) : 0;
  }
  const chromaSamplePosition = subsamplingX === 1 && subsamplingY === 1 ? bits.read(2) : 0;
  return { bitDepth, monochrome, subsamplingX, subsamplingY, chromaSamplePosition, colour };
}

/** sequence_header_obu(), 5.5.1. @throws BitstreamError */
function parseSequenceHeader(payload: Uint8Array): Av1Sequence {
  const bits = new BitReader(payload);
  const profile = bits.read(3);
  if (profile > 2) throw new BitstreamError('seq_profile is out of range');
  bits.skip(1); // still_picture
  const reduced = bits.flag();
  const point = reduced ? { level: bits.read(5), tier: 0 } : readOperatingPoints(bits);
  const widthBits = bits.read(4) + 1;
  const heightBits = bits.read(4) + 1;
  const width = bits.read(widthBits) + 1;
  const height = bits.read(heightBits) + 1;
  if (width > 65_535 || height > 65_535) throw new BitstreamError('the picture size is out of range');
  if (!reduced && bits.flag()) bits.skip(7); // lengths of frame ids
  bits.skip(3); // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
  if (!reduced) skipTools(bits);
  bits.skip(3); // enable_superres, enable_cdef, enable_restoration
  return { profile, ...point, width, height, ...readColour(bits, profile) };
}

function configObus(record: Uint8Array | undefined): Uint8Array {
  if (record === undefined) return new Uint8Array(0);
  // Early Matroska files hold the OBUs alone.
  return record[0] === RECORD_MARKER ? record.subarray(4) : record;
}

export function av1NeedsFirstPacket(record: Uint8Array | undefined): boolean {
  return findSequenceHeader(configObus(record)) === undefined;
}

function makeRecord(sequence: Av1Sequence, payload: Uint8Array): Uint8Array {
  const size: number[] = [];
  for (let left = payload.length; ; left >>>= 7) {
    size.push(left > 0x7f ? (left & 0x7f) | 0x80 : left);
    if (left <= 0x7f) break;
  }
  const flags =
    (sequence.tier << 7) |
    (sequence.bitDepth > 8 ? 0x40 : 0) |
    (sequence.bitDepth === 12 ? 0x20 : 0) |
    (sequence.monochrome ? 0x10 : 0) |
    (sequence.subsamplingX << 3) |
    (sequence.subsamplingY << 2) |
    sequence.chromaSamplePosition;
  return concatBytes([
    Uint8Array.of(RECORD_MARKER, (sequence.profile << 5) | sequence.level, flags, 0),
    Uint8Array.of((OBU_SEQUENCE_HEADER << 3) | 2, ...size),
    payload,
  ]);
}

/** The optional fields stand together or not at all; they are left out at their default values, and when the stream is silent. */
function av1CodecString(sequence: Av1Sequence, colour: ColourInfo): string {
  const level = `${twoDigits(sequence.level)}${sequence.tier === 1 ? 'H' : 'M'}`;
  const short = `av01.${sequence.profile}.${level}.${twoDigits(sequence.bitDepth)}`;
  const position = sequence.subsamplingX === 1 && sequence.subsamplingY === 1 ? sequence.chromaSamplePosition : 0;
  const long = [
    sequence.monochrome ? 1 : 0,
    `${sequence.subsamplingX}${sequence.subsamplingY}${position}`,
    twoDigits(colour.primaries),
    twoDigits(colour.transfer),
    twoDigits(colour.matrix),
    colour.fullRange ? 1 : 0,
  ].join('.');
  return long === '0.110.01.01.01.0' || long === '0.110.02.02.02.0' ? short : `${short}.${long}`;
}

/** @throws BitstreamError, NotCopiedError */
export function describeAv1(input: CodecInput): CodecConfig {
  const { privateData, firstPacket } = input;
  const payload =
    findSequenceHeader(configObus(privateData)) ??
    (firstPacket === undefined ? undefined : findSequenceHeader(firstPacket));
  if (payload === undefined) throw new NotCopiedError('the AV1 video has no sequence header where it must be');
  const sequence = parseSequenceHeader(payload);
  const complete = privateData?.[0] === RECORD_MARKER && !av1NeedsFirstPacket(privateData);
  const record = complete ? privateData : makeRecord(sequence, payload);
  const colour = mergeColour(sequence.colour, input.colour) ?? sequence.colour;
  return {
    codec: 'av1',
    sampleEntry: 'av01',
    configBox: makeBox('av1C', record),
    codecString: av1CodecString(sequence, colour),
    video: {
      width: sequence.width,
      height: sequence.height,
      bitDepth: sequence.bitDepth,
      ...(sequence.frameRate !== undefined && { frameRate: sequence.frameRate }),
      colour,
    },
  };
}
