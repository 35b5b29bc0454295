/**
 * Downloading one torrent whose metadata is known: blocks in, verified pieces out.
 *
 * Invariant: a piece is had (`have`), in the making (`picker.active`), or neither. A block that a peer is asked for is in
 * the peer's `asked` and in its piece, or in neither. A piece moves from the making to had when all its parts are
 * written and its hash is right.
 */
import type { Demand } from '../protocol.ts';
import type { BitField } from './bit-field.ts';
import type { ChunkStore } from './chunk-store.ts';
import { clock } from './clock.ts';
import { RANK } from './lanes.ts';
import type { Layout } from './layout.ts';
import { Offers } from './offers.ts';
import type { Peer, PeerPiece } from './peer.ts';
import type { KnownPeer } from './peer-book.ts';
import { Picker } from './picker.ts';
import type { SlabPool } from './slab-pool.ts';
import { Trust } from './trust.ts';
import { BLOCK, type MessageReader, WireError } from './wire/reader.ts';

/** What all peers together may be asked for, of the memory for pieces in the making. */
const POOL_SHARE = 0.6;

interface DownloadOwner {
  /** Connected and past the handshake. */
  readonly peers: ReadonlySet<Peer>;
  verified(piece: number): void;
  ban(known: KnownPeer, reason: string): void;
  storageFailed(error: NodeJS.ErrnoException): void;
  /** How many bytes may be asked for now, of all torrents together; and that so many were. */
  allowance(): number;
  spent(bytes: number): void;
}

/** A request that a peer has passed over for so long is taken back. */
const PASSED_OVER_SECONDS = 5;
/** Nobody has been asked for the rest of a piece for so long. */
const STUCK_MS = 3000;
/** With so many seconds of requests before it, what a reader waits for goes first. */
const PREEMPT_SECONDS = 0.1;
/** The oldest requests are on their way already. */
const PREEMPT_SPARES = 2;

export class Download {
  readonly layout: Layout;
  readonly have: BitField;
  /** How many peers have each piece. */
  readonly availability: Uint16Array;
  readonly picker: Picker;
  readonly #store: ChunkStore;
  readonly #pool: SlabPool;
  readonly #owner: DownloadOwner;
  readonly #trust: Trust;
  readonly #offers: Offers;
  readonly #unpadded = new Set<number>();
  #demanded = false;
  /** Since the last demand, pieces in the making that nobody wants have not been thrown away. */
  #unwanted = false;
  /** Writing failed: nothing is asked for until somebody says so. */
  #paused = false;
  downloaded = 0;
  verifiedBytes = 0;
  wasted = 0;
  badPieces = 0;

  constructor(layout: Layout, store: ChunkStore, pool: SlabPool, have: BitField, owner: DownloadOwner) {
    this.layout = layout;
    this.have = have;
    this.availability = new Uint16Array(layout.pieceCount);
    this.#store = store;
    this.#pool = pool;
    this.#owner = owner;
    this.#trust = new Trust(layout, store, {
      ban: (known, reason) => owner.ban(known, reason),
      restart: (piece) => this.#restart(piece),
      making: () => this.picker.making,
    });
    this.picker = new Picker(layout, have, pool, this.availability, {
      activated: (piece) => this.#activated(piece),
      reclaim: () => this.#reclaim(),
      restart: (piece) => this.#restart(piece),
      isOffered: (piece) => this.#isOfferedBy(({ isReserve }) => !isReserve, piece),
      isOfferedByUseful: (piece) => this.#isOfferedBy(({ useful }) => useful, piece),
    });
    this.#offers = new Offers(have, this.availability, this.picker, owner.peers, () => {
      this.#unwanted = true;
    });
  }

  // Demand

  setDemand(demand: Demand): void {
    const fresh = this.picker.lanes.set(demand);
    const { readers, index, rest } = demand;
    this.#demanded =
      rest.length > 0 || index.length > 0 || readers.some((one) => one.waiting.length + one.ahead.length > 0);
    this.#paused = false;
    this.#unwanted = true;
    for (const peer of this.#owner.peers) this.#withdraw(peer, (key) => this.#rankOf(key) === RANK.none, 0);
    if (!this.#demanded) this.#reclaim();
    else this.#preempt(fresh.filter((piece) => !this.have.has(piece) && this.picker.active[piece]?.free !== 0));
    this.fillAll();
  }

  #rankOf(key: number): number {
    return this.picker.lanes.rankOf[this.picker.pieceOf(key)]!;
  }

  /** A reader waits: what is asked for beyond what is on its way already, and is less urgent, goes behind it. @param fresh what it waits for. */
  #preempt(fresh: readonly number[]): void {
    if (fresh.length === 0) return;
    const { lanes } = this.picker;
    const first = fresh.some((piece) => lanes.isFirst(piece));
    const isBehind = (key: number): boolean =>
      this.#rankOf(key) !== RANK.waiting || (first && !lanes.isFirst(this.picker.pieceOf(key)));
    for (const peer of this.#owner.peers)
      if (peer.queueSeconds > PREEMPT_SECONDS) this.#withdraw(peer, isBehind, PREEMPT_SPARES);
  }

  /** Cancels the requests that `which` chooses, except the first `spared` of all. */
  #withdraw(peer: Peer, which: (key: number) => boolean, spared: number): void {
    let seen = 0;
    for (const key of peer.asked.keys()) {
      seen += 1;
      if (seen <= spared || !which(key)) continue;
      const index = this.picker.pieceOf(key);
      const block = this.picker.blockOf(key);
      const piece = this.picker.active[index];
      if (peer.receiving === piece && peer.receivingBlock === block) continue;
      if (piece !== undefined) this.#unask(piece, block, peer);
      peer.cancel(key, index, block * BLOCK, this.#lengthOf(index, block));
    }
  }

  #lengthOf(piece: number, block: number): number {
    return Math.min(BLOCK, this.layout.lengthOf(piece) - block * BLOCK);
  }

  resume(): void {
    this.#paused = false;
    this.fillAll();
  }

  fillAll(): void {
    for (const peer of this.#owner.peers) if (!peer.known.isReserve) this.fill(peer);
    for (const peer of this.#owner.peers) if (peer.known.isReserve) this.fill(peer);
  }

  #isOfferedBy(which: (known: KnownPeer) => boolean, piece: number): boolean {
    for (const peer of this.#owner.peers)
      if (which(peer.known) && peer.have !== undefined && peer.offers(piece)) return true;
    return false;
  }

  fill(peer: Peer): void {
    if (!this.#demanded || this.#paused || peer.have === undefined || peer.gone || !peer.hungry) return;
    if (peer.choking && peer.allowedFast.size === 0) return;
    const share = Math.ceil((this.#pool.limit * POOL_SHARE) / this.#owner.peers.size / BLOCK) - peer.asked.size;
    const most = Math.min(share, Math.ceil(this.#owner.allowance() / BLOCK));
    if (most > 0) this.#owner.spent(this.picker.fill(peer, most) * BLOCK);
  }

  // What peers send

  blockBegins(peer: Peer, reader: MessageReader, index: number, begin: number, length: number): void {
    const block = begin / BLOCK;
    if (!Number.isInteger(block) || begin >= this.layout.lengthOf(index) || length !== this.#lengthOf(index, block))
      throw new WireError('a block of another extent than was asked for');
    peer.receiving = undefined;
    const piece = this.picker.active[index];
    const key = this.picker.keyOf(index, block);
    peer.answers(key);
    if (!peer.asked.has(key)) {
      peer.tolerate();
      if (piece === undefined || !this.#adopt(piece, block, peer)) return;
    }
    if (piece === undefined || piece.isHere(block)) return;
    for (const other of [piece.askedOf(block), piece.secondOf(block)])
      if (other !== undefined && other !== peer) other.detach(piece, block);
    peer.receiving = piece;
    peer.receivingBlock = block;
    reader.setSink(piece.memoryOf(block), piece.placeOf(block));
  }

  /** A block that was cancelled, and comes all the same: welcome, before another peer that is asked for it has begun. */
  #adopt(piece: PeerPiece, block: number, peer: Peer): boolean {
    if (piece.isHere(block) || !piece.isOpen(block) || (piece.solo !== undefined && piece.solo !== peer)) return false;
    if (piece.needsSolo || peer.known.suspected) return false;
    const others = [piece.askedOf(block), piece.secondOf(block)].filter((other) => other !== undefined);
    if (others.some((other) => other.receiving === piece && other.receivingBlock === block)) return false;
    for (const other of others) {
      this.#unask(piece, block, other);
      other.cancel(this.picker.keyOf(piece.index, block), piece.index, block * BLOCK, piece.blockLength(block));
    }
    piece.ask(block, peer);
    for (const other of others) this.fill(other);
    return true;
  }

  blockEnds(peer: Peer, index: number, begin: number, length: number): void {
    const block = begin / BLOCK;
    this.downloaded += length;
    peer.counted(length);
    peer.answered(this.picker.keyOf(index, block));
    const piece = peer.receiving;
    peer.receiving = undefined;
    if (piece === undefined || piece.dropped || piece.isHere(block)) this.wasted += length;
    else this.#arrived(piece, block, peer);
    this.fill(peer);
  }

  #arrived(piece: PeerPiece, block: number, peer: Peer | undefined): void {
    for (const other of [piece.askedOf(block), piece.secondOf(block)])
      if (other !== undefined && other !== peer) {
        other.detach(piece, block);
        other.cancel(this.picker.keyOf(piece.index, block), piece.index, block * BLOCK, piece.blockLength(block));
      }
    const part = piece.arrived(block, peer?.known);
    if (part === undefined) return;
    this.#store.write(piece.index * this.layout.pieceLength + part.at, part.bytes, (error) => {
      if (error !== null && !piece.dropped) this.#giveUp(piece);
      piece.wrote(part.index);
      if (error !== null) this.#failed(error);
      else if (!piece.dropped && piece.complete && piece.settled) this.#judge(piece);
    });
  }

  #judge(piece: PeerPiece): void {
    const { index } = piece;
    const wanted = this.layout.hashes.subarray(index * 20, index * 20 + 20);
    if (piece.digest().equals(wanted)) {
      this.picker.finished(piece);
      this.picker.lanes.had(index);
      this.#offers.had(index);
      this.have.set(index);
      this.verifiedBytes += piece.length;
      for (const known of piece.contributors()) known.useful = true;
      this.#trust.good(piece);
      this.#owner.verified(index);
      return;
    }
    this.badPieces += 1;
    this.wasted += piece.length;
    // Padding that the hash contradicts is asked for like everything else.
    this.#unpadded.add(index);
    this.#trust.bad(piece, () => {
      this.picker.finished(piece);
      this.picker.lanes.reopened(index);
      this.fillAll();
    });
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#paused) return;
    this.#paused = true;
    for (const peer of this.#owner.peers) this.#withdraw(peer, () => true, 0);
    this.#owner.storageFailed(error);
  }

  // What does not come

  /** It takes requests again. Those from before it choked us it had to reject by then (BEP 6), but not everybody does. */
  unchoked(peer: Peer): void {
    const isVoid = (key: number): boolean =>
      peer.asked.get(key)! <= peer.chokedAt && !peer.allowedFast.has(this.picker.pieceOf(key));
    this.#withdraw(peer, isVoid, 0);
    this.fillAll();
  }

  rejected(peer: Peer, index: number, begin: number): void {
    const block = Math.floor(begin / BLOCK);
    if (!peer.answered(this.picker.keyOf(index, block))) return;
    // It may have rejected what it offered by the fast extension, or no longer has.
    if (peer.choking) peer.allowedFast.delete(index);
    else peer.rejections += 1;
    this.#lost(peer, this.picker.keyOf(index, block));
    if (peer.rejections < 100) this.fill(peer);
  }

  /** These requests of a peer will not be answered. */
  lost(peer: Peer, keys: Iterable<number>): void {
    for (const key of keys) this.#lost(peer, key);
    this.fillAll();
  }

  #lost(peer: Peer, key: number): void {
    const piece = this.picker.active[this.picker.pieceOf(key)];
    const block = this.picker.blockOf(key);
    if (piece === undefined || (peer.receiving === piece && peer.receivingBlock === block && !peer.gone)) return;
    this.#unask(piece, block, peer);
  }

  #unask(piece: PeerPiece, block: number, peer: Peer): void {
    if (piece.unask(block, peer)) this.picker.lanes.reopened(piece.index);
  }

  /** The peer is gone: what it was asked for, and pieces that only it may make. */
  left(peer: Peer): void {
    const { receiving } = peer;
    if (receiving !== undefined && !receiving.dropped) this.#unask(receiving, peer.receivingBlock, peer);
    peer.receiving = undefined;
    for (const key of peer.asked.keys()) this.#lost(peer, key);
    peer.asked.clear();
    for (const piece of [...this.picker.making]) if (piece.solo === peer && !piece.complete) this.#restart(piece);
    const { have } = peer;
    if (have !== undefined) this.count(have, -1);
    this.fillAll();
  }

  /** All that was made of it is void; it will be made by one peer alone. */
  #restart(piece: PeerPiece): void {
    this.wasted += this.#giveUp(piece);
  }

  /** @returns bytes thrown away. */
  #giveUp(piece: PeerPiece): number {
    for (const peer of this.#owner.peers)
      if (peer.receiving === piece) {
        peer.receiving = undefined;
        peer.dropSink();
      }
    const bytes = piece.arrivedBytes;
    for (const { block, peer } of piece.abandon())
      peer.cancel(this.picker.keyOf(piece.index, block), piece.index, block * BLOCK, piece.blockLength(block));
    this.picker.finished(piece);
    this.picker.lanes.reopened(piece.index);
    return bytes;
  }

  #activated(piece: PeerPiece): void {
    piece.needsSolo = this.#trust.needsSolo(piece.index);
    if (!this.#unpadded.has(piece.index)) this.#pad(piece);
  }

  /** Blocks that lie in padding need not be asked for: they are zeros. */
  #pad(piece: PeerPiece): void {
    const start = piece.index * this.layout.pieceLength;
    for (const pad of this.layout.padding) {
      if (pad.end <= start || pad.start >= start + piece.length) continue;
      const first = Math.ceil(Math.max(0, pad.start - start) / BLOCK);
      for (let block = first; block < piece.blocks; block += 1) {
        if (start + block * BLOCK + piece.blockLength(block) > pad.end) break;
        if (!piece.open(block)) return;
        piece.memoryOf(block).fill(0, piece.placeOf(block), piece.placeOf(block) + piece.blockLength(block));
        this.#arrived(piece, block, undefined);
      }
    }
  }

  #reclaim(): void {
    if (!this.#unwanted) return;
    this.#unwanted = false;
    for (const piece of [...this.picker.making])
      if (this.picker.lanes.rankOf[piece.index] === RANK.none && !piece.complete) this.#restart(piece);
  }

  /**
   * Now and then: what peers have passed over is asked for again, and a piece that those who are here may not finish (it is another's, who is gone or suspected) begins
   * anew.
   */
  tick(): void {
    for (const peer of this.#owner.peers) this.#withdraw(peer, (key) => peer.isPassedOver(key, PASSED_OVER_SECONDS), 0);
    if (this.#demanded && !this.#paused)
      for (const piece of [...this.picker.making]) if (this.#isStuck(piece)) this.#restart(piece);
    this.#offers.tick(this.#demanded);
    this.fillAll();
  }

  #isStuck(piece: PeerPiece): boolean {
    if (!piece.isIdle || piece.untouched || clock.now - piece.movedAt < STUCK_MS) return false;
    if (this.picker.lanes.rankOf[piece.index] === RANK.none) return false;
    for (const peer of this.#owner.peers)
      if (peer.have !== undefined && peer.asked.size === 0 && peer.offers(piece.index)) return true;
    return false;
  }

  // What peers have

  /** Adds (1) or removes (-1) what a peer has. */
  count(have: BitField, by: 1 | -1): void {
    for (let piece = 0; piece < have.size; piece += 1) if (have.has(piece)) this.availability[piece]! += by;
    this.picker.lanes.rarityChanged();
  }

  /** Pieces that we lack and no peer has. */
  get unavailable(): number {
    let count = 0;
    for (let piece = 0; piece < this.availability.length; piece += 1)
      if (this.availability[piece] === 0 && !this.have.has(piece)) count += 1;
    return count;
  }

  lostPiece(piece: number): void {
    this.availability[piece]! -= 1;
    this.picker.lanes.rarityChanged();
  }

  gained(peer: Peer, piece: number): void {
    this.availability[piece]! += 1;
    this.picker.lanes.rarityChanged();
    this.#offers.shown(peer, piece);
  }

  /** A piece turned out to be on the disk. @returns false when it is had or being made anyway. */
  found(index: number): boolean {
    if (this.have.has(index) || this.picker.active[index] !== undefined) return false;
    return this.have.set(index);
  }

  /** A piece is given up, had or in the making. @returns whether it was had. */
  forget(index: number): boolean {
    const had = this.have.has(index);
    this.have.clear(index);
    const piece = this.picker.active[index];
    if (piece !== undefined) this.#restart(piece);
    if (had || piece !== undefined) this.picker.lanes.reopened(index);
    return had;
  }

  /** Ends: memory goes back to the pool. */
  close(): void {
    for (const piece of [...this.picker.making]) this.#giveUp(piece);
  }
}
