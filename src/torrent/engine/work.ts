/**
 * A torrent whose metadata is known: its pieces on the disk, downloading, uploading, and what outlives the run.
 *
 * Invariant: `verified` is told of a piece after `metadata`, once, and not after `close`. One `#persist` runs at a time.
 */
import type { AddTorrent, Demand, EngineEvent, TorrentFault } from '../protocol.ts';
import type { BitField } from './bit-field.ts';
import { ChunkStore } from './chunk-store.ts';
import { clock } from './clock.ts';
import { Download } from './download.ts';
import { type Layout, layoutOf } from './layout.ts';
import type { Peer } from './peer.ts';
import type { KnownPeer } from './peer-book.ts';
import { hashMatches, nothingHad, type Resumed, readResume, writeMetadata, writeResume } from './resume.ts';
import type { Traffic } from './swarm-owner.ts';
import { Uploads } from './uploads.ts';

interface WorkOwner {
  readonly peers: ReadonlySet<Peer>;
  readonly traffic: Traffic;
  tell(event: EngineEvent): void;
  /** A piece is had: peers want to know. */
  gained(piece: number): void;
  gaveUp(pieces: readonly number[]): void;
  ban(known: KnownPeer, reason: string): void;
}

/** A disk that refused is tried again. */
const RETRY_MS = 5000;
const PERSIST_MS = 10_000;

export class Work {
  readonly layout: Layout;
  readonly have: BitField;
  readonly download: Download;
  readonly uploads: Uploads;
  readonly #torrent: AddTorrent;
  readonly #owner: WorkOwner;
  readonly #store: ChunkStore;
  #verified: number[] = [];
  #changed = false;
  #persistAt = 0;
  #persisting: Promise<void> = Promise.resolve();
  readonly #rehashing: Promise<void>;
  /** Still to be hashed: what is forgotten meanwhile is not taken up. */
  readonly #doubtful: Set<number>;
  /** Told, and not over yet: over is it when something could be written again. */
  #fault: TorrentFault | undefined;
  #retryAt = 0;
  #closed = false;

  /** @throws Error when the info dictionary can't be used, or the directory not made. */
  static async open(torrent: AddTorrent, info: Uint8Array, owner: WorkOwner): Promise<Work> {
    const layout = layoutOf(info);
    const store = new ChunkStore(torrent.directory, layout.chunkLength);
    await store.prepare();
    if (torrent.keep) await writeMetadata(torrent.directory, info);
    const resumed = torrent.keep ? await readResume(torrent.directory, layout) : nothingHad(layout);
    return new Work(torrent, info, layout, store, resumed, owner);
  }

  private constructor(
    torrent: AddTorrent,
    info: Uint8Array,
    layout: Layout,
    store: ChunkStore,
    { have, doubtful }: Resumed,
    owner: WorkOwner,
  ) {
    this.layout = layout;
    this.have = have;
    this.#torrent = torrent;
    this.#owner = owner;
    this.#store = store;
    const { traffic, peers } = owner;
    this.download = new Download(layout, store, traffic.pool, have, {
      peers,
      verified: (piece) => this.#gained(piece),
      ban: (known, reason) => owner.ban(known, reason),
      storageFailed: (error) => this.#failed(error),
      allowance: () => traffic.downloadAllowance(),
      spent: (bytes) => traffic.downloadSpent(bytes),
    });
    this.uploads = new Uploads(Buffer.from(torrent.infoHash, 'hex'), layout, have, store, {
      peers,
      allowance: () => traffic.uploadAllowance(),
      spent: (bytes) => traffic.uploadSpent(bytes),
    });
    const { pieceLength, totalLength, chunkLength } = layout;
    const { infoHash } = torrent;
    const bits = Uint8Array.from(have.bytes);
    owner.tell({ type: 'metadata', infoHash, info, pieceLength, totalLength, chunkLength, have: bits });
    this.#doubtful = new Set(doubtful);
    this.#rehashing = this.#rehash();
  }

  get private(): boolean {
    return this.layout.private;
  }

  /** Hashes what lies in changed files, one piece after the other. */
  async #rehash(): Promise<void> {
    for (const piece of this.#doubtful) {
      if (this.#closed) return;
      if (this.have.has(piece) || !(await hashMatches(this.#torrent.directory, this.layout, piece))) continue;
      if (this.#closed || !this.#doubtful.has(piece) || !this.download.found(piece)) continue;
      this.#gained(piece);
    }
  }

  #gained(piece: number): void {
    this.#changed = true;
    this.#recover();
    if (this.#verified.push(piece) === 1) setImmediate(() => this.#tellVerified());
    this.#owner.gained(piece);
  }

  #tellVerified(): void {
    if (this.#closed || this.#verified.length === 0) return;
    this.#owner.tell({ type: 'verified', infoHash: this.#torrent.infoHash, pieces: this.#verified });
    this.#verified = [];
  }

  setDemand(demand: Demand): void {
    this.download.setDemand(demand);
  }

  #recover(): void {
    if (this.#fault === undefined) return;
    this.#fault = undefined;
    this.#owner.tell({ type: 'recovered', infoHash: this.#torrent.infoHash });
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#closed) return;
    this.#retryAt = clock.now + RETRY_MS;
    const before = this.#fault;
    this.#fault = error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'disk-full' : 'disk-failed';
    if (this.#fault === before) return;
    const message =
      this.#fault === 'disk-full'
        ? 'The disk is full: nothing more of the torrent can be stored.'
        : `The torrent's data can't be written (${error.code ?? error.message}).`;
    this.#owner.tell({ type: 'fault', infoHash: this.#torrent.infoHash, fault: this.#fault, message });
  }

  /** Gives the space of these chunks back, and tries again what a full disk refused. */
  async forget(chunks: readonly number[]): Promise<void> {
    const { piecesPerChunk, pieceCount } = this.layout;
    const lost: number[] = [];
    const valid = chunks.filter(
      (chunk) => Number.isInteger(chunk) && chunk >= 0 && chunk * piecesPerChunk < pieceCount,
    );
    for (const chunk of valid) {
      const end = Math.min(pieceCount, (chunk + 1) * piecesPerChunk);
      for (let piece = chunk * piecesPerChunk; piece < end; piece += 1) {
        this.#doubtful.delete(piece);
        if (this.download.forget(piece)) lost.push(piece);
      }
    }
    this.#changed = true;
    const gone = new Set(lost);
    this.#verified = this.#verified.filter((piece) => !gone.has(piece));
    this.#owner.gaveUp(lost);
    for (const chunk of valid) await this.#store.forget(chunk);
    // Somebody may have deleted it all.
    await this.#store.prepare().catch(() => {}); // writing tells
    // There may be room again; if there is not, that is told anew.
    this.#recover();
    this.download.resume();
  }

  /** Writes down what is had, if it has changed and the last time was a while ago. */
  tick(): void {
    this.uploads.tick();
    if (this.#fault !== undefined && clock.now >= this.#retryAt) {
      this.#retryAt = clock.now + RETRY_MS;
      this.download.resume();
    }
    if (!this.#torrent.keep || !this.#changed || clock.now < this.#persistAt) return;
    this.#persistAt = clock.now + PERSIST_MS;
    this.#persist();
  }

  #persist(): void {
    this.#changed = false;
    // A piece that is being written makes its chunk doubtful at most: it is hashed again then.
    this.#persisting = this.#persisting
      .then(() => writeResume(this.#torrent.directory, this.layout, this.have))
      .catch(() => {
        this.#changed = true;
      });
  }

  /** Ends, when the last write has; what is kept is written down. */
  async close(): Promise<void> {
    this.#tellVerified();
    this.#closed = true;
    this.download.close();
    await this.#rehashing;
    await this.#store.close();
    if (this.#torrent.keep) this.#persist();
    await this.#persisting;
  }
}
