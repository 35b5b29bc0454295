/**
 * One peer after its handshake: what both sides have said, what we have asked for, what it wants of us. What it says comes
 * in through peer-messages.ts.
 *
 * Invariant: `asked` holds the blocks that were requested and neither arrived, were rejected nor cancelled: key ->
 * time of asking, oldest first. `receiving` is set while a block's payload arrives that somebody wants.
 */
import type { PeerAddress } from '../protocol.ts';
import type { ActivePiece } from './active-piece.ts';
import { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import type { Link } from './handshake.ts';
import type { KnownPeer } from './peer-book.ts';
import { Outbox } from './wire/outbox.ts';
import { BLOCK, MESSAGE, WireError } from './wire/reader.ts';

/** A piece that peers are at work on. */
export type PeerPiece = ActivePiece<Peer>;

/** A block that the peer wants of us. */
export interface WantedBlock {
  readonly piece: number;
  readonly begin: number;
  readonly length: number;
}

/**
 * Seconds of a peer's own rate that are asked for ahead: these, besides round trips (with some to spare: what is asked for too late
 * makes the rate look smaller, and then less is asked for), more for those who answer in bursts, and run dry in between. What is
 * asked for can hardly be called back, so a seek waits for it.
 */
const LEAST_DEPTH = 0.1;
const ROUND_TRIPS = 1.5;
const MOST_DEPTH = 2;
const FEWEST_REQUESTS = 3;
/** At first, among all peers that may come: more for the only one, whom nobody else can help. */
const FIRST_REQUESTS = 16;
const FEWEST_FIRST = 4;
/** A peer that may be faster than it has shown is asked for so many times what its rate asks for. */
const SLOW_START = 2;
/** What clients commonly allow, unless they say otherwise (BEP 10 `reqq`). */
const COMMON_QUEUE = 250;
const MOST_QUEUE = 500;
const UNPROVEN_SECONDS = 0.3;
const UNPROVEN_BLOCK_SECONDS = 0.03;
/** A rate is not judged by less. */
const LEAST_INTERVAL_MS = 20;
/** Nobody can be blamed who did not answer a request within so long. */
const CANCELLED_SOON_MS = 1000;
const KEEP_ALIVE_MS = 110_000;
/** Blocks that nobody asked for, and that a peer may send all the same before it is thrown out. */
const TOLERATED = 8;
const MOST_EARLY_HAVES = 4096;

export class Peer {
  readonly link: Link;
  readonly known: KnownPeer;
  readonly outgoing: boolean;
  readonly out = new Outbox();
  readonly asked = new Map<number, number>();
  readonly allowedFast = new Set<number>();
  receiving: PeerPiece | undefined;
  receivingBlock = 0;
  /** The piece that it is at work on. */
  current: PeerPiece | undefined;

  /** Whether the peer chokes us, and is interested in us. */
  choking = true;
  /** When it last began to. */
  chokedAt = 0;
  interested = false;
  amChoking = true;
  amInterested = false;
  /** What it has; undefined before the metadata is known. */
  have: BitField | undefined;
  readonly #early = { all: false, bits: undefined as Uint8Array | undefined, pieces: new Set<number>() };
  /** It began by saying that it has something, not with nothing, as who shows one piece after the other does (BEP 16). */
  toldField = false;
  /** Ids that the peer gave to extensions (BEP 10); 0: none. */
  metadataId = 0;
  pexId = 0;
  dontHaveId = 0;
  metadataSize = 0;
  listenPort = 0;

  #late = TOLERATED;
  #mostRequests = COMMON_QUEUE;
  #pipeline: number;
  #slowStart = true;
  /** Seconds. */
  #depth = LEAST_DEPTH;
  /** Seconds from a request, made when nothing else was asked for, to its answer: the least so far. */
  #roundTrip = 0.1;
  #probed = -1;
  #probedAt = 0;
  /** When the newest was made of the requests that it has answered. */
  #answeredUpTo = 0;
  /** The rate of the last interval alone. */
  #before = 0;
  /** Bytes of payload per second, from and to the peer. Until the first interval is over, by what has come. */
  rate = 0;
  #measured = false;
  #firstAskedAt = 0;
  uploadRate = 0;
  downloaded = 0;
  #received = 0;
  #sent = 0;
  lastReceived = clock.now;
  lastSent = clock.now;
  /** Since when the peer owes us an answer to a request, times without any left out. */
  waitingSince = 0;
  /** How long it owed us an answer when its last request was cancelled, ms. */
  #owed = 0;
  /** What it wants of us, in order, and whether one of them is being read. */
  readonly wanted: WantedBlock[] = [];
  serving = false;
  gone = false;
  /** Requests that it refused although it didn't choke us. */
  rejections = 0;
  /** The rest of the block that is arriving is thrown away. */
  dropSink: () => void = () => {};
  #flushing = false;

  /** @param others how many peers there may be, this one included. */
  constructor(link: Link, known: KnownPeer, outgoing: boolean, others: number) {
    this.link = link;
    this.known = known;
    this.outgoing = outgoing;
    this.#pipeline = Math.max(FEWEST_FIRST, Math.ceil(FIRST_REQUESTS / Math.max(1, others)));
  }

  get address(): PeerAddress {
    return this.link.transport.remote;
  }

  get seed(): boolean {
    return this.have?.full ?? this.#early.all;
  }

  /** Sends what lies in `out` when the present event is over, together with what is added until then. */
  flushLater(): void {
    if (this.#flushing || this.gone) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (!this.out.empty) this.sendNow(this.out.take());
    });
  }

  /** @param bytes are the peer's from now on. */
  sendNow(bytes: Buffer): void {
    if (this.gone) return;
    this.lastSent = clock.now;
    this.link.encrypt?.apply(bytes, 0, bytes.length);
    this.link.transport.write(bytes);
  }

  /** How many more blocks may be asked for now. */
  get room(): number {
    return Math.min(this.#pipeline, this.#mostRequests) - this.asked.size;
  }

  /** Whether it is worth a write to ask for more: a quarter of what may be asked, so that many requests travel together. */
  get hungry(): boolean {
    const { room } = this;
    return room > 0 && (room * 4 >= this.#pipeline || room >= 16);
  }

  /** Seconds until a block that is asked for now will have come. A peer that has sent nothing yet is given little credit. */
  get queueSeconds(): number {
    if (this.downloaded === 0) return UNPROVEN_SECONDS;
    return ((this.asked.size + 1) * BLOCK) / Math.max(this.rate, 1024);
  }

  ask(key: number, piece: number, begin: number, length: number): void {
    if (this.asked.size === 0) {
      this.waitingSince = clock.now - this.#owed;
      this.#probed = key;
      this.#probedAt = clock.now;
    }
    if (this.#firstAskedAt === 0) this.#firstAskedAt = clock.now;
    this.asked.set(key, clock.now);
    this.out.block(MESSAGE.request, piece, begin, length);
    this.flushLater();
  }

  cancel(key: number, piece: number, begin: number, length: number): void {
    if (!this.asked.delete(key)) return;
    if (this.asked.size === 0) this.#owed = this.#owesFor > CANCELLED_SOON_MS ? this.#owesFor : 0;
    this.#late += 1;
    this.out.block(MESSAGE.cancel, piece, begin, length);
    this.flushLater();
  }

  /** If it is this block that it is sending, the rest is thrown away: from now on another one's goes there. */
  detach(piece: PeerPiece, block: number): void {
    if (this.receiving !== piece || this.receivingBlock !== block) return;
    this.receiving = undefined;
    this.dropSink();
  }

  /** A block begins to come. */
  answers(key: number): void {
    this.#answeredUpTo = Math.max(this.#answeredUpTo, this.asked.get(key) ?? 0);
    if (key !== this.#probed) return;
    const seconds = (clock.now - this.#probedAt) / 1000;
    this.#roundTrip = this.downloaded === 0 ? seconds : Math.min(this.#roundTrip, seconds);
    this.#probed = -1;
  }

  /** Whether it has left requests unanswered until they were cancelled, and nothing has come since. */
  get owes(): boolean {
    return this.#owed > 0;
  }

  get #owesFor(): number {
    return clock.now - this.waitingSince;
  }

  /** Whether the next block should have been here for `seconds`. */
  isLate(seconds: number): boolean {
    if (this.asked.size === 0) return false;
    const due = this.downloaded === 0 ? UNPROVEN_SECONDS : BLOCK / Math.max(this.rate, 1024);
    return (clock.now - this.waitingSince) / 1000 > due + seconds;
  }

  /** Whether it has answered what it was asked for so much later: then this will hardly come. */
  isPassedOver(key: number, seconds: number): boolean {
    return (this.#answeredUpTo - (this.asked.get(key) ?? clock.now)) / 1000 > seconds;
  }

  /** Seconds until a block that it was asked for is here, by what was asked for before it. */
  secondsUntil(key: number): number {
    let before = 1;
    for (const other of this.asked.keys()) {
      if (other === key) break;
      before += 1;
    }
    if (this.downloaded === 0) return UNPROVEN_SECONDS + before * UNPROVEN_BLOCK_SECONDS;
    return (before * BLOCK) / Math.max(this.rate, 1024) - (clock.now - this.waitingSince) / 1000;
  }

  /** A block came, or will not. @returns whether it was asked for. */
  answered(key: number): boolean {
    this.waitingSince = clock.now;
    this.#owed = 0;
    return this.asked.delete(key);
  }

  /** The peer forgets our requests; some may be on their way. @returns the keys. */
  forgetAsked(): number[] {
    const keys = [...this.asked.keys()];
    this.#owed = 0;
    this.#late += keys.length;
    this.asked.clear();
    return keys;
  }

  /** A block that is not asked for (any more) came. @throws WireError when there are too many. */
  tolerate(): void {
    this.#late -= 1;
    if (this.#late < 0) throw new WireError('blocks that nobody asked for');
  }

  /** The peer's `reqq` (BEP 10). */
  limitRequests(most: number): void {
    this.#mostRequests = Math.max(FEWEST_REQUESTS, Math.min(most, MOST_QUEUE));
  }

  /** Payload of a block came, whoever wanted it. */
  counted(bytes: number): void {
    this.#received += bytes;
    this.downloaded += bytes;
    if (!this.#measured)
      this.rate = (this.downloaded * 1000) / Math.max(LEAST_INTERVAL_MS, clock.now - this.#firstAskedAt);
    const depth = Math.max(this.#depth, this.#leastDepth);
    if (this.#slowStart && this.#pipeline < SLOW_START * this.#blocksIn(depth)) this.#pipeline += 1;
  }

  /** Blocks that come in so many seconds. */
  #blocksIn(seconds: number, rate = this.rate): number {
    return Math.max(FEWEST_REQUESTS, Math.ceil((rate * seconds) / BLOCK));
  }

  get #leastDepth(): number {
    return Math.min(MOST_DEPTH, LEAST_DEPTH + ROUND_TRIPS * this.#roundTrip);
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** Once every `seconds`: rates, and how deep to ask. */
  measure(seconds: number): void {
    const now = this.#received / seconds;
    if (this.asked.size > 0 || this.#received > 0) {
      const grown = now > this.#before * 1.15;
      this.#before = now;
      // Nothing for a whole interval, where blocks should have come: it answers in bursts, and the next one may be larger.
      const inBursts = now === 0 && this.rate * seconds > BLOCK;
      this.#depth = inBursts ? Math.min(MOST_DEPTH, this.#depth * 1.6) : Math.max(this.#leastDepth, this.#depth * 0.94);
      this.rate = this.#measured ? this.rate * 0.6 + now * 0.4 : Math.max(this.rate, now);
      this.#measured = this.downloaded > 0;
      // A burst in one interval is no reason to ask for more; a beginning is.
      const wanted = this.#blocksIn(this.#depth, this.#slowStart ? Math.max(this.rate, now) : this.rate);
      if (this.#slowStart && !grown && this.#pipeline > wanted) this.#slowStart = false;
      this.#pipeline = this.#slowStart ? Math.max(this.#pipeline, wanted) : wanted;
    }
    this.uploadRate = this.uploadRate * 0.6 + (this.#sent / seconds) * 0.4;
    this.#received = 0;
    this.#sent = 0;
    if (clock.now - this.lastSent > KEEP_ALIVE_MS) {
      this.out.keepAlive();
      this.flushLater();
    }
  }

  setChoking(choke: boolean): void {
    if (this.amChoking === choke) return;
    this.amChoking = choke;
    this.out.plain(choke ? MESSAGE.choke : MESSAGE.unchoke);
    this.flushLater();
  }

  setInterested(interested: boolean): void {
    if (this.amInterested === interested) return;
    this.amInterested = interested;
    this.out.plain(interested ? MESSAGE.interested : MESSAGE.notInterested);
    this.flushLater();
  }

  /** Whether it would answer a request for this piece. */
  offers(piece: number): boolean {
    return this.have!.has(piece) && (!this.choking || this.allowedFast.has(piece));
  }

  // What it has, before the metadata tells how many pieces there are

  earlyAll(): void {
    this.#early.all = true;
  }

  earlyBits(bits: Uint8Array): void {
    this.#early.bits = Uint8Array.from(bits);
  }

  earlyPiece(piece: number): void {
    if (this.#early.pieces.size >= MOST_EARLY_HAVES) throw new WireError('too many pieces before the metadata');
    this.#early.pieces.add(piece);
  }

  /** The number of pieces is known: what was said before counts now. @returns false when it was wrong. */
  adopt(pieceCount: number): boolean {
    const { all, bits, pieces } = this.#early;
    const have = bits === undefined ? new BitField(pieceCount) : BitField.from(bits, pieceCount);
    if (have === undefined) return false;
    if (all) have.fill();
    for (const piece of pieces) {
      if (piece >= pieceCount) return false;
      have.set(piece);
    }
    pieces.clear();
    this.#early.bits = undefined;
    this.have = have;
    return true;
  }
}
