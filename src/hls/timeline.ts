/**
 * The timeline: where every segment of a presentation starts and ends. It follows from the key-frame index alone, so that it is whole before
 * any media is read. Times are seconds from the start of the presentation.
 */

/** The random access points of a source, on the presentation's clock. Arrays of one length >= 1, ascending. */
export interface AccessPoints {
  /** Lowest presentation time from this access point on. */
  readonly starts: Float64Array;
  /** Byte positions, for bit rates. */
  readonly positions: Float64Array;
}

export interface TimelineSegment {
  readonly start: number;
  readonly duration: number;
  /** Access points, from inclusive, to exclusive; absent on a grid. */
  readonly fromKey?: number;
  readonly toKey?: number;
}

export interface Timeline {
  readonly segments: readonly TimelineSegment[];
  /** Seconds: the end of the last segment. */
  readonly duration: number;
}

/** Seconds that a segment should last, and never exceeds unless one group of pictures does. */
export const TARGET_DURATION = 6;

/** Shorter than this is not worth a segment of its own at the end of a timeline. */
const SHORTEST_TAIL = 0.5;

/** Eleven days: a longer duration is a damaged number, and would take all memory. The last segment takes what is left. */
const MOST_GRID_SEGMENTS = 160_000;

/**
 * Merges groups of pictures into segments as long as possible up to `target` seconds; a longer group is a segment of its own. The first
 * segment starts at 0 and the last one ends at `duration`.
 */
export function planTimeline(points: AccessPoints, duration: number, target = TARGET_DURATION): Timeline {
  const { starts } = points;
  const end = Math.max(duration, (starts[starts.length - 1] as number) + 0.001);
  const segments: TimelineSegment[] = [];
  let fromKey = 0;
  let from = 0;
  while (fromKey < starts.length) {
    let toKey = fromKey + 1;
    while (toKey < starts.length && boundary(points, toKey + 1, end) - from <= target + 1e-6) toKey += 1;
    const to = boundary(points, toKey, end);
    segments.push({ start: from, duration: to - from, fromKey, toKey });
    fromKey = toKey;
    from = to;
  }
  return { segments: mergeTail(segments, target), duration: end };
}

function boundary(points: AccessPoints, key: number, end: number): number {
  return key < points.starts.length ? (points.starts[key] as number) : end;
}

/** Joins a last segment that is shorter than half a second to the one before. */
function mergeTail(segments: TimelineSegment[], target: number): TimelineSegment[] {
  const last = segments.at(-1);
  const before = segments.at(-2);
  if (!last || !before || last.duration >= SHORTEST_TAIL) return segments;
  if (before.duration + last.duration > target + SHORTEST_TAIL) return segments;
  const joined = { ...before, duration: before.duration + last.duration, toKey: last.toKey as number };
  return [...segments.slice(0, -2), joined];
}

/** The timeline of a source whose index is not known: equal segments of `target` seconds. */
export function gridTimeline(duration: number, target = TARGET_DURATION): Timeline {
  const count = Math.min(MOST_GRID_SEGMENTS, Math.max(1, Math.ceil((duration - SHORTEST_TAIL) / target)));
  const segments = Array.from({ length: count }, (_, n) => {
    const start = n * target;
    return { start, duration: (n + 1 < count ? start + target : Math.max(duration, start + 0.001)) - start };
  });
  return { segments, duration: Math.max(duration, 0.001) };
}

/** The segment that contains `time`; times before the start or past the end give the first or the last. */
export function segmentAt(timeline: Timeline, time: number): number {
  let low = 0;
  let high = timeline.segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((timeline.segments[middle] as TimelineSegment).start <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}
