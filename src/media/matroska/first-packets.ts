/** What the first blocks of each track tell: where it starts, its first packet where the codec needs it, its frame rate. */
import type { Source } from '../../source/source.ts';
import { needsFirstPacket } from '../codecs/codecs.ts';
import { mapCodec } from './codec-id.ts';
import { copyOf } from './ebml.ts';
import { decodeFrame, decodePrivate } from './encodings.ts';
import { Feed } from './feed.ts';
import { laceOffsets } from './lacing.ts';
import type { Layout } from './layout.ts';
import { TrackTiming } from './timing.ts';
import { type TrackEntry, TYPE_AUDIO, TYPE_VIDEO } from './track-entry.ts';
import { BLOCK, BlockWalker, END } from './walker.ts';

const LOCAL_STEP = 64 * 1024;
const REMOTE_STEP = 2 * 1024 * 1024;
/** How far it looks for a track that starts late. */
const MAX_SECONDS = 5;
const MAX_SECONDS_NEEDED = 30;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_BLOCKS = 5000;
/** Video times that tell the frame rate. */
const RATE_FRAMES = 16;
const LEAD_FRAMES = 4;

export interface FirstSeen {
  readonly entry: TrackEntry;
  readonly timing: TrackTiming;
  readonly codec: string;
  readonly privateData: Uint8Array | undefined;
  /** CodecPrivate with its Windows structure, content encodings undone. */
  readonly wholePrivate: Uint8Array | undefined;
  /** Times as written, seconds; of video from the first key frame on, in decode order. */
  readonly times: number[];
  /** The first video block that is a key frame: Segment Ticks and place. */
  key?: { ticks: number; cluster: number };
  /** A copy. */
  packet?: Uint8Array;
  readonly needsPacket: boolean;
  readonly enough: number;
}

export function prepare(entry: TrackEntry, timestampScale: number): FirstSeen {
  const stored = entry.codecPrivate && decodePrivate(entry.encodings, entry.codecPrivate);
  const { codec, privateData } = mapCodec(entry.codecId, stored, entry.audio?.bitDepth ?? 0);
  const video = entry.type === TYPE_VIDEO;
  return {
    entry,
    timing: new TrackTiming(timestampScale, entry.timestampScale, entry.codecDelay),
    codec,
    privateData,
    wholePrivate: stored,
    times: [],
    needsPacket: entry.encodings.unreadable === undefined && needsFirstPacket(codec, privateData),
    enough: video ? (entry.defaultDuration === undefined ? RATE_FRAMES : LEAD_FRAMES) : 1,
  };
}

/**
 * Walks from the first cluster until every video and audio track has shown enough, or for some seconds of media.
 * @param head bytes that are in memory already, with their position.
 */
export async function readFirstPackets(
  source: Source,
  layout: Layout,
  tracks: ReadonlyMap<number, FirstSeen>,
  head: { bytes: Uint8Array; base: number },
  signal: AbortSignal,
): Promise<void> {
  const walker = new BlockWalker(layout.firstCluster, layout.end);
  const feed = new Feed(source, signal);
  if (head.base <= walker.pos && walker.pos < head.base + head.bytes.length) walker.attach(head.bytes, head.base);
  const remote = source.latency === 'remote';
  const step = remote ? REMOTE_STEP : LOCAL_STEP;
  /** Bytes that were asked for. */
  let read = 0;
  let startTicks = -1;
  const missing = new Set([...tracks.values()].filter((seen) => isMedia(seen.entry)));
  try {
    for (let blocks = 0; blocks < MAX_BLOCKS && missing.size > 0; ) {
      const result = walker.next();
      if (result === END || walker.pos - layout.firstCluster > MAX_BYTES) break;
      if (result !== BLOCK) {
        // Over HTTP one more read, and only for what can't be done without; of a torrent the same bytes, as they come.
        if (remote && (read >= step || ![...missing].some(isNeeded))) break;
        const part = scarceStep(source, walker.pos) ?? step;
        read += part;
        if (!(await feed.fill(walker, part))) break;
        continue;
      }
      blocks++;
      if (startTicks < 0) startTicks = walker.clusterTicks;
      if (((walker.clusterTicks - startTicks) * layout.info.timestampScale) / 1e9 > patience([...missing])) break;
      const seen = tracks.get(walker.track);
      if (seen === undefined || !missing.has(seen)) continue;
      if (!note(seen, walker)) {
        // A key frame larger than what was read at once.
        walker.rewind();
        if (!(await feed.fill(walker, step))) break;
        continue;
      }
      if (seen.times.length >= seen.enough && !(seen.needsPacket && seen.packet === undefined)) missing.delete(seen);
    }
  } finally {
    feed.release();
  }
}

/** Where bytes are scarce: up to where what comes next ends. */
function scarceStep(source: Source, pos: number): number | undefined {
  const end = source.isScarce ? source.boundaryAfter?.(pos) : undefined;
  return end === undefined || end <= pos ? undefined : end - pos;
}

/** How far to look, seconds: further for a track that can't be described without its first packet. */
function patience(missing: readonly FirstSeen[]): number {
  return missing.some(isNeeded) ? MAX_SECONDS_NEEDED : MAX_SECONDS;
}

function isMedia(entry: TrackEntry): boolean {
  return entry.type === TYPE_VIDEO || entry.type === TYPE_AUDIO;
}

function isNeeded(seen: FirstSeen): boolean {
  return seen.times.length === 0 || (seen.needsPacket && seen.packet === undefined);
}

/** False: the block's data is wanted and not attached. */
function note(seen: FirstSeen, walker: BlockWalker): boolean {
  const { entry } = seen;
  const video = entry.type === TYPE_VIDEO;
  // Video before the first key frame can't be shown.
  if (video && seen.key === undefined && !walker.key) return true;
  if (seen.needsPacket && seen.packet === undefined) {
    if (!walker.whole) return false;
    const buf = walker.buffer;
    const stop = walker.offset(walker.dataEnd);
    const [a, b] = laceOffsets(buf, walker.offset(walker.dataPos), stop, walker.lacing);
    const frame = a === undefined || b === undefined ? undefined : decodeFrame(entry.encodings, buf.subarray(a, b));
    if (frame !== undefined && frame.length > 0) seen.packet = copyOf(frame);
  }
  if (video && seen.key === undefined) seen.key = { ticks: seen.timing.ticksOf(walker), cluster: walker.clusterPos };
  seen.times.push(seen.timing.rawOf(walker));
  return true;
}
