/** Opens the bytes of segments with the reader that their container asks for. */
import { AppError } from '../../errors.ts';
import { isIsobmff, openIsobmff } from '../isobmff/reader.ts';
import { readSegment } from '../isobmff/segment.ts';
import { readPacked } from '../library/ts/packed.ts';
import { openTransportStream, TS_PROBE } from '../library/ts/reader.ts';
import { readWhole } from '../library/ts/segment.ts';
import type { CodecConfig } from '../types.ts';
import { untag } from './id3.ts';
import { memorySource } from './memory-source.ts';
import type { Described, SegmentMedia } from './segment-media.ts';

export type ConfigOf = (type: 'video' | 'audio', index: number) => CodecConfig | undefined;

/**
 * What tracks a segment has.
 * @param bytes of its initialization section, where there is one, and the segment.
 * @param label for messages.
 * @throws AppError `media-unrecognised`, `media-damaged`; the signal's reason.
 */
export async function describeSegment(bytes: Uint8Array, label: string, signal: AbortSignal): Promise<Described> {
  const source = memorySource(bytes, label);
  if (isIsobmff(bytes.subarray(0, 4096))) {
    await using reader = await openIsobmff(source, signal);
    return { container: reader.info.container, tracks: reader.info.tracks.filter(({ type }) => type !== 'subtitle') };
  }
  const { data } = untag(bytes);
  const packed = readPacked(data, 0);
  if (packed) return { container: packed.codec, tracks: [packed.track] };
  await using reader = await openTransportStream(source, bytes.subarray(0, TS_PROBE), signal);
  if (!reader) throw unrecognised(bytes, label);
  return { container: reader.info.container, tracks: reader.info.tracks.filter(({ type }) => type !== 'subtitle') };
}

/** The packets of a segment. Arguments and errors as above. */
export async function readSegmentMedia(
  bytes: Uint8Array,
  label: string,
  configOf: ConfigOf,
  signal: AbortSignal,
): Promise<SegmentMedia> {
  const source = memorySource(bytes, label);
  if (isIsobmff(bytes.subarray(0, 4096))) {
    return { streams: await readSegment(source, configOf, signal), clock: 'plain', bytes: bytes.length };
  }
  const { data, timestamp } = untag(bytes);
  const packed = readPacked(data, timestamp ?? 0);
  if (packed) {
    const { codec, packets } = packed;
    const clock = timestamp === undefined ? 'none' : 'wrapping';
    return { streams: [{ type: 'audio', codec, packets }], clock, bytes: bytes.length };
  }
  const streams = await readWhole(source, signal);
  if (!streams) throw unrecognised(bytes, label);
  return { streams, clock: 'wrapping', bytes: bytes.length };
}

function unrecognised(bytes: Uint8Array, label: string): AppError {
  const text = Buffer.from(bytes.subarray(0, 64)).toString('latin1').trimStart().toLowerCase();
  const what = text.startsWith('<!doctype') || text.startsWith('<html') ? ': it is a web page' : '';
  return new AppError('media-unrecognised', `${label} is neither a transport stream nor MP4 nor packed audio${what}.`);
}
