/** A peer's messages: judged, noted in `Peer`, and what matters to the torrent passed on to its owner. */
import { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import type { Peer, WantedBlock } from './peer.ts';
import { MESSAGE, MessageReader, WireError, type WireHandler } from './wire/reader.ts';

/** What the owner of a peer is told. Piece numbers are valid, unless there is no metadata yet. */
export interface PeerOwner {
  /** Undefined without metadata. */
  readonly pieceCount: number | undefined;
  gained(peer: Peer, piece: number): void;
  /** The peer told all that it has; `before` is what was counted until now. */
  toldAll(peer: Peer, before: BitField): void;
  unchoked(peer: Peer): void;
  /** `lost` are the keys of the requests that will not be answered. */
  choked(peer: Peer, lost: readonly number[]): void;
  rejected(peer: Peer, piece: number, begin: number): void;
  /** @returns whether to keep the payload: the owner has set the reader's sink then. */
  blockBegins(peer: Peer, reader: MessageReader, piece: number, begin: number, length: number): void;
  blockEnds(peer: Peer, piece: number, begin: number, length: number): void;
  interestChanged(peer: Peer): void;
  requested(peer: Peer, block: WantedBlock): void;
  extended(peer: Peer, id: number, payload: Buffer): void;
  dhtPort(peer: Peer, port: number): void;
  drained(peer: Peer): void;
  closed(peer: Peer): void;
}

const MOST_FIELDS = 1000;

export class PeerMessages implements WireHandler {
  readonly reader = new MessageReader(this);
  readonly #peer: Peer;
  readonly #owner: PeerOwner;
  #fields = 0;

  /** Takes over the connection; what came with the handshake is read by `begin`. */
  constructor(peer: Peer, owner: PeerOwner) {
    this.#peer = peer;
    this.#owner = owner;
    peer.dropSink = () => this.reader.setSink(undefined, 0);
    peer.link.transport.handler = {
      received: (data, from, end) => {
        peer.link.decrypt?.apply(data, from, end);
        this.#feed(data, from, end);
      },
      closed: () => this.closed(),
      drained: () => owner.drained(peer),
    };
  }

  begin(): void {
    const { rest } = this.#peer.link;
    if (rest.length > 0) this.#feed(rest, 0, rest.length);
  }

  /** Ends the connection; the owner is told at once, and only once. */
  close(): void {
    this.#peer.link.transport.destroy();
    this.closed();
  }

  closed(): void {
    if (this.#peer.gone) return;
    this.#peer.gone = true;
    this.#owner.closed(this.#peer);
  }

  #feed(data: Buffer, from: number, end: number): void {
    if (this.#peer.gone) return;
    this.#peer.lastReceived = clock.tick();
    try {
      this.reader.feed(data, from, end);
    } catch (error) {
      if (!(error instanceof WireError || error instanceof RangeError)) throw error;
      this.#peer.known.misbehaved();
      this.close();
    }
  }

  choke(): void {
    if (this.#peer.choking) return;
    this.#peer.choking = true;
    this.#peer.chokedAt = clock.now;
    // With the fast extension each request is rejected by itself (BEP 6).
    this.#owner.choked(this.#peer, this.#peer.link.fast ? [] : this.#peer.forgetAsked());
  }

  unchoke(): void {
    if (!this.#peer.choking) return;
    this.#peer.choking = false;
    this.#owner.unchoked(this.#peer);
  }

  interested(): void {
    this.#interest(true);
  }

  notInterested(): void {
    this.#interest(false);
  }

  #interest(interested: boolean): void {
    if (this.#peer.interested === interested) return;
    this.#peer.interested = interested;
    this.#owner.interestChanged(this.#peer);
  }

  have(piece: number): void {
    const { have } = this.#peer;
    if (have === undefined) this.#peer.earlyPiece(piece);
    else {
      this.#judge(piece);
      if (have.set(piece)) this.#owner.gained(this.#peer, piece);
    }
  }

  bitfield(bits: Uint8Array): void {
    this.#fieldAgain();
    if (bits.some((byte) => byte !== 0)) this.#peer.toldField = true;
    if (this.#peer.have === undefined) this.#peer.earlyBits(bits);
    else this.#told(BitField.from(bits, this.#peer.have.size));
  }

  haveAll(): void {
    this.#fieldAgain();
    this.#fastOnly();
    this.#peer.toldField = true;
    if (this.#peer.have === undefined) {
      this.#peer.earlyAll();
      return;
    }
    const all = new BitField(this.#peer.have.size);
    all.fill();
    this.#told(all);
  }

  haveNone(): void {
    this.#fieldAgain();
    this.#fastOnly();
  }

  #told(have: BitField | undefined): void {
    if (have === undefined) throw new WireError('a bit field of another size');
    const before = this.#peer.have!;
    this.#peer.have = have;
    this.#owner.toldAll(this.#peer, before);
  }

  /** BEP 3 has the bit field first and once; aria2 sends another one instead of many `have`s. */
  #fieldAgain(): void {
    this.#fields += 1;
    if (this.#fields > MOST_FIELDS) throw new WireError('one bit field after the other');
  }

  #fastOnly(): void {
    if (!this.#peer.link.fast) throw new WireError('a message of an extension that was not agreed on');
  }

  #judge(piece: number): void {
    const count = this.#owner.pieceCount;
    if (count !== undefined && piece >= count) throw new WireError(`piece ${piece} of ${count}`);
  }

  request(piece: number, begin: number, length: number): void {
    if (this.#owner.pieceCount === undefined) throw new WireError('a request before the metadata');
    this.#judge(piece);
    this.#owner.requested(this.#peer, { piece, begin, length });
  }

  cancel(piece: number, begin: number, length: number): void {
    const { wanted, link, out } = this.#peer;
    const at = wanted.findIndex((one) => one.piece === piece && one.begin === begin && one.length === length);
    if (at < 0) return;
    wanted.splice(at, 1);
    if (link.fast) {
      out.block(MESSAGE.reject, piece, begin, length);
      this.#peer.flushLater();
    }
  }

  blockBegins(piece: number, begin: number, length: number): void {
    if (this.#owner.pieceCount === undefined) throw new WireError('a block before the metadata');
    this.#judge(piece);
    this.#owner.blockBegins(this.#peer, this.reader, piece, begin, length);
  }

  blockEnds(piece: number, begin: number, length: number): void {
    this.#owner.blockEnds(this.#peer, piece, begin, length);
  }

  reject(piece: number, begin: number, _length: number): void {
    this.#fastOnly();
    this.#judge(piece);
    this.#owner.rejected(this.#peer, piece, begin);
  }

  suggest(piece: number): void {
    this.#fastOnly();
    this.#judge(piece);
  }

  allowedFast(piece: number): void {
    this.#fastOnly();
    this.#judge(piece);
    if (this.#peer.allowedFast.size < 64) this.#peer.allowedFast.add(piece);
  }

  dhtPort(port: number): void {
    this.#owner.dhtPort(this.#peer, port);
  }

  extended(id: number, payload: Buffer): void {
    if (!this.#peer.link.extended) throw new WireError('an extension message that was not agreed on');
    this.#owner.extended(this.#peer, id, payload);
  }
}
