/**
 * Where in the source a time of one PID is found: known points, and probes between them.
 * Invariant: `positions` is strictly ascending; `ticks[i]` is the decode time of the first PES packet of the PID that starts at
 * `positions[i]`. Points are facts of the file, so more of them make a search shorter and never change where it leads to
 * by more than one step.
 */
export class ClockMap {
  readonly #positions: number[] = [];
  readonly #ticks: number[] = [];

  get size(): number {
    return this.#positions.length;
  }

  /** @param ticks unwrapped. */
  add(position: number, ticks: number): void {
    const last = this.#positions.at(-1);
    if (last === undefined || position > last) {
      this.#positions.push(position);
      this.#ticks.push(ticks);
      return;
    }
    const at = lowerBound(this.#positions, position);
    if (this.#positions[at] === position) return;
    this.#positions.splice(at, 0, position);
    this.#ticks.splice(at, 0, ticks);
  }

  /** Is there a point within `distance` bytes before `position`? Keeps a scan from storing every packet. */
  covers(position: number, distance: number): boolean {
    const at = lowerBound(this.#positions, position + 1) - 1;
    return at >= 0 && position - this.#positions[at]! < distance;
  }

  /**
   * The bracket of a time: the last point whose ticks are <= `ticks` with all points before it, and the first point after it.
   * `before` is absent when the time lies before the first point, `after` when it lies after the last one.
   */
  bracket(ticks: number): { before?: Point; after?: Point } {
    const at = lowerBound(this.#ticks, ticks + 1e-6);
    const point = (i: number): Point | undefined =>
      i >= 0 && i < this.#positions.length ? { position: this.#positions[i]!, ticks: this.#ticks[i]! } : undefined;
    const before = point(at - 1);
    const after = point(at);
    return { ...(before && { before }), ...(after && { after }) };
  }
}

export interface Point {
  readonly position: number;
  readonly ticks: number;
}

/** First index whose value is >= `value` (values ascending; any index where they are not). */
export function lowerBound(values: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
