/** Where a slice begins: a playlist that starts at a segment instead of at 0. */
export interface Slice {
  /** Its first segment. */
  readonly segment: number;
  /** Seconds from the slice's start to the time asked for. */
  readonly startOffset: number;
}

/** At most this many seek ids are remembered per session; the oldest is forgotten first. */
const REMEMBERED = 64;

/** The slices of one session that clients may ask for again, by `seek_id`. */
export class SliceBook {
  readonly #slices = new Map<string, Slice>();

  /** The slice of `seekId` made earlier, or the one that `make` makes now; `force` makes it anew. */
  get(seekId: string | undefined, force: boolean, make: () => Slice): Slice {
    if (seekId === undefined) return make();
    const known = this.#slices.get(seekId);
    if (known && !force) return known;
    const slice = make();
    this.#slices.delete(seekId);
    this.#slices.set(seekId, slice);
    const oldest = this.#slices.keys().next().value;
    if (this.#slices.size > REMEMBERED && oldest !== undefined) this.#slices.delete(oldest);
    return slice;
  }
}
