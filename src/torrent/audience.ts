/**
 * The sessions on a torrent, and which file each has chosen.
 *
 * Invariant: a viewer is in it from `join` to `leave`; those that have chosen last are at the end.
 */
export class Audience {
  readonly #chosen = new Map<object, number | undefined>();

  /** How many there are. */
  get size(): number {
    return this.#chosen.size;
  }

  /** The file that was chosen last by one that is still there, for those who name none; undefined: the best one. */
  get selected(): number | undefined {
    return [...this.#chosen.values()].at(-1);
  }

  join(viewer: object): void {
    this.#chosen.set(viewer, this.selected);
  }

  leave(viewer: object): void {
    this.#chosen.delete(viewer);
  }

  /** @param fileIdx undefined: the best one. */
  choose(viewer: object, fileIdx: number | undefined): void {
    if (!this.#chosen.delete(viewer)) return;
    this.#chosen.set(viewer, fileIdx);
  }
}
