/**
 * Where peers come from: trackers, DHT and the local network. It runs in the main thread, beside the one transport that judges addresses: what it has to do is little,
 * and the DHT library gets only what its fence lets through (docs/decisions/0015).
 *
 * Invariant: a torrent is in `#torrents` from `add` to `remove`, and exactly its announcers run.
 */
import { randomBytes } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import type { Nearness } from '../../lib/addresses.ts';
import type { AddressGuard } from '../../source/guard.ts';
import type { InfoHash, PeerAddress } from '../protocol.ts';
import type { Tracker } from '../tracker-url.ts';
import { RtcPeers, type WebRtcOptions } from '../webrtc/rtc-peers.ts';
import {
  type AnnounceReport,
  Announcer,
  type AnnouncerOptions,
  type AnnounceTimes,
  announceTimes,
} from './announcer.ts';
import { DhtNode, type DhtOptions } from './dht.ts';
import { announceHttp } from './http-tracker.ts';
import { LocalDiscovery } from './lsd.ts';
import { type Announced, type Announcement, TrackerError } from './tracker.ts';
import { announceUdp } from './udp-tracker.ts';
import { WebSocketTracker } from './web-socket-tracker.ts';

export interface DiscoveryOptions {
  readonly trackers: boolean;
  /** undefined: none. */
  readonly dht: DhtOptions | undefined;
  readonly localDiscovery: boolean;
  /** For WebSocket trackers; undefined: they are not asked. */
  readonly webRtc: WebRtcOptions | undefined;
  readonly guard: AddressGuard;
  /** @param from where who names them is. */
  readonly onPeers: (infoHash: InfoHash, peers: readonly PeerAddress[], from: Nearness) => void;
  /** A connection to a peer, as the engine's side of a stream (protocol.ts). */
  readonly onStream: (infoHash: InfoHash, port: MessagePort, remote: PeerAddress) => void;
  readonly times?: Partial<AnnounceTimes>;
}

/** What discovery needs to know of a torrent. */
export interface DiscoveredTorrent {
  readonly infoHash: InfoHash;
  readonly trackers: readonly Tracker[];
  /** Known to be: trackers only (BEP 27). */
  readonly isPrivate: boolean;
  /** For trackers, bytes. */
  readonly progress: () => { readonly uploaded: number; readonly downloaded: number; readonly left: number };
  readonly isHungry: () => boolean;
}

interface Entry {
  readonly torrent: DiscoveredTorrent;
  readonly peerId: Uint8Array;
  readonly trackers: Announcer[];
  /** URLs of trackers. */
  readonly asked: Set<string>;
  /** Connections that WebSocket trackers bring about. */
  readonly rtc: RtcPeers | undefined;
  isPrivate: boolean;
  /** DHT and local network. */
  open: Announcer[];
}

/** Trackers get this long to hear that we leave. */
const FAREWELL_MS = 1_000;
const MOST_TRACKERS = 100;
/** Connections that are offered with each announcement: to those who have nobody, and to those who have somebody. */
const OFFERS_HUNGRY = 5;
const OFFERS = 2;
/** What was offered is void after 50 s, and a connection may come to nothing: WebTorrent's clients announce as often. */
const OFFER_TIMES = { leastInterval: 30_000, hungryInterval: 30_000 };
/** Seconds between two lookups or local announcements that went well. */
const DHT_INTERVAL = 15 * 60;
const LOCAL_INTERVAL = 5 * 60;
/** Of those whose peers come by another way. */
const NOBODY: Announced = { peers: [], from: 'public' };

export class Discovery implements AsyncDisposable {
  readonly #options: DiscoveryOptions;
  readonly #torrents = new Map<InfoHash, Entry>();
  #port = 0;
  #dht: Promise<DhtNode> | undefined;
  #local: LocalDiscovery | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** The port that peers reach us at; 0: none. */
  set port(port: number) {
    this.#port = port;
  }

  add(torrent: DiscoveredTorrent): void {
    const peerId = Buffer.concat([Buffer.from('-RF0100-'), randomBytes(12)]);
    const open = torrent.isPrivate ? [] : this.#openPlaces(torrent);
    const { infoHash, isPrivate } = torrent;
    const entry: Entry = { torrent, peerId, trackers: [], asked: new Set(), rtc: this.#rtc(infoHash), isPrivate, open };
    this.#torrents.set(infoHash, entry);
    this.#ask(entry, torrent.trackers);
    for (const announcer of open) announcer.start();
  }

  /** Asks trackers that another link to the same torrent names. Of a private one they stay those of the first. */
  addTrackers(infoHash: InfoHash, trackers: readonly Tracker[]): void {
    const entry = this.#torrents.get(infoHash);
    if (entry !== undefined && !entry.isPrivate) this.#ask(entry, trackers);
  }

  #ask(entry: Entry, trackers: readonly Tracker[]): void {
    if (!this.#options.trackers) return;
    for (const tracker of trackers) {
      if (entry.asked.has(tracker.url) || entry.asked.size >= MOST_TRACKERS) continue;
      const announcer = tracker.kind === 'web-socket' ? this.#broker(tracker, entry) : this.#tracker(tracker, entry);
      if (announcer === undefined) continue;
      entry.asked.add(tracker.url);
      entry.trackers.push(announcer);
      announcer.start();
    }
  }

  /** The metadata says so: nobody but its trackers may be asked any more. */
  async makePrivate(infoHash: InfoHash): Promise<void> {
    const entry = this.#torrents.get(infoHash);
    if (entry) entry.isPrivate = true;
    const open = entry?.open.splice(0) ?? [];
    await Promise.all(open.map((announcer) => announcer.stop(AbortSignal.abort())));
  }

  /** All peers are gone. */
  hurry(infoHash: InfoHash): void {
    const entry = this.#torrents.get(infoHash);
    for (const announcer of [...(entry?.trackers ?? []), ...(entry?.open ?? [])]) announcer.hurry();
  }

  /** A DHT node that a peer told of. */
  addNode(node: PeerAddress): void {
    this.#dht?.then((dht) => dht.addNode(node)).catch(() => {});
  }

  reports(infoHash: InfoHash): AnnounceReport[] {
    const entry = this.#torrents.get(infoHash);
    return [...(entry?.trackers ?? []), ...(entry?.open ?? [])].map(({ report }) => report);
  }

  /** Resolves when nothing of it is under way any more; trackers have been told, as far as they listen. */
  async remove(infoHash: InfoHash): Promise<void> {
    const entry = this.#torrents.get(infoHash);
    if (entry === undefined) return;
    this.#torrents.delete(infoHash);
    const farewell = new AbortController();
    const timer = setTimeout(() => farewell.abort(), FAREWELL_MS);
    await Promise.all([...entry.trackers, ...entry.open].map((announcer) => announcer.stop(farewell.signal)));
    clearTimeout(timer);
    entry.rtc?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#torrents.keys()].map((infoHash) => this.remove(infoHash)));
    await this.#local?.[Symbol.asyncDispose]();
    const dht = await this.#dht?.catch(() => undefined);
    await dht?.[Symbol.asyncDispose]();
  }

  #announcer(
    torrent: DiscoveredTorrent,
    label: string,
    announce: AnnouncerOptions['announce'],
    more: Partial<AnnouncerOptions> = {},
  ): Announcer {
    const { onPeers, times } = this.#options;
    return new Announcer({
      label,
      announce,
      onPeers: (peers, from) => onPeers(torrent.infoHash, peers, from),
      isHungry: torrent.isHungry,
      ...more,
      times: { ...announceTimes, ...more.times, ...times },
    });
  }

  #tracker(tracker: Tracker, { torrent, peerId }: Entry): Announcer {
    const announce = tracker.kind === 'udp' ? announceUdp : announceHttp;
    return this.#announcer(torrent, `tracker ${tracker.label}`, (event, signal) =>
      announce(tracker.url, this.#announcement(torrent, peerId, event), this.#options.guard, signal),
    );
  }

  #announcement(torrent: DiscoveredTorrent, peerId: Uint8Array, event: Announcement['event']): Announcement {
    return { infoHash: torrent.infoHash, peerId, port: this.#port, event, ...torrent.progress() };
  }

  /** A WebSocket tracker; undefined when nothing could be made of what it tells. */
  #broker({ url, label }: Tracker, { torrent, peerId, rtc }: Entry): Announcer | undefined {
    if (rtc === undefined) return undefined;
    const tracker = new WebSocketTracker({
      url,
      guard: this.#options.guard,
      peers: rtc,
      offers: () => (torrent.isHungry() ? OFFERS_HUNGRY : OFFERS),
      lost: () => announcer.hurry(),
    });
    const announcer = this.#announcer(
      torrent,
      `tracker ${label}`,
      (event, signal) => tracker.announce(this.#announcement(torrent, peerId, event), signal),
      { close: (signal) => tracker.close(signal), times: { ...announceTimes, ...OFFER_TIMES } },
    );
    return announcer;
  }

  #rtc(infoHash: InfoHash): RtcPeers | undefined {
    const { webRtc, onStream } = this.#options;
    return webRtc && new RtcPeers(webRtc, (port, remote) => onStream(infoHash, port, remote));
  }

  #openPlaces(torrent: DiscoveredTorrent): Announcer[] {
    const { dht, localDiscovery } = this.#options;
    const places: Announcer[] = [];
    if (dht) places.push(this.#announcer(torrent, 'the DHT', (event, signal) => this.#lookUp(torrent, event, signal)));
    if (localDiscovery)
      places.push(this.#announcer(torrent, 'the local network', (event) => this.#callOut(torrent, event)));
    return places;
  }

  async #lookUp(
    { infoHash, isHungry }: DiscoveredTorrent,
    event: 'started' | 'stopped' | undefined,
    signal: AbortSignal,
  ): Promise<Announced> {
    if (event === 'stopped') return NOBODY;
    let found = 0;
    this.#dhtFound.set(infoHash, () => found++);
    const dht = await this.#dhtNode();
    const nodes = await dht.lookup(infoHash, this.#port, signal).finally(() => this.#dhtFound.delete(infoHash));
    if (nodes === 0) throw new TrackerError('has no node that answers');
    if (found === 0 && isHungry()) throw new TrackerError(`knows no peer (${nodes} nodes asked)`);
    return { ...NOBODY, interval: DHT_INTERVAL };
  }

  /** Counts what lookups find. */
  readonly #dhtFound = new Map<InfoHash, () => void>();

  #dhtNode(): Promise<DhtNode> {
    const { dht } = this.#options;
    if (dht === undefined) return Promise.reject(new TrackerError('is switched off'));
    this.#dht ??= DhtNode.start(dht, (infoHash, peers, from) => {
      const entry = this.#torrents.get(infoHash);
      if (entry === undefined || entry.open.length === 0) return;
      this.#dhtFound.get(infoHash)?.();
      this.#options.onPeers(infoHash, peers, from);
    }).catch((error: unknown) => {
      this.#dht = undefined;
      throw new TrackerError(`cannot be joined (${(error as NodeJS.ErrnoException).code})`, { cause: error });
    });
    return this.#dht;
  }

  async #callOut({ infoHash }: DiscoveredTorrent, event: 'started' | 'stopped' | undefined): Promise<Announced> {
    if (event === 'stopped') return NOBODY;
    this.#local ??= new LocalDiscovery((found, peers, from) => {
      const entry = this.#torrents.get(found);
      if (entry !== undefined && entry.open.length > 0) this.#options.onPeers(found, peers, from);
    });
    this.#local.announce(infoHash, this.#port);
    return { ...NOBODY, interval: LOCAL_INTERVAL };
  }
}
