import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { castOrigin } from './cast/lan-address.ts';
import { CastTokens } from './cast/tokens.ts';
import { AddonCatalogue } from './catalogue/catalogue.ts';
import { ClipService } from './clip/clip-service.ts';
import type { Config } from './config.ts';
import type { Places } from './ffmpeg/binaries.ts';
import { type Capabilities, describeCapabilities, detectCapabilities } from './ffmpeg/capabilities.ts';
import { Encoders } from './ffmpeg/hardware.ts';
import type { Check, Folders } from './health/checks.ts';
import { Health } from './health/health.ts';
import type { KnownRoute } from './http/route-book.ts';
import { buildServer } from './http/server.ts';
import { waitFor } from './lib/abort.ts';
import { authorityText } from './lib/authority.ts';
import { Listeners } from './lib/listeners.ts';
import { logEndings } from './metrics/endings.ts';
import { Metrics } from './metrics/metrics.ts';
import type { RunChange } from './presentation/journal.ts';
import { readerOpener } from './presentation/open-reader.ts';
import { PresentationStore } from './presentation/presentation-store.ts';
import { RunPool } from './presentation/run-pool.ts';
import { defaultCacheBytes } from './presentation/segment-folder.ts';
import { SegmentStore } from './presentation/segment-store.ts';
import { SessionStore } from './session/session-store.ts';
import type { Network } from './source/guard.ts';
import { SourcePolicy } from './source/policy.ts';
import { TorrentService } from './torrent/service.ts';
import { version } from './version.ts';

export interface App extends AsyncDisposable {
  /** `http://HOST:PORT`, with the real port; of a server that listens on all addresses, 127.0.0.1. */
  readonly url: string;
  readonly version: string;
  /** What it answers, and to whom. */
  readonly routes: readonly KnownRoute[];
}

/** What the server is surrounded by; the system's, except in tests. */
export interface World {
  readonly network?: Network;
  /** ms since the epoch, for what expires. */
  readonly now?: () => number;
}

/** Pieces in the making, of all torrents together. */
const TORRENT_BUFFER_BYTES = 64 * 1024 * 1024;

function placesOf(config: Config, configured: string | undefined): Places {
  const besideExecutable = dirname(process.execPath);
  return { pathEntries: config.searchPath, besideExecutable, ...(configured ? { configured } : {}) };
}

/** Undefined before it listens. */
function portOf({ server }: FastifyInstance): number | undefined {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : undefined;
}

/** `http://HOST:PORT`, with the real port. */
function urlOf(server: FastifyInstance, { listen }: Config): string {
  return `http://${authorityText({ host: callable(listen.host), port: portOf(server) ?? listen.port })}`;
}

function segmentStore(config: Config, log: FastifyBaseLogger): SegmentStore {
  const { cacheFolder: folder, cacheMemoryBytes: memoryBytes } = config;
  const diskBytes = config.cacheBytes ?? defaultCacheBytes(folder);
  return new SegmentStore({ diskBytes, folder, log, ...(memoryBytes === undefined ? {} : { memoryBytes }) });
}

/** The one line on what FFmpeg is there. */
function tell(found: Capabilities, log: FastifyBaseLogger): void {
  const level = found.missing.length === 0 ? 'info' : 'warn';
  log[level]({ ffmpeg: found.ffmpeg?.path, ffprobe: found.ffprobe?.path }, describeCapabilities(found));
}

/** Where files are written. */
function foldersOf({ cacheFolder, clipsDir, torrent }: Config): Folders {
  return { temporary: tmpdir(), cache: resolve(cacheFolder), torrents: resolve(torrent.directory), clips: clipsDir };
}

function addonCatalogue(
  { addons }: Config,
  sources: SourcePolicy,
  log: FastifyBaseLogger,
  { now }: World,
): AddonCatalogue {
  return new AddonCatalogue({
    upstreams: addons.catalogues.map((url) => new URL(url)),
    guardOf: (upstream) => sources.operatorGuard(upstream),
    file: addons.file,
    log,
    ...(now ? { now } : {}),
  });
}

/** A line for each check that is not well; FFmpeg has its own. */
function tellChecks(checks: readonly Check[], log: FastifyBaseLogger): void {
  for (const { name, state, detail } of checks) {
    if (state === 'ok' || name === 'ffmpeg') continue;
    log[state === 'failing' ? 'error' : 'warn']({ check: name }, detail);
  }
}

/** The one address that peers are to reach us at; undefined: any. */
function boundTo(hosts: readonly string[] = []): string | undefined {
  const [host] = hosts;
  return hosts.length === 1 && host !== '0.0.0.0' && host !== '::' ? host : undefined;
}

function torrentService({ torrent }: Config, sources: SourcePolicy, log: FastifyBaseLogger): TorrentService {
  const { directory, keep, diskBytes, listen, utp, trackers, localDiscovery, connections } = torrent;
  return new TorrentService({
    directory,
    most: torrent.most,
    keep,
    diskBytes,
    listen,
    utp,
    limits: {
      maxConnections: connections,
      maxConnectionsPerTorrent: Math.max(1, Math.ceil(connections / 2)),
      maxHalfOpen: Math.max(1, Math.min(30, Math.ceil(connections / 4))),
      uploadBytesPerSecond: torrent.uploadRate,
      downloadBytesPerSecond: null,
      bufferBytes: TORRENT_BUFFER_BYTES,
      encryption: torrent.encryption,
    },
    trackers,
    dht: torrent.dht ? { port: 0, host: '0.0.0.0', bootstrap: torrent.dhtNodes } : undefined,
    localDiscovery,
    webRtc: torrent.webRtc && { ...torrent.webRtc, host: boundTo(listen?.hosts) },
    guard: sources.trackerGuard(),
    linksFrom: sources.linksFrom,
    own: () => sources.ownPlaces,
    log,
  });
}

/** What programs of this machine call a server that listens on `host`: the wildcards are no address to call. */
function callable(host: string): string {
  return host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host;
}

/** All that works without HTTP; disposing ends sessions and everything they own. */
export interface Rooms extends AsyncDisposable {
  readonly capabilities: Promise<Capabilities>;
  readonly encoders: Encoders;
  readonly pool: RunPool;
  /** Tells of runs that begin and end. */
  readonly runs: Listeners<RunChange>;
  readonly store: SegmentStore;
  readonly presentations: PresentationStore;
  readonly sources: SourcePolicy;
  readonly torrents: TorrentService;
  readonly tokens: CastTokens;
  readonly sessions: SessionStore;
  readonly clips: ClipService;
}

/**
 * Wires the rooms together.
 * @param ownPort the port that this process listens on; undefined before it does, or when it does not.
 * @param ready when FFmpeg may be examined: to start a process stops this one for some milliseconds.
 */
export function openRooms(
  config: Config,
  log: FastifyBaseLogger,
  world: World = {},
  ownPort: () => number | undefined = () => undefined,
  ready: Promise<void> = Promise.resolve(),
): Rooms {
  const resources = new AsyncDisposableStack();
  const places = { ffmpeg: placesOf(config, config.ffmpegBin), ffprobe: placesOf(config, config.ffprobeBin) };
  const stopping = new AbortController();
  const capabilities = waitFor(ready, stopping.signal).then(() => detectCapabilities(places, stopping.signal));
  const told = capabilities.then(
    (found) => tell(found, log),
    (error: unknown) => {
      if (!stopping.signal.aborted) log.error({ err: error }, 'FFmpeg could not be examined');
    },
  );
  const encoders = new Encoders(
    config.hwaccel,
    capabilities,
    (level, sentence) => log[level](sentence),
    stopping.signal,
  );
  const runs = new Listeners<RunChange>();
  const pool = new RunPool(config.maxRuns);
  const store = resources.use(segmentStore(config, log));
  const presentations = new PresentationStore(readerOpener(capabilities), {
    capabilities,
    encoders,
    loudness: config.loudness.target,
    pool,
    runs,
    store,
    folder: tmpdir(),
    stallMs: config.transcodeStallMs,
  });
  const tokens = new CastTokens(world.now);
  const { allowedHosts, castHost } = config.access;
  const sources = new SourcePolicy({
    ...config.sources,
    ...(world.network ? { network: world.network } : {}),
    ownPort,
    ownNames: castHost ? [...allowedHosts, castHost] : allowedHosts,
  });
  const torrents = resources.use(torrentService(config, sources, log));
  const sessions = resources.use(
    new SessionStore({
      presentations,
      torrents,
      idleMs: config.sessionIdleMs,
      maxSessions: config.maxSessions,
      onEnded: (id) => tokens.revoke(id),
    }),
  );
  const clips = resources.use(new ClipService({ directory: config.clipsDir, capabilities }));
  resources.defer(() => {
    stopping.abort();
    return Promise.all([told, encoders.report()]).then(() => {});
  });
  return {
    ...{ capabilities, encoders, pool, runs, store, presentations, sources, torrents, tokens, sessions, clips },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/**
 * The whole server, listening. Disposing ends requests, sessions and everything they own.
 * @throws what `listen` throws (`EADDRINUSE`, ...).
 */
export async function startApp(config: Config, log: FastifyBaseLogger, world: World = {}): Promise<App> {
  await using resources = new AsyncDisposableStack();
  const ownPort = (): number | undefined => portOf(server);
  // FFmpeg is examined when clients can come, who wait for the answer if they need it.
  const ready = Promise.withResolvers<void>();
  const rooms = openRooms(config, log, world, ownPort, ready.promise);
  const { capabilities, sources, tokens } = rooms;
  const listening = (): string | undefined => (ownPort() === undefined ? undefined : urlOf(server, config));
  // Its checks end when FFmpeg has been examined, or is not any more: with the rooms, hence after them.
  const health = resources.use(new Health({ folders: foldersOf(config), capabilities, listening }));
  const { sessions, clips, torrents, runs } = rooms;
  // Disposed of after the rooms: their ends are told too.
  resources.use(logEndings({ sessions, clips, torrents, runs, idleMs: config.sessionIdleMs, log }));
  resources.use(rooms);
  const addons = resources.use(addonCatalogue(config, sources, log, world));
  const metrics = resources.use(new Metrics({ ...rooms, version: version(), health }));
  const { access } = config;
  const origin = () =>
    castOrigin({
      castHost: access.castHost,
      listen: { host: config.listen.host, port: ownPort() ?? config.listen.port },
    });
  const server = await buildServer({
    ...rooms,
    access,
    listenHost: config.listen.host,
    cast: { tokens, origin },
    addons,
    health,
    metrics,
    loudness: config.loudness.isOn,
    log,
    version: version(),
  });
  resources.defer(() => server.close());
  await server.listen({ ...config.listen }); // Fastify writes into what it is given
  ready.resolve();
  // Not before: a server that does not come to listen tells why, and no more.
  if (torrents.lacks !== undefined) log.warn(torrents.lacks);
  void health.check().then((found) => tellChecks(found, log));
  const owned = resources.move();
  return {
    url: urlOf(server, config),
    version: version(),
    routes: server.book.routes,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
