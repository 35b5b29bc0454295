/**
 * What one source's readers will want next. A source may be read at several places at once (viewers of one film, a picture and its sound far apart, FFmpeg ahead of both);
 * each place is a playhead, known by where reads end. Positions are bytes of the file. Pure, but for the clock that it is given.
 *
 * Invariant: `#heads` is ordered by last use, the newest last; each has a number of its own as long as it lives. A playhead is confined while all reads that belong to it
 * began in one range of `#confinements`.
 */
import type { ByteRange } from './protocol.ts';

export interface Playhead {
  readonly id: number;
  /** Where the last read ended. */
  position: number;
  /** Bytes to have ahead: small at first, doubled as reads follow each other, so that a look at an index fetches little. */
  window: number;
  lastUsed: number;
  /** Who reads there wants nothing beyond the end of this. */
  confinement: ByteRange | undefined;
}

export interface PlayheadLimits {
  /** Of the window, bytes. */
  readonly most: number;
  /** How many places are read for good: more are kept only while they are hot. */
  readonly viewers: number;
}

const KB = 1024;
const MB = 1024 * KB;
const FIRST_WINDOW = 2 * MB;
/** A read that begins this far before a playhead still belongs to it: sound beside its picture, a cut's first key frame. */
const BACK = 4 * MB;
/** ms. Read within this time: one of several places of one viewer. */
const HOT = 2_000;
/** ms without a read: nobody is there any more. A full player reads every few seconds. */
const ABANDONED = 30_000;

let lastId = 0;

export class Playheads {
  readonly #heads: Playhead[] = [];
  readonly #confinements = new Set<ByteRange>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get all(): readonly Playhead[] {
    return this.#heads;
  }

  /**
   * Says that who begins to read in this range wants nothing beyond its end: playheads that appear there look no further, and go when the result is disposed of.
   * One that somebody else reads too is not confined.
   */
  confine(range: ByteRange): Disposable {
    this.#confinements.add(range);
    return {
      [Symbol.dispose]: () => {
        this.#confinements.delete(range);
        for (const head of this.#heads.filter(({ confinement }) => confinement === range)) this.#remove(head);
      },
    };
  }

  /** A read begins. */
  read({ start, end }: ByteRange, limits: PlayheadLimits): Playhead {
    const near = this.#heads.findLast(
      ({ position, window }) => start >= position - Math.max(BACK, end - start) && start <= position + window,
    );
    const confinement = this.#confinements.values().find((range) => start >= range.start && start < range.end);
    const head = near ?? { id: ++lastId, position: end, window: 0, lastUsed: 0, confinement };
    if (head.confinement !== confinement) head.confinement = undefined;
    const isAhead = end > head.position;
    const length = end - start;
    head.window = Math.min(
      limits.most,
      isAhead || near === undefined ? Math.max(FIRST_WINDOW, length * 4, head.window * 2) : head.window,
    );
    head.position = Math.max(head.position, end);
    head.lastUsed = this.#now();
    this.#remove(head);
    this.#heads.push(head);
    this.prune(limits);
    return head;
  }

  /** The one who read there has left: so has the playhead. */
  leave(head: Playhead): void {
    this.#remove(head);
  }

  /** Drops places that nobody reads any more. @returns ms until this may change by itself; undefined: never. */
  prune({ viewers }: PlayheadLimits): number | undefined {
    const now = this.#now();
    for (const head of [...this.#heads]) {
      const age = now - head.lastUsed;
      const isSurplus = this.#heads.length > Math.max(1, viewers);
      if (age >= ABANDONED || (isSurplus && age >= HOT)) this.#remove(head);
    }
    const oldest = this.#heads[0];
    if (oldest === undefined) return undefined;
    const patience = this.#heads.length > Math.max(1, viewers) ? HOT : ABANDONED;
    return Math.max(1, oldest.lastUsed + patience - now);
  }

  #remove(head: Playhead): void {
    const index = this.#heads.indexOf(head);
    if (index >= 0) this.#heads.splice(index, 1);
  }
}
