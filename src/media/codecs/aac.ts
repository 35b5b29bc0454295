/** AAC: ISO/IEC 14496-3, 1.6 (AudioSpecificConfig), 4.4 (GASpecificConfig, program_config_element), 1.A.2 (ADTS). */
import type { CodecConfig } from '../types.ts';
import { BitReader, BitstreamError, BitWriter } from './bits.ts';
import { makeEsds } from './esds.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

const SAMPLE_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/** Channels by channelConfiguration; 0 stands for "reserved" (and, at 0, for a program_config_element). */
const CHANNELS = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

const AOT_LC = 2;
const AOT_SBR = 5;
const AOT_ER_LC = 17;
const AOT_ER_LD = 23;
const AOT_PS = 29;
const AOT_ER_ELD = 39;
const AOT_USAC = 42;
/** Object types that are described by a GASpecificConfig and carried as one raw_data_block in each packet. */
const GENERAL_AUDIO = new Set([1, 2, 3, 4, AOT_ER_LC, 19, AOT_ER_LD]);
const SYNC_EXTENSION = 0x2b7;
/** Bytes; a program_config_element with the longest comment stays far below. */
const MAX_CONFIG = 1024;

interface AacConfiguration {
  /** What the codec string names: 5 and 29 when SBR and PS are signalled, hierarchically or backward compatibly. */
  readonly objectType: number;
  /** Hz, of the core. */
  readonly sampleRate: number;
  /** Of the core, but 2 with parametric stereo. */
  readonly channels: number;
  readonly frameSamples: number;
}

function readObjectType(bits: BitReader): number {
  const type = bits.read(5);
  return type === 31 ? 32 + bits.read(6) : type;
}

function readSampleRate(bits: BitReader): number {
  const index = bits.read(4);
  const rate = index === 15 ? bits.read(24) : SAMPLE_RATES[index];
  if (rate === undefined || rate === 0) throw new BitstreamError('the sampling frequency is reserved');
  return rate;
}

/** program_config_element(), 4.4.1.1; `bits` started at the byte to which it aligns itself. Tells the channels. */
function readProgramConfig(bits: BitReader): number {
  bits.skip(4 + 2 + 4);
  const [front, side, back] = [bits.read(4), bits.read(4), bits.read(4)];
  const [lfe, associated, coupling] = [bits.read(2), bits.read(3), bits.read(4)];
  if (bits.flag()) bits.skip(4);
  if (bits.flag()) bits.skip(4);
  if (bits.flag()) bits.skip(3);
  let channels = lfe;
  for (let i = 0; i < front + side + back; i++) {
    channels += bits.flag() ? 2 : 1;
    bits.skip(4);
  }
  bits.skip(4 * lfe + 4 * associated + 5 * coupling);
  bits.align();
  bits.skip(8 * bits.read(8));
  return channels;
}

/** GASpecificConfig(), 4.4.1. */
function readGeneralAudio(bits: BitReader, objectType: number, channelConfig: number) {
  const short = bits.flag();
  if (bits.flag()) bits.skip(14); // coreCoderDelay
  const extension = bits.flag();
  const channels = channelConfig === 0 ? readProgramConfig(bits) : (CHANNELS[channelConfig] ?? 0);
  if (extension) {
    if (objectType === AOT_ER_LC || objectType === 19 || objectType === AOT_ER_LD) bits.skip(3);
    bits.skip(1);
  }
  const full = objectType === AOT_ER_LD ? 512 : 1024;
  return { channels, frameSamples: short ? (full * 15) / 16 : full };
}

/** Backward compatible signalling at the end of the AudioSpecificConfig (1.6.2.1). */
function readSyncExtension(bits: BitReader): { sbr: boolean; ps: boolean } {
  if (bits.remaining < 16 || bits.read(11) !== SYNC_EXTENSION || readObjectType(bits) !== AOT_SBR) {
    return { sbr: false, ps: false };
  }
  const sbr = bits.flag();
  if (!sbr) return { sbr, ps: false };
  readSampleRate(bits);
  const ps = bits.remaining >= 12 && bits.read(11) === 0x548 && bits.flag();
  return { sbr, ps };
}

/** @throws BitstreamError, NotCopiedError */
function parseAudioSpecificConfig(data: Uint8Array): AacConfiguration {
  const bits = new BitReader(data);
  let objectType = readObjectType(bits);
  const sampleRate = readSampleRate(bits);
  const channelConfig = bits.read(4);
  let sbr = objectType === AOT_SBR;
  let ps = objectType === AOT_PS;
  const hierarchical = sbr || ps;
  if (hierarchical) {
    readSampleRate(bits);
    objectType = readObjectType(bits);
  }
  if (objectType === AOT_USAC)
    throw new NotCopiedError('xHE-AAC (USAC) audio cannot be copied into HLS without re-encoding');
  if (objectType === AOT_ER_ELD) {
    const frameSamples = bits.flag() ? 480 : 512;
    return checked({ objectType, sampleRate, channels: CHANNELS[channelConfig] ?? 0, frameSamples });
  }
  if (!GENERAL_AUDIO.has(objectType)) {
    throw new NotCopiedError(`MPEG-4 audio of object type ${objectType} cannot be copied into HLS without re-encoding`);
  }
  const core = readGeneralAudio(bits, objectType, channelConfig);
  if (!hierarchical && objectType === AOT_LC) ({ sbr, ps } = readSyncExtensionLeniently(bits));
  return checked({
    objectType: ps ? AOT_PS : sbr ? AOT_SBR : objectType,
    sampleRate,
    channels: ps ? 2 : core.channels,
    frameSamples: core.frameSamples,
  });
}

function readSyncExtensionLeniently(bits: BitReader): { sbr: boolean; ps: boolean } {
  try {
    return readSyncExtension(bits);
  } catch (error) {
    // Padding that happens to look like an extension.
    if (error instanceof BitstreamError) return { sbr: false, ps: false };
    throw error;
  }
}

function checked(config: AacConfiguration): AacConfiguration {
  if (config.channels === 0) throw new BitstreamError('the channel configuration is reserved');
  return config;
}

interface AdtsHeader {
  readonly size: number;
  readonly frameSize: number;
  readonly config: Uint8Array;
}

/** The ADTS header at the start of `packet`, or undefined. */
function parseAdts(packet: Uint8Array): AdtsHeader | undefined {
  if (packet.length < 7 || packet[0] !== 0xff || (packet[1]! & 0xf6) !== 0xf0) return undefined;
  const bits = new BitReader(packet);
  bits.skip(15);
  const protectionAbsent = bits.flag();
  const objectType = bits.read(2) + 1;
  const rateIndex = bits.read(4);
  bits.skip(1);
  const channelConfig = bits.read(3);
  bits.skip(4);
  const frameSize = bits.read(13);
  bits.skip(11);
  const blocks = bits.read(2) + 1;
  const size = protectionAbsent ? 7 : 9 + 2 * (blocks - 1);
  if (SAMPLE_RATES[rateIndex] === undefined || frameSize < size) return undefined;
  const config = new BitWriter().write(5, objectType).write(4, rateIndex).write(4, channelConfig).write(3, 0).bytes();
  return { size, frameSize, config };
}

/** The packet without its ADTS header; as it is when it has none. */
export function stripAdts(packet: Uint8Array): Uint8Array {
  const header = parseAdts(packet);
  return header === undefined ? packet : packet.subarray(header.size, Math.min(packet.length, header.frameSize));
}

/**
 * The AudioSpecificConfig that an ADTS header amounts to; undefined when the packet has none, or leaves the channels to a
 * program_config_element inside the frame.
 */
export function ascFromAdts(packet: Uint8Array): Uint8Array | undefined {
  const header = parseAdts(packet);
  if (header === undefined || ((header.config[1]! >>> 3) & 15) === 0) return undefined;
  return header.config;
}

/** The configuration of AAC LC: what containers that predate AudioSpecificConfig mean. */
function lowComplexityConfig(sampleRate: number, channels: number): Uint8Array | undefined {
  const rateIndex = SAMPLE_RATES.indexOf(sampleRate);
  const channelConfig = channels > 0 ? CHANNELS.indexOf(channels) : -1;
  if (rateIndex < 0 || channelConfig < 0) return undefined;
  return new BitWriter().write(5, AOT_LC).write(4, rateIndex).write(4, channelConfig).write(3, 0).bytes();
}

/** @throws BitstreamError, NotCopiedError */
export function describeAac(input: CodecInput): CodecConfig {
  let asc = input.privateData;
  if (asc === undefined || asc.length === 0) {
    asc = input.firstPacket === undefined ? undefined : ascFromAdts(input.firstPacket);
    asc ??= lowComplexityConfig(input.sampleRate ?? 0, input.channels ?? 0);
  }
  if (asc === undefined) throw new NotCopiedError('the AAC audio has no configuration');
  if (asc.length > MAX_CONFIG) throw new BitstreamError('the configuration is too long');
  const { objectType, ...audio } = parseAudioSpecificConfig(asc);
  return {
    codec: 'aac',
    sampleEntry: 'mp4a',
    configBox: makeEsds(0x40, asc),
    codecString: `mp4a.40.${objectType}`,
    audio,
  };
}
