import type { Timeline, TimelineSegment } from './timeline.ts';

/** A quality that is made by transcoding. */
export interface Rung {
  readonly name: '1080p' | '720p' | '480p' | '360p';
  /** Lines of a landscape picture. */
  readonly lines: number;
  /** Most bits per second of its video. */
  readonly maxBitRate: number;
}

/** From the highest. */
const LADDER: readonly Rung[] = [
  { name: '1080p', lines: 1080, maxBitRate: 6_000_000 },
  { name: '720p', lines: 720, maxBitRate: 3_200_000 },
  { name: '480p', lines: 480, maxBitRate: 1_500_000 },
  { name: '360p', lines: 360, maxBitRate: 800_000 },
];

/**
 * Those at or below the source's picture; a picture smaller than all of them gets the lowest. A picture between two of them that is not offered as it is
 * (`alone`) gets the upper one too, which then has the picture's own size: else its best would be lost.
 */
export function rungsFor(lines: number, alone = false): readonly Rung[] {
  const fitting = LADDER.filter((rung) => rung.lines <= lines);
  const next = LADDER.filter((rung) => rung.lines > lines).slice(-1);
  if (fitting.length === 0) return LADDER.slice(-1);
  return alone && fitting[0]?.lines !== lines ? [...next, ...fitting] : fitting;
}

/** Seconds that a segment of a transcoded rendition should last. */
export const TRANSCODED_TARGET = 2;

/** Eleven days of `TRANSCODED_TARGET`: a longer duration is a damaged number, and its parts would take all memory. They last longer then. */
const MOST_PARTS = 480_000;

/**
 * The timeline of transcoded renditions: each segment of the source's divided evenly into parts of about two seconds, so that players can switch
 * to and from the original where its segments start.
 */
export function subdivide(timeline: Timeline): Timeline {
  const target = Math.max(TRANSCODED_TARGET, timeline.duration / MOST_PARTS);
  const segments = timeline.segments.flatMap(({ start, duration }): TimelineSegment[] => {
    const parts = Math.max(1, Math.round(duration / target));
    const at = (part: number): number =>
      part === parts ? start + duration : milliseconds(start + (duration * part) / parts);
    return Array.from({ length: parts }, (_, part) => {
      const from = part === 0 ? start : at(part);
      return { start: from, duration: at(part + 1) - from };
    });
  });
  return { segments, duration: timeline.duration };
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

/** Even dimensions with `lines` on the shorter side, never larger than the picture itself. */
export function fitPicture(width: number, height: number, lines: number): { width: number; height: number } {
  const scale = Math.min(1, lines / Math.min(width, height));
  return { width: even(width * scale), height: even(height * scale) };
}

function even(size: number): number {
  return Math.max(2, Math.round(size / 2) * 2);
}
