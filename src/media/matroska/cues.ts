/**
 * The key-frame index: from Cues (RFC 9559, section 5.1.5) or from a scan.
 *
 * Invariant: all arrays have the same length; `ticks` is strictly ascending, `clusters` ascending.
 */
import type { ElementCursor } from './ebml.ts';
import { ID } from './ids.ts';

export interface CueIndex {
  /** Segment Ticks. */
  readonly ticks: Float64Array;
  /** Absolute position of the cluster that holds the key frame. */
  readonly clusters: Float64Array;
  /** The block's offset in its cluster's data (CueRelativePosition), 0 when unknown. Not to be trusted. */
  readonly relatives: Float64Array;
}

interface Cue {
  ticks: number;
  cluster: number;
  relative: number;
}

/** More key frames than any film has. */
export const MAX_KEYS = 2_000_000;

/**
 * The cues of one track; undefined when it has none.
 * @param at over the children of Cues. @param track whose cues count. @param base position of the Segment's data.
 * @param end positions here and beyond point nowhere (a truncated file).
 */
export function parseCues(at: ElementCursor, track: number, base: number, end: number): CueIndex | undefined {
  const cues: Cue[] = [];
  while (at.next()) {
    if (at.id === ID.CuePoint && cues.length < MAX_KEYS) parsePoint(at.enter(), track, base, end, cues);
  }
  cues.sort((a, b) => a.ticks - b.ticks || a.cluster - b.cluster);
  const kept: Cue[] = [];
  for (const cue of cues) {
    const last = kept.at(-1);
    if (last !== undefined && (cue.ticks <= last.ticks || cue.cluster < last.cluster)) continue;
    kept.push(cue);
  }
  if (kept.length === 0) return undefined;
  return {
    ticks: Float64Array.from(kept, (cue) => cue.ticks),
    clusters: Float64Array.from(kept, (cue) => cue.cluster),
    relatives: Float64Array.from(kept, (cue) => Math.min(Math.max(cue.relative, 0), end - cue.cluster)),
  };
}

function parsePoint(at: ElementCursor, track: number, base: number, end: number, into: Cue[]): void {
  let ticks = -1;
  const first = into.length;
  while (at.next()) {
    if (at.id === ID.CueTime) ticks = at.uint();
    else if (at.id === ID.CueTrackPositions && into.length === first) {
      const inner = at.enter();
      let [number, cluster, relative] = [0, -1, -1];
      while (inner.next()) {
        if (inner.id === ID.CueTrack) number = inner.uint();
        else if (inner.id === ID.CueClusterPosition) cluster = base + inner.uint();
        else if (inner.id === ID.CueRelativePosition) relative = inner.uint();
      }
      if (number === track && cluster >= base && cluster < end) into.push({ ticks: 0, cluster, relative });
    }
  }
  const cue = into[first];
  if (cue === undefined) return;
  if (ticks < 0 || ticks > 2 ** 47) into.pop();
  else cue.ticks = ticks;
}
