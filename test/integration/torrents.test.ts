import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import type { Seeder } from '../fixtures/seeders.ts';
import { startTracker } from '../fixtures/seeders.ts';
import { type FilmTorrent, filmTorrent } from '../fixtures/torrent-film.ts';
import { makeTorrent, wrapInfo } from '../fixtures/torrents.ts';
import { fetchPresentation, shuffled, startTestServer, type TestServer } from './harness.ts';

/** Filled up to 2 Mb/s, so that it has many pieces. */
const FILLER = ['-b:v', '2M', '-maxrate', '2M', '-bufsize', '2M', '-x264-params', 'nal-hrd=cbr'];
const FILM = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 30, extraArgs: FILLER } as const;

interface TorrentSession {
  readonly status: string;
  readonly kind: string;
  readonly isTorrent: boolean;
  readonly torrentInfoHash: string;
  readonly progress: number;
  readonly peers: number;
  readonly downloadSpeed: string;
  readonly fileSize?: number;
  readonly error?: string;
  readonly errorCode?: string;
  readonly durationSeconds?: number;
  readonly torrent?: {
    readonly stage: string;
    readonly message: string;
    readonly fileIdx?: number;
    readonly sketch?: string;
    readonly files: readonly { readonly index: number; readonly name: string; readonly size: number }[];
  };
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
function base32(hex: string): string {
  let bits = BigInt(`0x${hex}`);
  let text = '';
  for (let n = 0; n < 32; n++) {
    text = BASE32[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return text;
}

/** Asks for a session's info until it is as wanted. */
async function until(
  server: TestServer,
  id: string,
  wanted: (info: TorrentSession) => boolean,
): Promise<TorrentSession> {
  for (const deadline = performance.now() + 60_000; ; ) {
    const { body } = await server.json<TorrentSession>(`/sessions/${id}`);
    if (wanted(body)) return body;
    assert.ok(performance.now() < deadline, `the info never was as wanted: ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('torrents', { timeout: 240_000 }, () => {
  let film: FilmTorrent;
  let seeder: Seeder;
  let server: TestServer;
  before(async () => {
    film = await filmTorrent(await numberedMedia(FILM));
    seeder = await film.seed();
    server = await startTestServer(film.env);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await seeder?.[Symbol.asyncDispose]();
    await film?.[Symbol.asyncDispose]();
  });

  const end = (id: string): Promise<Response> => server.get(`/sessions/${id}`, { method: 'DELETE' });

  test('a magnet link plays like a file, and its info tells of the torrent', async () => {
    const id = await server.create({ uri: film.link(seeder), type: 'torrent' });
    const { video, audio } = await fetchPresentation(server, id);
    assert.ok(video && video.segments.length > 1 && audio.length === 1);
    const info = await until(server, id, ({ durationSeconds }) => durationSeconds !== undefined);
    assert.equal(info.kind, 'http');
    assert.equal(info.isTorrent, true);
    assert.equal(info.torrentInfoHash, film.infoHash);
    assert.equal(info.fileSize, film.content.length);
    assert.equal(info.status, 'streaming');
    assert.equal(info.torrent?.fileIdx, 0);
    assert.match(info.downloadSpeed, /^[\d.]+ (B|kB|MB|GB)\/s$/);
    assert.match(info.torrent?.sketch ?? '', /^\d{100}$/);
    await end(id);
    assert.equal((await server.json<{ stage: string }>(`/torrents/${film.infoHash}/status`)).body.stage, 'missing');
  });

  test('every way to name a torrent', async () => {
    const origin = createServer((_request, response) => response.end(film.bytes));
    origin.listen(0, '127.0.0.1');
    await once(origin, 'listening');
    const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}/film.torrent`;
    const first = await server.create({ source: film.link(seeder) });
    await until(server, first, ({ torrent }) => torrent?.fileIdx === 0);
    const names = [
      film.infoHash,
      film.infoHash.toUpperCase(),
      base32(film.infoHash),
      film.path,
      url,
      `file://${film.path}`,
    ];
    for (const source of names) {
      const id = await server.create({ source });
      const info = await until(server, id, ({ torrent }) => torrent?.fileIdx === 0);
      assert.equal(info.torrentInfoHash, film.infoHash, source);
      await end(id);
    }
    const uploaded = await server.get('/sessions?fileIdx=0&startTime=5', {
      method: 'POST',
      headers: { 'content-type': 'application/x-bittorrent' },
      body: new Uint8Array(film.bytes),
    });
    const answer = (await uploaded.json()) as { id: string };
    assert.equal(uploaded.status, 201, JSON.stringify(answer));
    const { id } = answer;
    assert.equal((await until(server, id, ({ torrent }) => torrent !== undefined)).torrentInfoHash, film.infoHash);
    await end(id);
    await end(first);
    origin.close();
    origin.closeAllConnections();
  });

  test('bytes with Range, of the session, of the torrent and of its file; HEAD; what is not there', async () => {
    const id = await server.create({ source: film.link(seeder) });
    const { content } = film;
    const size = content.length;
    const paths = [`/sessions/${id}/file`, `/torrents/${film.infoHash}`, `/torrents/${film.infoHash}/0`];
    for (const path of paths) {
      const cases: [string, number, number][] = [
        ['bytes=0-0', 0, 1],
        [`bytes=${size >> 1}-${(size >> 1) + 99_999}`, size >> 1, (size >> 1) + 100_000],
        ['bytes=-1000', size - 1000, size],
        [`bytes=${size - 5}-`, size - 5, size],
      ];
      for (const [range, from, to] of cases) {
        const response = await server.get(path, { headers: { range } });
        assert.equal(response.status, 206, `${path} ${range}`);
        assert.equal(response.headers.get('content-range'), `bytes ${from}-${to - 1}/${size}`);
        assert.ok(content.subarray(from, to).equals(new Uint8Array(await response.arrayBuffer())), `${path} ${range}`);
      }
      const head = await server.get(path, { method: 'HEAD' });
      assert.equal(head.headers.get('content-length'), String(size));
      assert.equal(head.headers.get('content-type'), 'video/x-matroska');
      const past = await server.get(path, { headers: { range: `bytes=${size}-` } });
      assert.equal(past.status, 416);
      assert.ok(content.equals(await server.bytes(path)), path);
    }
    const ask = () => server.json<Record<string, unknown>>(`/torrents/${film.infoHash}/status`);
    // Counts are told once a second.
    for (const deadline = performance.now() + 60_000; (await ask()).body.downUsefulBytes !== size; ) {
      assert.ok(performance.now() < deadline, 'the bytes are never counted');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const status = (await ask()).body;
    assert.equal(status.stage, 'ready');
    assert.equal(status.ready, true);
    assert.equal(status.progress, 1);
    assert.equal(status.piecesComplete, status.piecesTotal);
    const refused: [string, number, string][] = [
      [`/torrents/${film.infoHash}/1`, 404, 'torrent-file-not-found'],
      [`/torrents/${film.infoHash}/x`, 400, 'bad-request'],
      [`/torrents/${'0'.repeat(40)}`, 404, 'torrent-not-found'],
      ['/torrents/xyz', 400, 'bad-request'],
      ['/torrents/xyz/status', 400, 'bad-request'],
    ];
    for (const [path, expected, code] of refused) {
      const { status: got, body } = await server.json<{ code: string }>(path);
      assert.deepEqual([got, body.code], [expected, code], path);
    }
    await end(id);
  });

  test('ten readers at once get the right bytes wherever they read', async () => {
    const id = await server.create({ source: film.link(seeder) });
    const path = `/torrents/${film.infoHash}/0`;
    await until(server, id, ({ torrent }) => torrent?.fileIdx === 0);
    const step = Math.floor(film.content.length / 60);
    const read = async (seed: number): Promise<void> => {
      for (const n of shuffled(60, seed).slice(0, 12)) {
        const [from, to] = [n * step, n * step + step + 5];
        const response = await server.get(path, { headers: { range: `bytes=${from}-${to - 1}` } });
        assert.ok(film.content.subarray(from, to).equals(new Uint8Array(await response.arrayBuffer())), `${from}`);
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, n) => read(n + 1)));
    await end(id);
  });

  test('without peers it says so, waits, and plays when they come', async () => {
    const id = await server.create({ source: film.infoHash });
    const waiting = await until(server, id, ({ torrent }) => torrent !== undefined);
    assert.equal(waiting.status, 'metadata');
    assert.equal(waiting.peers, 0);
    assert.match(waiting.torrent?.message ?? '', /Looking for peers/);
    const other = await server.create({ source: film.link(seeder) });
    const ready = await until(server, id, ({ status }) => status === 'ready');
    assert.equal(ready.fileSize, film.content.length);
    await end(other);
    assert.ok((await server.bytes(`/sessions/${id}/original/0.m4s`)).length > 0);
    await end(id);
  });

  test('peers come from a tracker, and those who have it know us', async () => {
    await using tracker = await startTracker();
    await using announced = await filmTorrent(await numberedMedia(FILM), { trackers: [tracker.http, tracker.udp] });
    const id = await server.create({ source: announced.magnet });
    await until(server, id, ({ torrent }) => torrent !== undefined);
    while (!tracker.announced.includes('start')) await new Promise((resolve) => setTimeout(resolve, 20));
    // Whom the tracker names is called: a seeder that announces itself later calls us.
    await using late = await announced.seed();
    const join_ = await server.create({ source: announced.link(late) });
    await until(server, id, ({ status }) => status === 'ready');
    await end(join_);
    await end(id);
    assert.ok(tracker.announced.includes('stop'), tracker.announced.join());
  });

  test('of several files the film is played, or the one that is asked for', async () => {
    const film2 = await numberedMedia({ ...FILM, seconds: 10 });
    const { readFile, mkdir } = await import('node:fs/promises');
    const files = [
      { path: ['readme.txt'], content: Buffer.alloc(5_000_000, 'x') },
      { path: ['Sample', 'sample.mkv'], content: Buffer.concat([film.content, Buffer.alloc(1000)]) },
      { path: ['a film.mkv'], content: film.content },
      { path: ['extra', 'short.mkv'], content: await readFile(film2) },
      { path: ['empty.mkv'], content: Buffer.alloc(0) },
    ];
    const several = makeTorrent({ name: 'Films', pieceLength: 64 * 1024, files });
    const torrent = join(film.folder, 'several.torrent');
    await writeFile(torrent, several.bytes);
    for (const { path, content } of files) {
      await mkdir(join(film.folder, 'Films', ...path.slice(0, -1)), { recursive: true });
      await writeFile(join(film.folder, 'Films', ...path), content);
    }
    await using peer = await film.seed({ torrent });
    const source = `${several.magnet}&x.pe=127.0.0.1:${peer.peer.port}`;
    const best = await server.create({ source });
    const info = await until(server, best, ({ durationSeconds }) => durationSeconds !== undefined);
    assert.equal(info.torrent?.fileIdx, 2);
    assert.equal(Math.round(info.durationSeconds ?? 0), 30);
    assert.deepEqual(
      info.torrent?.files.map(({ name }) => name),
      ['readme.txt', 'Sample/sample.mkv', 'a film.mkv', 'extra/short.mkv', 'empty.mkv'],
    );
    const asked = await server.create({ source, fileIdx: 3 });
    const short = await until(server, asked, ({ durationSeconds }) => durationSeconds !== undefined);
    assert.equal(Math.round(short.durationSeconds ?? 0), 10);
    assert.ok(Buffer.from(files[0]?.content ?? []).equals(await server.bytes(`/torrents/${several.infoHash}/0`)));
    for (const [fileIdx, words] of [
      [4, /is empty/],
      [9, /has no file 9/],
      [0, /not a video/],
    ] as const) {
      const bad = await server.create({ source, fileIdx });
      const { error } = await until(server, bad, ({ status }) => status === 'error');
      assert.match(error ?? '', words);
      await end(bad);
    }
    await end(best);
    await end(asked);
  });

  test('events tell how sessions and torrents get on', async () => {
    const controller = new AbortController();
    const response = await server.get('/events', { signal: controller.signal });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const told: [name: string, data: { id?: string; infoHash?: string; status?: string; stage?: string }][] = [];
    const ended = Promise.withResolvers<void>();
    const reading = (async () => {
      let text = '';
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        text += Buffer.from(chunk).toString();
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const [, name = '', data = '{}'] = /^(?:id: \S+\n)?event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
          if (name !== '') told.push([name, JSON.parse(data)]);
          text = text.slice(end + 2);
        }
        if (told.at(-1)?.[1].stage === 'missing') ended.resolve();
      }
    })().catch(() => {});
    const id = await server.create({ source: film.link(seeder) });
    await server.bytes(`/sessions/${id}/original/0.m4s`);
    await end(id);
    await ended.promise;
    controller.abort();
    await reading;
    const of = (name: string, key: 'status' | 'stage'): string[] =>
      told
        .filter(
          ([kind, data]) => kind === name && (data.id ?? data.infoHash) === (name === 'session' ? id : film.infoHash),
        )
        .map(([, data]) => data[key] ?? '');
    assert.deepEqual([...new Set(of('session', 'status'))], ['metadata', 'probing', 'ready', 'streaming', 'closed']);
    assert.equal(of('torrent', 'stage')[0], 'metadata');
    assert.equal(of('torrent', 'stage').at(-1), 'missing');
  });

  test('what names no torrent is refused with the field that is wrong', async () => {
    const upload = async (body: Uint8Array): Promise<{ status: number; code: string; detail: string }> => {
      const response = await server.get('/sessions', {
        method: 'POST',
        headers: { 'content-type': 'application/x-bittorrent' },
        body: new Uint8Array(body),
      });
      return { ...((await response.json()) as { code: string; detail: string }), status: response.status };
    };
    const good = { name: 'x', 'piece length': 16_384, pieces: Buffer.alloc(20), length: 5 };
    const uploads: [Uint8Array, number, RegExp][] = [
      [Buffer.from('l-3:'), 400, /body: .*not bencoded/],
      [Buffer.from('hello'), 400, /body/],
      [wrapInfo({ ...good, 'piece length': 0 }).bytes, 400, /info\.piece length/],
      [wrapInfo({ ...good, name: '../../x' }).bytes, 400, /info\.name/],
      [wrapInfo({ name: 'x', 'meta version': 2, 'file tree': {} }).bytes, 501, /v2/],
      [Buffer.alloc(9 * 1024 * 1024), 413, /8 MB/],
    ];
    for (const [body, status, words] of uploads) {
      const answer = await upload(body);
      assert.equal(answer.status, status, JSON.stringify(answer));
      assert.match(answer.detail, words);
    }
    const json = async (source: string): Promise<{ status: number; detail: string }> => {
      const response = await server.get('/sessions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ source, kind: 'torrent' }),
      });
      return { status: response.status, detail: ((await response.json()) as { detail: string }).detail };
    };
    for (const source of ['magnet:?dn=x', 'magnet:?xt=urn:btih:12', `magnet:?xt=urn:btmh:1220${'a'.repeat(64)}`]) {
      const { status, detail } = await json(source);
      assert.equal(status, 400, source);
      assert.match(detail, /"source"/);
    }
    const bad = join(film.folder, 'bad.torrent');
    await writeFile(bad, wrapInfo({ ...good, pieces: Buffer.alloc(40) }).bytes);
    for (const [source, code] of [
      [bad, 'torrent-invalid'],
      [join(film.folder, 'gone.torrent'), 'source-not-found'],
    ] as const) {
      const id = await server.create({ source });
      const { errorCode } = await until(server, id, ({ status }) => status === 'error');
      assert.equal(errorCode, code);
      await end(id);
    }
  });
});
