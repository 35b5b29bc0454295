/**
 * All torrents: one swarm for each infohash however many want something of it, one engine and one discovery for all.
 *
 * Invariant: a swarm lives exactly while somebody holds a lease on it; the next one of the same infohash begins only when nothing of the one before is left (`#leaving`).
 * The engine is there from the first torrent on.
 */

import { AppError } from '../errors.ts';
import type { Nearness } from '../lib/addresses.ts';
import { Listeners } from '../lib/listeners.ts';
import { type Lease, Shared } from '../lib/shared.ts';
import type { AddressGuard } from '../source/guard.ts';
import type { SourceAccess } from '../source/policy.ts';
import { chunksToForget, type Holding } from './budget.ts';
import { TorrentClaim } from './claim.ts';
import type { AnnounceTimes } from './discovery/announcer.ts';
import type { DhtOptions } from './discovery/dht.ts';
import { Discovery } from './discovery/discovery.ts';
import { Engine, type EngineHandlers } from './engine/engine.ts';
import { TorrentFolder } from './folder.ts';
import { KeptTorrents } from './kept.ts';
import type { EngineLimits, InfoHash, OwnPlaces } from './protocol.ts';
import { loadTorrent, readTorrentSpec, type TorrentSpec } from './reference.ts';
import { Swarm, type TorrentSeed } from './swarm.ts';
import { missingRtc } from './webrtc/native.ts';
import type { WebRtcOptions } from './webrtc/rtc-peers.ts';

export interface TorrentServiceOptions {
  readonly directory: string;
  /** In use at once. */
  readonly most: number;
  /** Data survive the last session and this process. */
  readonly keep: boolean;
  /** Bytes on the disk; undefined: by what is free. */
  readonly diskBytes: number | undefined;
  /** Where peers can reach us; undefined: nowhere. */
  readonly listen: { readonly hosts: readonly string[]; readonly port: number } | undefined;
  /** Whether peers are met by uTP as well as by TCP. */
  readonly utp: boolean;
  readonly limits: EngineLimits;
  readonly trackers: boolean;
  readonly dht: DhtOptions | undefined;
  readonly localDiscovery: boolean;
  /** Peers in browsers, by WebSocket trackers; undefined: none. */
  readonly webRtc: WebRtcOptions | undefined;
  readonly guard: AddressGuard;
  /** Where who writes links is taken to be: as near as the peers that their links may name. */
  readonly linksFrom: Nearness;
  /** Asked when the first torrent begins. */
  readonly own: () => OwnPlaces;
  readonly log: TorrentLog;
  /** Milliseconds without metadata until that is an error; 90 s. */
  readonly metadataMs?: number;
  readonly announceTimes?: Partial<AnnounceTimes>;
}

interface TorrentLog {
  warn(fields: object, message: string): void;
  debug(fields: object, message: string): void;
}

type EngineEvent = Parameters<EngineHandlers['event']>[0];

const MB = 1024 * 1024;
const METADATA_MS = 90_000;
/** However full the disk is: less than this ahead is no use to a player. */
const LEAST_AHEAD = 4 * MB;
/** Given back at once when there is too much, so that it is not done for every piece. */
const SLACK = 32 * MB;
/** An engine that fails this often within a minute is not started again. */
const MOST_RESTARTS = 3;

export class TorrentService implements AsyncDisposable {
  /** Torrents that began, got on or ended. */
  readonly changes = new Listeners<Swarm>();
  /** What it has to do without on this system, in a sentence that names the variable. */
  readonly lacks: string | undefined;
  readonly #options: TorrentServiceOptions;
  readonly #folder: TorrentFolder;
  readonly #kept: KeptTorrents;
  readonly #discovery: Discovery;
  readonly #shared = new Shared<InfoHash, Swarm>();
  /** Those that are in use, to be found by infohash. */
  readonly #swarms = new Map<InfoHash, Swarm>();
  readonly #leaving = new Map<InfoHash, Promise<void>>();
  readonly #swept: Promise<void>;
  #prepared: Promise<void> | undefined;
  readonly #restarts: number[] = [];
  #diskBytes: number;
  /** The disk was full before `#diskBytes` were reached: others use it, too. */
  #wasFull = false;
  #engine: Engine | undefined;
  #listening = Promise.withResolvers<void>();
  #shrinking: Promise<void> | undefined;
  #disposal: Promise<void> | undefined;

  constructor(options: TorrentServiceOptions) {
    this.#options = options;
    this.#folder = new TorrentFolder(options.directory, options.keep);
    this.#kept = new KeptTorrents(this.#folder);
    this.#diskBytes = options.diskBytes ?? Number.MAX_SAFE_INTEGER;
    const missing = options.webRtc && missingRtc();
    this.lacks = missing === undefined ? undefined : noWebRtc(missing);
    this.#discovery = new Discovery({
      trackers: options.trackers,
      dht: options.dht,
      localDiscovery: options.localDiscovery,
      webRtc: missing === undefined ? options.webRtc : undefined,
      guard: options.guard,
      onPeers: (infoHash, peers, from) => this.#swarms.get(infoHash)?.addPeers(peers, from),
      onStream: (infoHash, port, remote) => {
        const swarm = this.#swarms.get(infoHash);
        if (swarm === undefined) port.close();
        else swarm.addStream(port, remote, false);
      },
      ...(options.announceTimes ? { times: options.announceTimes } : {}),
    });
    this.#swept = this.#folder.sweep();
  }

  /**
   * Joins the swarm of a torrent, or begins it. Never waits.
   * @param access whether the client may open the .torrent file, where it is one.
   * @throws AppError `bad-request` for what can't name a torrent, `torrent-unsupported`, `server-full`.
   */
  open(spec: TorrentSpec, access: SourceAccess): TorrentClaim {
    const known = readTorrentSpec(spec);
    if (known) this.#checkRoom(known.infoHash);
    const load = (signal: AbortSignal) => loadTorrent(spec.reference, access, signal);
    return new TorrentClaim(known, load, (seed) => this.#join(seed));
  }

  /** @throws AppError `server-full`, unless it is in use already. */
  #checkRoom(infoHash: InfoHash): void {
    const { most } = this.#options;
    if (this.#swarms.size < most || this.#swarms.has(infoHash)) return;
    throw new AppError('server-full', `There are ${most} torrents already, which is the most (RAFFI_MAX_TORRENTS).`);
  }

  /** The swarm of a torrent that is in use. */
  find(infoHash: InfoHash): Swarm | undefined {
    return this.#swarms.get(infoHash.toLowerCase());
  }

  /** Keeps a torrent that is in use until the lease is released. */
  lease(infoHash: InfoHash): Lease<Swarm> {
    return this.#join({ infoHash, trackers: [], peers: [], webSeeds: [] });
  }

  list(): Swarm[] {
    return [...this.#swarms.values()];
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  #join(seed: TorrentSeed): Lease<Swarm> {
    this.#checkRoom(seed.infoHash);
    let isNew = false;
    const lease = this.#shared.acquire(seed.infoHash, async () => {
      isNew = true;
      return this.#begin(seed);
    });
    if (!isNew) void lease.value.then((swarm) => swarm.join(seed));
    return lease;
  }

  #begin(seed: TorrentSeed): Swarm {
    const { infoHash } = seed;
    const before = this.#leaving.get(infoHash);
    const left = Promise.withResolvers<void>();
    this.#leaving.set(infoHash, left.promise);
    const swarm: Swarm = new Swarm(seed, {
      engine: async () => {
        this.#startEngine();
        this.#prepared ??= this.#prepare();
        await Promise.all([before, this.#prepared, this.#listening.promise]);
        this.#kept.opened(infoHash);
        return this.#startEngine();
      },
      discovery: this.#discovery,
      linksFrom: this.#options.linksFrom,
      guard: this.#options.guard,
      directory: () => this.#folder.of(infoHash),
      keeps: () => this.#folder.keeps(),
      metadataMs: this.#options.metadataMs ?? METADATA_MS,
      mostAhead: () => this.#mostAhead(),
      mayFillUp: () => this.#mayFillUp(),
      grown: () => this.#checkDisk(),
      makesRoom: () => this.#makesRoom(swarm),
      note: (fields, message) => this.#options.log.debug(fields, message),
      closed: () => {
        if (this.#swarms.get(infoHash) === swarm) this.#swarms.delete(infoHash);
        this.changes.tell(swarm);
        if (this.#leaving.get(infoHash) === left.promise) this.#leaving.delete(infoHash);
        this.#kept.closed(infoHash).then(left.resolve, left.reject);
      },
    });
    this.#swarms.set(infoHash, swarm);
    this.changes.tell(swarm);
    return swarm;
  }

  #startEngine(): Engine {
    const { listen, utp, limits, own } = this.#options;
    this.#engine ??= new Engine(
      { port: listen?.port ?? 0, listen: listen !== undefined, hosts: listen?.hosts ?? [], utp, limits, own: own() },
      { event: (event) => this.#onEvent(event), crashed: (error) => this.#onCrash(error) },
    );
    return this.#engine;
  }

  #onEvent(event: EngineEvent): void {
    switch (event.type) {
      case 'listening':
        if (event.error) this.#options.log.warn({ reason: event.error }, 'no port for peers: nobody can call us');
        this.#discovery.port = event.port;
        this.#listening.resolve();
        break;
      case 'stats':
        for (const stats of event.stats) {
          const swarm = this.#swarms.get(stats.infoHash);
          if (swarm === undefined) continue;
          swarm.stats = stats;
          this.changes.tell(swarm);
        }
        break;
      case 'dht-node':
        this.#discovery.addNode(event.node);
        break;
      case 'banned':
        this.#options.log.debug({ peer: event.peer, reason: event.reason }, 'peer banned');
        this.#forward(event);
        break;
      default:
        this.#forward(event);
    }
  }

  #forward(event: Extract<EngineEvent, { infoHash: InfoHash }>): void {
    const swarm = this.#swarms.get(event.infoHash);
    swarm?.event(event);
    // How much of it there is, the next statistics tell.
    if (swarm && event.type !== 'verified') this.changes.tell(swarm);
  }

  #onCrash(error: Error): void {
    this.#options.log.warn({ err: error }, 'the torrent engine failed');
    const now = performance.now();
    this.#restarts.push(now);
    const recent = this.#restarts.filter((time) => time > now - 60_000);
    this.#engine = undefined;
    this.#listening = Promise.withResolvers();
    this.#listening.promise.catch(() => {});
    if (recent.length > MOST_RESTARTS) this.#listening.reject(error);
    for (const swarm of this.#swarms.values()) swarm.restart();
  }

  async #prepare(): Promise<void> {
    await this.#swept;
    await this.#kept.load();
    if (this.#options.keep && !(await this.#folder.keeps()))
      this.#options.log.warn(
        { folder: this.#options.directory },
        'another server keeps its torrents there: nothing of this one is kept',
      );
    if (this.#options.diskBytes === undefined) {
      this.#diskBytes = (await this.#folder.defaultBytes()) + this.#kept.bytes;
    }
    await this.#kept.shrinkTo(this.#diskBytes);
  }

  #mostAhead(): number {
    const places = this.list().flatMap(({ sources }) => [...sources].flatMap(({ positions }) => positions));
    return Math.max(LEAST_AHEAD, Math.floor(this.#diskBytes / 2 / Math.max(1, places.length)));
  }

  #holdings(): Holding<Swarm>[] {
    return this.list().flatMap((swarm) => {
      const { content } = swarm;
      if (content === undefined) return [];
      const { readers, index } = swarm.demand();
      const wanted = [...readers.flatMap(({ waiting, ahead }) => [...waiting, ...ahead]), ...index];
      const { pieces, chunkLength, files } = content;
      const { positions } = swarm;
      return [{ owner: swarm, pieces, chunkLength, wanted, positions, isInUse: (chunk) => files.isInUse(chunk) }];
    });
  }

  /** Bytes of verified pieces of all torrents in use. */
  #held(): number {
    return this.list().reduce((sum, { content }) => sum + (content?.pieces.bytes ?? 0), 0);
  }

  /** Whether all files that are being played may lie on the disk whole: else filling up one would push out another for ever. */
  #mayFillUp(): boolean {
    if (this.#wasFull) return false;
    const files = new Set(this.list().flatMap(({ sources }) => [...sources].map(({ file }) => file)));
    return [...files].reduce((sum, { length }) => sum + length, 0) <= this.#diskBytes;
  }

  #checkDisk(): void {
    if (this.#held() + this.#kept.bytes <= this.#diskBytes) return;
    this.#shrinking ??= this.#given(this.#shrink());
  }

  /** Of a full disk, what is not wanted now is given back. @returns whether there is any. */
  #makesRoom(swarm: Swarm): boolean {
    this.#wasFull = true;
    const chosen = chunksToForget(this.#holdings(), SLACK);
    if (this.#shrinking === undefined && chosen.size === 0 && this.#kept.bytes === 0) return false;
    this.#shrinking ??= this.#given(this.#giveUp(chosen, Math.max(0, this.#kept.bytes - SLACK)));
    void this.#shrinking.then(() => swarm.forget([])).catch(() => {}); // the engine is gone: the next one begins anew
    return true;
  }

  #given(work: Promise<void>): Promise<void> {
    return work
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'torrent data could not be given up'))
      .finally(() => {
        this.#shrinking = undefined;
      });
  }

  async #shrink(): Promise<void> {
    const held = this.#held();
    await this.#kept.shrinkTo(this.#diskBytes - held);
    if (held <= this.#diskBytes) return;
    const excess = held - this.#diskBytes + Math.min(SLACK, this.#diskBytes / 10);
    await this.#giveUp(chunksToForget(this.#holdings(), excess), this.#kept.bytes);
  }

  /** @param kept bytes that torrents which nobody uses may have. */
  async #giveUp(chunks: ReadonlyMap<Swarm, readonly number[]>, kept: number): Promise<void> {
    await this.#kept.shrinkTo(kept);
    for (const [swarm, some] of chunks) await swarm.forget(some);
  }

  async #close(): Promise<void> {
    await this.#shared.settled();
    await this.#shrinking;
    await this.#discovery[Symbol.asyncDispose]();
    await this.#engine?.[Symbol.asyncDispose]();
    await this.#prepared?.catch(() => {});
    await this.#swept;
    await this.#folder[Symbol.asyncDispose]();
  }
}

function noWebRtc(reason: string): string {
  return `no peers by WebRTC: ${reason}. RAFFI_TORRENT_WEBRTC=0 does without them, and without this line.`;
}
