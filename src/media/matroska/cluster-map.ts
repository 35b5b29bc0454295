/**
 * Clusters that have been seen, so that a time is found without searching the file again.
 *
 * Invariant: positions strictly ascending, times ascending, both arrays of one length, at most LIMIT. It holds true
 * statements about the file only; what is in it changes how fast a place is found, never which packets are found.
 */
const LIMIT = 50_000;

export class ClusterMap {
  readonly #positions: number[] = [];
  readonly #times: number[] = [];

  /** @param position absolute, of a validated cluster. @param time of its Timestamp, seconds. */
  add(position: number, time: number): void {
    const at = upperBound(this.#positions, position);
    if (this.#positions[at - 1] === position || this.#positions.length >= LIMIT) return;
    // A cluster that breaks the order helps nobody; neighbours closer than half a second say nothing new.
    const before = this.#times[at - 1] ?? Number.NEGATIVE_INFINITY;
    const after = this.#times[at] ?? Number.POSITIVE_INFINITY;
    if (time < before + 0.5 || time > after - 0.5) return;
    this.#positions.splice(at, 0, position);
    this.#times.splice(at, 0, time);
  }

  /** The last cluster known at or before `time`, and the first known after it. */
  around(time: number): { before?: Place; after?: Place } {
    const at = upperBound(this.#times, time);
    const place = (i: number): Place | undefined => {
      const position = this.#positions[i];
      const found = this.#times[i];
      return position === undefined || found === undefined ? undefined : { position, time: found };
    };
    const before = place(at - 1);
    const after = place(at);
    return { ...(before && { before }), ...(after && { after }) };
  }
}

export interface Place {
  readonly position: number;
  readonly time: number;
}

/** The first index whose value is greater than `value`. */
export function upperBound(values: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
