/**
 * What is wanted, as lists of pieces ("lanes") by rank, made from a `Demand`.
 *
 * Invariant: in each lane, every piece before `cursor` is had, or all its blocks are asked for or here; whoever frees a
 * block calls `reopened`. `rankOf[piece]` is the best rank of all lanes that contain it. Lanes of readers that wait are in the order in which these are to be helped.
 */
import type { ByteRange, Demand, ReaderDemand } from '../protocol.ts';
import { clock } from './clock.ts';
import type { Layout } from './layout.ts';

/** `offered`: nobody wants it, but it is all that can be had. */
export const RANK = { none: 0, waiting: 1, ahead: 2, index: 3, rest: 4, offered: 5 } as const;

export interface Lane {
  readonly pieces: Int32Array;
  cursor: number;
}

/** Of readers that wait, the one comes first that was given a piece longest ago; who is new is taken to have been given one so long ago. */
const HEAD_START_MS = 1000;
/** The order of the rest is made anew when it is this old and something has changed since. */
const REST_AGE_MS = 2000;

export class Lanes {
  readonly #layout: Layout;
  readonly rankOf: Uint8Array;
  /** By rank. Those that wait are served in this order; within another rank the lanes take turns, beginning with `turn`. */
  readonly byRank: Lane[][] = [[], [], [], [], [], []];
  readonly turn = [0, 0, 0, 0, 0, 0];
  /** When each reader was given a piece that it waited for. */
  #served = new Map<number, number>();
  /** The readers of the lanes that wait. */
  readonly #readerOf = new WeakMap<Lane, number>();
  #rest: readonly ByteRange[] = [];
  #restMade = Number.NEGATIVE_INFINITY;
  #rarityChanged = false;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.rankOf = new Uint8Array(layout.pieceCount);
  }

  /** @returns the pieces that a reader waits for now and did not before. */
  set(demand: Demand): number[] {
    const before = this.byRank[RANK.waiting]!;
    const waited = new Set<number>();
    for (const { pieces } of before) for (const piece of pieces) waited.add(piece);
    this.rankOf.fill(RANK.none);
    for (const { pieces } of this.byRank[RANK.offered]!) for (const piece of pieces) this.rankOf[piece] = RANK.offered;
    this.#rest = demand.rest;
    this.#restMade = Number.NEGATIVE_INFINITY;
    this.byRank[RANK.rest] = [];
    for (const { start, end } of demand.rest) {
      const { first, last } = this.#span({ start, end });
      this.rankOf.fill(RANK.rest, first, last);
    }
    this.byRank[RANK.index] = demand.index.length > 0 ? [this.#lane(demand.index, RANK.index)] : [];
    const ahead = demand.readers.filter((reader) => reader.ahead.length > 0);
    this.byRank[RANK.ahead] = ahead.map((reader) => this.#lane(reader.ahead, RANK.ahead));
    this.byRank[RANK.waiting] = this.#waitingLanes(demand.readers);
    const fresh: number[] = [];
    for (const { pieces } of this.byRank[RANK.waiting]!)
      for (const piece of pieces) if (!waited.has(piece)) fresh.push(piece);
    return fresh;
  }

  #waitingLanes(readers: readonly ReaderDemand[]): Lane[] {
    const before = this.#served;
    this.#served = new Map();
    for (const { reader } of readers) this.#served.set(reader, before.get(reader) ?? clock.now - HEAD_START_MS);
    const lanes: Lane[] = [];
    for (const { reader, waiting } of readers) {
      if (waiting.length === 0) continue;
      const lane = this.#lane(waiting, RANK.waiting);
      this.#readerOf.set(lane, reader);
      lanes.push(lane);
    }
    return this.#inOrder(lanes);
  }

  #inOrder(lanes: Lane[]): Lane[] {
    const served = (lane: Lane): number => this.#served.get(this.#readerOf.get(lane)!)!;
    return lanes.sort((a, b) => served(a) - served(b));
  }

  /** A piece is had: those who waited for it stand back behind those who wait still. */
  had(piece: number): void {
    if (this.rankOf[piece] !== RANK.waiting) return;
    const lanes = this.byRank[RANK.waiting]!;
    for (const lane of lanes) if (lane.pieces.includes(piece)) this.#served.set(this.#readerOf.get(lane)!, clock.now);
    this.#inOrder(lanes);
  }

  /** Whether it is of what is most urgent of all: that of the first reader of those that wait. */
  isFirst(piece: number): boolean {
    return this.byRank[RANK.waiting]![0]?.pieces.includes(piece) ?? false;
  }

  /** What may be taken although nobody wants it, instead of what it was before. */
  offer(pieces: readonly number[]): void {
    for (const lane of this.byRank[RANK.offered]!)
      for (const piece of lane.pieces) if (this.rankOf[piece] === RANK.offered) this.rankOf[piece] = RANK.none;
    for (const piece of pieces) if (this.rankOf[piece] === RANK.none) this.rankOf[piece] = RANK.offered;
    this.byRank[RANK.offered] = pieces.length > 0 ? [{ pieces: Int32Array.from(pieces), cursor: 0 }] : [];
  }

  /** Whether anything of these ranks is wanted. */
  wants(first: number, last: number): boolean {
    for (let rank = first; rank <= last; rank += 1) if (this.byRank[rank]!.length > 0) return true;
    return false;
  }

  #span({ start, end }: ByteRange): { first: number; last: number } {
    const { pieceLength, pieceCount } = this.#layout;
    const first = Math.max(0, Math.floor(start / pieceLength));
    return { first, last: Math.max(first, Math.min(pieceCount, Math.ceil(end / pieceLength))) };
  }

  #lane(ranges: readonly ByteRange[], rank: number): Lane {
    const spans = ranges.map((range) => this.#span(range));
    const pieces = new Int32Array(spans.reduce((sum, { first, last }) => sum + last - first, 0));
    let at = 0;
    for (const { first, last } of spans)
      for (let piece = first; piece < last; piece += 1) {
        pieces[at++] = piece;
        this.rankOf[piece] = rank;
      }
    return { pieces, cursor: 0 };
  }

  /** How many peers have a piece has changed. */
  rarityChanged(): void {
    this.#rarityChanged = true;
  }

  /** Brings the lane of the rest up to date: rarest first, those that are equally rare in random order. */
  refreshRest(now: number, availability: Uint16Array, lacks: (piece: number) => boolean): void {
    if (this.#rest.length === 0) return;
    const age = now - this.#restMade;
    if (age < REST_AGE_MS || (!this.#rarityChanged && age < Number.POSITIVE_INFINITY)) return;
    this.#restMade = now;
    this.#rarityChanged = false;
    const pieces: number[] = [];
    for (const range of this.#rest) {
      const { first, last } = this.#span(range);
      for (let piece = first; piece < last; piece += 1) if (lacks(piece)) pieces.push(piece);
    }
    this.byRank[RANK.rest] = [{ pieces: byRarity(pieces, availability), cursor: 0 }];
  }

  /** A block of this piece is free again. */
  reopened(piece: number): void {
    for (const lanes of this.byRank)
      for (const lane of lanes) {
        const at = lane.pieces.subarray(0, lane.cursor).indexOf(piece);
        if (at >= 0) lane.cursor = at;
      }
  }
}

/** A counting sort, after a shuffle that keeps swarms diverse. */
function byRarity(pieces: number[], availability: Uint16Array): Int32Array {
  for (let at = pieces.length - 1; at > 0; at -= 1) {
    const other = Math.floor(Math.random() * (at + 1));
    [pieces[at], pieces[other]] = [pieces[other]!, pieces[at]!];
  }
  let most = 0;
  for (const piece of pieces) most = Math.max(most, availability[piece]!);
  const starts = new Int32Array(most + 2);
  for (const piece of pieces) starts[availability[piece]! + 1]! += 1;
  for (let count = 1; count < starts.length; count += 1) starts[count]! += starts[count - 1]!;
  const sorted = new Int32Array(pieces.length);
  for (const piece of pieces) sorted[starts[availability[piece]!]!++] = piece;
  return sorted;
}
