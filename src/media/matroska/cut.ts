/**
 * Reading one cut.
 *
 * Invariant: which packets a cut has follows from the file and the cut alone. Video: from the block that is key frame
 * `fromKey` to the one that is `toKey`, in the order of the file. All else: by time, searched in the same bytes, in
 * what follows until a packet at or past the cut's end, and in what precedes when the first packet found starts late.
 */
import type { Cut, Packet, PacketBatch } from '../types.ts';
import { upperBound } from './cluster-map.ts';
import { isFar } from './far.ts';
import { Feed } from './feed.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import { locate, tooLarge } from './locate.ts';
import { blockPackets } from './packets.ts';
import { type Plan, planCut, slackOf, stepOf, type TimedIndex } from './plan.ts';
import { BLOCK, BlockWalker, CLUSTER_HEAD, clusterTimestamp, LOOK_AHEAD, NEED } from './walker.ts';

const MAX_CUT_BYTES = 512 * 1024 * 1024;
const MAX_PACKETS = 1_000_000;
/** Past a cut's end, packets of it are looked for in so many seconds. */
const TAIL_SECONDS = 2;
/** Subtitles come few and far between: waiting for the next one is no way to end. */
const SUBTITLE_TAIL_SECONDS = 1;
const LOOK_BACK_SECONDS = 1;
/** Leading pictures are looked for in so many bytes behind the next key frame. */
const LEAD_BYTES = 4 * 1024 * 1024;
const LEAD_STEP = 16 * 1024;
/** Cue times of some writers are rounded otherwise than the blocks'. Seconds. */
const CUE_TOLERANCE = 0.002;
/** Bytes before a key frame in its cluster that are worth a small read to leave out. */
const WORTH_JUMPING = 256 * 1024;

/** What a cut's packets are views of. */
export class Batch implements PacketBatch {
  readonly packets: readonly Packet[];
  readonly nextStart?: number;
  readonly #file: MatroskaFile;
  #buffers: Uint8Array[];

  constructor(file: MatroskaFile, packets: readonly Packet[], buffers: Uint8Array[], nextStart?: number) {
    this.#file = file;
    this.packets = packets;
    this.#buffers = buffers;
    if (nextStart !== undefined) this.nextStart = nextStart;
  }

  [Symbol.dispose](): void {
    const buffers = this.#buffers;
    this.#buffers = [];
    for (const bytes of buffers) this.#file.source.recycle(bytes);
  }
}

/** Packets with a bound on what they hold. */
export class Collector {
  readonly packets: Packet[] = [];
  readonly #file: MatroskaFile;
  #bytes = 0;

  constructor(file: MatroskaFile) {
    this.#file = file;
  }

  readonly sink = (packet: Packet): void => {
    this.#bytes += packet.data.length;
    if (this.#bytes > MAX_CUT_BYTES || this.packets.length >= MAX_PACKETS) throw tooLarge(this.#file);
    this.packets.push(packet);
  };
}

/**
 * A walker at the cut's first key frame itself, for a source whose bytes are scarce or near and whose cue lies deep in a large cluster: what precedes it need not be read.
 * Undefined when the cue does not hold, or it isn't worth it.
 */
async function jumpToKey(
  file: MatroskaFile,
  index: TimedIndex,
  track: OpenTrack,
  fromKey: number,
  plan: Plan,
  feed: Feed,
): Promise<BlockWalker | undefined> {
  const relative = index.relatives[fromKey] ?? 0;
  if (isFar(file.source) || relative < WORTH_JUMPING || fromKey <= 0) return undefined;
  const walker = new BlockWalker(plan.start, file.layout.end, plan.limit);
  if (!(await feed.fill(walker, CLUSTER_HEAD)) || !walker.enterCluster(relative)) return undefined;
  feed.plannedEnd = plan.start + plan.length;
  if (!(await feed.fill(walker, 0)) || walker.next() !== BLOCK) return undefined;
  if (walker.track !== track.entry.number || track.timing.ticksOf(walker) !== index.ticks[fromKey]) return undefined;
  walker.pos = walker.blockPos;
  return walker;
}

/** A walker at the cut's first cluster; a cue that points elsewhere is mended by searching its time. */
async function beginAt(
  file: MatroskaFile,
  index: TimedIndex,
  fromKey: number,
  plan: Plan,
  feed: Feed,
  signal: AbortSignal,
): Promise<BlockWalker> {
  const walker = new BlockWalker(plan.start, file.layout.end, plan.limit);
  feed.plannedEnd = plan.start + plan.length;
  await feed.fill(walker, plan.length);
  if (fromKey <= 0 || plan.start === file.layout.firstCluster) return walker;
  const ticks = clusterTimestamp(walker.buffer, 0);
  const latest = (index.ticks[fromKey] ?? 0) + 1e9 / file.layout.info.timestampScale;
  if (ticks !== undefined && ticks <= latest) return walker;
  const start = await locate(file, (index.times[fromKey] ?? 0) - LOOK_BACK_SECONDS, signal);
  feed.plannedEnd = 0;
  const mended = new BlockWalker(start, file.layout.end);
  await feed.fill(mended, Math.max(stepOf(file), Math.min(plan.length, plan.boundary - start)));
  return mended;
}

/** Whether the walker's block is key frame `key`: the one at the cue's time, else, where cues are wrong, the first one after it. */
function standsOnKey(
  file: MatroskaFile,
  index: TimedIndex,
  track: OpenTrack,
  walker: BlockWalker,
  key: number,
): boolean {
  const ticks = track.timing.ticksOf(walker);
  const cue = index.ticks[key] ?? Number.POSITIVE_INFINITY;
  // Where two frames have one time, the cue's place tells them apart.
  const isThere = walker.blockPos >= (index.clusters[key] ?? 0) + (index.relatives[key] ?? 0);
  return (
    (ticks === cue && (walker.key || isThere)) ||
    (walker.key && ticks >= cue - (CUE_TOLERANCE * 1e9) / file.layout.info.timestampScale)
  );
}

/** Video by the index. @throws AppError `media-damaged`, `source-*`; the signal's reason. */
export async function readVideoByKeys(
  file: MatroskaFile,
  index: TimedIndex,
  track: OpenTrack,
  fromKey: number,
  toKey: number,
  signal: AbortSignal,
): Promise<Batch> {
  const feed = new Feed(file.source, signal);
  const collector = new Collector(file);
  const plan = planCut(file, index, fromKey, toKey);
  try {
    const walker =
      (await jumpToKey(file, index, track, fromKey, plan, feed)) ??
      (await beginAt(file, index, fromKey, plan, feed, signal));
    walker.only = track.entry.number;
    const isKey = (key: number): boolean => standsOnKey(file, index, track, walker, key);
    const step = stepOf(file);
    let inside = false;
    for (;;) {
      const result = walker.next();
      if (result === NEED) {
        if (!(await feed.fill(walker, step))) break;
        continue;
      }
      if (result !== BLOCK) break;
      if (!inside && !isKey(fromKey)) continue;
      inside = true;
      if (toKey < index.ticks.length && isKey(toKey)) {
        const nextStart = await lowestLeading(file, track, walker, feed);
        return new Batch(file, collector.packets, feed.take(), nextStart);
      }
      if (!walker.whole) {
        walker.rewind();
        // Already `inside`: the block is seen again and passes.
        if (!(await feed.fill(walker, step))) break;
        continue;
      }
      blockPackets(track, walker, feed, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, collector.sink);
    }
    return new Batch(file, collector.packets, feed.take());
  } catch (error) {
    feed.release();
    throw error;
  }
}

/** The lowest time of the key frame on which the walker stands and the leading pictures that follow it. */
export async function lowestLeading(
  file: MatroskaFile,
  track: OpenTrack,
  walker: BlockWalker,
  feed: Feed,
): Promise<number> {
  const key = track.timing.rawOf(walker);
  const stop = walker.pos + LEAD_BYTES + (walker.blockEnd - walker.blockPos);
  let lowest = key;
  for (;;) {
    const result = walker.next();
    if (result === NEED) {
      // Over HTTP what was read for the cut has to do.
      if (isFar(file.source) || walker.pos >= stop || !(await feed.fill(walker, LEAD_STEP))) break;
      continue;
    }
    if (result !== BLOCK) break;
    const time = track.timing.rawOf(walker);
    if (time >= key) break;
    lowest = Math.min(lowest, time);
  }
  return lowest;
}

/** Everything but video, by time, in the bytes that the index tells. */
export async function readByTime(
  file: MatroskaFile,
  index: TimedIndex,
  track: OpenTrack,
  cut: Cut,
  fromKey: number,
  toKey: number,
  signal: AbortSignal,
): Promise<Batch> {
  const subtitle = track.track.type === 'subtitle';
  const feed = new Feed(file.source, signal);
  const collector = new Collector(file);
  const plan = planCut(file, index, fromKey, toKey);
  try {
    const walker = await beginAt(file, index, fromKey, plan, feed, signal);
    const start = walker.pos;
    const tail = upperBound(index.times, cut.to + (subtitle ? SUBTITLE_TAIL_SECONDS : TAIL_SECONDS));
    const tailLimit = index.clusters[tail] ?? walker.limit;
    walker.limit = Math.min(walker.limit, Math.max(tailLimit, plan.boundary + 1));
    // The track is known to be over: nothing that is worth more reads follows.
    const over = subtitle || (track.track.endTime ?? Number.POSITIVE_INFINITY) <= cut.to;
    if (over) walker.limit = Math.min(walker.limit, plan.boundary + slackOf(file));
    const first = await collectByTime(file, track, walker, feed, cut.from, cut.to, collector);
    const late = first === undefined ? (track.track.endTime ?? cut.from) >= cut.from : isLate(track, first, cut.from);
    if (
      late &&
      cut.from > Number.NEGATIVE_INFINITY &&
      start > file.layout.firstCluster &&
      !(subtitle && file.source.latency === 'remote')
    ) {
      const earlier = await lookBack(file, index, track, cut, fromKey, start, feed, signal);
      return new Batch(file, [...earlier, ...collector.packets], feed.take());
    }
    return new Batch(file, collector.packets, feed.take());
  } catch (error) {
    feed.release();
    throw error;
  }
}

/** Whether a packet of the cut may precede the first one found. */
function isLate(track: OpenTrack, first: number, from: number): boolean {
  return first - from > Math.max(0, track.frameDuration - 0.0015);
}

/** The packets of the cut that lie before `start`, in the bytes of about a second before. */
async function lookBack(
  file: MatroskaFile,
  index: TimedIndex,
  track: OpenTrack,
  cut: Cut,
  fromKey: number,
  start: number,
  feed: Feed,
  signal: AbortSignal,
): Promise<Packet[]> {
  const reference = Math.min(cut.from, index.times[fromKey] ?? cut.from);
  const earlier = upperBound(index.times, reference - LOOK_BACK_SECONDS) - 1;
  let position = earlier <= 0 ? file.layout.firstCluster : (index.clusters[earlier] ?? start);
  if (position >= start) return [];
  feed.plannedEnd = 0;
  // A cue that points nowhere: as for the cut itself.
  const probe = new BlockWalker(position, file.layout.end, start);
  await feed.fill(probe, Math.min(start - position, 64));
  if (clusterTimestamp(probe.buffer, 0) === undefined) {
    position = Math.min(start, await locate(file, reference - LOOK_BACK_SECONDS, signal));
  }
  const walker = new BlockWalker(position, file.layout.end, start);
  const collector = new Collector(file);
  if (await feed.fill(walker, start - position + LOOK_AHEAD)) {
    await collectByTime(file, track, walker, feed, cut.from, cut.to, collector);
  }
  return collector.packets;
}

/**
 * Walks until a packet of the track at or past `to`, or the walker's limit, or a cluster later than `latest` seconds.
 * @returns the time of the track's first packet met, undefined when there was none.
 */
export async function collectByTime(
  file: MatroskaFile,
  track: OpenTrack,
  walker: BlockWalker,
  feed: Feed,
  from: number,
  to: number,
  collector: Collector,
  { step = stepOf(file), latest = Number.POSITIVE_INFINITY }: { step?: number; latest?: number } = {},
): Promise<number | undefined> {
  const { timing } = track;
  walker.only = track.entry.number;
  let first: number | undefined;
  for (;;) {
    const result = walker.next();
    if (result === NEED) {
      if (timing.raw(walker.clusterTicks) > latest || !(await feed.fill(walker, step))) break;
      continue;
    }
    if (result !== BLOCK) break;
    const time = timing.snap(timing.rawOf(walker));
    first ??= time;
    if (time >= to) break;
    if (time < from && walker.lacing === 0) continue;
    if (!walker.whole) {
      walker.rewind();
      if (!(await feed.fill(walker, step))) break;
      continue;
    }
    const block = blockPackets(track, walker, feed, from, to, collector.sink);
    if (block.last >= to) break;
  }
  return first;
}
