/** The server as another host sees it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lan, type LanAnswer, type LanRequest, whyNoLan } from '../fixtures/lan.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { noClock } from '../fixtures/server-process.ts';
import { subtitledMedia } from '../fixtures/subtitles.ts';
import { startTestServer, type TestServer } from './harness.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const text = ({ body }: LanAnswer): string => Buffer.from(body, 'base64').toString();
const codeOf = (answer: LanAnswer): string => (JSON.parse(text(answer)) as { code: string }).code;

describe('from another host', { skip: whyNoLan() ?? false }, () => {
  let lan: Lan;
  let film: string;
  before(async () => {
    lan = Lan.open();
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 30 });
  });
  after(() => lan[Symbol.asyncDispose]());

  /** A server on all interfaces, and how the other host asks it. */
  async function start(env: Record<string, string> = {}, now?: () => number) {
    const listening = { RAFFI_SERVER_ADDR: ':0', RAFFI_CAST_HOST: lan.serverAddress, ...env };
    const server = await startTestServer(listening, now ? { now } : {});
    const base = `http://${lan.serverAddress}:${new URL(server.url).port}`;
    const ask = (path: string, init?: Partial<LanRequest>) => lan.ask(new URL(path, base).href, init);
    return { server, base, ask, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  }

  async function tokenFor(server: TestServer, sessionId: string, more: Record<string, unknown> = {}) {
    const init = { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ sessionId, ...more }) };
    const { status, body } = await server.json<{ token: string; expiresAt: string; streamUrl: string }>(
      '/cast/token',
      init,
    );
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** Every route, of session `id`. */
  const routes = (id: string): [method: string, path: string][] => [
    ...['GET', 'HEAD'].flatMap((method) =>
      [
        ...[
          '',
          '/stream.m3u8',
          '/stream',
          '/stream?seek=9',
          '/stream/child.m3u8',
          '/original/playlist.m3u8',
          '/original/init.mp4',
        ],
        ...['/original/0.m4s', '/audio-0/0.m4s', '/file', '/nothing/at/all', '/audio'],
      ].map((path): [string, string] => [method, `/sessions/${id}${path}`]),
    ),
    ['GET', `/stream/${id}/playlist.m3u8`],
    ['GET', '/sessions'],
    ['POST', '/sessions'],
    ['GET', '/sessions/'],
    ['GET', `/sessions/${'0'.repeat(32)}/stream.m3u8`],
    ['POST', `/sessions/${id}/audio`],
    ['DELETE', `/sessions/${id}`],
    ['POST', `/cleanup?id=${id}`],
    ['POST', '/cleanup'],
    ['DELETE', `/cleanup?id=${id}`],
    ['POST', '/cast/token'],
    ...[
      '/',
      '/health',
      '/openapi.json',
      '/capabilities',
      '/web/player.js',
      '/metrics',
      '/events',
      '/nothing',
      '/%zz',
      `/${'a'.repeat(300)}`,
    ].map((path): [string, string] => ['GET', path]),
    ['OPTIONS', '/sessions'],
    ['OPTIONS', `/sessions/${id}/stream.m3u8`],
    ['PUT', '/health'],
  ];
  const BODY = {
    headers: JSON_TYPE,
    body: JSON.stringify({ source: 'https://films.example/a.mkv', sessionId: 'x', id: 'x', index: 0 }),
  };
  const isMedia = (method: string, path: string): boolean =>
    /^(GET|HEAD)$/.test(method) && /^\/(sessions|stream)\/[^/]+(\/|$)/.test(path);

  test('without a token: 401 on the addresses of sessions, 403 everywhere else', async () => {
    await using one = await start();
    const id = await one.server.create({ source: film });
    await one.server.text(`/sessions/${id}/stream.m3u8`);
    for (const [method, path] of routes(id)) {
      const answer = await one.ask(path, { method, ...(method === 'POST' ? BODY : {}) });
      const expected = /^\/(sessions|stream)(\/|$)/.test(path) ? 401 : 403;
      assert.equal(answer.status, expected, `${method} ${path}`);
      assert.equal(answer.headers['www-authenticate'] !== undefined, expected === 401, `${method} ${path}`);
      if (method !== 'HEAD') assert.equal(codeOf(answer), expected === 401 ? 'unauthorized' : 'forbidden', path);
    }
    assert.equal((await one.server.get(`/sessions/${id}`)).status, 200, 'nothing was ended');
    const preflight = { origin: 'https://receiver.example', 'access-control-request-method': 'GET' };
    const answer = await one.ask(`/sessions/${id}/stream.m3u8`, { method: 'OPTIONS', headers: preflight });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.match(answer.headers['access-control-allow-headers'] ?? '', /Range.*X-Raffi-Cast-Token/);
  });

  test('with its token the film plays to the end, by the addresses in the playlists alone', async () => {
    await using one = await start();
    const id = await one.server.create({ source: film });
    const { token, streamUrl, expiresAt } = await tokenFor(one.server, id);
    assert.match(token, /^[\w-]{43}$/);
    const left = Date.parse(expiresAt) - Date.now();
    assert.ok(left > 800_000 && left <= 900_000, expiresAt);
    assert.equal(streamUrl, `${one.base}/sessions/${id}/stream.m3u8?cast_token=${token}`);
    for (const root of [
      streamUrl,
      `${one.base}/stream/${id}/playlist.m3u8?cast_token=${token}`,
      `${one.base}/sessions/${id}/stream?seek=9&cast_token=${token}`,
      `${one.base}/sessions/${id}/stream/child.m3u8?cast_token=${token}&seek_id=x`,
    ]) {
      await playsToTheEnd(one.server, root, root.includes('seek=9') ? 20 : 30);
    }
    const info = await one.ask(`/sessions/${id}?cast_token=${token}`);
    assert.equal(info.status, 200);
    assert.equal((JSON.parse(text(info)) as { source: string }).source, film.split('/').at(-1), 'not where it lies');
    const part = await one.ask(`/sessions/${id}/file`, {
      headers: { 'x-raffi-cast-token': token, range: 'bytes=0-9' },
    });
    assert.deepEqual([part.status, part.headers['content-range']?.split('/')[0]], [206, 'bytes 0-9']);
    const bare = await one.ask(`/sessions/${id}/stream.m3u8`, { headers: { 'x-raffi-cast-token': token } });
    assert.equal(bare.status, 200);
    assert.doesNotMatch(text(bare), /cast_token/, 'a header stays a header');
    for (const path of [`/sessions/${id}/explain`, '/events', '/clips']) {
      const refused = await one.ask(path, { headers: { 'x-raffi-cast-token': token } });
      assert.equal(refused.status, 403, path);
    }
  });

  /** Fetches every URI below a multivariant playlist from the other host; each is what this host gets. */
  async function playsToTheEnd(server: TestServer, root: string, seconds: number): Promise<void> {
    const fetched = async (url: string): Promise<Buffer> => {
      assert.match(url, /[?&]cast_token=[\w-]{43}(&|$)/, url);
      const answer = await lan.ask(url, { headers: { origin: 'https://receiver.example' } });
      assert.equal(answer.status, 200, `${url}: ${text(answer).slice(0, 300)}`);
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      const { pathname, search } = new URL(url);
      const here = Buffer.from(await (await server.get(pathname + search)).arrayBuffer());
      assert.ok(here.equals(Buffer.from(answer.body, 'base64')), url);
      return here;
    };
    const multivariant = checkMultivariant((await fetched(root)).toString());
    const uris = [...multivariant.variants, ...multivariant.renditions].map(
      ({ uri }) => new URL(uri as string, root).href,
    );
    assert.ok(uris.length >= 3);
    for (const uri of new Set(uris.filter((one) => !/\/\d+p\//.test(one)))) {
      const playlist = checkMediaPlaylist((await fetched(uri)).toString());
      const length = playlist.segments.reduce((sum, { duration }) => sum + duration, 0);
      assert.ok(Math.abs(length - seconds) < 7, `${uri}: ${length} s`);
      for (const inner of [playlist.map, ...playlist.segments.map((segment) => segment.uri)]) {
        if (inner !== undefined) assert.ok((await fetched(new URL(inner, uri).href)).length > 100);
      }
    }
  }

  test('subtitles and transcoded variants carry the token too', async () => {
    const subtitled = await subtitledMedia({ name: 'srt.mkv', codec: 'subrip', extraArgs: ['-vf', 'scale=640:480'] });
    await using one = await start();
    const id = await one.server.create({ source: subtitled });
    const { streamUrl } = await tokenFor(one.server, id);
    const { variants, renditions } = checkMultivariant(text(await lan.ask(streamUrl)));
    const uris = [...variants, ...renditions].map(({ uri }) => uri as string);
    for (const kind of ['subtitles-0/', '480p/', 'original/', 'audio-0/']) {
      assert.ok(
        uris.some((uri) => uri.startsWith(kind)),
        `${kind} is none of ${uris}`,
      );
    }
    for (const uri of uris) {
      const playlist = await lan.ask(new URL(uri, streamUrl).href);
      assert.equal(playlist.status, 200, uri);
      const first = text(playlist)
        .split('\n')
        .find((line) => line !== '' && !line.startsWith('#')) as string;
      assert.equal((await lan.ask(new URL(first, new URL(uri, streamUrl)).href)).status, 200, first);
    }
  });

  test("another session's token opens nothing of it, and no token opens control", async () => {
    await using one = await start();
    const [mine, other] = await Promise.all([one.server.create({ source: film }), one.server.create({ source: film })]);
    const { token } = await tokenFor(one.server, mine);
    for (const carried of ['query', 'header']) {
      for (const [method, path] of routes(other)) {
        const headers = {
          ...(method === 'POST' ? JSON_TYPE : {}),
          ...(carried === 'header' ? { 'x-raffi-cast-token': token } : {}),
        };
        const url = carried === 'query' ? `${path}${path.includes('?') ? '&' : '?'}cast_token=${token}` : path;
        const { status } = await one.ask(url, { method, headers, ...(method === 'POST' ? { body: BODY.body } : {}) });
        assert.ok([401, 403].includes(status), `${method} ${path}: ${status}`);
      }
      for (const [method, path] of routes(mine).filter(([method, path]) => !isMedia(method, path))) {
        const { status } = await one.ask(path, { method, headers: { ...JSON_TYPE, 'x-raffi-cast-token': token } });
        assert.ok([401, 403].includes(status), `${method} ${path}: ${status}`);
      }
    }
    for (const wrong of [
      token.slice(1),
      `${token}x`,
      token.toLowerCase(),
      '',
      `${token}&cast_token=${token}`,
      'null',
    ]) {
      assert.equal((await one.ask(`/sessions/${mine}?cast_token=${wrong}`)).status, 401, wrong);
    }
    assert.equal((await one.server.get(`/sessions/${mine}`)).status, 200);
    assert.equal((await one.server.get(`/sessions/${other}`)).status, 200);
  });

  test('after its time, and after its session, a token opens nothing', { skip: noClock }, async () => {
    let ahead = 0;
    await using one = await start({}, () => Date.now() + ahead);
    const id = await one.server.create({ source: film });
    const lengths: [asked: Record<string, unknown>, seconds: number][] = [
      [{}, 900],
      [{ duration: 60 }, 60],
      [{ ttlSeconds: 45.5 }, 45.5],
      [{ duration: 1 }, 30],
      [{ ttlSeconds: 99_999 }, 3600],
      [{ ttlSeconds: 0 }, 900],
    ];
    for (const [asked, seconds] of lengths) {
      const { expiresAt } = await tokenFor(one.server, id, asked);
      const left = Date.parse(expiresAt) - Date.now() - ahead;
      assert.ok(left <= seconds * 1000 && left > seconds * 1000 - 10_000, `${JSON.stringify(asked)}: ${left} ms`);
    }
    const { token } = await tokenFor(one.server, id, { duration: 30 });
    const media = routes(id).filter(([method, path]) => isMedia(method, path) && !/nothing|audio$/.test(path));
    const statuses = async () => {
      const all = [];
      for (const [method, path] of media)
        all.push((await one.ask(path, { method, headers: { 'x-raffi-cast-token': token } })).status);
      return new Set(all);
    };
    assert.deepEqual(await statuses(), new Set([200, 401]), '401 is for the session that does not exist');
    ahead += 30_000;
    assert.deepEqual(await statuses(), new Set([401]));
    const fresh = await tokenFor(one.server, id);
    assert.equal((await one.ask(`/sessions/${id}?cast_token=${fresh.token}`)).status, 200);
    assert.equal((await one.server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
    assert.equal((await one.ask(`/sessions/${id}?cast_token=${fresh.token}`)).status, 401);
  });

  test('many wrong tokens or keys: 429, for that kind of secret only, and never for a right token', async () => {
    await using one = await start({ RAFFI_API_KEY: 'the-api-key-of-this-test' });
    const id = await one.server.create({ source: film });
    const { token } = await tokenFor(one.server, id);
    const ask = (headers: Record<string, string>) => one.ask(`/sessions/${id}`, { headers });
    /** Guesses until it is limited. */
    async function guess(headers: (n: number) => Record<string, string>): Promise<LanAnswer> {
      for (let n = 0; n < 30; n++) {
        const answer = await ask(headers(n));
        if (answer.status === 429) return answer;
        assert.equal(answer.status, 401);
      }
      assert.fail('never limited');
    }
    const right = { authorization: 'Bearer the-api-key-of-this-test' };
    const limited = await guess((n) => ({ 'x-raffi-cast-token': `${n}`.padEnd(43, 'x') }));
    assert.equal(codeOf(limited), 'too-many-requests');
    assert.ok(Number(limited.headers['retry-after']) >= 1);
    assert.equal((await ask({ 'x-raffi-cast-token': token })).status, 200);
    assert.equal((await ask(right)).status, 200, 'a television with an old token shuts nobody out');
    const guessed = await guess((n) => ({ authorization: `Bearer wrong-${n}` }));
    assert.equal(codeOf(guessed), 'too-many-requests');
    assert.equal((await ask(right)).status, 429, 'a key may be guessed: nobody is told which is right');
    assert.equal((await ask({ 'x-raffi-cast-token': token })).status, 200);
    assert.equal((await one.server.get(`/sessions/${id}`)).status, 200);
  });

  test('who may nothing is limited, too, on control and on media, and holds up nobody', async () => {
    await using one = await start();
    const id = await one.server.create({ source: film });
    const { token } = await tokenFor(one.server, id);
    for (const [path, refusal] of [
      [`/sessions/${id}/original/0.m4s`, 401],
      ['/health', 403],
    ] as const) {
      const statuses = new Set<number>();
      for (let n = 0; n < 40 && !statuses.has(429); n++) {
        const burst = await Promise.all(Array.from({ length: 20 }, () => one.ask(path)));
        for (const { status, headers } of burst) {
          statuses.add(status);
          assert.equal(headers['retry-after'] !== undefined, status === 429);
        }
      }
      assert.ok(statuses.has(429), `${path} was never limited`);
      assert.ok(statuses.has(refusal) || path === '/health', `${path} was refused from the beginning`);
    }
    assert.equal((await one.ask(`/sessions/${id}/original/0.m4s?cast_token=${token}`)).status, 200);
    assert.equal((await one.server.get('/health')).status, 200);
  });

  test('one client has 128 connections at most, and takes none from others', async () => {
    await using one = await start();
    const id = await one.server.create({ source: film });
    const { token } = await tokenFor(one.server, id);
    const path = `/sessions/${id}?cast_token=${token}`;
    assert.equal((await one.ask(path, { idle: 127 })).status, 200);
    let full = await one.ask(path, { idle: 128 });
    assert.deepEqual([full.status, codeOf(full)], [503, 'server-full']);
    assert.ok(Number(full.headers['retry-after']) >= 1);
    const crowd = one.ask(path, { idle: 600 });
    assert.equal((await one.server.get(path)).status, 200, 'this machine, meanwhile');
    assert.equal((await crowd).status, 503);
    for (const deadline = performance.now() + 60_000; full.status !== 200; full = await one.ask(path))
      assert.ok(performance.now() < deadline, 'closed connections count for ever');
  });

  test('the API key opens everything, from allowed pages', async () => {
    await using one = await start({ RAFFI_API_KEY: 'the-api-key-of-this-test' });
    const headers = { ...JSON_TYPE, authorization: 'Bearer the-api-key-of-this-test' };
    assert.equal((await one.ask('/health', { headers })).status, 200);
    assert.equal((await one.ask('/sessions', { headers })).status, 200);
    const id = await one.server.create({ source: film });
    const token = await one.ask('/cast/token', { method: 'POST', headers, body: JSON.stringify({ sessionId: id }) });
    assert.equal(token.status, 200);
    const refused = await one.ask('/sessions', { headers: { ...headers, origin: 'https://evil.example' } });
    assert.deepEqual([refused.status, codeOf(refused)], [403, 'origin-not-allowed']);
    const local = await one.ask('/sessions', { method: 'POST', headers, body: JSON.stringify({ source: film }) });
    assert.deepEqual([local.status, codeOf(local)], [403, 'source-not-allowed']);
    assert.equal((await one.ask(`/sessions/${id}`, { method: 'DELETE', headers })).status, 204);
    for (const authorization of [
      'Bearer the-api-key-of-this-tes',
      'Bearer',
      'Basic dGhlOmtleQ==',
      'the-api-key-of-this-test',
    ]) {
      assert.equal((await one.ask('/sessions', { headers: { authorization } })).status, 401, authorization);
    }
  });

  test('an open network needs nothing, but gives no tokens, and no files of this machine', async () => {
    await using one = await start({ RAFFI_LAN_ACCESS: 'open' });
    const page = await one.ask('/', { headers: { 'sec-fetch-site': 'none' } });
    assert.equal(page.status, 200);
    assert.match(text(page), /<!doctype html>/i);
    assert.equal((await one.ask('/web/player.js', { headers: { 'sec-fetch-site': 'same-origin' } })).status, 200);
    const create = (source: string, origin: string) =>
      one.ask('/sessions', { method: 'POST', headers: { ...JSON_TYPE, origin }, body: JSON.stringify({ source }) });
    const made = await create('https://films.invalid/a.mkv', one.base);
    assert.equal(made.status, 201, text(made));
    assert.equal(made.headers['access-control-allow-origin'], one.base);
    assert.equal((await create('https://films.invalid/a.mkv', 'https://evil.example')).status, 403);
    assert.equal((await create(film, one.base)).status, 403);
    assert.equal((await create(`http://${lan.serverAddress}:1/`, one.base)).status, 403);
    const id = await one.server.create({ source: film });
    assert.equal((await one.ask(`/sessions/${id}/original/0.m4s`)).status, 200);
    assert.equal((await one.ask('/cast/token', { method: 'POST', ...BODY })).status, 403);
    assert.equal((await one.ask('/health', { headers: { host: 'rebound.example' } })).status, 421);
    let limited = 0;
    for (let n = 0; n < 400 && limited === 0; n++) {
      const { status, headers } = await one.ask('/health');
      if (status === 429) limited = Number(headers['retry-after']);
    }
    assert.ok(limited >= 1, 'control was never limited');
    assert.equal((await one.ask(`/sessions/${id}/original/0.m4s`)).status, 200, 'media goes on');
    assert.equal((await one.server.get('/health')).status, 200);
  });

  test('with folders, open to films in them', async () => {
    await using one = await start({
      RAFFI_LAN_ACCESS: 'open',
      RAFFI_MEDIA_ROOTS: film.slice(0, film.lastIndexOf('/')),
    });
    const create = (source: string) =>
      one.ask('/sessions', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ source }) });
    assert.equal((await create(film)).status, 201);
    assert.equal((await create('/etc/hostname')).status, 403);
  });
});
