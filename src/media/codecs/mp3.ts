/** MPEG audio layer III: ISO/IEC 11172-3, 2.4.1.3 and 13818-3 (header); object type indications of 14496-1, 7.2.6.6. */
import type { CodecConfig } from '../types.ts';
import { hexByte } from './bits.ts';
import { makeEsds } from './esds.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

const MPEG1_AUDIO = 0x6b;
const MPEG2_AUDIO = 0x69;
const BASE_RATES = [44_100, 48_000, 32_000];

export interface Mp3Header {
  /** 1, 2, or 2.5. */
  readonly version: number;
  readonly layer: number;
  readonly sampleRate: number;
  readonly channels: number;
  /** Samples of the frame. */
  readonly samples: number;
}

/** The frame header at the start of `packet`; undefined when there is none. */
export function parseMp3Header(packet: Uint8Array): Mp3Header | undefined {
  if (packet.length < 4 || packet[0] !== 0xff || (packet[1]! & 0xe0) !== 0xe0) return undefined;
  const id = (packet[1]! >>> 3) & 3;
  const layer = 4 - ((packet[1]! >>> 1) & 3);
  const base = BASE_RATES[(packet[2]! >>> 2) & 3];
  if (id === 1 || layer === 4 || base === undefined || packet[2]! >>> 4 === 15) return undefined;
  const version = id === 3 ? 1 : id === 2 ? 2 : 2.5;
  const sampleRate = version === 1 ? base : version === 2 ? base / 2 : base / 4;
  const samples = layer === 1 ? 384 : layer === 3 && version !== 1 ? 576 : 1152;
  return { version, layer, sampleRate, channels: packet[3]! >>> 6 === 3 ? 1 : 2, samples };
}

/** @throws NotCopiedError */
export function describeMp3(input: CodecInput): CodecConfig {
  const header = input.firstPacket === undefined ? undefined : parseMp3Header(input.firstPacket);
  if (header === undefined) throw new NotCopiedError('the MP3 audio does not begin with a frame header');
  if (header.layer !== 3) {
    throw new NotCopiedError(
      `MPEG audio layer ${'I'.repeat(header.layer)} cannot be copied into HLS without re-encoding`,
    );
  }
  const objectType = header.version === 1 ? MPEG1_AUDIO : MPEG2_AUDIO;
  return {
    codec: 'mp3',
    sampleEntry: 'mp4a',
    configBox: makeEsds(objectType),
    codecString: `mp4a.${hexByte(objectType)}`,
    audio: { sampleRate: header.sampleRate, channels: header.channels, frameSamples: header.samples },
  };
}
