/** What a clip reads of its source: batches of packets of one track in one stretch of time, and hardly any bytes beyond it. */
import { segmentAt } from '../hls/timeline.ts';
import type { Cut, KeyframeIndex, PacketBatch, Track } from '../media/types.ts';
import { cutOf, type Opened } from '../presentation/copied.ts';
import type { Direct } from '../presentation/direct.ts';
import { gridStart, keyAt } from '../presentation/feed.ts';

/** One track of an opened source. */
export interface TrackSource {
  readonly opened: Opened;
  readonly index: KeyframeIndex | undefined;
  /** Where only FFmpeg reads the source: there are no packets then. */
  readonly direct: Direct | undefined;
  readonly track: Track;
}

/** Seconds on the presentation's clock: inclusive, exclusive. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** The bytes that a stretch needs, start inclusive, end exclusive, a group of pictures more at either end; undefined where the source has no index. */
export function bytesOf(
  { opened, index }: Pick<TrackSource, 'opened' | 'index'>,
  { from, to }: Stretch,
): { readonly start: number; readonly end: number } | undefined {
  if (index === undefined) return undefined;
  const { times, positions } = index;
  const { startTime } = opened.info;
  const first = times.findLastIndex((time) => time <= from + startTime);
  const behind = times.findIndex((time) => time >= to + startTime);
  return {
    start: positions[first - 1] ?? 0,
    end: (behind < 0 ? undefined : positions[behind + 1]) ?? Number.POSITIVE_INFINITY,
  };
}

type Batches = AsyncGenerator<PacketBatch, void>;

/**
 * The packets of the played video from the last key frame at or before the stretch on, until all of its pictures are there. The consumer
 * disposes of the batches. Their times are the source's.
 */
export async function* videoBatches(
  { opened, index, track }: TrackSource,
  stretch: Stretch,
  signal: AbortSignal,
): Batches {
  const { reader, timeline, info } = opened;
  const n = segmentAt(timeline, stretch.from);
  const first = cutOf(opened, n);
  const exact = index !== undefined && first.fromKey !== undefined;
  const to = stretch.to + info.startTime;
  const cuts = exact
    ? keyCuts(opened, index, keyAt(index, first, stretch.from + info.startTime), to)
    : gridCuts(opened, await gridStart(opened, track, n, signal));
  for (const cut of cuts) {
    const batch = await reader.read(track.id, cut, signal);
    const { nextStart } = batch;
    yield batch;
    // Leading pictures behind the next key frame may still belong to the stretch.
    if (nextStart !== undefined ? nextStart >= to : !exact && cut.from >= to) return;
  }
}

/**
 * The packets of an audio track that sound in the stretch. They are read by the video's cuts, so that a remote source serves them from what the video's reads
 * brought. The consumer disposes of the batches. Their times are the source's.
 */
export async function* audioBatches(
  { opened, index, track }: TrackSource,
  stretch: Stretch,
  signal: AbortSignal,
): Batches {
  const { reader, timeline, info } = opened;
  const n = segmentAt(timeline, Math.max(0, stretch.from));
  const from = stretch.from + info.startTime;
  const to = stretch.to + info.startTime;
  const first = cutOf(opened, n);
  const exact = index !== undefined && first.fromKey !== undefined;
  const cuts = exact ? keyCuts(opened, index, first.fromKey as number, to) : gridCuts(opened, n);
  for (const cut of cuts) {
    if (cut.from >= to) return;
    const batch = await reader.read(track.id, cut, signal);
    const packets = batch.packets.filter(({ pts, duration }) => pts + duration > from && pts < to);
    yield { packets, [Symbol.dispose]: () => batch[Symbol.dispose]() };
  }
}

/** The cuts of the timeline from key frame `key` on; the one in which the stretch ends is divided there, and it goes on key frame by key frame. */
function* keyCuts({ timeline }: Opened, { times, starts }: KeyframeIndex, key: number, to: number): Generator<Cut> {
  const last = times.findIndex((time, k) => k > key && time >= to);
  const stop = last < 0 ? times.length : last;
  const { segments } = timeline;
  let n = segments.findIndex(({ toKey = 0 }) => toKey > key);
  for (let fromKey = key; fromKey < times.length; ) {
    while (n < segments.length - 1 && (segments[n]?.toKey ?? 0) <= fromKey) n += 1;
    const toKey = fromKey < stop ? Math.min(segments[n]?.toKey ?? times.length, stop) : fromKey + 1;
    yield {
      from: fromKey === 0 ? Number.NEGATIVE_INFINITY : (starts[fromKey] as number),
      to: toKey === times.length ? Number.POSITIVE_INFINITY : (starts[toKey] as number),
      fromKey,
      toKey,
    };
    fromKey = toKey;
  }
}

function* gridCuts(opened: Opened, first: number): Generator<Cut> {
  for (let n = first; n < opened.timeline.segments.length; n++) yield cutOf(opened, n);
}
