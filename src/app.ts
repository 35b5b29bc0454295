import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config.ts';
import { findBinary } from './ffmpeg/binaries.ts';
import { buildServer } from './http/server.ts';
import { readerOpener } from './presentation/open-reader.ts';
import { PresentationStore } from './presentation/presentation-store.ts';
import { SessionStore } from './session/session-store.ts';

export interface App extends AsyncDisposable {
  /** `http://HOST:PORT`, with the real port. */
  readonly url: string;
}

/** The version of this package. */
function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * Wires the rooms together and listens. Disposing ends requests, sessions and everything they own.
 * @throws what `listen` throws (`EADDRINUSE`, ...).
 */
export async function startApp(config: Config, log: FastifyBaseLogger): Promise<App> {
  await using resources = new AsyncDisposableStack();
  const besideExecutable = dirname(process.execPath);
  const places = {
    pathEntries: config.searchPath,
    besideExecutable,
    ...(config.ffprobeBin ? { configured: config.ffprobeBin } : {}),
  };
  const presentations = new PresentationStore(readerOpener(() => findBinary('ffprobe', places)));
  const sessions = resources.use(
    new SessionStore({
      presentations,
      idleMs: config.sessionIdleMs,
      onExpired: (session, idleMs) =>
        log.info({ session: session.id, idleSeconds: Math.round(idleMs / 1000) }, 'session expired'),
    }),
  );
  const server = await buildServer({ sessions, log, version: version() });
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
