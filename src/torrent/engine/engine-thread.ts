/**
 * All torrents of the engine: who listens, who is called next, the shared limits, the tick.
 *
 * Invariant: `#swarms` has one entry per torrent from `add` to `remove`; the tick runs exactly while there is one.
 */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Command, EngineEvent, EngineLimits, EngineOptions, InfoHash, OwnPlaces } from '../protocol.ts';
import { Budget } from './budget.ts';
import { clock } from './clock.ts';
import { answerPeer } from './handshake.ts';
import { Listener } from './listener.ts';
import { SlabPool } from './slab-pool.ts';
import { Swarm } from './swarm.ts';
import type { SwarmOwner } from './swarm-owner.ts';
import { portTransport, type Transport } from './transport.ts';
import { UtpPorts } from './utp/ports.ts';

const TICK_MS = 250;
const STATS_MS = 1000;
/** Connections to us that have no handshake yet. */
const MOST_STRANGERS = 50;

export class EngineThread implements SwarmOwner {
  readonly pool: SlabPool;
  /** Azureus style: ours, version 0.1. */
  readonly peerId = Buffer.concat([Buffer.from('-RF0100-'), randomBytes(12)]);
  readonly own: OwnPlaces;
  /** Resolves when it is known whether peers can connect to us. */
  readonly listening: Promise<void>;
  readonly dialUtp: SwarmOwner['dialUtp'];
  readonly #tell: (event: EngineEvent) => void;
  readonly #swarms = new Map<InfoHash, Swarm>();
  readonly #listener: Listener;
  readonly #utp: UtpPorts | undefined;
  readonly #strangers = new Set<Transport>();
  readonly #download: Budget;
  readonly #upload: Budget;
  #limits: EngineLimits;
  #timer: NodeJS.Timeout | undefined;
  #tickedAt = 0;
  #statsAt = 0;
  #told = new Map<InfoHash, string>();
  #dialling = false;

  constructor(options: EngineOptions, tell: (event: EngineEvent) => void) {
    this.#tell = tell;
    this.#limits = options.limits;
    this.own = options.own;
    this.pool = new SlabPool(options.limits.bufferBytes);
    this.#download = new Budget(options.limits.downloadBytesPerSecond);
    this.#upload = new Budget(options.limits.uploadBytesPerSecond);
    this.#listener = new Listener(options, (transport) => void this.#stranger(transport));
    this.#utp = options.utp ? new UtpPorts(options, (transport) => void this.#stranger(transport)) : undefined;
    this.dialUtp = this.#utp && ((...attempt) => this.#utp?.dial(...attempt));
    this.listening = this.#listener.ready.then(async ({ port, error }) => {
      await this.#utp?.open(port);
      tell(error === undefined ? { type: 'listening', port } : { type: 'listening', port, error });
    });
  }

  // SwarmOwner

  get listenPort(): number {
    return this.#listener.port;
  }

  get encryption(): EngineLimits['encryption'] {
    return this.#limits.encryption;
  }

  get maxConnectionsPerTorrent(): number {
    return this.#limits.maxConnectionsPerTorrent;
  }

  tell(event: EngineEvent): void {
    this.#tell(event);
  }

  downloadAllowance(): number {
    return this.#download.allowance;
  }

  downloadSpent(bytes: number): void {
    this.#download.spend(bytes);
  }

  uploadAllowance(): number {
    return this.#upload.allowance;
  }

  uploadSpent(bytes: number): void {
    this.#upload.spend(bytes);
  }

  /** Calls whoever can be called now, the torrents in turn. */
  dialMore(): void {
    if (this.#dialling) return;
    this.#dialling = true;
    queueMicrotask(() => {
      this.#dialling = false;
      let halfOpen = 0;
      for (const swarm of this.#swarms.values()) halfOpen += swarm.connections.dialling;
      let connections = this.#connections();
      for (let called = true; called; ) {
        called = false;
        for (const swarm of this.#swarms.values()) {
          if (halfOpen >= this.#limits.maxHalfOpen || connections >= this.#limits.maxConnections) return;
          const known = swarm.nextToDial();
          if (known === undefined) continue;
          swarm.connections.dial(known);
          halfOpen += 1;
          connections += 1;
          called = true;
        }
      }
    });
  }

  #connections(): number {
    let count = this.#strangers.size;
    for (const { peers, connections } of this.#swarms.values()) count += peers.size + connections.pending;
    return count;
  }

  // Commands

  obey(command: Command): void {
    switch (command.type) {
      case 'limits':
        this.#setLimits(command.limits);
        return;
      case 'peers':
        this.#swarms.get(command.infoHash)?.learn(command.peers, command.from);
        return;
      case 'info':
        this.#swarms.get(command.infoHash)?.inform(command.info);
        return;
      case 'demand':
        this.#swarms.get(command.infoHash)?.setDemand(command.demand);
        return;
      case 'stream':
        this.#attach(command);
        return;
      default:
        this.#answer(command.id, this.#do(command));
    }
  }

  #answer(id: number, work: Promise<void>): void {
    work.then(
      () => this.#tell({ type: 'done', id }),
      (error: unknown) =>
        this.#tell({ type: 'failed', id, message: error instanceof Error ? error.message : String(error) }),
    );
  }

  async #do(command: Extract<Command, { id: number }>): Promise<void> {
    if (command.type === 'add') await this.#add(command.torrent);
    else if (command.type === 'remove') await this.#remove(command.infoHash, command.deleteFiles);
    else if (command.type === 'forget') await this.#swarms.get(command.infoHash)?.forget(command.chunks);
    else await this.#stop();
  }

  #setLimits(limits: EngineLimits): void {
    const before = this.#limits;
    this.#limits = limits;
    this.pool.limit = limits.bufferBytes;
    if (before.downloadBytesPerSecond !== limits.downloadBytesPerSecond)
      this.#download.perSecond = limits.downloadBytesPerSecond;
    if (before.uploadBytesPerSecond !== limits.uploadBytesPerSecond)
      this.#upload.perSecond = limits.uploadBytesPerSecond;
    this.dialMore();
  }

  async #add(torrent: Extract<Command, { type: 'add' }>['torrent']): Promise<void> {
    if (this.#swarms.has(torrent.infoHash)) throw new Error('This torrent is here already.');
    const swarm = new Swarm(torrent, this);
    this.#swarms.set(torrent.infoHash, swarm);
    this.#run();
    try {
      await swarm.open();
    } catch (error) {
      this.#swarms.delete(torrent.infoHash);
      await swarm.close();
      this.#rest();
      throw error;
    }
  }

  async #remove(infoHash: InfoHash, deleteFiles: boolean): Promise<void> {
    const swarm = this.#swarms.get(infoHash);
    if (swarm === undefined) return;
    this.#swarms.delete(infoHash);
    this.#told.delete(infoHash);
    this.#rest();
    await swarm.close();
    if (deleteFiles) await rm(swarm.directory, { recursive: true, force: true });
    this.dialMore();
  }

  async #stop(): Promise<void> {
    const swarms = [...this.#swarms.values()];
    this.#swarms.clear();
    this.#rest();
    for (const transport of this.#strangers) transport.destroy();
    await Promise.all([this.#listener.close(), ...swarms.map((swarm) => swarm.close())]);
    await this.listening;
    await this.#utp?.close();
  }

  // Connections that others make

  async #stranger(transport: Transport): Promise<void> {
    if (this.#strangers.size >= MOST_STRANGERS || this.#swarms.size === 0) {
      transport.destroy();
      return;
    }
    this.#strangers.add(transport);
    try {
      const allowPlain = this.encryption !== 'require';
      const link = await answerPeer(transport, (matches) => this.#find(matches), { allowPlain, beginEncrypted: false });
      const swarm = this.#swarms.get(link.infoHash.toString('hex'));
      const known = swarm?.book.visitor(transport.remote, false);
      if (swarm === undefined || known === undefined) transport.destroy();
      else swarm.join(link, known, false);
    } catch {
      transport.destroy();
    } finally {
      this.#strangers.delete(transport);
    }
  }

  #find(matches: (infoHash: Buffer) => boolean): { infoHash: Buffer; peerId: Buffer } | undefined {
    for (const { infoHash } of this.#swarms.values()) if (matches(infoHash)) return { infoHash, peerId: this.peerId };
    return undefined;
  }

  #attach({ infoHash, port, remote, isReserve }: Extract<Command, { type: 'stream' }>): void {
    const transport = portTransport(port, remote);
    const swarm = this.#swarms.get(infoHash);
    const known = swarm?.book.visitor(remote, false, isReserve);
    if (swarm === undefined || known === undefined || this.#connections() >= this.#limits.maxConnections)
      transport.destroy();
    else void swarm.connections.call(transport, known);
  }

  // Time

  #run(): void {
    if (this.#timer !== undefined) return;
    this.#tickedAt = clock.tick();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  #rest(): void {
    if (this.#swarms.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now = clock.tick();
    const seconds = Math.max(0.001, (now - this.#tickedAt) / 1000);
    this.#tickedAt = now;
    this.#download.refill(seconds);
    this.#upload.refill(seconds);
    for (const swarm of this.#swarms.values()) swarm.tick(seconds);
    this.dialMore();
    if (now < this.#statsAt) return;
    this.#statsAt = now + STATS_MS;
    this.tellStats();
  }

  tellStats(): void {
    const changed = [...this.#swarms.values()]
      .map((swarm) => swarm.stats())
      .filter((stats) => {
        const text = JSON.stringify(stats);
        if (this.#told.get(stats.infoHash) === text) return false;
        this.#told.set(stats.infoHash, text);
        return true;
      });
    if (changed.length > 0) this.#tell({ type: 'stats', stats: changed });
  }
}
