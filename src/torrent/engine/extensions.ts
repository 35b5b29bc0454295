/** The extension protocol (BEP 10) of one torrent: metadata (BEP 9), peer exchange (BEP 11), pieces given up (BEP 54). */
import type { PeerAddress } from '../protocol.ts';
import { MetadataFetch } from './metadata-fetch.ts';
import type { Peer } from './peer.ts';
import { decodePexAddresses, PexSender } from './pex.ts';
import { type Bencoded, type BencodedMap, decodePrefix, type Encodable, encode } from './wire/bencode.ts';
import { WireError } from './wire/reader.ts';

const UT_METADATA = 1;
const UT_PEX = 2;
const LT_DONTHAVE = 3;
const PART = 16 * 1024;
/** Requests of one peer that we answer with metadata; beyond that it is told no. */
const MOST_METADATA_REQUESTS = 4096;

interface ExtensionsOwner {
  readonly infoHash: Buffer;
  readonly peers: ReadonlySet<Peer>;
  info(): Uint8Array | undefined;
  private(): boolean;
  listenPort(): number;
  metadata(info: Buffer): void;
  lied(peer: Peer): void;
  learned(addresses: readonly PeerAddress[], from: Peer): void;
  lost(peer: Peer, piece: number): void;
  helloed(peer: Peer): void;
}

export class Extensions {
  readonly #owner: ExtensionsOwner;
  readonly fetch: MetadataFetch;
  readonly #pex: PexSender;
  readonly #served = new WeakMap<Peer, number>();

  constructor(owner: ExtensionsOwner) {
    this.#owner = owner;
    this.fetch = new MetadataFetch(owner.infoHash, {
      peers: owner.peers,
      found: (info) => owner.metadata(info),
      lied: (peer) => owner.lied(peer),
    });
    this.#pex = new PexSender(owner.peers);
  }

  /** Our extension handshake. */
  hello(peer: Peer): void {
    const info = this.#owner.info();
    const listenPort = this.#owner.listenPort();
    const offers: Record<string, Encodable> = { ut_metadata: UT_METADATA, lt_donthave: LT_DONTHAVE };
    if (!this.#owner.private()) offers.ut_pex = UT_PEX;
    const hello: Record<string, Encodable> = { m: offers, v: 'raffi-server', reqq: 500 };
    if (listenPort > 0) hello.p = listenPort;
    if (info !== undefined) hello.metadata_size = info.length;
    peer.out.extended(0, encode(hello));
    peer.flushLater();
  }

  /** @throws WireError, RangeError */
  received(peer: Peer, id: number, payload: Buffer): void {
    if (id === LT_DONTHAVE) {
      if (payload.length !== 4) throw new WireError('a malformed "don\'t have"');
      this.#owner.lost(peer, payload.readUInt32BE(0));
      return;
    }
    if (id !== 0 && id !== UT_METADATA && id !== UT_PEX) return;
    const { value, end } = decodePrefix(payload);
    if (!(value instanceof Map)) throw new WireError('an extension message that is no dictionary');
    if (id === 0) this.#helloed(peer, value);
    else if (id === UT_METADATA) this.#metadata(peer, value, payload.subarray(end));
    else if (!this.#owner.private()) this.#owner.learned(decodePexAddresses(value), peer);
  }

  #helloed(peer: Peer, hello: BencodedMap): void {
    const offers = hello.get('m');
    if (offers instanceof Map) {
      peer.metadataId = idOf(offers, 'ut_metadata', peer.metadataId);
      peer.pexId = idOf(offers, 'ut_pex', peer.pexId);
      peer.dontHaveId = idOf(offers, 'lt_donthave', peer.dontHaveId);
    }
    peer.metadataSize = numberOf(hello.get('metadata_size')) ?? peer.metadataSize;
    const port = numberOf(hello.get('p'));
    if (port !== undefined && port > 0 && port <= 65535) peer.listenPort = port;
    const queue = numberOf(hello.get('reqq'));
    if (queue !== undefined && queue > 0) peer.limitRequests(queue);
    this.#owner.helloed(peer);
    if (this.#owner.info() === undefined) this.fetch.pump();
  }

  #metadata(peer: Peer, message: BencodedMap, bytes: Buffer): void {
    const type = numberOf(message.get('msg_type'));
    const part = numberOf(message.get('piece'));
    if (part === undefined || part < 0) throw new WireError('a metadata message without a part');
    if (type === 0) this.#serve(peer, part);
    else if (type === 1) this.fetch.received(peer, part, bytes);
    else if (type === 2) this.fetch.rejected(peer, part);
  }

  #serve(peer: Peer, part: number): void {
    const info = this.#owner.info();
    const served = (this.#served.get(peer) ?? 0) + 1;
    this.#served.set(peer, served);
    if (peer.metadataId === 0) return;
    if (info === undefined || part * PART >= info.length || served > MOST_METADATA_REQUESTS)
      peer.out.extended(peer.metadataId, encode({ msg_type: 2, piece: part }));
    else {
      const bytes = info.subarray(part * PART, (part + 1) * PART);
      peer.out.extended(peer.metadataId, encode({ msg_type: 1, piece: part, total_size: info.length }), bytes);
    }
    peer.flushLater();
  }

  /** Every now and then: what peers have not been told yet. */
  tick(): void {
    if (this.#owner.info() === undefined) this.fetch.pump();
    if (!this.#owner.private()) this.#pex.tick();
  }

  /** Pieces that we had and gave up. */
  gaveUp(pieces: readonly number[]): void {
    for (const peer of this.#owner.peers) {
      if (peer.dontHaveId === 0) continue;
      for (const piece of pieces) {
        const payload = Buffer.alloc(4);
        payload.writeUInt32BE(piece);
        peer.out.extended(peer.dontHaveId, payload);
      }
      peer.flushLater();
    }
  }
}

function idOf(offers: BencodedMap, name: string, before: number): number {
  const id = numberOf(offers.get(name));
  return id !== undefined && id >= 0 && id < 256 ? id : before;
}

const numberOf = (value: Bencoded | undefined): number | undefined => (typeof value === 'number' ? value : undefined);
