/**
 * Pieces that nobody wants and that are taken all the same: a super-seeder (BEP 16) shows one piece after the other, in its own order, and the next one only when the one
 * before has arrived. So where a read waits for what nobody has, what such a peer shows is taken until it comes to the other.
 *
 * Invariant: `#offered` is what the lane of rank `offered` has. A piece that has arrived by being offered (`#taken`) is never offered again: it may have been given up since.
 */
import type { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import { RANK } from './lanes.ts';
import type { Peer } from './peer.ts';
import type { Picker } from './picker.ts';

/** At once. */
const MOST = 4;
/** Whoever has what is missed may just be saying so. */
const PATIENCE_MS = 2000;
/** So many peers are looked through now and then. */
const MOST_LOOKED_AT = 8;

export class Offers {
  readonly #have: BitField;
  readonly #availability: Uint16Array;
  readonly #picker: Picker;
  readonly #peers: ReadonlySet<Peer>;
  readonly #withdrawn: () => void;
  readonly #taken = new Set<number>();
  #offered: readonly number[] = [];
  /** Since when a read has waited for what nobody has; undefined: none does. */
  #missedSince: number | undefined;

  /** @param withdrawn what was offered is not wanted any more. */
  constructor(
    have: BitField,
    availability: Uint16Array,
    picker: Picker,
    peers: ReadonlySet<Peer>,
    withdrawn: () => void,
  ) {
    this.#have = have;
    this.#availability = availability;
    this.#picker = picker;
    this.#peers = peers;
    this.#withdrawn = withdrawn;
  }

  /** Now and then. @param isDemanded whether anything is wanted at all. */
  tick(isDemanded: boolean): void {
    if (!isDemanded || !this.#isMissed()) this.#missedSince = undefined;
    else this.#missedSince ??= clock.now;
    if (this.#isOpen) this.#look();
    else if (this.#offered.length > 0) this.#offer([]);
  }

  /** A peer says that it has a piece now. */
  shown(peer: Peer, piece: number): void {
    if (!this.#isOpen || this.#offered.length >= MOST || !isShy(peer) || !this.#mayOffer(piece)) return;
    this.#offer([...this.#offered, piece]);
  }

  /** A piece has arrived. */
  had(piece: number): void {
    if (!this.#offered.includes(piece)) return;
    this.#taken.add(piece);
    this.#offer(this.#offered.filter((other) => other !== piece));
  }

  get #isOpen(): boolean {
    return this.#missedSince !== undefined && clock.now - this.#missedSince >= PATIENCE_MS;
  }

  #isMissed(): boolean {
    for (const { pieces } of this.#picker.lanes.byRank[RANK.waiting]!)
      for (const piece of pieces) if (!this.#have.has(piece) && this.#availability[piece] === 0) return true;
    return false;
  }

  /** What shy peers have shown before. */
  #look(): void {
    const offered = this.#offered.filter((piece) => this.#availability[piece]! > 0);
    let left = MOST_LOOKED_AT;
    for (const peer of this.#peers) {
      const { have } = peer;
      if (offered.length >= MOST || left === 0) break;
      if (have === undefined || !isShy(peer)) continue;
      left -= 1;
      for (let piece = 0; piece < have.size && offered.length < MOST; piece += 1)
        if (have.has(piece) && !offered.includes(piece) && this.#mayOffer(piece)) offered.push(piece);
    }
    if (offered.length !== this.#offered.length || offered.some((piece, at) => piece !== this.#offered[at]))
      this.#offer(offered);
  }

  #mayOffer(piece: number): boolean {
    const isWanted = this.#picker.lanes.rankOf[piece] !== RANK.none;
    return !isWanted && !this.#have.has(piece) && !this.#taken.has(piece);
  }

  #offer(pieces: readonly number[]): void {
    if (pieces.length < this.#offered.length) this.#withdrawn();
    this.#offered = pieces;
    this.#picker.lanes.offer(pieces);
  }
}

/** It began with nothing, and wants nothing. */
function isShy(peer: Peer): boolean {
  return !peer.toldField && !peer.interested && peer.have?.full === false;
}
