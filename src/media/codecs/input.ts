import type { ColourInfo } from '../types.ts';

/** What a container knows of a track, as the codec parsers take it. */
export interface CodecInput {
  /** FFmpeg's name: h264, hevc, av1, vp9, aac, ac3, eac3, opus, flac, mp3, or a foreign one. */
  readonly codec: string;
  /**
   * Canonical private data without box header. h264: avcC body. hevc: hvcC body. av1: av1C body (4 bytes, configOBUs). vp9: vpcC body after
   * version and flags, or Matroska's list of features. aac: AudioSpecificConfig. opus: OpusHead with or without its magic, or dOps body (told
   * apart by the version). flac: `fLaC` and metadata blocks, metadata blocks alone, or the 34 bytes of STREAMINFO. ac3, eac3: dac3/dec3 body. mp3: absent.
   */
  readonly privateData?: Uint8Array;
  /** The first packet (or first key frame) of the track: see `needsFirstPacket`. */
  readonly firstPacket?: Uint8Array;
  readonly width?: number;
  readonly height?: number;
  /** Frames per second. */
  readonly frameRate?: number;
  /** Hz. */
  readonly sampleRate?: number;
  readonly channels?: number;
  readonly colour?: ColourInfo;
  readonly bitDepth?: number;
}

/** Why a track cannot be copied, as a sentence fragment for people. Never leaves this folder. */
export class NotCopiedError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'NotCopiedError';
  }
}
