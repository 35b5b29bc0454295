/**
 * What peers get from us: verified pieces, within the rate limit, tit for tat.
 *
 * Invariant: at most `slots` interested peers are unchoked by their rates, one more by luck (the optimistic one). A peer's
 * `wanted` is served in order, by one read at a time.
 */
import { allowedFastSet } from './allowed-fast.ts';
import type { BitField } from './bit-field.ts';
import type { ChunkStore } from './chunk-store.ts';
import { clock } from './clock.ts';
import type { Layout } from './layout.ts';
import type { Peer, WantedBlock } from './peer.ts';
import { Outbox } from './wire/outbox.ts';
import { MESSAGE, WireError } from './wire/reader.ts';

const SLOTS = 8;
const RECHOKE_MS = 10_000;
const OPTIMISTIC_MS = 30_000;
const MOST_WANTED = 600;
/** What some clients ask for at once; BEP 3 says 16 KiB. */
const MAX_REQUEST = 128 * 1024;
/** Blocks in a row are read together, and no more is read while so much waits to leave. */
const READ_AHEAD = 256 * 1024;

interface UploadsOwner {
  readonly peers: ReadonlySet<Peer>;
  /** Bytes that may be sent now, of all torrents together; and that so many were. */
  allowance(): number;
  spent(bytes: number): void;
}

export class Uploads {
  readonly #layout: Layout;
  readonly #have: BitField;
  readonly #store: ChunkStore;
  readonly #owner: UploadsOwner;
  readonly #infoHash: Buffer;
  /** How many more requests a choked peer may make of each piece that it was granted. */
  readonly #granted = new WeakMap<Peer, Map<number, number>>();
  #rechokeAt = 0;
  #optimisticAt = 0;
  #optimistic: Peer | undefined;
  uploaded = 0;

  constructor(infoHash: Buffer, layout: Layout, have: BitField, store: ChunkStore, owner: UploadsOwner) {
    this.#infoHash = infoHash;
    this.#layout = layout;
    this.#have = have;
    this.#store = store;
    this.#owner = owner;
  }

  /** @throws WireError when no piece has such a block. */
  requested(peer: Peer, block: WantedBlock): void {
    const { piece, begin, length } = block;
    if (length === 0 || length > MAX_REQUEST || begin + length > this.#layout.lengthOf(piece))
      throw new WireError(`a request for ${length} bytes at ${begin} of piece ${piece}`);
    if ((peer.amChoking && !this.#allows(peer, piece)) || !this.#have.has(piece) || peer.wanted.length >= MOST_WANTED)
      this.#refuse(peer, block);
    else {
      peer.wanted.push(block);
      this.#serve(peer);
    }
  }

  /** Tells a new peer, which has little, the pieces that it gets although it is choked (BEP 6). */
  welcome(peer: Peer): void {
    if (!peer.link.fast || this.#owner.allowance() === Number.NEGATIVE_INFINITY) return;
    const set = allowedFastSet(peer.address.host, this.#infoHash, this.#layout.pieceCount);
    this.#granted.set(peer, new Map(set.map((piece) => [piece, this.#layout.blocksOf(piece)])));
    for (const piece of set) if (this.#have.has(piece)) peer.out.number(MESSAGE.allowedFast, piece);
    peer.flushLater();
  }

  /** Each block of a granted piece once. */
  #allows(peer: Peer, piece: number): boolean {
    const granted = this.#granted.get(peer);
    const left = granted?.get(piece) ?? 0;
    if (left > 0) granted?.set(piece, left - 1);
    return left > 0;
  }

  #refuse(peer: Peer, { piece, begin, length }: WantedBlock): void {
    if (!peer.link.fast) return;
    peer.out.block(MESSAGE.reject, piece, begin, length);
    peer.flushLater();
  }

  /** Goes on after something left, or the limit allows more. */
  #serve(peer: Peer): void {
    if (peer.serving || peer.gone || peer.wanted.length === 0) return;
    if (peer.link.transport.backlog > READ_AHEAD || this.#owner.allowance() <= 0) return;
    const run = this.#takeRun(peer);
    const [first] = run;
    if (first === undefined) return;
    const bytes = run.reduce((sum, { length }) => sum + length, 0);
    this.#owner.spent(bytes);
    peer.serving = true;
    const data = Buffer.allocUnsafe(bytes);
    this.#store.read(first.piece * this.#layout.pieceLength + first.begin, data, (error) => {
      peer.serving = false;
      if (error !== null) {
        for (const block of run) this.#refuse(peer, block);
        return;
      }
      this.#send(peer, run, data);
      this.#serve(peer);
    });
  }

  /** Requests that follow each other in one piece. */
  #takeRun(peer: Peer): WantedBlock[] {
    const run: WantedBlock[] = [];
    let bytes = 0;
    for (;;) {
      const [next] = peer.wanted;
      const last = run.at(-1);
      if (next === undefined || bytes + next.length > Math.max(READ_AHEAD, next.length)) return run;
      if (last !== undefined && (last.piece !== next.piece || last.begin + last.length !== next.begin)) return run;
      peer.wanted.shift();
      if (!this.#have.has(next.piece)) {
        this.#refuse(peer, next);
        continue;
      }
      run.push(next);
      bytes += next.length;
    }
  }

  #send(peer: Peer, run: readonly WantedBlock[], data: Buffer): void {
    const heads = new Outbox();
    const parts: Buffer[] = [];
    let at = 0;
    for (const { piece, begin, length } of run) {
      heads.pieceHead(piece, begin, length);
      parts.push(heads.take(), data.subarray(at, at + length));
      at += length;
    }
    this.uploaded += data.length;
    peer.sent(data.length);
    peer.sendNow(Buffer.concat(parts));
  }

  drained(peer: Peer): void {
    this.#serve(peer);
  }

  interestChanged(peer: Peer): void {
    if (!peer.interested) return;
    const unchoked = [...this.#owner.peers].filter((one) => one.interested && !one.amChoking).length;
    if (unchoked < SLOTS && this.#owner.allowance() > 0) peer.setChoking(false);
  }

  tick(): void {
    if (clock.now >= this.#rechokeAt) this.#rechoke();
    for (const peer of this.#owner.peers) this.#serve(peer);
  }

  #rechoke(): void {
    this.#rechokeAt = clock.now + RECHOKE_MS;
    const seeding = this.#have.full;
    const interested = [...this.#owner.peers].filter((peer) => peer.interested);
    const rateOf = (peer: Peer): number => (seeding ? peer.uploadRate : peer.rate);
    interested.sort((one, other) => rateOf(other) - rateOf(one));
    const chosen = new Set(this.#owner.allowance() > Number.NEGATIVE_INFINITY ? interested.slice(0, SLOTS) : []);
    const others = interested.slice(SLOTS);
    if (clock.now >= this.#optimisticAt || this.#optimistic?.interested !== true || this.#optimistic.gone) {
      this.#optimisticAt = clock.now + OPTIMISTIC_MS;
      this.#optimistic = others[Math.floor(Math.random() * others.length)];
    }
    if (this.#optimistic !== undefined && chosen.size > 0) chosen.add(this.#optimistic);
    for (const peer of this.#owner.peers) {
      const choke = !chosen.has(peer);
      if (choke && !peer.amChoking) for (const block of peer.wanted.splice(0)) this.#refuse(peer, block);
      peer.setChoking(choke);
    }
  }

  left(peer: Peer): void {
    peer.wanted.length = 0;
    if (this.#optimistic === peer) this.#optimistic = undefined;
  }
}
