/** From the walker's present block to packets. */
import { packetDuration } from '../codecs/codecs.ts';
import { isTextCodec } from '../subtitles/cue.ts';
import type { Packet } from '../types.ts';
import { copyOf } from './ebml.ts';
import { decodeFrame } from './encodings.ts';
import type { Feed } from './feed.ts';
import type { OpenTrack } from './file.ts';
import { LACING_NONE, laceOffsets } from './lacing.ts';
import { TYPE_VIDEO } from './track-entry.ts';
import type { BlockWalker } from './walker.ts';

/** Bytes of a read beyond which all but video is copied out of it. */
const WORTH_COPYING = 16 * 1024 * 1024;

/** Takes a packet. */
export type Sink = (packet: Packet) => void;

/**
 * The frames of the walker's present block whose time is in [from, to), as packets; the block's data is attached.
 * @returns the time of the block's first frame and the highest of all, snapped.
 */
export function blockPackets(
  track: OpenTrack,
  walker: BlockWalker,
  feed: Feed,
  from: number,
  to: number,
  sink: Sink,
): { first: number; last: number } {
  const { timing } = track;
  const raw = timing.rawOf(walker);
  const buf = walker.buffer;
  const start = walker.offset(walker.dataPos);
  const stop = walker.offset(walker.dataEnd);
  const first = timing.snap(raw);
  if (walker.lacing === LACING_NONE) {
    if (first >= from && first < to) push(track, walker, feed, buf, start, stop, first, -1, sink);
    return { first, last: first };
  }
  const offsets = laceOffsets(buf, start, stop, walker.lacing);
  const frames = offsets.length - 1;
  const blockDuration = walker.durationTicks > 0 ? timing.length(walker.durationTicks) / frames : 0;
  const even = track.frameDuration || blockDuration;
  let elapsed = 0;
  let last = first;
  for (let i = 0; i < frames; i++) {
    const [a, b] = [offsets[i] ?? 0, offsets[i + 1] ?? 0];
    const time = timing.snap(raw + elapsed);
    last = Math.max(last, time);
    let length = even;
    if (length === 0 && track.config) length = packetDuration(track.config, buf.subarray(a, b)) ?? 0;
    elapsed += length;
    if (time >= from && time < to) push(track, walker, feed, buf, a, b, time, length, sink);
  }
  return { first, last };
}

/**
 * Text that ends when it begins, as authors hide it: a BlockDuration of 0, where its absence means that nobody knows (RFC 9559, 5.1.3.5.3). Players that take the
 * time at its word (libass, WebVTT's own rules) show nothing of it.
 */
function isNeverShown({ track }: OpenTrack, { durationTicks }: BlockWalker): boolean {
  return durationTicks === 0 && track.type === 'subtitle' && isTextCodec(track.codec);
}

/** @param laced seconds of one frame of a lace, -1 without lacing. */
function push(
  track: OpenTrack,
  walker: BlockWalker,
  feed: Feed,
  buf: Uint8Array,
  start: number,
  stop: number,
  pts: number,
  laced: number,
  sink: Sink,
): void {
  // No codec has empty frames; a hostile lace has many.
  if (stop <= start || isNeverShown(track, walker)) return;
  let data: Uint8Array | undefined = buf.subarray(start, stop);
  if (track.stored) {
    // A few kilobytes of sound are no reason to hold a whole group of pictures.
    if (buf.length > WORTH_COPYING && track.entry.type !== TYPE_VIDEO) data = copyOf(data);
    else feed.keep();
  } else {
    const encoded = data;
    data = decodeFrame(track.entry.encodings, data);
    if (data === undefined || data.length === 0) return;
    if (data === encoded) feed.keep();
    else feed.spend(data.length);
  }
  let duration = laced;
  if (laced < 0) {
    if (track.timing.frame > 0) duration = track.timing.frame;
    else if (walker.durationTicks > 0) duration = track.timing.length(walker.durationTicks);
    else if (track.config?.audio) duration = packetDuration(track.config, data) ?? track.frameDuration;
    else duration = track.frameDuration;
  }
  const padding = walker.discardPadding / 1e9;
  if (padding > 0 && padding < duration && laced < 0) duration -= padding;
  const key = track.entry.type !== TYPE_VIDEO || walker.key;
  sink({ data, pts, duration, key });
}
