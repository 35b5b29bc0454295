/**
 * Who is to blame for a bad piece. With one sender it is that one. With several, digests of all blocks are kept, the piece is
 * made again by one peer alone, and whoever had sent another block than the right one is the liar. Until then all of
 * them are suspected and work alone, so that the next bad piece of the liar names it at once.
 *
 * Invariant: a piece has an entry in `#cases` from the time it was bad until it is good.
 */
import { createHash } from 'node:crypto';
import type { ChunkStore } from './chunk-store.ts';
import type { Layout } from './layout.ts';
import type { PeerPiece } from './peer.ts';
import type { KnownPeer } from './peer-book.ts';
import { BLOCK } from './wire/reader.ts';

interface Case {
  readonly senders: readonly (KnownPeer | undefined)[];
  /** Of each block as it was sent. */
  readonly digests: readonly Buffer[];
}

interface TrustOwner {
  ban(known: KnownPeer, reason: string): void;
  /** Throws away what was made of a piece. */
  restart(piece: PeerPiece): void;
  making(): Iterable<PeerPiece>;
}

const REASON = 'sent data that is not the torrent';

export class Trust {
  readonly #layout: Layout;
  readonly #store: ChunkStore;
  readonly #owner: TrustOwner;
  readonly #cases = new Map<number, Case>();

  constructor(layout: Layout, store: ChunkStore, owner: TrustOwner) {
    this.#layout = layout;
    this.#store = store;
    this.#owner = owner;
  }

  /** Whether the piece must come from one peer. */
  needsSolo(index: number): boolean {
    return this.#cases.has(index);
  }

  /** A piece as it lies on the disk is wrong. `done` is called when it may be made again. */
  bad(piece: PeerPiece, done: () => void): void {
    const senders = piece.contributors();
    const [only] = senders;
    if (senders.size < 2) {
      if (only !== undefined) this.#owner.ban(only, REASON);
      done();
      return;
    }
    for (const known of senders) known.suspected = true;
    // What they are at work on together would only accuse them again.
    for (const other of [...this.#owner.making()])
      if (other !== piece && !other.complete && other.isTouchedBy(senders)) this.#owner.restart(other);
    this.#digests(piece, (digests) => {
      if (digests !== undefined) this.#cases.set(piece.index, { senders: piece.by, digests });
      else for (const known of senders) known.suspected = false;
      done();
    });
  }

  /** A piece is right. If it was wrong before, this tells by whom. */
  good(piece: PeerPiece): void {
    const open = this.#cases.get(piece.index);
    if (open === undefined) return;
    this.#digests(piece, (digests) => {
      this.#cases.delete(piece.index);
      const liars = new Set<KnownPeer>();
      for (const [block, known] of open.senders.entries())
        if (known !== undefined && digests?.[block]?.equals(open.digests[block]!) === false) liars.add(known);
      for (const liar of liars) this.#owner.ban(liar, REASON);
      for (const known of open.senders) if (known !== undefined) known.suspected = this.#suspects(known);
    });
  }

  #suspects(known: KnownPeer): boolean {
    for (const { senders } of this.#cases.values()) if (senders.includes(known)) return true;
    return false;
  }

  /** A digest of each block on the disk; undefined when it can't be read. */
  #digests(piece: PeerPiece, done: (digests: Buffer[] | undefined) => void): void {
    const digests: Buffer[] = [];
    const block = Buffer.allocUnsafe(BLOCK);
    const next = (): void => {
      if (digests.length === piece.blocks) {
        done(digests);
        return;
      }
      const at = digests.length;
      const into = block.subarray(0, piece.blockLength(at));
      this.#store.read(piece.index * this.#layout.pieceLength + at * BLOCK, into, (error) => {
        if (error !== null) {
          done(undefined);
          return;
        }
        digests.push(createHash('sha1').update(into).digest());
        next();
      });
    };
    next();
  }
}
