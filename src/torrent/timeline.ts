/** What happened to a torrent first, and when: for the debug log and the benchmarks that read it. */

export type Milestone =
  /** The engine's worker knows it. */
  | 'engine'
  /** Discovery told of peers. */
  | 'addresses'
  /** A peer has answered our handshake. */
  | 'peer'
  | 'metadata'
  /** A piece is verified. */
  | 'piece';

export class Timeline {
  readonly #began = performance.now();
  readonly #seen = new Set<Milestone>();
  readonly #note: (fields: object, message: string) => void;

  constructor(note: (fields: object, message: string) => void) {
    this.#note = note;
  }

  /** Milliseconds since the torrent was asked for. */
  get ms(): number {
    return Math.round(performance.now() - this.#began);
  }

  /** Notes the first time only. */
  mark(milestone: Milestone): void {
    if (this.#seen.has(milestone)) return;
    this.#seen.add(milestone);
    this.#note({ milestone, ms: this.ms }, 'torrent');
  }

  /** A read that had to wait. @param since `ms` when it began. */
  waited(since: number, offset: number, length: number): void {
    this.#note({ milestone: 'read', from: since, ms: this.ms, offset, length }, 'torrent');
  }
}
