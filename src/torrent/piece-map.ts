/**
 * Which pieces of a torrent are at hand, and who waits for which.
 *
 * Invariant: a waiter is in the sets of exactly those of its pieces that are missing; it is settled when there are none, and is then in no set.
 */
import type { ByteRange } from './protocol.ts';

interface Waiter {
  missing: number;
  readonly pieces: readonly number[];
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class PieceMap {
  readonly pieceLength: number;
  /** Bytes of torrent space. */
  readonly totalLength: number;
  readonly count: number;
  readonly #have: Uint8Array;
  readonly #waiters = new Map<number, Set<Waiter>>();
  #complete = 0;
  #bytes = 0;

  /** @param have BEP 3 bit field; it is copied. */
  constructor(pieceLength: number, totalLength: number, have: Uint8Array) {
    this.pieceLength = pieceLength;
    this.totalLength = totalLength;
    this.count = Math.ceil(totalLength / pieceLength);
    this.#have = new Uint8Array(Math.ceil(this.count / 8));
    for (let piece = 0; piece < this.count; piece++) if (bit(have, piece)) this.#set(piece);
  }

  /** How many pieces are at hand. */
  get complete(): number {
    return this.#complete;
  }

  /** Bytes of the pieces that are at hand. */
  get bytes(): number {
    return this.#bytes;
  }

  has(piece: number): boolean {
    return bit(this.#have, piece);
  }

  /** Bytes: all but the last piece are of one length. */
  lengthOf(piece: number): number {
    return Math.min(this.pieceLength, this.totalLength - piece * this.pieceLength);
  }

  /** The pieces that a range touches, as `[first, end)`. */
  piecesOf({ start, end }: ByteRange): { first: number; end: number } {
    return { first: Math.floor(start / this.pieceLength), end: Math.ceil(end / this.pieceLength) };
  }

  isComplete(range: ByteRange): boolean {
    const { first, end } = this.piecesOf(range);
    for (let piece = first; piece < end; piece++) if (!this.has(piece)) return false;
    return true;
  }

  /** Bytes of the range that are at hand. */
  bytesAtHand(range: ByteRange): number {
    const { first, end } = this.piecesOf(range);
    let bytes = 0;
    for (let piece = first; piece < end; piece++) {
      if (!this.has(piece)) continue;
      const from = piece * this.pieceLength;
      bytes += Math.min(range.end, from + this.lengthOf(piece)) - Math.max(range.start, from);
    }
    return bytes;
  }

  /** How much of each of `parts` equal parts of the range is at hand, 0 to 9. */
  sketch(range: ByteRange, parts: number): string {
    const step = (range.end - range.start) / parts;
    return Array.from({ length: parts }, (_, n) => {
      const start = Math.floor(range.start + n * step);
      const end = Math.max(start + 1, Math.floor(range.start + (n + 1) * step));
      return Math.floor((9 * this.bytesAtHand({ start, end })) / (end - start));
    }).join('');
  }

  /** Those of them that were not at hand before. */
  add(pieces: readonly number[]): number[] {
    const fresh: number[] = [];
    for (const piece of pieces) {
      if (piece < 0 || piece >= this.count || this.has(piece)) continue;
      fresh.push(piece);
      this.#set(piece);
      for (const waiter of this.#waiters.get(piece) ?? []) {
        waiter.missing -= 1;
        if (waiter.missing === 0) waiter.resolve();
      }
      this.#waiters.delete(piece);
    }
    return fresh;
  }

  /** Forgets pieces; who waits for others besides goes on waiting for these too. */
  remove(pieces: readonly number[]): void {
    for (const piece of pieces) {
      if (!this.has(piece)) continue;
      this.#have[piece >> 3] = (this.#have[piece >> 3] as number) & ~(0x80 >> (piece & 7));
      this.#complete -= 1;
      this.#bytes -= this.lengthOf(piece);
      const waiting = [...this.#waiters.values()].flatMap((set) => [...set]).filter((w) => w.pieces.includes(piece));
      for (const waiter of new Set(waiting)) {
        waiter.missing += 1;
        this.#join(piece, waiter);
      }
    }
  }

  /** Resolves when the whole range is at hand. @throws the reason of the first signal that aborts; what `fail` is given. */
  async wait(range: ByteRange, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    for (const signal of signals) signal?.throwIfAborted();
    const { first, end } = this.piecesOf(range);
    const pieces: number[] = [];
    for (let piece = first; piece < end; piece++) if (!this.has(piece)) pieces.push(piece);
    if (pieces.length === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { missing: pieces.length, pieces, resolve, reject };
    for (const piece of pieces) this.#join(piece, waiter);
    const leave = (): void => reject(signals.find((signal) => signal?.aborted)?.reason);
    for (const signal of signals) signal?.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      for (const signal of signals) signal?.removeEventListener('abort', leave);
      for (const piece of pieces) this.#leave(piece, waiter);
    }
  }

  /** Ends all waits. */
  fail(reason: unknown): void {
    for (const waiters of [...this.#waiters.values()]) for (const waiter of waiters) waiter.reject(reason);
  }

  #join(piece: number, waiter: Waiter): void {
    const waiters = this.#waiters.get(piece) ?? new Set();
    waiters.add(waiter);
    this.#waiters.set(piece, waiters);
  }

  #leave(piece: number, waiter: Waiter): void {
    const waiters = this.#waiters.get(piece);
    if (waiters?.delete(waiter) && waiters.size === 0) this.#waiters.delete(piece);
  }

  #set(piece: number): void {
    this.#have[piece >> 3] = (this.#have[piece >> 3] as number) | (0x80 >> (piece & 7));
    this.#complete += 1;
    this.#bytes += this.lengthOf(piece);
  }
}

function bit(field: Uint8Array, piece: number): boolean {
  return ((field[piece >> 3] ?? 0) & (0x80 >> (piece & 7))) !== 0;
}

/** Their numbers. */
export function allPieces({ count }: PieceMap): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

/** Of a bit field as BEP 3 has it. */
export function hasBit(field: Uint8Array, n: number): boolean {
  return ((field[n >> 3] ?? 0) & (0x80 >> (n & 7))) !== 0;
}
