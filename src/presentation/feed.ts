import { segmentAt, type TimelineSegment } from '../hls/timeline.ts';
import { feedCluster, feedHeader } from '../media/feed/feed.ts';
import type { Cut, KeyframeIndex, PacketBatch, Track } from '../media/types.ts';
import { cutOf, type Opened } from './copied.ts';

/*
 * What FFmpeg gets on its stdin: one track's packets from a point on, on the presentation's clock, read as fast as it takes them. As Matroska, which has presentation
 * times alone: FFmpeg's MP4 demuxer moves the times of fragments whose composition offsets are negative, as ours are.
 */

/** Grid segments are looked through backwards for a key frame, at most so many. */
const GRID_LOOK_BACK = 10;

/** Where a feed of the played video begins. */
export interface VideoStart {
  readonly track: Track;
  readonly index: KeyframeIndex | undefined;
  /** Seconds on the presentation's clock. */
  readonly time: number;
}

/** The packets of the played video from the last key frame at or before the start on. */
export function videoFeed(source: Opened, start: VideoStart, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return clusters(start.track, source.info.startTime, videoBatches(source, start, signal));
}

/** The packets of an audio track from `time` (seconds, presentation) on. */
export function audioFeed(source: Opened, track: Track, time: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return clusters(track, source.info.startTime, audioBatches(source, track, time, signal));
}

async function* clusters(
  track: Track,
  startTime: number,
  batches: AsyncIterable<PacketBatch>,
): AsyncGenerator<Uint8Array> {
  yield feedHeader(track);
  for await (const batch of batches) {
    using held = batch;
    if (held.packets.length > 0) yield feedCluster(held.packets, startTime);
  }
}

export async function* videoBatches(
  source: Opened,
  { track, index, time }: VideoStart,
  signal: AbortSignal,
): AsyncGenerator<PacketBatch> {
  const { reader, timeline, info } = source;
  let n = segmentAt(timeline, time);
  const whole = cutOf(source, n);
  if (index !== undefined && whole.fromKey !== undefined) {
    const fromKey = keyAt(index, whole, time + info.startTime);
    yield await reader.read(track.id, { ...whole, fromKey }, signal);
    n += 1;
  } else {
    n = await gridStart(source, track, n, signal);
  }
  for (; n < timeline.segments.length; n++) yield await reader.read(track.id, cutOf(source, n), signal);
}

/**
 * The last key frame at or before `time` (source's clock), looked for from the cut's first. A key frame that is shown later than `time` does not do even where the
 * cut begins with it: the pictures that precede it in time depend on the group before.
 */
function keyAt({ times }: KeyframeIndex, { fromKey = 0, toKey = 0 }: Cut, time: number): number {
  let key = fromKey;
  while (key + 1 < toKey && (times[key + 1] as number) <= time + 0.001) key += 1;
  while (key > 0 && (times[key] as number) > time + 0.001) key -= 1;
  return key;
}

/** The last grid segment up to `n` that begins with a key frame. */
async function gridStart(source: Opened, track: Track, n: number, signal: AbortSignal): Promise<number> {
  for (let candidate = n; candidate > Math.max(0, n - GRID_LOOK_BACK); candidate--) {
    using batch = await source.reader.read(track.id, cutOf(source, candidate), signal);
    const first = batch.packets[0];
    const { start } = source.timeline.segments[candidate] as TimelineSegment;
    // A key frame that comes late in its segment leaves the segment's beginning to the one before.
    if (first?.key && (candidate < n || first.pts - source.info.startTime <= start + 0.001)) return candidate;
  }
  return Math.max(0, n - GRID_LOOK_BACK);
}

/** The packets of an audio track that begin between `from` (inclusive) and `to` (exclusive), presentation seconds. */
export async function* audioPackets(
  source: Opened,
  track: Track,
  from: number,
  to: number,
  signal: AbortSignal,
): AsyncGenerator<PacketBatch> {
  const end = to + source.info.startTime;
  for await (const batch of audioBatches(source, track, from, signal)) {
    const packets = batch.packets.filter(({ pts }) => pts < end);
    yield { packets, [Symbol.dispose]: () => batch[Symbol.dispose]() };
    if (packets.length < batch.packets.length) return;
  }
}

/** Audio is read by the source's segments, so that a remote source serves it from what the video's reads brought. */
async function* audioBatches(
  source: Opened,
  track: Track,
  time: number,
  signal: AbortSignal,
): AsyncGenerator<PacketBatch> {
  const { reader, timeline, info } = source;
  let n = segmentAt(timeline, Math.max(0, time));
  const from = time + info.startTime;
  for (; n < timeline.segments.length; n++) {
    const batch = await reader.read(track.id, cutOf(source, n), signal);
    const packets = batch.packets.filter(({ pts, duration }) => pts + duration > from);
    yield { packets, [Symbol.dispose]: () => batch[Symbol.dispose]() };
  }
}
