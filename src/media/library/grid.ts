import type { KeyframeIndex } from '../types.ts';

/** Distance of the places where reading sound alone may start, seconds. */
const PITCH = 2;
const MAX_POINTS = 1_000_000;

/**
 * An index for sources without video, where reading may start anywhere: a point every two seconds.
 * @param start seconds. @param duration seconds. @param size bytes of the source; positions grow evenly over it.
 */
export function accessGrid(start: number, duration: number, size: number): KeyframeIndex {
  const count = Math.min(MAX_POINTS, Math.max(1, Math.floor(duration / PITCH)));
  const times = Float64Array.from({ length: count }, (_, i) => start + i * PITCH);
  const positions = Float64Array.from({ length: count }, (_, i) => Math.floor((size * i) / count));
  return { times, starts: times.slice(), positions };
}
