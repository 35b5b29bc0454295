/** Cuts of a track without an index (types.ts, `Cut`): where video begins on a grid. */
import type { Cut } from '../types.ts';

/**
 * The boundary that follows `cut.to` on the grid. A cut does not carry it; the grid is regular, and its last cut has no end: what begins at the end of the
 * programme, or at most a hundredth of a second before it, is not another cut.
 */
export function followingBoundary({ from, to }: Cut, startTime: number, programmeEnd: number): number {
  const length = to - Math.max(from, startTime);
  const next = to + (Number.isFinite(length) && length > 0 ? length : 0);
  return next >= programmeEnd - 0.01 ? Number.POSITIVE_INFINITY : next;
}

/** Frames in decode order. */
export interface Frames {
  readonly count: number;
  readonly pts: Float64Array;
  readonly keys: Uint8Array;
}

/**
 * Index of the frame with which the cut from `from` to `to` begins: the first key frame at or after `from` and before `to`; if there is none, the
 * first frame in decode order at or after `from`. `count` when nothing follows.
 */
export function gridStart({ count, pts, keys }: Frames, from: number, to: number): number {
  if (from === Number.NEGATIVE_INFINITY) return 0;
  let fallback = count;
  for (let i = 0; i < count; i++) {
    const time = pts[i]!;
    if (time < from) continue;
    if (fallback === count) fallback = i;
    if (keys[i] === 1) return time < to ? i : fallback;
  }
  return fallback;
}
