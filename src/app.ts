import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config.ts';
import type { Places } from './ffmpeg/binaries.ts';
import { type Capabilities, describeCapabilities, detectCapabilities } from './ffmpeg/capabilities.ts';
import { buildServer } from './http/server.ts';
import { readerOpener } from './presentation/open-reader.ts';
import { PresentationStore } from './presentation/presentation-store.ts';
import { RunPool } from './presentation/run-pool.ts';
import { defaultCacheBytes } from './presentation/segment-folder.ts';
import { SegmentStore } from './presentation/segment-store.ts';
import { SessionStore } from './session/session-store.ts';
import { anyAddress } from './source/guard.ts';
import { TorrentService } from './torrent/service.ts';

export interface App extends AsyncDisposable {
  /** `http://HOST:PORT`, with the real port. */
  readonly url: string;
}

/** Pieces in the making, of all torrents together. */
const TORRENT_BUFFER_BYTES = 64 * 1024 * 1024;

/** The version of this package. */
function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function placesOf(config: Config, configured: string | undefined): Places {
  const besideExecutable = dirname(process.execPath);
  return { pathEntries: config.searchPath, besideExecutable, ...(configured ? { configured } : {}) };
}

/** The one line on what FFmpeg is there. */
function tell(found: Capabilities, log: FastifyBaseLogger): void {
  const level = found.missing.length === 0 ? 'info' : 'warn';
  log[level]({ ffmpeg: found.ffmpeg?.path, ffprobe: found.ffprobe?.path }, describeCapabilities(found));
}

function torrentService({ torrent }: Config, log: FastifyBaseLogger): TorrentService {
  const { directory, keep, diskBytes, listen, trackers, localDiscovery, connections } = torrent;
  return new TorrentService({
    directory,
    keep,
    diskBytes,
    listen,
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
    guard: anyAddress,
    log,
  });
}

/**
 * Wires the rooms together and listens. Disposing ends requests, sessions and everything they own.
 * @throws what `listen` throws (`EADDRINUSE`, ...).
 */
export async function startApp(config: Config, log: FastifyBaseLogger): Promise<App> {
  await using resources = new AsyncDisposableStack();
  const places = { ffmpeg: placesOf(config, config.ffmpegBin), ffprobe: placesOf(config, config.ffprobeBin) };
  const stopping = new AbortController();
  // Asked behind `listen`: who needs the answer waits for it.
  const capabilities = detectCapabilities(places, stopping.signal);
  const told = capabilities.then(
    (found) => tell(found, log),
    (error: unknown) => {
      if (!stopping.signal.aborted) log.error({ err: error }, 'FFmpeg could not be examined');
    },
  );
  const folder = tmpdir();
  const diskBytes = config.cacheBytes ?? defaultCacheBytes(folder);
  const store = resources.use(new SegmentStore({ diskBytes, folder, log }));
  const presentations = new PresentationStore(
    readerOpener(async () => (await capabilities).ffprobe?.path),
    { capabilities, pool: new RunPool(config.maxRuns), store },
  );
  const torrents = resources.use(torrentService(config, log));
  const sessions = resources.use(
    new SessionStore({
      presentations,
      torrents,
      idleMs: config.sessionIdleMs,
      onExpired: (session, idleMs) =>
        log.info({ session: session.id, idleSeconds: Math.round(idleMs / 1000) }, 'session expired'),
    }),
  );
  resources.defer(() => {
    stopping.abort();
    return told;
  });
  const server = await buildServer({ sessions, torrents, capabilities, log, version: version() });
  resources.defer(() => server.close());
  await server.listen({ ...config.listen }); // Fastify writes into what it is given
  const address = server.server.address();
  const port = typeof address === 'object' && address ? address.port : config.listen.port;
  const { host } = config.listen;
  const owned = resources.move();
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
