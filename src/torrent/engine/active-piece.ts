/**
 * A piece that is being downloaded: which of its blocks are free, asked for or here, from whom, and the parts in memory.
 *
 * Invariants: a block is FREE (nobody is asked: `free` counts these), ASKED (of `asker`, perhaps also of one in
 * `#second`) or HERE. A part (slab) is closed, open (its bytes are reserved in the pool) or done (hashed, on the
 * disk, given back), in this order and never back. Parts are hashed in order.
 */
import { createHash } from 'node:crypto';
import { clock } from './clock.ts';
import type { KnownPeer } from './peer-book.ts';
import { SLAB, type SlabPool } from './slab-pool.ts';
import { BLOCK } from './wire/reader.ts';

const FREE = 0;
const ASKED = 1;
const HERE = 2;

interface Part {
  readonly at: number;
  readonly length: number;
  left: number;
  memory: Buffer | undefined;
  hashed: boolean;
  written: boolean;
}

/** `P` is a peer; what it is does not matter here. */
export class ActivePiece<P extends { readonly known: KnownPeer }> {
  readonly index: number;
  readonly length: number;
  readonly blocks: number;
  free: number;
  /** No free block is before this one. */
  #next = 0;
  #here = 0;
  /** Blocks that are here from nobody. */
  #padding = 0;
  readonly #state: Uint8Array;
  readonly #asker: (P | undefined)[];
  readonly #second = new Map<number, P>();
  /** Who sent each block. */
  readonly by: (KnownPeer | undefined)[];
  readonly #slab: number;
  readonly #pool: SlabPool;
  readonly #parts: (Part | undefined)[];
  #hashedParts = 0;
  #writtenParts = 0;
  readonly #hash = createHash('sha1');
  /** The only peer that may send it: it works on it alone, so that a bad piece is its fault. */
  solo: P | undefined;
  /** Whether it waits for a peer that takes it alone. */
  needsSolo = false;
  /** Whoever began it by itself, being fast enough. */
  owner: P | undefined;
  dropped = false;
  /** When something of it came last, or it was begun. */
  movedAt = clock.now;

  constructor(index: number, length: number, pieceLength: number, pool: SlabPool) {
    this.index = index;
    this.length = length;
    this.blocks = Math.ceil(length / BLOCK);
    this.free = this.blocks;
    this.#state = new Uint8Array(this.blocks);
    this.#asker = new Array<P | undefined>(this.blocks).fill(undefined);
    this.by = new Array<KnownPeer | undefined>(this.blocks).fill(undefined);
    this.#slab = Math.min(SLAB, Math.ceil(pieceLength / BLOCK) * BLOCK);
    this.#pool = pool;
    this.#parts = new Array<Part | undefined>(Math.ceil(length / this.#slab)).fill(undefined);
  }

  /** All blocks are here. */
  get complete(): boolean {
    return this.#here === this.blocks;
  }

  /** Complete, hashed and on the disk. */
  get settled(): boolean {
    return this.#hashedParts === this.#parts.length && this.#writtenParts === this.#parts.length;
  }

  /** Nobody is asked for any of it, and nobody has sent any of it. */
  get untouched(): boolean {
    return this.free + this.#padding === this.blocks;
  }

  /** To be called once, when all parts are hashed. */
  digest(): Buffer {
    return this.#hash.digest();
  }

  /** Bytes that have arrived, to within a block. */
  get arrivedBytes(): number {
    return Math.min(this.length, this.#here * BLOCK);
  }

  /** Whether there is a place for the block. */
  isOpen(block: number): boolean {
    return this.#parts[Math.floor((block * BLOCK) / this.#slab)] !== undefined;
  }

  /** Makes a place for the block. @returns false when memory is short. */
  open(block: number): boolean {
    return this.#openPart(Math.floor((block * BLOCK) / this.#slab), true);
  }

  blockLength(block: number): number {
    return Math.min(BLOCK, this.length - block * BLOCK);
  }

  isHere(block: number): boolean {
    return this.#state[block] === HERE;
  }

  askedOf(block: number): P | undefined {
    return this.#state[block] === ASKED ? this.#asker[block] : undefined;
  }

  secondOf(block: number): P | undefined {
    return this.#second.get(block);
  }

  /** The first free block whose part is open or can be opened now; -1: none. */
  nextFree(urgent: boolean): number {
    if (this.free === 0) return -1;
    let block = this.#next;
    while (this.#state[block] !== FREE) block += 1;
    this.#next = block;
    return this.#openPart(Math.floor((block * BLOCK) / this.#slab), urgent) ? block : this.#freeInOpenPart(block);
  }

  #freeInOpenPart(from: number): number {
    for (let block = from; block < this.blocks; block += 1)
      if (this.#state[block] === FREE && this.isOpen(block)) return block;
    return -1;
  }

  #openPart(index: number, urgent: boolean): boolean {
    if (this.#parts[index] !== undefined) return true;
    if (!this.#pool.reserve(this.#slab, urgent)) return false;
    const at = index * this.#slab;
    const length = Math.min(this.#slab, this.length - at);
    const left = Math.ceil(length / BLOCK);
    this.#parts[index] = { at, length, left, memory: undefined, hashed: false, written: false };
    return true;
  }

  /** A free block is asked of a peer, or an asked one of a second peer. */
  ask(block: number, peer: P): void {
    if (this.#state[block] === FREE) {
      this.#state[block] = ASKED;
      this.#asker[block] = peer;
      this.free -= 1;
    } else this.#second.set(block, peer);
  }

  /** A block will not come from this peer. @returns whether it is free now. */
  unask(block: number, peer: P): boolean {
    if (this.#state[block] !== ASKED) return false;
    if (this.#second.get(block) === peer) {
      this.#second.delete(block);
      return false;
    }
    if (this.#asker[block] !== peer) return false;
    const second = this.#second.get(block);
    this.#second.delete(block);
    this.#asker[block] = second;
    if (second !== undefined) return false;
    this.#state[block] = FREE;
    this.free += 1;
    if (block < this.#next) this.#next = block;
    return true;
  }

  /** The memory that a block goes to; its place in it is `placeOf`. The block is asked for. */
  memoryOf(block: number): Buffer {
    const part = this.#parts[Math.floor((block * BLOCK) / this.#slab)]!;
    part.memory ??= this.#pool.acquire(this.#slab);
    return part.memory;
  }

  placeOf(block: number): number {
    return (block * BLOCK) % this.#slab;
  }

  /**
   * A block is in its memory. Hashes what can be hashed now.
   * @returns the part that is complete by it, to be written: `[at, at + bytes.length)` of the piece.
   */
  arrived(block: number, from: KnownPeer | undefined): { at: number; bytes: Buffer; index: number } | undefined {
    if (this.#state[block] === FREE) this.free -= 1;
    this.#state[block] = HERE;
    this.#asker[block] = undefined;
    this.#second.delete(block);
    this.by[block] = from;
    this.#here += 1;
    if (from === undefined) this.#padding += 1;
    this.movedAt = clock.now;
    const index = Math.floor((block * BLOCK) / this.#slab);
    const part = this.#parts[index]!;
    part.left -= 1;
    if (part.left > 0) return undefined;
    this.#hashInOrder();
    return { at: part.at, bytes: part.memory!.subarray(0, part.length), index };
  }

  #hashInOrder(): void {
    for (;;) {
      const part = this.#parts[this.#hashedParts];
      if (part === undefined || part.left > 0) return;
      this.#hash.update(part.memory!.subarray(0, part.length));
      part.hashed = true;
      this.#hashedParts += 1;
      this.#release(part);
    }
  }

  /** The part is on the disk. */
  wrote(index: number): void {
    const part = this.#parts[index]!;
    part.written = true;
    this.#writtenParts += 1;
    if (this.dropped) this.#drop(part);
    else this.#release(part);
  }

  #release(part: Part): void {
    if (part.hashed && part.written) this.#drop(part);
  }

  #drop(part: Part): void {
    if (part.memory !== undefined) this.#pool.release(part.memory);
    part.memory = undefined;
    this.#pool.unreserve(this.#slab);
  }

  /**
   * Gives up: memory goes back, that of parts which are being written when they are. Nobody may be receiving into it.
   * @returns who was asked for what.
   */
  abandon(): { block: number; peer: P }[] {
    const asked: { block: number; peer: P }[] = [];
    for (let block = 0; block < this.blocks; block += 1) {
      const peer = this.askedOf(block);
      if (peer !== undefined) asked.push({ block, peer });
    }
    for (const [block, peer] of this.#second) asked.push({ block, peer });
    this.dropped = true;
    for (const part of this.#parts)
      if (part !== undefined && part.left > 0) this.#drop(part);
      else if (part?.written && !part.hashed) this.#drop(part);
    return asked;
  }

  /** Whether any of it came from one of these, or is to come. */
  isTouchedBy(some: ReadonlySet<KnownPeer>): boolean {
    for (let block = 0; block < this.blocks; block += 1) {
      const from = this.by[block] ?? this.askedOf(block)?.known;
      const second = this.#second.get(block)?.known;
      if ((from !== undefined && some.has(from)) || (second !== undefined && some.has(second))) return true;
    }
    return false;
  }

  /** Nobody is asked for what is missing. */
  get isIdle(): boolean {
    return this.free > 0 && this.free + this.#here === this.blocks;
  }

  /** Every block's sender, without repetition. */
  contributors(): Set<KnownPeer> {
    const all = new Set<KnownPeer>();
    for (const known of this.by) if (known !== undefined) all.add(known);
    return all;
  }
}
