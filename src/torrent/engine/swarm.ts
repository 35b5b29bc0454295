/**
 * One torrent and its peers: from an infohash to its metadata, then downloading and uploading, until `close`.
 *
 * Invariant: `#work` is set as soon as the metadata is known and usable, and never unset. `peers` are those after their
 * handshake; each has an entry in `#messages` and leaves both at once.
 */
import type { Nearness } from '../../lib/addresses.ts';
import { nearnessOf, usablePeers } from '../peer-guard.ts';
import type { AddTorrent, Demand, PeerAddress, TorrentStats } from '../protocol.ts';
import type { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import { Connections } from './connections.ts';
import { Extensions } from './extensions.ts';
import type { Link } from './handshake.ts';
import { sha1 } from './layout.ts';
import { Peer, type WantedBlock } from './peer.ts';
import { type KnownPeer, PeerBook } from './peer-book.ts';
import { PeerMessages, type PeerOwner } from './peer-messages.ts';
import { reachable } from './pex.ts';
import { readMetadata } from './resume.ts';
import { Speed } from './speed.ts';
import type { SwarmOwner } from './swarm-owner.ts';
import { MESSAGE, type MessageReader } from './wire/reader.ts';
import { Work } from './work.ts';

const SILENT_MS = 5000;
/** Something comes from the peer, but no block. */
const SLOW_BLOCK_MS = 30_000;
/** No message at all, not even a keep-alive (BEP 3: two minutes). */
const DEAD_MS = 150_000;
const NO_DEMAND: Demand = { readers: [], index: [], rest: [] };

export class Swarm implements PeerOwner {
  readonly name: string;
  readonly infoHash: Buffer;
  readonly peers = new Set<Peer>();
  readonly book = new PeerBook();
  readonly connections: Connections;
  readonly #torrent: AddTorrent;
  readonly #owner: SwarmOwner;
  readonly #extensions: Extensions;
  readonly #messages = new Map<Peer, PeerMessages>();
  readonly #speed = new Speed();
  #info: Uint8Array | undefined;
  #work: Work | undefined;
  #starting: Promise<void> | undefined;
  #demand = NO_DEMAND;
  /** Somebody has been here. */
  #met = false;
  #closed = false;

  constructor(torrent: AddTorrent, owner: SwarmOwner) {
    this.name = torrent.infoHash;
    this.infoHash = Buffer.from(torrent.infoHash, 'hex');
    this.#torrent = torrent;
    this.#owner = owner;
    this.connections = new Connections(this.infoHash, owner, {
      joined: (link, known) => this.join(link, known, true),
      freed: () => owner.dialMore(),
    });
    this.#extensions = new Extensions({
      infoHash: this.infoHash,
      peers: this.peers,
      info: () => this.#info,
      private: () => this.#work?.layout.private ?? false,
      listenPort: () => owner.listenPort,
      metadata: (info) => this.inform(info),
      lied: (peer) => this.#lied(peer),
      learned: (addresses, from) => this.#exchanged(addresses, from),
      lost: (peer, piece) => this.#lostPiece(peer, piece),
      helloed: (peer) => this.#helloed(peer),
    });
  }

  get directory(): string {
    return this.#torrent.directory;
  }

  get pieceCount(): number | undefined {
    return this.#work?.layout.pieceCount;
  }

  /** Takes up what is known already. @throws Error when it can't be used, or the directory not be made. */
  async open(): Promise<void> {
    const { directory, keep, info, peers, peersFrom } = this.#torrent;
    const known = info ?? (keep ? await readMetadata(directory, this.infoHash) : undefined);
    if (known !== undefined) await this.#start(known);
    this.learn(peers, peersFrom);
  }

  /** The info dictionary has been found. */
  inform(info: Uint8Array): void {
    this.#start(info).catch((error: unknown) => this.#unusable(error));
  }

  #start(info: Uint8Array): Promise<void> {
    this.#starting ??= this.#adopt(info).catch((error: unknown) => {
      // The disk may be better the next time that somebody tells.
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #adopt(info: Uint8Array): Promise<void> {
    if (!sha1(info).equals(this.infoHash)) throw new Error('The info dictionary is not the one of this torrent.');
    const work = await Work.open(this.#torrent, info, {
      peers: this.peers,
      traffic: this.#owner,
      tell: (event) => this.#owner.tell(event),
      gained: (piece) => this.#announce(piece),
      gaveUp: (pieces) => this.#extensions.gaveUp(pieces),
      ban: (known, reason) => this.#ban(known, reason),
    });
    if (this.#closed) {
      await work.close();
      return;
    }
    this.#info = info;
    this.#work = work;
    for (const peer of [...this.peers]) {
      if (!peer.adopt(work.layout.pieceCount)) this.#offended(peer);
      else {
        work.download.count(peer.have!, 1);
        this.#extensions.hello(peer); // now with the metadata's size
        this.#interest(peer);
        this.#tellHave(peer, false);
      }
    }
    work.setDemand(this.#demand);
  }

  #unusable(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const disk = error instanceof Error && 'code' in error;
    if (!this.#closed)
      this.#owner.tell({
        type: 'fault',
        infoHash: this.name,
        fault: disk ? 'disk-failed' : 'metadata-invalid',
        message,
      });
  }

  setDemand(demand: Demand): void {
    this.#demand = demand;
    this.#work?.setDemand(demand);
  }

  async forget(chunks: readonly number[]): Promise<void> {
    await this.#work?.forget(chunks);
  }

  // Addresses and connections

  /** The only way for an address to be called some time. @param from where who names them is. */
  learn(addresses: readonly PeerAddress[], from: Nearness): void {
    let fresh = false;
    for (const address of usablePeers(addresses, from, this.#owner.own)) if (this.book.learn(address)) fresh = true;
    if (fresh) this.#owner.dialMore();
  }

  /** By peer exchange. Of a connection that was made to us, only a forwarder in between may be near. */
  #exchanged(addresses: readonly PeerAddress[], from: Peer): void {
    this.learn(addresses, from.outgoing ? nearnessOf(from.address.host) : 'public');
  }

  /** Whether another connection may be made now, and to whom. */
  nextToDial(): KnownPeer | undefined {
    if (this.#closed || this.peers.size + this.connections.pending >= this.#owner.maxConnectionsPerTorrent)
      return undefined;
    return this.book.next(this.#work?.have.full ?? false);
  }

  /** A connection has its handshake. */
  join(link: Link, known: KnownPeer, outgoing: boolean): void {
    const twice = [...this.peers].some((peer) => peer.link.peerId.equals(link.peerId));
    const self = link.peerId.equals(this.#owner.peerId);
    if (self) known.banned = true;
    if (this.#closed || twice || self || this.peers.size >= this.#owner.maxConnectionsPerTorrent) {
      known.failed();
      link.transport.destroy();
      return;
    }
    known.connected = true;
    const peer = new Peer(link, known, outgoing, this.book.size);
    const messages = new PeerMessages(peer, this);
    this.peers.add(peer);
    this.#messages.set(peer, messages);
    const work = this.#work;
    if (work !== undefined) peer.adopt(work.layout.pieceCount);
    this.#tellHave(peer, true);
    if (link.extended) this.#extensions.hello(peer);
    // Others give out their slots every ten seconds: who says only after the metadata that it is interested waits that long.
    if (work === undefined) peer.setInterested(true);
    else work.uploads.welcome(peer);
    if (!this.#met) this.#owner.tellStats();
    this.#met = true;
    messages.begin();
  }

  #tellHave(peer: Peer, first: boolean): void {
    const have = this.#work?.have;
    if (have === undefined || (have.count === 0 && !first)) {
      if (first && peer.link.fast) peer.out.plain(MESSAGE.haveNone);
    } else if (!first) for (let piece = 0; piece < have.size; piece += 1) this.#tellPiece(peer, piece, have);
    else if (have.count === 0) {
      if (peer.link.fast) peer.out.plain(MESSAGE.haveNone);
    } else if (have.full && peer.link.fast) peer.out.plain(MESSAGE.haveAll);
    else peer.out.bitfield(have.bytes);
    peer.flushLater();
  }

  #tellPiece(peer: Peer, piece: number, have: BitField): void {
    if (have.has(piece)) peer.out.number(MESSAGE.have, piece);
  }

  closed(peer: Peer): void {
    this.peers.delete(peer);
    this.#messages.delete(peer);
    if (peer.downloaded > 0 || peer.known.useful) peer.known.ended();
    else peer.known.failed();
    this.#extensions.fetch.left(peer);
    this.#work?.uploads.left(peer);
    this.#work?.download.left(peer);
    this.#owner.dialMore();
  }

  #drop(peer: Peer): void {
    this.#messages.get(peer)?.close();
  }

  #offended(peer: Peer): void {
    peer.known.misbehaved();
    this.#drop(peer);
  }

  #ban(known: KnownPeer, reason: string): void {
    if (known.banned) return;
    this.book.ban(known);
    this.#owner.tell({ type: 'banned', infoHash: this.name, peer: known.address, reason });
    for (const peer of [...this.peers]) if (peer.known === known || this.book.isBanned(peer)) this.#drop(peer);
  }

  #lied(peer: Peer): void {
    peer.known.misbehaved();
    if (peer.known.banned) {
      peer.known.banned = false;
      this.#ban(peer.known, 'sent metadata that is not the torrent');
    }
  }

  // What peers say (PeerOwner)

  #helloed(peer: Peer): void {
    const address = reachable(peer);
    if (peer.outgoing || address === undefined) return;
    if (this.book.find(address)?.banned === true) this.#drop(peer);
  }

  toldAll(peer: Peer, before: BitField): void {
    const work = this.#work;
    if (work === undefined) return;
    work.download.count(before, -1);
    work.download.count(peer.have!, 1);
    this.#interest(peer);
    this.#leaveSeed(peer);
  }

  gained(peer: Peer, piece: number): void {
    this.#work?.download.gained(peer, piece);
    this.#interest(peer);
    if (this.#work?.have.has(piece) === false) this.#work.download.fill(peer);
    if (peer.seed) this.#leaveSeed(peer);
  }

  #lostPiece(peer: Peer, piece: number): void {
    const { have } = peer;
    if (have === undefined || piece >= have.size || !have.has(piece)) return;
    have.clear(piece);
    this.#work?.download.lostPiece(piece);
  }

  #interest(peer: Peer): void {
    const have = this.#work?.have;
    if (have !== undefined && peer.have !== undefined) peer.setInterested(peer.have.exceeds(have));
  }

  unchoked(peer: Peer): void {
    this.#work?.download.unchoked(peer);
  }

  choked(peer: Peer, lost: readonly number[]): void {
    this.#work?.download.lost(peer, lost);
  }

  rejected(peer: Peer, piece: number, begin: number): void {
    this.#work?.download.rejected(peer, piece, begin);
  }

  blockBegins(peer: Peer, reader: MessageReader, piece: number, begin: number, length: number): void {
    this.#work?.download.blockBegins(peer, reader, piece, begin, length);
  }

  blockEnds(peer: Peer, piece: number, begin: number, length: number): void {
    this.#work?.download.blockEnds(peer, piece, begin, length);
  }

  interestChanged(peer: Peer): void {
    this.#work?.uploads.interestChanged(peer);
  }

  requested(peer: Peer, block: WantedBlock): void {
    this.#work?.uploads.requested(peer, block);
  }

  drained(peer: Peer): void {
    this.#work?.uploads.drained(peer);
  }

  extended(peer: Peer, id: number, payload: Buffer): void {
    this.#extensions.received(peer, id, payload);
  }

  dhtPort(peer: Peer, port: number): void {
    if (port === 0 || !peer.link.transport.dialable) return;
    this.#owner.tell({ type: 'dht-node', node: { host: peer.address.host, port } });
  }

  /** We have a piece: those who lack it are told. */
  #announce(piece: number): void {
    const work = this.#work;
    if (work === undefined) return;
    for (const peer of this.peers) {
      // Also those that have it: who shows one piece after the other (BEP 16) shows the next one when it hears of this.
      if (peer.have?.full === false) {
        peer.out.number(MESSAGE.have, piece);
        peer.flushLater();
      }
      if (peer.amInterested && peer.have !== undefined && work.have.full) peer.setInterested(false);
    }
    if (work.have.full) this.#leaveSeeds();
  }

  /** Two that have everything have nothing to say to each other. */
  #leaveSeeds(): void {
    for (const peer of [...this.peers]) this.#leaveSeed(peer);
  }

  #leaveSeed(peer: Peer): void {
    peer.known.seeds = peer.seed;
    if (peer.seed && this.#work?.have.full === true) this.#drop(peer);
  }

  // Time

  tick(seconds: number): void {
    const { now } = clock;
    for (const peer of [...this.peers]) {
      peer.measure(seconds);
      const owing = peer.asked.size > 0 ? now - peer.waitingSince : 0;
      const silent = now - peer.lastReceived;
      if ((owing > SILENT_MS && silent > SILENT_MS) || owing > SLOW_BLOCK_MS || silent > DEAD_MS) this.#drop(peer);
    }
    this.#work?.tick();
    this.#work?.download.tick();
    this.#extensions.tick();
    this.#speed.measure(seconds, this.#work?.download.downloaded ?? 0, this.#work?.uploads.uploaded ?? 0);
  }

  stats(): TorrentStats {
    const { download, uploads } = this.#work ?? {};
    let seeds = 0;
    // Connected, and at no address that is in the book.
    let visitors = 0;
    for (const peer of this.peers) {
      if (peer.seed) seeds += 1;
      if (!peer.known.dialable) visitors += 1;
    }
    return {
      infoHash: this.name,
      peers: this.peers.size,
      seeds,
      knownPeers: this.book.size + visitors,
      connecting: this.connections.pending,
      downloadBytesPerSecond: this.#speed.download,
      uploadBytesPerSecond: this.#speed.upload,
      downloadedBytes: download?.downloaded ?? 0,
      verifiedBytes: download?.verifiedBytes ?? 0,
      wastedBytes: download?.wasted ?? 0,
      uploadedBytes: uploads?.uploaded ?? 0,
      badPieces: download?.badPieces ?? 0,
      bannedPeers: this.book.banned,
      unavailablePieces: download?.unavailable ?? 0,
    };
  }

  /** Ends; resolves when nothing is left: connections, files. */
  async close(): Promise<void> {
    this.#closed = true;
    this.connections.close();
    for (const peer of [...this.peers]) this.#drop(peer);
    await this.#starting?.catch(() => undefined);
    await this.#work?.close();
  }
}
