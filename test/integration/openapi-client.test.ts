/** A client that knows nothing but the description: it sends what that allows, and what it does not, and compares the answers with it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { addon, json, startUpstream, type Upstream } from '../../src/catalogue/testing.ts';
import { plainMedia } from '../fixtures/media.ts';
import {
  type Answer,
  anyText,
  type Described,
  faultOf,
  type Operation,
  operationsOf,
  valuesOf,
} from '../fixtures/openapi.ts';
import { subrip } from '../fixtures/subtitles.ts';
import { makeTorrent } from '../fixtures/torrents.ts';
import { startTestServer, type TestServer } from './harness.ts';

const REQUESTS = 2_000;
/** Always the same requests, so that only a change of the server changes what comes of them; RAFFI_TEST_SEED gives others. */
const SEED = Number(process.env.RAFFI_TEST_SEED ?? 1);
/** Far more than any answer may take (20 s), since the machine may be busy. */
const HANGS_MS = 90_000;
const MOST_SPARE = 8;

/** A request before its placeholders (`@film`, ...) are filled in. */
interface Plan {
  readonly operation: Named;
  readonly path: Readonly<Record<string, string>>;
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | undefined;
}

const torrent = makeTorrent({ name: 'film.mkv', pieceLength: 16_384, files: [{ content: Buffer.alloc(40_000, 7) }] });

/** Of these, sessions are made. None leads to another machine. */
const sources = fc.oneof(
  { weight: 4, arbitrary: fc.constant('@source') },
  fc.constantFrom(
    '/nothing/here.mkv',
    'file:///etc',
    '/etc/hostname',
    'http://127.0.0.1:1/film.mkv',
    'http://[::1',
    torrent.magnet,
  ),
  fc.constantFrom(
    torrent.infoHash,
    'magnet:?xt=urn:btih:x',
    'ftp://127.0.0.1/film.mkv',
    '',
    ' ',
    '\u0000',
    '/',
    'film.torrent',
  ),
  anyText().filter((text) => !/^\s*(?:https?|udp):/i.test(text)),
);

/** Better values than the schema's for fields with these names. */
const special = {
  source: sources,
  uri: sources,
  sessionId: fc.constantFrom('@film', '@spare', 'none', ''),
  index: fc.oneof(fc.constantFrom(0, 1), fc.maxSafeInteger()),
  start: fc.constantFrom(0, 1, 2.5, 7.9, 10, -1, 1e9),
  end: fc.constantFrom(0.5, 3, 8, 1e9, Number.MAX_VALUE),
  name: fc.oneof(fc.constantFrom('../up', 'clip', 'CON', '.'), anyText()),
  outputPath: fc.oneof(fc.constantFrom('/etc/passwd', '../../x', 'a/b'), anyText()),
};

const odd = fc.oneof(
  anyText({ minLength: 1, maxLength: 40 }),
  fc.constantFrom(
    '.',
    '..',
    '%',
    '%00',
    '\u0000',
    'null',
    '-1',
    '1e3',
    ' ',
    '__proto__',
    'a'.repeat(255),
    'ä'.repeat(60),
  ),
);
const places: Readonly<Record<string, fc.Arbitrary<string>>> = {
  id: fc.constantFrom('@film', '@film', '@sound', '@spare'),
  rendition: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('original', 'audio-0') },
    fc.constantFrom('audio-1', 'audio-0-aac', 'audio-1-aac', 'subtitles-0', 'subtitles-1', '360p', '1080p'),
  ),
  segment: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('init.mp4', '0.m4s', '1.m4s') },
    fc.constantFrom('2.m4s', '0.vtt', '0.mp3', '99.m4s', '00.m4s', '0.m4s.m4s'),
  ),
  infohash: fc.constantFrom(torrent.infoHash, torrent.infoHash.toUpperCase(), '0'.repeat(40)),
  fileIdx: fc.constantFrom('0', '1', '-1', '0.5'),
};
/** Better values than the schema's for parameters of the query. */
const sought: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  id: fc.constantFrom('@spare', 'none'),
  subtitle: fc.constantFrom(0, 0, 1, 7),
  slice: fc.constantFrom(0, 1, 99),
};
const headers = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  fc.record({
    range: fc.constantFrom('bytes=0-1', 'bytes=5-', 'bytes=-3', 'bytes=999999999-', 'bytes=2-1', 'x', 'bytes=0-1,3-4'),
  }),
  fc.record({ 'if-none-match': fc.constantFrom('*', '"x"', '') }),
  fc.record({ 'if-match': fc.constantFrom('*', '"x"', '') }),
  fc.record({ origin: fc.constantFrom('https://evil.example', 'null', 'http://localhost:1', '') }),
  fc.record({ 'x-raffi-cast-token': anyHeader(), authorization: anyHeader() }, { requiredKeys: [] }),
);

function anyHeader(): fc.Arbitrary<string> {
  return fc.string({ maxLength: 50 });
}

/** Requests for one operation: most as described, some not. */
function plansFor(operation: Operation): fc.Arbitrary<Plan> {
  const { parameters = [] } = operation;
  const within = (place: string) => parameters.filter((parameter) => parameter.in === place);
  const path = within('path').map(({ name }) => {
    const isClip = operation.template.startsWith('/clips');
    const ended = isClip ? '@old-clip' : '@spare';
    const known = operation.method === 'DELETE' ? fc.constant(ended) : isClip ? fc.constant('@clip') : places[name];
    assert.ok(known, `which values has {${name}}?`);
    return [name, fc.oneof({ weight: 5, arbitrary: known }, odd)];
  });
  const query = within('query').map(({ name, schema }) => {
    const known = (sought[name] ?? valuesOf(schema)).map(String);
    const values = fc.oneof({ weight: 4, arbitrary: known }, odd);
    return fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      fc.tuple(fc.constant(name), values).map((one) => [one]),
    );
  });
  const unknown = fc.array(fc.tuple(fc.constantFrom('cast_token', 'x', '__proto__'), odd), { maxLength: 1 });
  return fc
    .record({
      path: fc.record(Object.fromEntries(path) as Record<string, fc.Arbitrary<string>>),
      query: fc.tuple(...query, unknown).map((lists) => lists.flat() as [string, string][]),
      headers,
      content: contentFor(operation),
    })
    .map(({ path, query, headers, content: { type, body } }) => {
      const all = type === undefined ? headers : { ...headers, 'content-type': type };
      return { operation: new Named(operation), path, query, headers: all, body };
    });
}

/** Its description would bury the words of a failure. */
class Named {
  readonly described: () => Operation;
  readonly method: string;
  readonly template: string;

  constructor(operation: Operation) {
    this.described = () => operation;
    this.method = operation.method;
    this.template = operation.template;
  }

  toString(): string {
    return `${this.method} ${this.template}`;
  }
}

interface Sent {
  readonly type: string | undefined;
  readonly body: string | Buffer | undefined;
}

function contentFor({ method, body, requestBody }: Operation & { body?: never }): fc.Arbitrary<Sent> {
  assert.equal(body, undefined);
  const nothing: fc.Arbitrary<Sent> = fc.constant({ type: undefined, body: undefined });
  if (method === 'GET' || method === 'HEAD') return nothing;
  const types = fc.constantFrom(
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
    'application/x-www-form-urlencoded',
  );
  const junk = fc.record({
    type: types,
    body: fc.oneof(
      anyText(),
      fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
      fc.constantFrom('{', '[]', 'null', '{"__proto__":{}}'),
    ),
  });
  const schema = requestBody?.content['application/json']?.schema;
  if (schema === undefined) return fc.oneof({ weight: 3, arbitrary: nothing }, junk);
  const described = valuesOf(schema, special).map((value) => ({
    type: 'application/json',
    body: JSON.stringify(value),
  }));
  const spoilt = fc
    .tuple(
      valuesOf(schema, special),
      fc.constantFrom(...Object.keys(schema.properties ?? {}), 'more'),
      fc.jsonValue({ maxDepth: 1 }),
    )
    .map(([value, name, other]) => ({
      type: 'application/json',
      body: JSON.stringify({ ...(value as object), [name]: other }),
    }));
  const upload = 'application/x-bittorrent';
  const uploads = fc
    .oneof(fc.constant(torrent.bytes), fc.uint8Array({ maxLength: 200 }).map(Buffer.from))
    .map((bytes) => ({ type: upload, body: bytes }));
  const others = requestBody?.content[upload] ? [uploads] : [];
  return fc.oneof({ weight: 6, arbitrary: described }, { weight: 2, arbitrary: spoilt }, junk, nothing, ...others);
}

describe('the description of the API', () => {
  let folder: string;
  let server: TestServer;
  let upstream: Upstream;
  let film: string;
  let sound: string;
  const agent = new Agent({ keepAlive: true });
  const sessions = { film: '', sound: '' };
  /** Of good sources, to be ended by whoever picks the oldest. */
  const spare: string[] = [];
  const clips: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'raffi-test-openapi-'));
    upstream = await startUpstream(json([addon('a'), addon('b')]));
    film = await smallFilm();
    sound = await plainMedia('sine-2s.mp3', ['-f', 'lavfi', '-i', 'sine=duration=2', '-c:a', 'libmp3lame']);
    server = await startTestServer({
      RAFFI_ADDON_CATALOGUES: upstream.url.href,
      RAFFI_CACHE_DIR: folder,
      RAFFI_CLIPS_DIR: join(folder, 'clips'),
      RAFFI_TORRENT_DIR: join(folder, 'torrents'),
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
      RAFFI_TORRENT_TRACKERS: '0',
      RAFFI_TORRENT_LISTEN: 'off',
      RAFFI_MAX_RUNS: '4',
    });
    sessions.film = await server.create({ source: film });
    sessions.sound = await server.create({ source: sound });
    for (let n = 0; n < MOST_SPARE; n += 1) spare.push(await server.create({ source: film }));
    for (const end of [1, 2, 3]) {
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ start: 0, end }),
      };
      clips.push((await server.json<{ id: string }>(`/sessions/${sessions.film}/clip?async=1`, init)).body.id);
    }
  });
  after(async () => {
    agent.destroy();
    await server[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const filled = (text: string): string =>
    text
      .replaceAll('@film', sessions.film)
      .replaceAll('@source', film)
      .replaceAll('@sound', sessions.sound)
      .replaceAll('@spare', spare[0] ?? 'gone')
      .replaceAll('@clip', clips.at(-1) ?? 'gone')
      .replaceAll('@old-clip', clips.length > 1 ? (clips[0] as string) : 'gone');

  const send = async ({ operation, path, query, headers, body }: Plan): Promise<Answer> => {
    const where = operation.template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(filled(path[name] as string)),
    );
    const search = query.map(([name, value]) => `${name}=${encodeURIComponent(filled(value))}`).join('&');
    const target = search === '' ? where : `${where}?${search}`;
    const bytes = typeof body === 'string' ? Buffer.from(filled(body)) : body;
    // Node writes none of its own for a DELETE.
    const length = bytes === undefined ? {} : { 'content-length': bytes.length };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const url = new URL(server.url);
    const asked = request(
      {
        host: url.hostname,
        port: url.port,
        method: operation.method,
        path: target,
        headers: { ...headers, ...length },
        agent,
        timeout: HANGS_MS,
      },
      resolve,
    );
    asked
      .once('error', reject)
      .once('timeout', () => asked.destroy(new Error(`no answer: ${operation.method} ${target}`)));
    asked.end(bytes);
    const answer = await promise;
    const contentType = (answer.headers['content-type'] ?? '').split(';', 1)[0] as string;
    const status = answer.statusCode as number;
    if (contentType === 'text/event-stream') {
      answer.destroy();
      return { status, contentType, body: undefined };
    }
    return { status, contentType, body: await buffer(answer) };
  };

  /** Keeps what the next requests are about; what can only be tried is ended. */
  const remember = async (plan: Plan, { status, body }: Answer): Promise<void> => {
    const { method, template } = plan.operation;
    if (method === 'DELETE' && template === '/sessions/{id}' && status === 204) spare.shift();
    if (method === 'DELETE' && template === '/clips/{id}' && status === 204) clips.shift();
    if (body === undefined || method !== 'POST') return;
    if (status === 202) clips.push((JSON.parse(body.toString()) as { id: string }).id);
    if (status !== 201) return;
    const { id } = JSON.parse(body.toString()) as { id: string };
    const { body: info } = await server.json<{ source: string; status: string }>(`/sessions/${id}`);
    const isGood = info.source === film && info.status === 'ready';
    if (isGood) spare.push(id);
    const old = !isGood ? id : spare.length > MOST_SPARE ? spare.shift() : undefined;
    if (old !== undefined) await server.get(`/sessions/${old}`, { method: 'DELETE' });
  };

  test(`${REQUESTS} requests made from it: no 5xx, no status, code, type or field that it does not tell`, async () => {
    const { body: description } = await server.json<Described>('/openapi.json');
    const operations = operationsOf(description);
    assert.ok(operations.length > 40, `${operations.length} operations`);
    const statuses = new Map<string, Set<number>>();
    const property = fc.asyncProperty(fc.oneof(...operations.map(plansFor)), async (plan) => {
      const answer = await send(plan);
      const words = `${plan.operation}: ${answer.status} ${answer.body?.subarray(0, 300)}`;
      assert.ok(answer.status < 500, words);
      const fault = faultOf(plan.operation.described(), answer);
      assert.equal(fault, undefined, words);
      const name = String(plan.operation);
      statuses.set(name, (statuses.get(name) ?? new Set()).add(answer.status));
      await remember(plan, answer);
    });
    await fc.assert(property, { numRuns: REQUESTS, endOnFailure: true, seed: SEED });
    // It must have come past the first gate: each operation has succeeded at least once.
    for (const { method, template } of operations) {
      const seen = [...(statuses.get(`${method} ${template}`) ?? [])];
      const neverThere = template.startsWith('/torrents/{infohash}') && !template.endsWith('status');
      if (!neverThere)
        assert.ok(
          seen.some((status) => status < 300),
          `${method} ${template} gave only ${seen}`,
        );
    }
  });
});

/** 8 s of picture, two tracks of sound of which one must be transcoded, and a subtitle track. */
function smallFilm(): Promise<string> {
  const lines = Buffer.from(subrip([{ start: 1, end: 3, text: 'Hello' }])).toString('base64');
  return plainMedia('described.mkv', [
    ...['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=8', '-f', 'lavfi', '-i', 'sine=f=440:r=48000:d=8'],
    ...['-f', 'srt', '-i', `data:text/plain;base64,${lines}`, '-map', '0', '-map', '1', '-map', '1', '-map', '2'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '50', '-pix_fmt', 'yuv420p'],
    ...['-c:a:0', 'aac', '-c:a:1', 'ac3', '-c:s', 'subrip', '-fflags', '+bitexact'],
  ]);
}
