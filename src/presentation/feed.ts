import { FEED_LEAD } from '../ffmpeg/arguments.ts';
import { segmentAt, type TimelineSegment } from '../hls/timeline.ts';
import { timeLine } from '../lib/even-times.ts';
import { unreferencedTest } from '../media/codecs/unreferenced.ts';
import { feedCluster, feedHeader } from '../media/feed/feed.ts';
import type { Cut, KeyframeIndex, Packet, PacketBatch, Track } from '../media/types.ts';
import { cutOf, type Opened } from './copied.ts';

/*
 * What FFmpeg gets on its stdin: one track's packets from a point on, on the presentation's clock, read as fast as it takes them. As Matroska, which has presentation
 * times alone: FFmpeg's MP4 demuxer moves the times of fragments whose composition offsets are negative, as ours are.
 */

/** Grid segments are looked through backwards for a key frame, at most so many. */
const GRID_LOOK_BACK = 10;

const CLUSTER_PACKETS = 16;
/** Frames fed beyond the end of a feed that has one: filters look at what follows, and keep one of so many that this many are kept in a second. */
const BEYOND = 2;
const MOST_FRAMES = 60;
/** Seconds before the start from which everything is fed, since filters look at frames and at how many there are. */
const SEEN_BY_FILTERS = 0.2;
/** Boundaries and frame times are rounded by less than this, seconds; frames are further apart. */
const ROUNDING = 0.003;

/** Where a feed of the played video begins. */
export interface VideoStart {
  readonly track: Track;
  readonly index: KeyframeIndex | undefined;
  /** Seconds on the presentation's clock. */
  readonly time: number;
  /** Seconds on the presentation's clock: the feed ends some frames after it; absent: with the track. */
  readonly until?: number | undefined;
}

/** What is 0 in a feed, on the clock of `startTime`, seconds: FFmpeg takes `FEED_LEAD` off its times again. */
export function feedStart(startTime: number): number {
  return startTime - FEED_LEAD;
}

/**
 * The packets of the played video from the last key frame at or before the start on, without those well before the start that nothing is predicted from:
 * nobody sees them.
 */
export function videoFeed(source: Opened, start: VideoStart, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const { track, time, until } = start;
  const { startTime } = source.info;
  const needed = withoutUnseen(videoBatches(source, start, signal), track, time + startTime);
  const some = until === undefined ? needed : endingAfter(needed, until + startTime, framesBeyond(track));
  return clusters(track, startTime, some);
}

/** @param time seconds on the source's clock */
async function* withoutUnseen(
  batches: AsyncIterable<PacketBatch>,
  track: Track,
  time: number,
): AsyncGenerator<PacketBatch> {
  const isUnreferenced = unreferencedTest(track.config);
  for await (const batch of batches) {
    const unseen = ({ pts, data }: Packet): boolean => pts < time - SEEN_BY_FILTERS && isUnreferenced?.(data) === true;
    yield batch.packets.some(unseen)
      ? holding(
          batch,
          batch.packets.filter((packet) => !unseen(packet)),
        )
      : batch;
  }
}

function framesBeyond({ video }: Track): number {
  return BEYOND + Math.max(1, Math.ceil((video?.frameRate ?? 0) / MOST_FRAMES));
}

/**
 * @param time seconds on the source's clock
 * @param wanted frames from `time` on
 */
async function* endingAfter(
  batches: AsyncIterable<PacketBatch>,
  time: number,
  wanted: number,
): AsyncGenerator<PacketBatch> {
  let beyond = 0;
  for await (const batch of batches) {
    const { packets } = batch;
    const later = packets
      .map(({ pts }) => pts)
      .filter((pts) => pts >= time - ROUNDING)
      .sort((a, b) => a - b);
    const limit = later[wanted - beyond - 1];
    beyond += later.length;
    if (limit !== undefined) {
      const last = packets.findLastIndex(({ pts }) => pts <= limit);
      yield holding(batch, packets.slice(0, last + 1));
      return;
    }
    yield batch;
  }
}

/** Some of a batch's packets. */
function holding(batch: PacketBatch, packets: readonly Packet[]): PacketBatch {
  return { packets, [Symbol.dispose]: () => batch[Symbol.dispose]() };
}

/** The packets of an audio track from `time` on, where `origin` is 0 for FFmpeg: seconds on the presentation's clock. */
export function audioFeed(
  source: Opened,
  { track, time, origin }: { readonly track: Track; readonly time: number; readonly origin: number },
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  return clusters(track, source.info.startTime + origin, audioBatches(source, track, time, signal));
}

/** Batches as Matroska. */
export async function* clusters(
  track: Track,
  startTime: number,
  batches: AsyncIterable<PacketBatch>,
): AsyncGenerator<Uint8Array> {
  yield feedHeader(track);
  for await (const batch of batches) {
    using held = batch;
    // In small pieces: FFmpeg takes its time, and each waits in memory for it.
    for (let at = 0; at < held.packets.length; at += CLUSTER_PACKETS)
      yield feedCluster(held.packets.slice(at, at + CLUSTER_PACKETS), feedStart(startTime));
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
    yield presented(await reader.read(track.id, { ...whole, fromKey }, signal), info.startTime);
    n += 1;
  } else {
    n = await gridStart(source, track, n, signal);
  }
  for (; n < timeline.segments.length; n++)
    yield presented(await reader.read(track.id, cutOf(source, n), signal), info.startTime);
}

/** Pictures closer than this are one and the same; what is re-encoded begins at most so much too early. Seconds. */
const SAME = 0.002;

/**
 * Pictures that an edit list cuts off have times just below 0, and are for the decoder only: they are moved out of what is kept, but for the one that is on the
 * screen at 0.
 */
function presented(batch: PacketBatch, startTime: number): PacketBatch {
  const early = batch.packets.filter(({ pts }) => pts < startTime);
  if (early.length === 0) return batch;
  const isBegun = batch.packets.some(({ pts }) => pts >= startTime && pts < startTime + SAME);
  const shown = isBegun ? undefined : Math.max(...early.map(({ pts }) => pts));
  const moved = (pts: number): number => (pts === shown ? startTime : pts - 1);
  const packets = batch.packets.map((packet) =>
    packet.pts < startTime ? { ...packet, pts: moved(packet.pts) } : packet,
  );
  return { packets, [Symbol.dispose]: () => batch[Symbol.dispose]() };
}

/**
 * The last key frame at or before `time` (source's clock), looked for from the cut's first. A key frame that is shown later than `time` does not do even where the
 * cut begins with it: the pictures that precede it in time depend on the group before.
 */
export function keyAt({ times }: KeyframeIndex, { fromKey = 0, toKey = 0 }: Cut, time: number): number {
  let key = fromKey;
  while (key + 1 < toKey && (times[key + 1] as number) <= time + 0.001) key += 1;
  while (key > 0 && (times[key] as number) > time + 0.001) key -= 1;
  return key;
}

/** The last grid segment up to `n` that begins with a key frame. */
export async function gridStart(source: Opened, track: Track, n: number, signal: AbortSignal): Promise<number> {
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
  for await (const batch of audioBatches(source, track, from, signal, to)) {
    yield holding(
      batch,
      batch.packets.filter(({ pts }) => pts < end),
    );
  }
}

/** Sound is placed by its first packet where nothing precedes that: so it gets the time that the packets behind it tell. */
function steadied(packets: readonly Packet[], { audio }: Track): readonly Packet[] {
  const [first, ...others] = packets;
  if (first === undefined) return packets;
  const line = timeLine(
    packets.map(({ pts }) => pts),
    audio?.sampleRate ?? 0,
  );
  return [{ ...first, pts: line?.origin ?? first.pts }, ...others];
}

/** Audio is read by the source's segments, up to the one in which `to` lies, so that a remote source serves it from what the video's reads brought. */
async function* audioBatches(
  source: Opened,
  track: Track,
  time: number,
  signal: AbortSignal,
  to = Number.POSITIVE_INFINITY,
): AsyncGenerator<PacketBatch> {
  const { reader, timeline, info } = source;
  let n = segmentAt(timeline, Math.max(0, time));
  const from = time + info.startTime;
  for (; n < timeline.segments.length && (timeline.segments[n] as TimelineSegment).start < to; n++) {
    const batch = await reader.read(track.id, cutOf(source, n), signal);
    const packets = batch.packets.filter(({ pts, duration }) => pts + duration > from);
    yield holding(batch, n === 0 ? steadied(packets, track) : packets);
  }
}
