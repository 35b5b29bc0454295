import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { sendRaw } from '../fixtures/raw-http.ts';
import { startTestServer, type TestServer } from './harness.ts';

interface Ready {
  readonly status: string | number;
  readonly code?: string;
  readonly detail?: string;
  readonly checks: readonly { name: string; state: string; detail: string }[];
}

describe('what operators see', () => {
  let folder: string;
  let server: TestServer;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'raffi-test-operations-'));
    server = await startTestServer({ RAFFI_CACHE_DIR: folder, RAFFI_CLIPS_DIR: join(folder, 'not', 'yet') });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  /** Name with labels -> value. */
  const metrics = async (): Promise<Map<string, number>> => {
    const answer = await server.get('/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const lines = (await answer.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    );
  };

  test('docs/operations.md has every metric, its labels, and nothing else', async () => {
    const text = await (await server.get('/metrics')).text();
    const given = [...text.matchAll(/^# TYPE (\S+) \w+$/gm)].map(([, name]) => name as string);
    const docs = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
    const rows = [...docs.matchAll(/^\| `((?:raffi|process|nodejs)_\w+)` +\| ([^|]*)\|/gm)];
    assert.deepEqual(rows.map(([, name]) => name as string).sort(), [...new Set(given)].sort());
    const labels = new Map(
      rows.map(([, name, list]) => [name, [...(list as string).matchAll(/`(\w+)`/g)].map(([, label]) => label)]),
    );
    for (const [, name, list] of text.matchAll(/^(\w+?)(?:_bucket|_sum|_count)?\{(.*)\} \S+$/gm)) {
      for (const [, label] of (list as string).matchAll(/(\w+)="/g)) {
        if (label !== 'le') assert.ok(labels.get(name)?.includes(label as string), `${name} has ${label}`);
      }
    }
    // What the alerts ask for is there.
    const asked = [...docs.matchAll(/\b(?:raffi|process|nodejs)_[a-z0-9_]+/g)].map(([name]) =>
      name.replace(/_(?:bucket|count)$/, ''),
    );
    for (const name of asked) assert.ok(given.includes(name), name);
  });

  test('requests, sessions and bytes are counted where they happen', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 10 });
    const before = await metrics();
    const id = await server.create({ source: film });
    const segment = await server.bytes(`/sessions/${id}/original/0.m4s`);
    await server.get('/nothing');
    await sendRaw(server.url, 'GARBAGE\r\n\r\n');
    const broken = await server.create({ source: join(folder, 'gone.mkv') });
    assert.equal((await server.get(`/sessions/${broken}/stream.m3u8`)).status, 502);
    const during = await metrics();
    await server.get(`/sessions/${id}`, { method: 'DELETE' });
    const after = await metrics();

    const rise = (name: string): number => (during.get(name) ?? 0) - (before.get(name) ?? 0);
    const count = (labels: string): string => `raffi_http_request_duration_seconds_count{${labels}}`;
    const segments = 'route="/sessions/:id/:rendition/:segment"';
    assert.equal(rise(count(`${segments},method="GET",status="200"`)), 1);
    assert.equal(rise(count('route="/sessions",method="POST",status="201"')), 2);
    assert.equal(rise(count('route="none",method="GET",status="404"')), 1);
    assert.equal(rise('raffi_http_malformed_requests_total'), 1);
    const sent = rise(`raffi_http_response_bytes_total{${segments}}`);
    assert.ok(sent > segment.length && sent < segment.length + 2_000, `${sent} for ${segment.length}`);
    assert.ok(rise('raffi_source_bytes_total{kind="file"}') > segment.length);
    assert.equal(rise('raffi_sessions_created_total{kind="file"}'), 2);
    assert.equal(rise('raffi_session_failures_total{code="source-not-found"}') > 0, true);
    assert.equal(during.get('raffi_sessions{status="streaming"}'), 1);
    assert.equal(during.get('raffi_presentations'), 1);
    assert.equal(after.get('raffi_presentations'), 0);
    assert.equal((after.get('raffi_sessions_ended_total') ?? 0) - (before.get('raffi_sessions_ended_total') ?? 0), 1);
  });

  test('a client that leaves before the end is told apart', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 30 });
    const id = await server.create({ source: film });
    const leaving = new AbortController();
    const answer = await server.get('/events', { signal: leaving.signal });
    assert.equal(answer.status, 200);
    leaving.abort();
    const name = 'raffi_http_request_duration_seconds_count{route="/events",method="GET",status="aborted"}';
    // The server hears of it in its own time.
    for (let n = 0; !(await metrics()).has(name); n += 1) assert.ok(n < 2_000);
    await server.get(`/sessions/${id}`, { method: 'DELETE' });
  });

  test('/health/ready: what is tried, and nothing is left of it', async () => {
    const { status, body } = await server.json<Ready>('/health/ready');
    assert.deepEqual([status, body.status], [200, 'ready']);
    assert.deepEqual(
      body.checks.map(({ name }) => name),
      ['ffmpeg', 'temporary', 'cache', 'torrents', 'clips', 'disk', 'port'],
    );
    for (const { name, state, detail } of body.checks) assert.equal(state, 'ok', `${name}: ${detail}`);
    assert.deepEqual(await readdir(folder), []);
    assert.deepEqual(await server.json('/health'), { status: 200, body: { status: 'ok' } });
  });

  test('/health/ready is 503 and says which check fails; clips and FFmpeg only limit', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await using poor = await startTestServer({
      RAFFI_CACHE_DIR: folder,
      RAFFI_TORRENT_DIR: join(file, 'torrents'),
      RAFFI_CLIPS_DIR: join(file, 'clips'),
      PATH: '',
    });
    const answer = await poor.get('/health/ready');
    const body = (await answer.json()) as Ready;
    assert.deepEqual([answer.status, body.status, body.code], [503, 503, 'not-ready']);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    const states = Object.fromEntries(body.checks.map(({ name, state }) => [name, state]));
    const fine = { temporary: 'ok', cache: 'ok', disk: 'ok', port: 'ok' };
    assert.deepEqual(states, { ...fine, ffmpeg: 'limited', torrents: 'failing', clips: 'limited' });
    assert.match(
      body.detail ?? '',
      /torrents' data, .*file\/torrents, cannot be written \(ENOTDIR\): RAFFI_TORRENT_DIR names another/,
    );
    assert.deepEqual(await poor.json('/health'), { status: 200, body: { status: 'ok' } });
    await rm(file);
  });
});
