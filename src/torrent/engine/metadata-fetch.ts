/**
 * The info dictionary from peers (BEP 9): its parts from all of them at once; if that comes out wrong, all parts from one
 * peer alone, so that a wrong one is that peer's fault.
 *
 * Invariant: with `#size` 0 nothing is asked for; else every part is had (`#parts`), asked of one peer (`#asked`), or neither.
 */
import { clock } from './clock.ts';
import { sha1 } from './layout.ts';
import type { Peer } from './peer.ts';
import { encode } from './wire/bencode.ts';

const PART = 16 * 1024;
/** What our bit fields' limit allows for. */
export const MAX_METADATA = 16 * 1024 * 1024;
const MOST_ASKED_OF_ONE = 8;
const PATIENCE_MS = 2500;
const REFUSED_MS = 20_000;

interface MetadataFetchOwner {
  readonly peers: ReadonlySet<Peer>;
  found(info: Buffer): void;
  /** The peer, and nobody else, sent something else than the info dictionary. */
  lied(peer: Peer): void;
}

export class MetadataFetch {
  readonly #infoHash: Buffer;
  readonly #owner: MetadataFetchOwner;
  #size = 0;
  #parts: (Buffer | undefined)[] = [];
  readonly #asked = new Map<number, { peer: Peer; at: number }>();
  readonly #senders = new Set<Peer>();
  /** Who refused, didn't answer, or was wrong, and until when it isn't asked again. */
  readonly #refused = new Map<Peer, number>();
  #alone = false;
  #only: Peer | undefined;
  #found = false;

  constructor(infoHash: Buffer, owner: MetadataFetchOwner) {
    this.#infoHash = infoHash;
    this.#owner = owner;
  }

  /** To be called when a peer has said how large it is, and at every tick. */
  pump(): void {
    if (this.#found) return;
    for (const [part, { peer, at }] of this.#asked) if (clock.now - at > PATIENCE_MS) this.#refuse(peer, part);
    if (this.#only !== undefined && !this.#usable(this.#only)) this.#reset();
    if (this.#size === 0 || !this.#anyUsable()) this.#start();
    if (this.#size === 0) return;
    for (let part = 0; part < this.#parts.length; part += 1) {
      if (this.#parts[part] !== undefined || this.#asked.has(part)) continue;
      const peer = this.#leastBusy();
      if (peer === undefined) return;
      this.#asked.set(part, { peer, at: clock.now });
      peer.out.extended(peer.metadataId, encode({ msg_type: 0, piece: part }));
      peer.flushLater();
    }
  }

  #usable(peer: Peer): boolean {
    if (peer.gone || peer.metadataId === 0 || peer.metadataSize < 1 || peer.metadataSize > MAX_METADATA) return false;
    return (this.#refused.get(peer) ?? 0) <= clock.now;
  }

  #joins(peer: Peer): boolean {
    return peer.metadataSize === this.#size && this.#usable(peer) && (this.#only === undefined || this.#only === peer);
  }

  #anyUsable(): boolean {
    for (const peer of this.#owner.peers) if (this.#joins(peer)) return true;
    return false;
  }

  /** Begins with whoever can be asked; what was gathered of another size is of no use. */
  #start(): void {
    for (const peer of this.#owner.peers) {
      if (!this.#usable(peer)) continue;
      if (this.#size !== peer.metadataSize || this.#alone) this.#reset();
      this.#size = peer.metadataSize;
      if (this.#parts.length === 0) this.#parts = new Array<undefined>(Math.ceil(this.#size / PART)).fill(undefined);
      if (this.#alone) this.#only = peer;
      return;
    }
  }

  #reset(): void {
    this.#size = 0;
    this.#parts = [];
    this.#asked.clear();
    this.#senders.clear();
    this.#only = undefined;
  }

  #leastBusy(): Peer | undefined {
    const busy = new Map<Peer, number>();
    for (const { peer } of this.#asked.values()) busy.set(peer, (busy.get(peer) ?? 0) + 1);
    let best: Peer | undefined;
    for (const peer of this.#owner.peers) {
      if (!this.#joins(peer) || (busy.get(peer) ?? 0) >= MOST_ASKED_OF_ONE) continue;
      if (best === undefined || (busy.get(peer) ?? 0) < (busy.get(best) ?? 0)) best = peer;
    }
    return best;
  }

  #refuse(peer: Peer, part: number): void {
    this.#asked.delete(part);
    this.#refused.set(peer, clock.now + REFUSED_MS);
  }

  rejected(peer: Peer, part: number): void {
    if (this.#asked.get(part)?.peer !== peer) return;
    this.#refuse(peer, part);
    this.pump();
  }

  received(peer: Peer, part: number, bytes: Uint8Array): void {
    if (this.#found || this.#asked.get(part)?.peer !== peer) return;
    this.#asked.delete(part);
    if (bytes.length !== Math.min(PART, this.#size - part * PART)) {
      this.#refuse(peer, part);
      this.#owner.lied(peer);
    } else {
      this.#parts[part] = Buffer.from(bytes);
      this.#senders.add(peer);
      if (this.#parts.every((one) => one !== undefined)) this.#judge();
    }
    this.pump();
  }

  #judge(): void {
    const info = Buffer.concat(this.#parts as Buffer[]);
    if (sha1(info).equals(this.#infoHash)) {
      this.#found = true;
      this.#reset();
      this.#owner.found(info);
      return;
    }
    const senders = [...this.#senders];
    this.#reset();
    this.#alone = true;
    if (senders.length === 1) {
      this.#refused.set(senders[0]!, clock.now + REFUSED_MS);
      this.#owner.lied(senders[0]!);
    }
  }

  left(peer: Peer): void {
    this.#refused.delete(peer);
    for (const [part, asked] of this.#asked) if (asked.peer === peer) this.#asked.delete(part);
    if (this.#only === peer) this.#reset();
    this.pump();
  }
}
