/** Below, what is even cannot be told from what is not. */
const LEAST = 20;
/** Seconds: two times that are rounded to milliseconds, the one up, the other down, and what else is lost on the way. */
const ROUNDED_BY = 0.0011;

/** Where times that follow each other evenly lie, but for their rounding. Seconds. */
export interface TimeLine {
  /** Where the first one would be on the line through the middle of the others. */
  readonly origin: number;
  readonly step: number;
}

/**
 * The line on which evenly spaced times lie, each of them rounded by up to a millisecond, one way or another; undefined where they are not even, or too few.
 * @param times seconds, ascending.
 * @param rate the step is a whole number of 1/`rate` seconds.
 */
export function timeLine(times: readonly number[], rate: number): TimeLine | undefined {
  const [first = 0] = times;
  const count = times.length;
  if (count < LEAST || !(rate > 0)) return undefined;
  const mean = ((times.at(-1) as number) - first) / (count - 1);
  const doubt = ROUNDED_BY / (count - 1);
  let least = ROUNDED_BY;
  let best: TimeLine | undefined;
  for (let samples = Math.ceil((mean - doubt) * rate); samples <= (mean + doubt) * rate; samples++) {
    const step = samples / rate;
    const off = times.slice(1).map((time, n) => time - first - (n + 1) * step);
    const [low, high] = off.reduce(
      ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
      [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    );
    const range = Math.max(high, 0) - Math.min(low, 0);
    if (range >= least) continue;
    least = range;
    best = { origin: first + (low + high) / 2, step };
  }
  return best;
}
