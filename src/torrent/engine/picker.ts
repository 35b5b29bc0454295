/**
 * Which block to ask a peer for next. In this order: what reads wait for, whoever was given something longest ago first; the windows ahead of the playheads, in turn;
 * the index; the rest; what nobody wants, where nothing else can be had. What is waited for is made by all together, piece after piece. Else a peer goes on with the piece that it is at; one that is fast enough to make a
 * piece alone begins its own; others join the first that has free blocks. Where nothing is free of what a read waits for, blocks
 * that come late are asked twice, before anything of less urgency; where nothing is free at all, it takes over from slower peers.
 */
import { ActivePiece } from './active-piece.ts';
import type { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import { type Lane, Lanes, RANK } from './lanes.ts';
import type { Layout } from './layout.ts';
import type { Peer, PeerPiece } from './peer.ts';
import { SLAB, type SlabPool } from './slab-pool.ts';
import { BLOCK } from './wire/reader.ts';

/** A peer that makes a piece in less time gets pieces of its own. */
const OWN_PIECE_SECONDS = 1;
/** How much slower a peer must be for its blocks to be taken from it: first those of the very slow, then of the slow. */
const STEAL_RATIOS = [10, 3];
/** And how much later they must be expected of it: what comes sooner is on its way already, and would come twice. */
const STEAL_SECONDS = 0.5;
/** What a read waits for is asked of another peer when it is late by so much, or would come sooner by so much and this factor. */
const LATE_SECONDS = 0.15;
const SOONER = 1.5;
/** One of two who were asked for it gives way to a third one that would send it so much sooner, or when it is so late although it has sent something before. */
const LOST_SECONDS = 1;
/** And when the peer has answered what it was asked for so much later. */
const PASSED_OVER_SECONDS = 0.5;
/** Of what one peer must make alone: how many times longer its rest must take than all of it elsewhere, and how long it may stand still, before another begins it anew. */
const ALONE_RATIO = 3;
const ALONE_STILL_MS = 3000;
/** When a look for blocks to take over found nothing, it is not repeated before. */
const STEAL_PAUSE_MS = 50;

interface PickerOwner {
  /** A piece that is being made now; the owner fills in padding. */
  activated(piece: PeerPiece): void;
  /** Memory is short: pieces that nobody wants any more may go. */
  reclaim(): void;
  /** What was made of the piece is thrown away. */
  restart(piece: PeerPiece): void;
  /** Whether a peer that is no reserve would answer a request for this piece. */
  isOffered(piece: number): boolean;
  /** Whether a peer that has sent a verified piece would send this one. */
  isOfferedByUseful(piece: number): boolean;
}

export class Picker {
  readonly lanes: Lanes;
  /** The pieces in the making, by number and in the order of their beginning. */
  readonly active: (PeerPiece | undefined)[];
  readonly making = new Set<PeerPiece>();
  readonly #layout: Layout;
  readonly #have: BitField;
  readonly #pool: SlabPool;
  readonly #availability: Uint16Array;
  readonly #owner: PickerOwner;
  readonly #slab: number;
  readonly #stride: number;
  /** There was no memory for another piece. */
  #short = false;
  readonly #hurryAgain = new WeakMap<Peer, number>();
  readonly #stealAgain = new WeakMap<Peer, number>();

  constructor(layout: Layout, have: BitField, pool: SlabPool, availability: Uint16Array, owner: PickerOwner) {
    this.lanes = new Lanes(layout);
    this.active = new Array<PeerPiece | undefined>(layout.pieceCount).fill(undefined);
    this.#layout = layout;
    this.#have = have;
    this.#pool = pool;
    this.#availability = availability;
    this.#owner = owner;
    this.#slab = Math.min(SLAB, layout.pieceLength);
    this.#stride = Math.ceil(layout.pieceLength / BLOCK);
  }

  keyOf(piece: number, block: number): number {
    return piece * this.#stride + block;
  }

  pieceOf(key: number): number {
    return Math.floor(key / this.#stride);
  }

  blockOf(key: number): number {
    return key % this.#stride;
  }

  /** The piece is had, or given up. */
  finished(piece: PeerPiece): void {
    if (this.active[piece.index] === piece) this.active[piece.index] = undefined;
    this.making.delete(piece);
  }

  /** Asks the peer for as much as it may be asked for now, at most `most` blocks. @returns how many. */
  fill(peer: Peer, most: number): number {
    let left = Math.min(peer.room, most);
    const all = left;
    while (left > 0) {
      let asked = this.#fillFrom(RANK.waiting, RANK.waiting, peer, left);
      // What a read waits for is asked twice before anything else is asked once.
      if (asked === 0) asked = this.#takeOver(RANK.waiting, RANK.waiting, this.#hurryAgain, peer, left);
      if (asked === 0) asked = this.#fillFrom(RANK.ahead, RANK.offered, peer, left);
      // Without memory there is work enough under way: nothing to take from others.
      if (asked === 0 && !this.#short) asked = this.#takeOver(RANK.ahead, RANK.rest, this.#stealAgain, peer, left);
      if (asked === 0) break;
      left -= asked;
    }
    return all - left;
  }

  /** @returns how many blocks it was asked for. */
  #fillFrom(first: number, last: number, peer: Peer, most: number): number {
    const piece = this.#choose(first, last, peer);
    return piece === undefined ? 0 : this.#askFrom(piece, peer, most);
  }

  #askFrom(piece: PeerPiece, peer: Peer, most: number): number {
    const rank = this.lanes.rankOf[piece.index];
    peer.current = piece;
    let asked = 0;
    while (asked < most) {
      const block = piece.nextFree(rank === RANK.waiting);
      if (block < 0) break;
      this.#ask(piece, block, peer);
      asked += 1;
    }
    return asked;
  }

  #ask(piece: PeerPiece, block: number, peer: Peer): void {
    piece.ask(block, peer);
    peer.ask(this.keyOf(piece.index, block), piece.index, block * BLOCK, piece.blockLength(block));
  }

  #choose(first: number, last: number, peer: Peer): PeerPiece | undefined {
    this.#short = false;
    if (last >= RANK.rest) this.lanes.refreshRest(clock.now, this.#availability, (piece) => !this.#have.has(piece));
    for (let rank = first; rank <= last; rank += 1) {
      const lanes = this.lanes.byRank[rank]!;
      if (lanes.length === 0) continue;
      const urgent = rank === RANK.waiting;
      const { current } = peer;
      if (
        !urgent &&
        current !== undefined &&
        this.lanes.rankOf[current.index] === rank &&
        this.active[current.index] === current &&
        this.#mayAsk(peer, current.index, rank) &&
        this.#mayJoin(current, peer) &&
        current.nextFree(urgent) >= 0
      )
        return current;
      const found = this.#chooseFrom(lanes, rank, peer);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #chooseFrom(lanes: readonly Lane[], rank: number, peer: Peer): PeerPiece | undefined {
    const turn = rank === RANK.waiting ? 0 : this.lanes.turn[rank]!;
    for (let step = 0; step < lanes.length; step += 1) {
      const at = (turn + step) % lanes.length;
      const found = this.#find(lanes[at]!, rank, peer);
      if (found === undefined) continue;
      this.lanes.turn[rank] = at + 1;
      return found;
    }
    return undefined;
  }

  /** The first piece of a lane that this peer can go to work on. */
  #find(lane: Lane, rank: number, peer: Peer): PeerPiece | undefined {
    this.#advance(lane);
    const urgent = rank === RANK.waiting;
    const alone = !urgent && peer.rate * OWN_PIECE_SECONDS >= this.#layout.pieceLength;
    let second: PeerPiece | undefined;
    for (let at = lane.cursor; at < lane.pieces.length; at += 1) {
      const index = lane.pieces[at]!;
      if (this.#have.has(index) || !this.#mayAsk(peer, index, rank)) continue;
      const piece = this.active[index];
      if (piece === undefined) {
        const begun = this.#begin(index, urgent);
        if (this.#short) return second ?? this.#joinAny(rank, peer);
        if (begun === undefined || begun.free === 0) continue;
        if (!this.#mayJoin(begun, peer)) continue;
        if (alone) begun.owner = peer;
        return begun;
      }
      if (piece.free === 0 || !this.#mayJoin(piece, peer) || piece.nextFree(urgent) < 0) continue;
      if (!alone || piece.owner === undefined || piece.owner === peer || piece.owner.gone) return piece;
      second ??= piece;
    }
    return second;
  }

  /** No piece can be begun now: one of those in the making. */
  #joinAny(rank: number, peer: Peer): PeerPiece | undefined {
    for (const piece of this.making) {
      if (this.lanes.rankOf[piece.index] !== rank || piece.free === 0 || !this.#mayAsk(peer, piece.index, rank))
        continue;
      if (this.#mayJoin(piece, peer) && piece.nextFree(rank === RANK.waiting) >= 0) return piece;
    }
    return undefined;
  }

  #advance(lane: Lane): void {
    while (lane.cursor < lane.pieces.length) {
      const index = lane.pieces[lane.cursor]!;
      if (!this.#have.has(index) && this.active[index]?.free !== 0) return;
      lane.cursor += 1;
    }
  }

  #begin(index: number, urgent: boolean): PeerPiece | undefined {
    if (!this.#pool.hasRoom(this.#slab, urgent)) this.#owner.reclaim();
    this.#short = !this.#pool.hasRoom(this.#slab, urgent);
    if (this.#short) return undefined;
    const piece = new ActivePiece<Peer>(index, this.#layout.lengthOf(index), this.#layout.pieceLength, this.#pool);
    this.active[index] = piece;
    this.making.add(piece);
    this.#owner.activated(piece);
    return piece;
  }

  /** A reserve waits for what is urgent, and for what nobody else gives. */
  #mayAsk(peer: Peer, index: number, rank: number): boolean {
    if (!peer.offers(index)) return false;
    return !peer.known.isReserve || rank === RANK.waiting || !this.#owner.isOffered(index);
  }

  /**
   * Those under suspicion work alone, and what must be made by one peer is: by one that has given something, as long as such a one is there. (Silent peers would
   * hold it for seconds, one after the other.)
   */
  #mayJoin(piece: PeerPiece, peer: Peer): boolean {
    if (piece.solo === peer) return true;
    // Of what nobody has been asked for, nobody is in charge yet.
    if (!piece.untouched) return piece.solo === undefined && !piece.needsSolo && !peer.known.suspected;
    if (piece.needsSolo && !peer.known.useful && this.#owner.isOfferedByUseful(piece.index)) return false;
    piece.solo = piece.needsSolo || peer.known.suspected ? peer : undefined;
    return true;
  }

  /** Nothing is free: blocks that others are late with. `again` says when a peer may be looked at anew. */
  #takeOver(first: number, last: number, again: WeakMap<Peer, number>, peer: Peer, most: number): number {
    if ((again.get(peer) ?? 0) > clock.now || !this.lanes.wants(first, last)) return 0;
    let asked = 0;
    for (const ratio of STEAL_RATIOS) {
      for (let rank = first; rank <= last && asked < most; rank += 1)
        for (const piece of this.making) {
          if (this.lanes.rankOf[piece.index] !== rank || piece.complete || asked >= most) continue;
          if (!peer.offers(piece.index)) continue;
          if (this.#isHeldUp(piece, peer)) return this.#beginAnew(piece, peer, rank, most);
          if (piece.solo === undefined && !piece.needsSolo && !peer.known.suspected)
            asked += this.#takeFrom(piece, peer, rank, ratio, most - asked);
        }
      if (asked > 0) return asked;
    }
    again.set(peer, clock.now + STEAL_PAUSE_MS);
    return 0;
  }

  /** Whether somebody makes it alone whom this peer would overtake by far, even from the beginning. */
  #isHeldUp(piece: PeerPiece, { known, rate }: Peer): boolean {
    const { solo } = piece;
    if (solo === undefined || solo.known === known || !known.useful || known.isReserve || rate === 0) return false;
    const left = (piece.length - piece.arrivedBytes) / Math.max(solo.rate, 1024);
    const isStill = clock.now - piece.movedAt > ALONE_STILL_MS;
    return isStill || left > (piece.length / rate) * ALONE_RATIO + STEAL_SECONDS;
  }

  #beginAnew(piece: PeerPiece, peer: Peer, rank: number, most: number): number {
    this.#owner.restart(piece);
    const begun = this.#begin(piece.index, rank === RANK.waiting);
    return begun !== undefined && this.#mayJoin(begun, peer) ? this.#askFrom(begun, peer, most) : 0;
  }

  /** Two are asked for the block: one from whom it does not come gives way to a peer that sends. @returns whether one did. */
  #replaces(piece: PeerPiece, block: number, peer: Peer): boolean {
    if (piece.secondOf(block) === peer || peer.downloaded === 0 || peer.owes || peer.isLate(0)) return false;
    const key = this.keyOf(piece.index, block);
    const soon = peer.queueSeconds * SOONER + LOST_SECONDS;
    for (const other of [piece.askedOf(block), piece.secondOf(block)]) {
      if (other === undefined) continue;
      // Who has sent something gets the time for it: else those that all stand still for a moment would take it from each other.
      const askedFor = (clock.now - (other.asked.get(key) ?? clock.now)) / 1000;
      if (other.downloaded > 0 && askedFor < LOST_SECONDS) continue;
      const isLost = other.isLate(other.downloaded === 0 ? LATE_SECONDS : LOST_SECONDS);
      if (!isLost && other.secondsUntil(key) < soon && !other.isPassedOver(key, PASSED_OVER_SECONDS)) continue;
      this.#takeAway(piece, block, other);
      return true;
    }
    return false;
  }

  #takeAway(piece: PeerPiece, block: number, peer: Peer): void {
    // It could be sending it, into memory that is another one's from now on.
    peer.detach(piece, block);
    piece.unask(block, peer);
    peer.cancel(this.keyOf(piece.index, block), piece.index, block * BLOCK, piece.blockLength(block));
  }

  #takeFrom(piece: PeerPiece, peer: Peer, rank: number, ratio: number, most: number): number {
    let taken = 0;
    for (let block = 0; block < piece.blocks && taken < most; block += 1) {
      const other = piece.askedOf(block);
      if (other === undefined || other === peer) continue;
      const key = this.keyOf(piece.index, block);
      if (piece.secondOf(block) !== undefined) {
        if (rank !== RANK.waiting || !this.#replaces(piece, block, peer)) continue;
      } else if (rank === RANK.waiting) {
        const soonest = peer.queueSeconds * SOONER + LATE_SECONDS;
        const isLate = other.isLate(LATE_SECONDS) || other.isPassedOver(key, PASSED_OVER_SECONDS);
        if (!isLate && (other.queueSeconds < soonest || other.secondsUntil(key) < soonest)) continue;
      } else {
        const age = (clock.now - (other.asked.get(key) ?? clock.now)) / 1000;
        const receiving = other.receiving === piece && other.receivingBlock === block;
        const slower = !receiving && !peer.known.isReserve && peer.rate >= other.rate * ratio;
        const pays = slower && other.secondsUntil(key) > peer.queueSeconds + STEAL_SECONDS;
        if (!pays && age < 3 * other.queueSeconds + 1) continue;
        this.#takeAway(piece, block, other);
      }
      this.#ask(piece, block, peer);
      taken += 1;
    }
    return taken;
  }
}
