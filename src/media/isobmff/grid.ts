/** Cuts of a video track without an index (types.ts, `Cut`): where its frames are divided on a grid of times. */
import type { Cut } from '../types.ts';

/** Grid lines are sums of floats. Seconds. */
const EPSILON = 1e-6;
/** Frames are presented at most so much earlier or later than those that they stand among. Seconds. */
const REORDER = 2;

/** What decides where a cut begins and ends. Seconds. */
export interface GridRule {
  /** A key frame begins the cut when it lies before this time. */
  readonly startLimit: number;
  /** The same for the cut after this one. */
  readonly endLimit: number;
  /** All frames before this time must be known. */
  readonly horizon: number;
}

/**
 * The rule for a cut. The last cut of the grid has no end: without `nextTo`, what begins at the end of the programme, or at most a hundredth of a second before
 * it, is not another cut. Cuts by another track's key frames have all lengths: then key frames decide nothing.
 */
export function gridRule(cut: Cut, startTime: number, programmeEnd: number): GridRule {
  const { from, to } = cut;
  if (cut.fromKey !== undefined) {
    return { startLimit: Number.NEGATIVE_INFINITY, endLimit: Number.NEGATIVE_INFINITY, horizon: to + REORDER };
  }
  const length = to - Math.max(from, startTime);
  const guess = to + (Number.isFinite(length) && length > 0 ? length : 0);
  const endLimit = cut.nextTo ?? (guess >= programmeEnd - 0.01 ? Number.POSITIVE_INFINITY : guess);
  return { startLimit: to, endLimit, horizon: Math.max(endLimit, to + REORDER) };
}

/** Frames in decode order. */
export interface Frames {
  readonly count: number;
  readonly pts: Float64Array;
  readonly keys: Uint8Array;
}

/**
 * Index of the frame with which a cut begins: the first key frame at or after `from` and before `limit`; if there is none, the first frame in decode order at
 * or after `from`. `count` when nothing follows.
 */
export function gridStart({ count, pts, keys }: Frames, from: number, limit: number): number {
  if (from === Number.NEGATIVE_INFINITY) return 0;
  let fallback = count;
  for (let i = 0; i < count; i++) {
    const time = pts[i]!;
    if (time < from) continue;
    if (fallback === count) fallback = i;
    if (keys[i] === 1) return time < limit - EPSILON ? i : fallback;
  }
  return fallback;
}
