/** The logical bitstreams that begin an Ogg file (RFC 3533): those that the library leaves out must be listed too. */
import type { TrackType } from '../types.ts';

export interface OggStream {
  readonly serial: number;
  readonly type: TrackType;
  /** FFmpeg's name. */
  readonly codec: string;
}

/** First bytes of the first packet of each mapping. */
const MAGICS: readonly (readonly [magic: string, type: TrackType, codec: string])[] = [
  ['\x80theora', 'video', 'theora'],
  ['BBCD\0', 'video', 'dirac'],
  ['OVP80', 'video', 'vp8'],
  ['\x01video\0', 'video', 'ogm'],
  ['\x01vorbis', 'audio', 'vorbis'],
  ['OpusHead', 'audio', 'opus'],
  ['\x7fFLAC', 'audio', 'flac'],
  ['Speex   ', 'audio', 'speex'],
  ['\x80kate\0\0\0', 'subtitle', 'kate'],
];
const PAGE_HEADER = 27;
const BEGINNING_OF_STREAM = 2;

/** Streams of the leading pages whose codec is known, in file order; empty when the bytes are no Ogg. */
export function oggStreams(head: Uint8Array): OggStream[] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const found: OggStream[] = [];
  let at = 0;
  while (at + PAGE_HEADER <= head.length && view.getUint32(at) === 0x4f676753) {
    if (!(head[at + 5]! & BEGINNING_OF_STREAM)) break;
    const segments = head[at + 26]!;
    let size = 0;
    for (let i = 0; i < segments; i++) size += head[at + PAGE_HEADER + i] ?? 0;
    const data = at + PAGE_HEADER + segments;
    const begins = String.fromCharCode(...head.subarray(data, Math.min(data + size, data + 8)));
    const known = MAGICS.find(([magic]) => begins.startsWith(magic));
    const serial = view.getUint32(at + 14, true);
    if (known && !found.some((s) => s.serial === serial)) found.push({ serial, type: known[1], codec: known[2] });
    at = data + size;
  }
  return found;
}

/** Largest page, bytes: 27 of header, 255 lacing values, 255 segments. */
export const MAX_OGG_PAGE = 27 + 255 + 255 * 255;

/**
 * Where the last whole page of a file ends, told from its tail: the library takes a page that is cut off for a fault of its own.
 * @param position of the tail in the file. @returns undefined when no whole page is in it.
 */
export function lastPageEnd(tail: Uint8Array, position: number): number | undefined {
  for (let at = tail.length - PAGE_HEADER; at >= 0; at--) {
    if (tail[at] !== 0x4f || tail[at + 1] !== 0x67 || tail[at + 2] !== 0x67 || tail[at + 3] !== 0x53) continue;
    const segments = tail[at + 26]!;
    if (at + PAGE_HEADER + segments > tail.length) continue;
    let end = at + PAGE_HEADER + segments;
    for (let i = 0; i < segments; i++) end += tail[at + PAGE_HEADER + i]!;
    if (end <= tail.length) return position + end;
  }
  return undefined;
}
