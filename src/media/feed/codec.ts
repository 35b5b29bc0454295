/** How Matroska names and describes a track's codec, whichever container the track is from. */
import { concatBytes } from '../codecs/bits.ts';
import { type CodecId, codecIdOf } from '../matroska/codec-id.ts';
import type { CodecConfig, Track } from '../types.ts';

export interface FedCodec {
  readonly codecId: string;
  readonly codecPrivate?: Uint8Array;
  readonly bitDepth?: number;
}

/** Without CodecPrivate FFmpeg can't decode them. */
const NEEDS_PRIVATE = new Set(['vorbis', 'theora', 'alac', 'wavpack', 'h264', 'hevc', 'flac']);
/** Elementary streams that tell everything themselves; what is known of them beforehand does no harm. */
const SELF_CONTAINED = new Set([
  ...['ac3', 'eac3', 'dts', 'truehd', 'mlp', 'mp1', 'mp2', 'mp3'],
  ...['mpeg1video', 'mpeg2video', 'mpeg4', 'vp8', 'vp9', 'av1', 'vvc', 'mjpeg'],
  'hdmv_pgs_subtitle',
]);
/** Their WAVEFORMATEX needs nothing beyond what a Track tells. */
const SIMPLE_WAVE = new Set(['pcm_alaw', 'pcm_mulaw']);

/** Undefined when the track can't be fed. */
export function fedCodec(track: Track): FedCodec | undefined {
  if (track.unreadable) return undefined;
  if (track.config) return fromConfig(track.config);
  const { codec, codecPrivate } = track;
  const stored = track.matroska;
  const id = codecIdOf(codec);
  const fromQuickTime = stored?.codecId.endsWith('_QUICKTIME') ?? false;
  if (stored && !fromQuickTime) return asStored(codec, id, stored);
  if (id) {
    if (codec.startsWith('pcm_') && id.bitDepth !== undefined) return { codecId: id.codecId, bitDepth: id.bitDepth };
    if (SELF_CONTAINED.has(codec)) return { codecId: id.codecId, ...(codecPrivate?.length && { codecPrivate }) };
    if (NEEDS_PRIVATE.has(codec) && codecPrivate?.length) return { codecId: id.codecId, codecPrivate };
    if (id.formatTag !== undefined && SIMPLE_WAVE.has(codec)) return simpleWave(id.formatTag, track);
  }
  // QuickTime's own codecs; FFmpeg finds them by the sample entry's four characters.
  return stored && fromQuickTime ? stored : undefined;
}

function asStored(
  codec: string,
  id: CodecId | undefined,
  stored: NonNullable<Track['matroska']>,
): FedCodec | undefined {
  if (stored.codecId === '' || codec === 'unknown') return undefined;
  if (NEEDS_PRIVATE.has(codec) && !stored.codecPrivate?.length) return undefined;
  return { ...stored, ...(id?.bitDepth !== undefined && { bitDepth: id.bitDepth }) };
}

/** WAVEFORMATEX of a codec with one byte for each sample of each channel. */
function simpleWave(formatTag: number, track: Track): FedCodec | undefined {
  const { sampleRate = 0, channels = 0 } = track.audio ?? {};
  if (sampleRate <= 0 || channels <= 0) return undefined;
  const codecPrivate = new Uint8Array(18);
  const view = new DataView(codecPrivate.buffer);
  view.setUint16(0, formatTag, true);
  view.setUint16(2, channels, true);
  view.setUint32(4, Math.round(sampleRate), true);
  view.setUint32(8, Math.round(sampleRate) * channels, true);
  view.setUint16(12, channels, true);
  view.setUint16(14, 8, true);
  return { codecId: 'A_MS/ACM', codecPrivate, bitDepth: 8 };
}

const BOX_HEADER = 8;
const FULL_BOX_HEADER = 12;

function fromConfig(config: CodecConfig): FedCodec | undefined {
  const id = codecIdOf(config.codec);
  if (!id) return undefined;
  const box = config.configBox;
  const { codecId } = id;
  switch (config.codec) {
    case 'h264':
    case 'hevc':
    case 'av1':
      return { codecId, codecPrivate: box.subarray(BOX_HEADER) };
    case 'flac':
      return { codecId, codecPrivate: concatBytes([FLAC_MAGIC, box.subarray(FULL_BOX_HEADER)]) };
    case 'opus':
      return { codecId, codecPrivate: opusHead(box.subarray(BOX_HEADER)) };
    case 'aac': {
      const codecPrivate = audioSpecificConfig(box);
      return codecPrivate && { codecId, codecPrivate };
    }
    default:
      return { codecId };
  }
}

/** fLaC */
const FLAC_MAGIC = Uint8Array.of(0x66, 0x4c, 0x61, 0x43);

/**
 * OpusHead (RFC 7845, section 5.1) out of the body of dOps. The pre-skip is 0: packets come from anywhere in the stream, and their times
 * have it applied already, so what a decoder took away would be missing.
 */
function opusHead(dops: Uint8Array): Uint8Array {
  const from = new DataView(dops.buffer, dops.byteOffset, dops.byteLength);
  const head = new Uint8Array(8 + dops.length);
  head.set([0x4f, 0x70, 0x75, 0x73, 0x48, 0x65, 0x61, 0x64]);
  head.set(dops, 8);
  const view = new DataView(head.buffer);
  view.setUint8(8, 1);
  view.setUint16(10, 0, true);
  view.setUint32(12, from.getUint32(4), true);
  view.setInt16(16, from.getInt16(8), true);
  return head;
}

/** The decoder specific info of an `esds` box as `media/codecs` writes it (ISO/IEC 14496-1, 7.2.6). */
function audioSpecificConfig(esds: Uint8Array): Uint8Array | undefined {
  // ES_Descriptor: header (5 bytes) and 3 of its own; DecoderConfigDescriptor: header and 13; DecoderSpecificInfo: header.
  const at = FULL_BOX_HEADER + 8 + 18;
  if (esds[at] !== 5) return undefined;
  const size = ((esds[at + 3] ?? 0) & 0x7f) * 128 + ((esds[at + 4] ?? 0) & 0x7f);
  const info = esds.subarray(at + 5, at + 5 + size);
  return info.length === size && size > 0 ? info : undefined;
}
