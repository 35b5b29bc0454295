/** The door of this folder: what containers know of a codec becomes what fMP4 and playlists need. Pure functions, no state. */
import type { CodecConfig, CopyCodec } from '../types.ts';
import { describeAac } from './aac.ts';
import { describeDolby, dolbyPacketSamples } from './ac3.ts';
import { av1NeedsFirstPacket, describeAv1 } from './av1.ts';
import { describeFlac, flacPacketSamples } from './flac.ts';
import { foreignCodecReason } from './foreign.ts';
import { avcNeedsFirstPacket, describeH264 } from './h264.ts';
import { describeHevc, hevcNeedsFirstPacket } from './hevc.ts';
import { type CodecInput, NotCopiedError } from './input.ts';
import { describeMp3, parseMp3Header } from './mp3.ts';
import { describeOpus, opusPacketDuration } from './opus.ts';
import { describeVp9, vp9NeedsFirstPacket } from './vp9.ts';

export { ascFromAdts, stripAdts } from './aac.ts';
export { hdrKind } from './colour.ts';
export { avcConfigFromAnnexB } from './h264.ts';
export { hevcConfigFromAnnexB } from './hevc.ts';
export type { CodecInput } from './input.ts';
export { annexBToLengthPrefixed } from './nal.ts';

interface Codec {
  /** For people. */
  readonly name: string;
  readonly describe: (input: CodecInput) => CodecConfig;
  readonly needsFirstPacket: (privateData: Uint8Array | undefined) => boolean;
}

const isEmpty = (data: Uint8Array | undefined): boolean => data === undefined || data.length === 0;

const CODECS: Readonly<Record<CopyCodec, Codec>> = {
  h264: { name: 'H.264', describe: describeH264, needsFirstPacket: avcNeedsFirstPacket },
  hevc: { name: 'HEVC', describe: describeHevc, needsFirstPacket: hevcNeedsFirstPacket },
  av1: { name: 'AV1', describe: describeAv1, needsFirstPacket: av1NeedsFirstPacket },
  vp9: { name: 'VP9', describe: describeVp9, needsFirstPacket: vp9NeedsFirstPacket },
  aac: { name: 'AAC', describe: describeAac, needsFirstPacket: isEmpty },
  ac3: { name: 'AC-3', describe: describeDolby, needsFirstPacket: (data) => (data?.length ?? 0) < 3 },
  eac3: { name: 'E-AC-3', describe: describeDolby, needsFirstPacket: (data) => (data?.length ?? 0) < 5 },
  opus: { name: 'Opus', describe: describeOpus, needsFirstPacket: () => false },
  flac: { name: 'FLAC', describe: describeFlac, needsFirstPacket: () => false },
  mp3: { name: 'MP3', describe: describeMp3, needsFirstPacket: () => true },
};

function findCodec(name: string): Codec | undefined {
  return Object.hasOwn(CODECS, name) ? CODECS[name as CopyCodec] : undefined;
}

/** Must `describeCodec` see the first packet (the first key frame of video), because the private data does not tell enough? Never throws. */
export function needsFirstPacket(codec: string, privateData: Uint8Array | undefined): boolean {
  return findCodec(codec)?.needsFirstPacket(privateData) ?? false;
}

/**
 * The sample description of a track, or why it cannot be copied into fMP4: a sentence fragment for people, without a full stop.
 * Never throws, whatever the bytes are.
 */
export function describeCodec(input: CodecInput): { config: CodecConfig } | { notCopied: string } {
  const codec = findCodec(input.codec);
  if (codec === undefined) return { notCopied: foreignCodecReason(input.codec) };
  try {
    return { config: codec.describe(input) };
  } catch (error) {
    if (error instanceof NotCopiedError) return { notCopied: error.message };
    const what = isEmpty(input.privateData) ? 'beginning of the stream' : 'configuration record';
    return { notCopied: `the ${codec.name} ${what} is damaged` };
  }
}

/**
 * Seconds that a packet of audio plays, by its own header where frames differ in length; undefined for video and for packets without a
 * valid header. Never throws.
 */
export function packetDuration(config: CodecConfig, data: Uint8Array): number | undefined {
  const { audio } = config;
  if (audio === undefined) return undefined;
  const fixed = audio.frameSamples === undefined ? undefined : audio.frameSamples / audio.sampleRate;
  switch (config.codec) {
    case 'opus':
      return opusPacketDuration(data);
    case 'mp3': {
      const header = parseMp3Header(data);
      return header === undefined ? fixed : header.samples / header.sampleRate;
    }
    case 'ac3':
    case 'eac3': {
      const frames = dolbyPacketSamples(data);
      return frames === undefined ? fixed : frames.samples / frames.sampleRate;
    }
    case 'flac': {
      const samples = flacPacketSamples(data);
      return samples === undefined ? fixed : samples / audio.sampleRate;
    }
    default:
      return fixed;
  }
}
