/** Edit lists: ISO/IEC 14496-12, 8.6.6. */
import { entryCount, i64, u64 } from './boxes.ts';

/** A stretch of media that is presented. Empty edits (delays) only move the following ones. */
export interface Edit {
  /** Seconds on the movie's timeline. */
  readonly start: number;
  /** Seconds; Infinity when the list leaves it open (0 in the last entry: fragmented files, live writers). */
  readonly duration: number;
  /** Ticks of the media, at which it begins. */
  readonly mediaTime: number;
  /** media_rate 0: the frame at `mediaTime` stays for `duration`. Every other rate is played as 1. */
  readonly dwell: boolean;
}

/** More are nobody's work. */
const MAX_ENTRIES = 10_000;

/** The whole media, as it lies: what a track without a list presents. */
export const WHOLE_MEDIA: Edit = { start: 0, duration: Number.POSITIVE_INFINITY, mediaTime: 0, dwell: false };

/**
 * The edits that present something, in order of the movie's timeline; none when the list is absent or presents nothing.
 * @throws BoxError when the table is cut off.
 */
export function parseEditList(elst: DataView | undefined, movieTimescale: number): Edit[] {
  if (elst === undefined || elst.byteLength < 8) return [];
  const wide = elst.getUint8(0) === 1;
  const size = wide ? 20 : 12;
  const count = Math.min(MAX_ENTRIES, entryCount(elst, 4, size, 'elst'));
  const edits: Edit[] = [];
  let start = 0;
  for (let i = 0, at = 8; i < count; i++, at += size) {
    const ticks = wide ? u64(elst, at) : elst.getUint32(at);
    const mediaTime = wide ? i64(elst, at + 8) : elst.getInt32(at + 4);
    const rate = elst.getInt16(at + size - 4);
    const open = ticks === 0 && i === count - 1;
    const duration = open ? Number.POSITIVE_INFINITY : ticks / movieTimescale;
    if (mediaTime >= 0 && duration > 0) edits.push({ start, duration, mediaTime, dwell: rate === 0 });
    start += open ? 0 : duration;
  }
  return edits;
}
