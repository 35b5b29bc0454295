/** AC-3 and E-AC-3: ETSI TS 102 366, 4.3/4.4 (syncinfo, bsi), annex E (E-AC-3), annex F (dac3, dec3). */
import type { CodecConfig } from '../types.ts';
import { type DolbyFrame, SAMPLE_RATES, splitDolbyFrames } from './ac3-frame.ts';
import { BitReader, BitstreamError, BitWriter, makeBox, slice } from './bits.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

/** Full-range channels by acmod. */
const CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5] as const;
const BLOCK_SAMPLES = 256;
const AC3_FRAME_SAMPLES = 6 * BLOCK_SAMPLES;
/** From this bsid on, a frame is E-AC-3. */
const EAC3_MIN_BSID = 11;

/** chan_loc (table F.6.1) from bit 0 on: bit of chanmap (annex E, table E.1.4; bit 0 there is the most significant of 16) and channels. */
const CHANNEL_LOCATIONS: readonly (readonly [mapBit: number, channels: number])[] = [
  [5, 2],
  [6, 2],
  [7, 1],
  [8, 1],
  [9, 2],
  [10, 2],
  [11, 2],
  [12, 1],
  [14, 1],
];

/** Table F.6.1 out of a custom channel map. */
function channelLocation(chanmap: number): number {
  let location = 0;
  CHANNEL_LOCATIONS.forEach(([mapBit], bit) => {
    if ((chanmap & (0x8000 >>> mapBit)) !== 0) location |= 1 << bit;
  });
  return location;
}

function channelsAt(location: number): number {
  let channels = 0;
  CHANNEL_LOCATIONS.forEach(([, count], bit) => {
    if ((location & (1 << bit)) !== 0) channels += count;
  });
  return channels;
}

function ac3Config(body: Uint8Array, audio: { sampleRate: number; channels: number }): CodecConfig {
  return {
    codec: 'ac3',
    sampleEntry: 'ac-3',
    configBox: makeBox('dac3', body),
    codecString: 'ac-3',
    audio: { ...audio, frameSamples: AC3_FRAME_SAMPLES },
  };
}

/** dac3 (F.4). */
function describeDac3(body: Uint8Array): CodecConfig {
  const bits = new BitReader(slice(body, 0, 3));
  const sampleRate = SAMPLE_RATES[bits.read(2)];
  const bsid = bits.read(5);
  bits.skip(3);
  const channels = CHANNELS[bits.read(3)]! + bits.read(1);
  if (sampleRate === undefined) throw new BitstreamError('the sampling frequency is reserved');
  return ac3Config(body.slice(0, 3), {
    sampleRate: bsid > 8 && bsid < 11 ? sampleRate >> (bsid - 8) : sampleRate,
    channels,
  });
}

function describeAc3Frame(frame: DolbyFrame): CodecConfig {
  const body = new BitWriter()
    .write(2, frame.fscod)
    .write(5, frame.bsid)
    .write(3, frame.bsmod)
    .write(3, frame.acmod)
    .write(1, frame.lfeon)
    .write(5, frame.bitRateCode)
    .write(5, 0)
    .bytes();
  return ac3Config(body, { sampleRate: frame.sampleRate, channels: CHANNELS[frame.acmod]! + frame.lfeon });
}

interface Program {
  readonly main: DolbyFrame;
  readonly dependents: DolbyFrame[];
}

/** The substreams of one packet, up to where the first one comes again (a packet may hold several frames of each). */
function groupPrograms(frames: readonly DolbyFrame[]): Program[] {
  const programs: Program[] = [];
  for (const frame of frames) {
    if (frame.dependent) {
      programs.at(-1)?.dependents.push(frame);
      continue;
    }
    if (programs.some(({ main }) => main.substream === frame.substream)) break;
    programs.push({ main: frame, dependents: [] });
  }
  return programs.slice(0, 8);
}

/** Independent substream 0 is the main programme: its channels, with those that its dependent substreams add. */
function describeEac3Frames(frames: readonly DolbyFrame[], packetSamples: number): CodecConfig {
  const programs = groupPrograms(frames);
  const first = programs[0]?.main;
  if (first === undefined || packetSamples === 0) throw new BitstreamError('no independent substream');
  const all = programs.flatMap(({ main, dependents }) => [main, ...dependents]);
  const bytes = all.reduce((sum, frame) => sum + frame.size, 0);
  // Frames at 44.1 kHz alternate between two sizes around the nominal rate.
  const rate = Math.round((bytes * 8 * first.sampleRate) / (first.blocks * BLOCK_SAMPLES) / 1000);
  const bits = new BitWriter().write(13, Math.min(rate, 0x1fff)).write(3, programs.length - 1);
  let channels = CHANNELS[first.acmod]! + first.lfeon;
  for (const [i, { main, dependents }] of programs.entries()) {
    const location = dependents.reduce((all, frame) => all | channelLocation(frame.chanmap), 0);
    if (i === 0) channels += channelsAt(location);
    bits.write(2, main.fscod).write(5, main.bsid).write(2, 0).write(3, main.bsmod).write(3, main.acmod);
    bits.write(1, main.lfeon).write(3, 0).write(4, Math.min(dependents.length, 15));
    if (dependents.length > 0) bits.write(9, location);
    else bits.write(1, 0);
  }
  // flag_ec3_extension_type_a: joint object coding (TS 103 420, 8.3.1), found in any of the substreams.
  const objects = all.find((frame) => frame.jocComplexity !== undefined)?.jocComplexity;
  if (objects !== undefined) bits.write(7, 0).write(1, 1).write(8, objects);
  return eac3Config(bits.bytes(), {
    sampleRate: first.sampleRate,
    channels,
    frameSamples: packetSamples,
  });
}

function eac3Config(
  body: Uint8Array,
  audio: { sampleRate: number; channels: number; frameSamples?: number },
): CodecConfig {
  return { codec: 'eac3', sampleEntry: 'ec-3', configBox: makeBox('dec3', body), codecString: 'ec-3', audio };
}

/** Bytes of the longest dec3: eight substreams of four bytes, data rate and extension, with room for more. */
const MAX_DEC3 = 64;

/** dec3 (F.6). MP4 requires six blocks in each sample, so frames have 1,536 samples. */
function describeDec3(body: Uint8Array, declaredRate: number | undefined): CodecConfig {
  if (body.length > MAX_DEC3) throw new BitstreamError('the record is too long');
  const bits = new BitReader(body);
  bits.skip(13 + 3);
  const fscod = bits.read(2);
  bits.skip(5 + 2 + 3);
  const mode = bits.read(3);
  const lfeon = bits.read(1);
  bits.skip(3);
  const dependents = bits.read(4);
  const channels = CHANNELS[mode]! + lfeon + (dependents > 0 ? channelsAt(bits.read(9)) : 0);
  const sampleRate = SAMPLE_RATES[fscod] ?? declaredRate;
  // Half rates (fscod 3) are told apart in the frames only.
  if (sampleRate === undefined || sampleRate <= 0) throw new BitstreamError('the sampling frequency is unknown');
  return eac3Config(body, { sampleRate, channels, frameSamples: AC3_FRAME_SAMPLES });
}

/** ac3 and eac3: the frames decide which of the two it is, when there are any. @throws BitstreamError, NotCopiedError */
export function describeDolby(input: CodecInput): CodecConfig {
  const { privateData, firstPacket } = input;
  const frames = firstPacket === undefined ? [] : splitDolbyFrames(firstPacket);
  if (privateData !== undefined && privateData.length > 0) {
    if (input.codec === 'ac3' && privateData.length >= 3) return describeDac3(privateData);
    if (input.codec === 'eac3' && privateData.length >= 5)
      return describeDec3(privateData, frames[0]?.sampleRate ?? input.sampleRate);
  }
  const first = frames[0];
  if (first === undefined) {
    const name = input.codec === 'ac3' ? 'AC-3' : 'E-AC-3';
    throw new NotCopiedError(`the ${name} audio does not begin with a sync frame`);
  }
  if (first.bsid < EAC3_MIN_BSID) return describeAc3Frame(first);
  return describeEac3Frames(frames, countBlocks(frames) * BLOCK_SAMPLES);
}

/** Audio blocks of the main programme: independent substream 0. */
function countBlocks(frames: readonly DolbyFrame[]): number {
  return frames.reduce((sum, frame) => sum + (frame.dependent || frame.substream !== 0 ? 0 : frame.blocks), 0);
}

/** Samples in a packet and their rate (Hz); undefined when it has no frame of independent substream 0. */
export function dolbyPacketSamples(packet: Uint8Array): { samples: number; sampleRate: number } | undefined {
  const frames = splitDolbyFrames(packet);
  const blocks = countBlocks(frames);
  const first = frames[0];
  return blocks === 0 || first === undefined
    ? undefined
    : { samples: blocks * BLOCK_SAMPLES, sampleRate: first.sampleRate };
}
