/**
 * One torrent, shared by all who want something of it.
 *
 * Invariant: `#failure` says why nothing comes at the moment; it goes when its cause does. From the beginning of dispose nothing is told to the engine but
 * `remove`.
 */
import type { MessagePort } from 'node:worker_threads';
import { AppError } from '../errors.ts';
import type { Nearness } from '../lib/addresses.ts';
import type { AddressGuard } from '../source/guard.ts';
import { Arrival } from './arrival.ts';
import { Audience } from './audience.ts';
import { Changes } from './changes.ts';
import { ChunkFiles } from './chunk-files.ts';
import type { Content } from './content.ts';
import type { AnnounceReport } from './discovery/announcer.ts';
import type { Discovery } from './discovery/discovery.ts';
import type { Engine, EngineHandlers } from './engine/engine.ts';
import { invalidTorrent, linkReports, noFile, noMetadata } from './failures.ts';
import { chooseFile } from './file-choice.ts';
import { type Metainfo, MetainfoError, parseInfo, type TorrentFile } from './metainfo.ts';
import { allPieces, hasBit, PieceMap } from './piece-map.ts';
import type { Demand, InfoHash, PeerAddress, TorrentStats } from './protocol.ts';
import { type SwarmStatus, swarmStatus } from './status.ts';
import { Timeline } from './timeline.ts';
import { type SourceHost, TorrentSource } from './torrent-source.ts';
import type { Tracker } from './tracker-url.ts';
import { Wants } from './wants.ts';
import { WebSeeds } from './webseed/web-seeds.ts';

type EngineEvent = Parameters<EngineHandlers['event']>[0];

/** What is known of a torrent before any peer is asked. */
export interface TorrentSeed {
  readonly infoHash: InfoHash;
  readonly name?: string | undefined;
  readonly trackers: readonly Tracker[];
  readonly peers: readonly PeerAddress[];
  /** URLs of servers that have the files. */
  readonly webSeeds: readonly string[];
  readonly info?: Uint8Array | undefined;
}

export interface SwarmOptions {
  /** Ready to take this torrent: whatever was of it before is gone. */
  readonly engine: () => Promise<Engine>;
  readonly discovery: Discovery;
  /** Where who writes links is taken to be. */
  readonly linksFrom: Nearness;
  /** Of what torrents name. */
  readonly guard: AddressGuard;
  readonly directory: () => Promise<string>;
  /** Whether the data survive. */
  readonly keeps: () => Promise<boolean>;
  /** Milliseconds without metadata until that is an error. */
  readonly metadataMs: number;
  /** Bytes that a playhead may have ahead, by what may lie on the disk. */
  readonly mostAhead: () => number;
  /** Whether a file that is kept may be fetched whole. */
  readonly mayFillUp: () => boolean;
  /** Pieces have come: the disk may be too full. */
  readonly grown: () => void;
  /** The disk refuses more. @returns whether room is being made: `forget` follows, of nothing at least. */
  readonly makesRoom: () => boolean;
  /** Nothing is left of it. */
  readonly closed: () => void;
  /** For the debug log. */
  readonly note: (fields: object, message: string) => void;
}

export interface FileOpening {
  /** undefined: the best one. */
  readonly fileIdx: number | undefined;
  readonly wantsIndex: boolean;
  readonly release: () => Promise<void>;
}

export class Swarm implements SourceHost, AsyncDisposable {
  readonly infoHash: InfoHash;
  readonly timeline: Timeline;
  readonly audience = new Audience();
  readonly #seed: TorrentSeed;
  readonly #options: SwarmOptions;
  /** What is in it, if a link has told. */
  #info: Uint8Array | undefined;
  readonly #life = new AbortController();
  readonly #wants: Wants;
  readonly #webSeeds: WebSeeds;
  readonly #arrival = new Arrival();
  readonly #changes = new Changes(() => this.#tellDemand());
  #engine: Engine | undefined;
  #directory = '';
  #keep = false;
  #failure: AppError | undefined;
  #stats: TorrentStats | undefined;
  #capacity = 0;
  #starting: Promise<void>;
  #disposal: Promise<void> | undefined;

  constructor(seed: TorrentSeed, options: SwarmOptions) {
    this.infoHash = seed.infoHash;
    this.#seed = seed;
    this.#info = seed.info;
    this.#options = options;
    this.timeline = new Timeline((fields, message) => options.note({ infoHash: this.infoHash, ...fields }, message));
    this.#wants = new Wants(
      () => this.content,
      () => this.#keep && options.mayFillUp(),
    );
    this.#webSeeds = new WebSeeds({
      infoHash: seed.infoHash,
      guard: options.guard,
      attach: (port, remote) => this.addStream(port, remote, true),
      isWanted: () => this.#wants.lacks(),
    });
    this.#webSeeds.add(seed.webSeeds);
    this.#starting = this.#start();
  }

  get isClosed(): boolean {
    return this.#life.signal.aborted;
  }

  get content(): Content | undefined {
    return this.#arrival.content;
  }

  get failure(): AppError | undefined {
    return this.#failure;
  }

  get pieces(): PieceMap {
    return this.#known().pieces;
  }

  get files(): ChunkFiles {
    return this.#known().files;
  }

  get viewers(): number {
    return this.audience.size;
  }

  get mostAhead(): number {
    return this.#options.mostAhead();
  }

  get sources(): ReadonlySet<TorrentSource> {
    return this.#wants.sources;
  }

  /** The name from the metadata, else what the link calls it, else the infohash. */
  get name(): string {
    return this.content?.metainfo.name ?? this.#seed.name ?? this.infoHash;
  }

  /** What another link to the same torrent names besides, and what is in it, where that link was a .torrent file. */
  join({ peers, trackers, webSeeds, info }: TorrentSeed): void {
    this.#webSeeds.add(webSeeds);
    this.#info ??= info;
    // The engine may not know the torrent yet.
    void this.#starting.then(() => {
      if (info !== undefined && !this.content && !this.#life.signal.aborted) this.#engine?.inform(this.infoHash, info);
      this.addPeers(peers, this.#options.linksFrom);
      if (!this.#life.signal.aborted) this.#options.discovery.addTrackers(this.infoHash, trackers);
    });
  }

  /** @param from where who names them is. */
  addPeers(peers: readonly PeerAddress[], from: Nearness): void {
    if (peers.length === 0 || this.#life.signal.aborted) return;
    this.timeline.mark('addresses');
    this.#engine?.addPeers(this.infoHash, peers, from);
  }

  /** A connection made by other means, whose other side is somebody else's. @param isReserve see protocol.ts. */
  addStream(port: MessagePort, remote: PeerAddress, isReserve: boolean): void {
    const engine = this.#life.signal.aborted ? undefined : this.#engine;
    if (engine === undefined) port.close();
    else engine.attach({ type: 'stream', infoHash: this.infoHash, port, remote, isReserve });
  }

  /** Resolves when the metadata is known. @throws AppError `torrent-*`; the signal's reason. */
  whenContent(signal: AbortSignal): Promise<Content> {
    return this.#arrival.wait(signal);
  }

  /** The file that is played: the one of this number, else the best. @throws AppError `torrent-no-file`. */
  chosenFile(fileIdx: number | undefined): TorrentFile {
    const { files } = this.#known().metainfo;
    const file = fileIdx === undefined ? chooseFile(files) : files[fileIdx];
    if (file === undefined || file.length === 0 || file.isPadding) throw noFile(this.name, files, fileIdx);
    return file;
  }

  /**
   * A file's bytes, as soon as the metadata is known.
   * @param opening.wantsIndex it will be opened as media. `release` is called when the source is disposed of.
   * @throws AppError `torrent-*`; the signal's reason. Then `release` is not called.
   */
  async open(opening: FileOpening, signal: AbortSignal): Promise<TorrentSource> {
    await this.whenContent(signal);
    const source = new TorrentSource(this.chosenFile(opening.fileIdx), opening.wantsIndex, this, opening.release);
    this.#wants.sources.add(source);
    this.changed();
    return source;
  }

  /** What is told to clients. @param fileIdx the file that they look at. */
  status(fileIdx: number | undefined): SwarmStatus {
    return swarmStatus({
      infoHash: this.infoHash,
      name: this.name,
      content: this.content,
      file: this.#fileOrNone(fileIdx),
      stats: this.#stats,
      failure: this.#failure ?? this.#arrival.failure,
      tried: [...this.#tried(), ...this.#webSeeds.reports],
      sources: [...this.#wants.sources],
      capacity: this.#capacity,
    });
  }

  /** Who was asked for peers. */
  #tried(): AnnounceReport[] {
    const { discovery, linksFrom } = this.#options;
    return [...linkReports(this.#seed.peers, linksFrom), ...discovery.reports(this.infoHash)];
  }

  event(event: EngineEvent): void {
    // As long as the engine has not been told of this one, it speaks of its predecessor, which is being removed, files and all.
    if (this.#life.signal.aborted || this.#engine === undefined) return;
    switch (event.type) {
      case 'metadata':
        this.#onMetadata(event);
        break;
      case 'verified':
        this.#onVerified(event.pieces);
        break;
      case 'fault':
        this.#onFault(event.fault, event.message);
        break;
      case 'recovered':
        this.#failure = undefined;
        break;
      case 'banned':
        this.#webSeeds.banned(event.peer, event.reason);
        break;
    }
  }

  set stats(stats: TorrentStats) {
    if (this.#engine === undefined) return;
    const before = this.#stats?.peers ?? 0;
    this.#stats = stats;
    if (stats.peers > 0) this.timeline.mark('peer');
    if (this.#wants.isBusy()) this.#capacity = this.#capacity * 0.7 + stats.downloadBytesPerSecond * 0.3;
    if (before > 0 && stats.peers === 0) this.#options.discovery.hurry(this.infoHash);
  }

  /** The engine is gone; the next one begins with what is known. */
  restart(): void {
    if (this.#life.signal.aborted) return;
    this.#engine = undefined;
    this.#stats = undefined;
    const lost = new AppError('torrent-failed', 'The torrent engine has failed and is being started again.');
    if (this.content) {
      // Nothing is at hand until the next engine says so: it may begin its files anew.
      const { pieces, files } = this.content;
      pieces.remove(allPieces(pieces));
      pieces.fail(lost);
      void files[Symbol.asyncDispose]();
    }
    this.#options.discovery.hurry(this.infoHash);
    this.#starting = this.#starting.then(() => this.#addToEngine()).catch((error: unknown) => this.#broken(error));
  }

  /** @see SourceHost */
  changed(isUrgent = true): void {
    this.#changes.made(isUrgent);
  }

  #tellDemand(): void {
    this.#engine?.demand(this.infoHash, this.demand());
    this.#webSeeds.wake();
  }

  closed(source: TorrentSource): void {
    this.#wants.sources.delete(source);
    this.changed();
  }

  /** Where it is read, or was last; bytes of torrent space. */
  get positions(): readonly number[] {
    return this.#wants.positions;
  }

  demand(): Demand {
    return this.#wants.demand();
  }

  /** @see SourceHost */
  async lost(chunk: number): Promise<void> {
    // Another read has found it out before.
    if (this.#wants.isForgetting(chunk)) return;
    this.#options.note({ infoHash: this.infoHash, chunk }, 'torrent data have been lost, and are fetched again');
    // Without an engine the next one begins anew.
    await this.forget([chunk]).catch(() => {});
  }

  /** Gives the disk space of chunks back; what a full disk refused is tried again. */
  async forget(chunks: readonly number[]): Promise<void> {
    const content = this.content;
    if (content === undefined || this.#engine === undefined || this.#life.signal.aborted) return;
    const { pieces, files, chunkLength } = content;
    const engine = this.#engine;
    this.#wants.forgets(chunks);
    for (const chunk of chunks) {
      const { first, end } = pieces.piecesOf({
        start: chunk * chunkLength,
        end: Math.min((chunk + 1) * chunkLength, pieces.totalLength),
      });
      pieces.remove(Array.from({ length: end - first }, (_, n) => first + n));
    }
    try {
      await Promise.all(chunks.map((chunk) => files.close(chunk)));
      // Before the order to forget: from then on nobody writes there.
      engine.demand(this.infoHash, this.demand());
      await engine.forget(this.infoHash, chunks);
    } finally {
      this.#wants.remembered(chunks);
      this.changed();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  async #start(): Promise<void> {
    try {
      await this.#addToEngine();
      if (this.#life.signal.aborted) return;
      this.#options.discovery.add({
        infoHash: this.infoHash,
        trackers: this.#seed.trackers,
        isPrivate: (this.content?.metainfo ?? (this.#info && parseInfo(this.#info)))?.isPrivate ?? false,
        progress: () => this.#progress(),
        isHungry: () => (this.#stats?.peers ?? 0) === 0,
      });
      if (!this.content) this.#arrival.expect(this.#options.metadataMs, () => this.#late());
    } catch (error) {
      this.#broken(error);
    }
  }

  async #addToEngine(): Promise<void> {
    const engine = await this.#options.engine();
    const directory = await this.#options.directory();
    const keep = await this.#options.keeps();
    if (this.#life.signal.aborted) return;
    this.#directory = directory;
    this.#keep = keep;
    const { infoHash, peers } = this.#seed;
    const info = this.#info;
    this.#engine = engine;
    const peersFrom = this.#options.linksFrom;
    await engine.add({ infoHash, directory, keep, peers, peersFrom, ...(info ? { info } : {}) });
    this.timeline.mark('engine');
    this.changed();
  }

  #broken(cause: unknown): void {
    if (this.#life.signal.aborted) return;
    const error =
      cause instanceof AppError
        ? cause
        : new AppError('torrent-failed', 'The torrent could not be started.', { cause });
    this.#failure = error;
    this.#arrival.fail(error);
  }

  #onMetadata(event: Extract<EngineEvent, { type: 'metadata' }>): void {
    let metainfo: Metainfo;
    try {
      metainfo = parseInfo(event.info);
    } catch (error) {
      if (!(error instanceof MetainfoError)) throw error;
      this.#arrival.fail(invalidTorrent(error));
      return;
    }
    this.timeline.mark('metadata');
    this.#failure = undefined;
    if (metainfo.isPrivate) void this.#options.discovery.makePrivate(this.infoHash);
    const known = this.content;
    if (known) {
      // After a restart of the engine, which has taken up what it can use.
      this.#arrival.resolve(known);
      known.pieces.add(allPieces(known.pieces).filter((n) => hasBit(event.have, n)));
      this.changed();
      return;
    }
    const { pieceLength, totalLength, chunkLength, have } = event;
    const pieces = new PieceMap(pieceLength, totalLength, have);
    const files = new ChunkFiles(this.#directory, chunkLength);
    this.#arrival.resolve({ metainfo, pieces, files, chunkLength });
    this.#webSeeds.start(metainfo);
    this.changed();
  }

  /** What was verified in a chunk that is being deleted was told before the engine knew. */
  #onVerified(verified: readonly number[]): void {
    const content = this.content;
    if (content === undefined) return;
    this.timeline.mark('piece');
    const { pieces, chunkLength } = content;
    const isGoing = (piece: number): boolean =>
      this.#wants.isForgetting(Math.floor((piece * pieces.pieceLength) / chunkLength));
    if (pieces.add(verified.filter((piece) => !isGoing(piece))).length > 0) this.#options.grown();
  }

  #onFault(fault: Extract<EngineEvent, { type: 'fault' }>['fault'], message: string): void {
    if (fault === 'metadata-invalid') {
      this.#arrival.fail(new AppError('torrent-invalid', message));
      return;
    }
    if (fault === 'disk-full' && this.#options.makesRoom()) return;
    this.#failure = new AppError(fault === 'disk-full' ? 'torrent-disk-full' : 'torrent-failed', message);
    this.content?.pieces.fail(this.#failure);
  }

  #late(): AppError {
    return noMetadata(this.name, this.#options.metadataMs, this.#tried(), this.#stats);
  }

  #known(): Content {
    if (this.content === undefined) throw new Error('the metadata is not known yet');
    return this.content;
  }

  #fileOrNone(fileIdx: number | undefined): TorrentFile | undefined {
    if (this.content === undefined) return undefined;
    const { files } = this.content.metainfo;
    return fileIdx === undefined ? chooseFile(files) : files[fileIdx];
  }

  #progress(): { uploaded: number; downloaded: number; left: number } {
    const { uploadedBytes = 0, verifiedBytes = 0 } = this.#stats ?? {};
    const pieces = this.content?.pieces;
    // A tracker tells seeds only about those who lack something: unknown is not nothing.
    const left = pieces ? Math.max(0, pieces.totalLength - pieces.complete * pieces.pieceLength) : 1;
    return { uploaded: uploadedBytes, downloaded: verifiedBytes, left };
  }

  async #close(): Promise<void> {
    this.#arrival[Symbol.dispose]();
    this.#changes[Symbol.dispose]();
    const closed = new AppError('server-closing', 'The torrent is no longer open.');
    this.#life.abort(closed);
    this.#arrival.fail(closed);
    this.content?.pieces.fail(closed);
    await this.#starting;
    const engine = this.#engine;
    await Promise.all([
      this.#options.discovery.remove(this.infoHash),
      this.#webSeeds[Symbol.asyncDispose](),
      this.content?.files[Symbol.asyncDispose](),
    ]);
    await engine?.remove(this.infoHash, !this.#keep).catch(() => {});
    this.#options.closed();
  }
}
