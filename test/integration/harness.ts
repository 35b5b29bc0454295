import assert from 'node:assert/strict';
import { pino } from 'pino';
import { startApp, type World } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { type CheckedMediaPlaylist, checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { EXECUTABLE, listeningUrl, spawnServer } from '../fixtures/server-process.ts';

/** The whole server in this process, or the executable under test in its own, on a free loopback port, with a client that speaks to it over real sockets. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Of the process that it runs in. */
  readonly pid: number;
  create(body: Record<string, unknown>): Promise<string>;
  get(path: string, init?: RequestInit): Promise<Response>;
  json<T = Record<string, unknown>>(path: string, init?: RequestInit): Promise<{ status: number; body: T }>;
  text(path: string): Promise<string>;
  bytes(path: string): Promise<Uint8Array>;
}

type Started = Pick<TestServer, 'url' | 'pid' | typeof Symbol.asyncDispose>;

async function startHere(env: Record<string, string>, world: World): Promise<Started> {
  const config = readConfig({
    RAFFI_SERVER_ADDR: '127.0.0.1:0',
    PATH: process.env.PATH,
    RAFFI_HWACCEL: 'none',
    ...env,
  });
  const app = await startApp(config, pino({ level: 'silent' }), world);
  return { url: app.url, pid: process.pid, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
}

async function startExecutable(env: Record<string, string>, world: World): Promise<Started> {
  if (Object.keys(world).length > 0) throw new Error('An executable is surrounded by the system: use onlyOfSources().');
  const { TMPDIR, http_proxy, HTTP_PROXY, all_proxy } = process.env; // that tests set, for a server in their own process
  const server = spawnServer({ RAFFI_HWACCEL: 'none', TMPDIR, http_proxy, HTTP_PROXY, all_proxy, ...env });
  return {
    url: await listeningUrl(server),
    pid: server.child.pid as number,
    async [Symbol.asyncDispose]() {
      server.child.kill('SIGTERM');
      const [code, signal] = await server.exited;
      if (code !== 0) throw new Error(`The server ended with ${signal ?? code}: ${server.words()}`);
    },
  };
}

export interface Info {
  readonly status: string;
  readonly durationSeconds?: number;
  readonly error?: string;
  readonly errorCode?: string;
  readonly container?: string;
  readonly index?: string;
  readonly audioIndex: number;
  readonly availableStreams?: {
    type: string;
    index: number;
    codec: string;
    delivery: string;
    reason?: string;
    language: string;
  }[];
}

/** @param world what surrounds the server instead of the system; for the sources only */
export async function startTestServer(env: Record<string, string> = {}, world: World = {}): Promise<TestServer> {
  const app = EXECUTABLE === undefined ? await startHere(env, world) : await startExecutable(env, world);
  const get = (path: string, init?: RequestInit): Promise<Response> => fetch(new URL(path, app.url), init);
  const ok = async (path: string): Promise<Response> => {
    const response = await get(path);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  return {
    url: app.url,
    pid: app.pid,
    get,
    async create(body) {
      const response = await get('/sessions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (response.status !== 201) throw new Error(`POST /sessions: ${response.status} ${await response.text()}`);
      return ((await response.json()) as { id: string }).id;
    },
    async json<T>(path: string, init?: RequestInit) {
      const response = await get(path, init);
      return { status: response.status, body: (await response.json()) as T };
    },
    text: async (path) => (await ok(path)).text(),
    bytes: async (path) => new Uint8Array(await (await ok(path)).arrayBuffer()),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

/** One media playlist with all that it names, fetched in shuffled order. */
export interface FetchedRendition {
  readonly playlist: CheckedMediaPlaylist;
  /** Empty for packed audio. */
  readonly init: Uint8Array;
  readonly segments: readonly Uint8Array[];
}

export async function fetchRendition(server: TestServer, path: string, seed = 1): Promise<FetchedRendition> {
  const playlist = checkMediaPlaylist(await server.text(path));
  const resolve = (uri: string): string => new URL(uri, new URL(path, server.url)).href;
  const init = playlist.map === undefined ? new Uint8Array(0) : await server.bytes(resolve(playlist.map));
  const segments: Uint8Array[] = new Array(playlist.segments.length);
  for (const n of shuffled(playlist.segments.length, seed)) {
    segments[n] = await server.bytes(resolve((playlist.segments[n] as { uri: string }).uri));
  }
  return { playlist, init, segments };
}

export interface FetchedPresentation {
  readonly video?: FetchedRendition;
  readonly audio: readonly FetchedRendition[];
}

/** All renditions of a session, through its multivariant playlist. */
export async function fetchPresentation(server: TestServer, id: string, seed = 1): Promise<FetchedPresentation> {
  const root = `/sessions/${id}/stream.m3u8`;
  const multivariant = checkMultivariant(await server.text(root));
  const absolute = (uri: string): string => new URL(uri, new URL(root, server.url)).pathname;
  const sounds = multivariant.renditions.filter(({ type }) => type === 'AUDIO');
  const audioUris = sounds.map((rendition) => absolute(rendition.uri as string));
  const variant = absolute((multivariant.variants[0] as { uri: string }).uri);
  const video = audioUris.includes(variant) ? undefined : await fetchRendition(server, variant, seed);
  const audio = [];
  for (const uri of audioUris) audio.push(await fetchRendition(server, uri, seed));
  return { ...(video ? { video } : {}), audio };
}

/** The numbers below `count` in an order that `seed` determines. */
export function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, n) => n);
  let state = seed * 2654435761;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/**
 * Asks until there is an answer other than undefined.
 * @param patience milliseconds; then the test fails with `what`.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  patience = 60_000,
): Promise<T> {
  for (const deadline = performance.now() + patience; ; ) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(performance.now() < deadline, `never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
