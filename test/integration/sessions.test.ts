import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { type Info, startTestServer, type TestServer } from './harness.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

describe('sessions as in the contract', () => {
  let server: TestServer;
  let film: string;
  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 30 });
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const post = (body: unknown) =>
    server.json('/sessions', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });

  test('both dialects create a session, which answers at once', async () => {
    for (const body of [
      { source: film },
      { uri: film, type: 'local', quality: '720p' },
      { source: `file://${film}`, kind: 'file' },
    ]) {
      const response = await server.get('/sessions', {
        method: 'POST',
        headers: JSON_TYPE,
        body: JSON.stringify(body),
      });
      assert.equal(response.status, 201);
      const created = (await response.json()) as { id: string; streamUrl: string; status: string };
      assert.match(created.id, /^[0-9a-f]{32}$/);
      assert.equal(response.headers.get('location'), `/sessions/${created.id}`);
      assert.equal(created.streamUrl, `/sessions/${created.id}/stream.m3u8`);
      assert.ok(['created', 'probing', 'ready'].includes(created.status));
    }
  });

  test('info tells about the media, lists include it, DELETE ends it, once', async () => {
    const id = await server.create({ source: film, startTime: 7.5 });
    const { status, body } = await server.json<Info & Record<string, unknown>>(`/sessions/${id}`);
    assert.equal(status, 200);
    assert.equal(body.id, id);
    assert.equal(body.source, film);
    assert.equal(body.kind, 'file');
    assert.equal(body.status, 'ready');
    assert.equal(body.startTime, 7.5);
    assert.equal(body.container, 'matroska');
    assert.equal(body.isTorrent, false);
    assert.equal(body.fileSize, readFileSync(film).length);
    assert.ok(Math.abs((body.durationSeconds as number) - 30) < 0.2);
    assert.deepEqual(
      body.availableStreams?.map(({ type, index, codec, delivery }) => [type, index, codec, delivery]),
      [
        ['video', 0, 'h264', 'copied'],
        ['audio', 0, 'aac', 'copied'],
        ['audio', 1, 'aac', 'copied'],
      ],
    );
    const { body: list } = await server.json<{ id: string }[]>('/sessions');
    assert.ok(list.some((session) => session.id === id));
    assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
    for (const path of [
      `/sessions/${id}`,
      `/sessions/${id}/stream.m3u8`,
      `/sessions/${id}/original/0.m4s`,
      `/sessions/${id}/file`,
    ]) {
      assert.equal((await server.json<{ code: string }>(path)).body.code, 'session-not-found', path);
    }
    assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 404);
  });

  test('cleanup takes an id in the query, a JSON body, or a beacon of any type', async () => {
    const ways: ((id: string) => [string, RequestInit])[] = [
      (id) => [`/cleanup?id=${id}`, { method: 'POST' }],
      (id) => [`/cleanup?id=${id}`, { method: 'DELETE' }],
      (id) => ['/cleanup', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ id }) }],
      (id) => [
        `/cleanup?id=${id}`,
        { method: 'POST', headers: { 'content-type': 'text/plain;charset=UTF-8' }, body: 'bye' },
      ],
      (id) => [`/cleanup?id=${id}`, { method: 'POST', body: new Blob(['x'], { type: 'application/octet-stream' }) }],
    ];
    for (const way of ways) {
      const id = await server.create({ source: film });
      const [path, init] = way(id);
      assert.equal((await server.get(path, init)).status, 200, path);
      assert.equal((await server.get(`/sessions/${id}`)).status, 404);
      assert.equal((await server.get(path, init)).status, 404);
    }
    assert.deepEqual(await server.json('/cleanup', { method: 'POST' }), { status: 200, body: { removed: 0 } });
  });

  test('bad input names the field', async () => {
    const cases: [unknown, RegExp][] = [
      [{}, /source/],
      [{ source: '' }, /source/],
      [{ source: 'relative/path.mkv' }, /source/],
      [{ source: 'ftp://host/file' }, /source/],
      [{ source: film, kind: 'tape' }, /kind/],
      [{ source: film, startTime: -1 }, /startTime/],
      [{ source: film, quality: '4k' }, /quality/],
      ['text', /body/],
    ];
    for (const [body, field] of cases) {
      const answer = await post(body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      assert.equal(answer.body.code, 'bad-request');
      assert.match(answer.body.detail as string, field);
    }
    const broken = await server.json('/sessions', { method: 'POST', headers: JSON_TYPE, body: '{' });
    assert.deepEqual([broken.status, broken.body.code], [400, 'bad-request']);
    const typed = await server.json('/sessions', {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: '{}',
    });
    assert.deepEqual([typed.status, typed.body.code], [415, 'unsupported-media-type']);
    const large = await server.json('/sessions', {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ source: 'x'.repeat(70_000) }),
    });
    assert.deepEqual([large.status, large.body.code], [413, 'body-too-large']);
  });

  test('a known path with a wrong method is 405 with Allow, an unknown one 404', async () => {
    const wrong = await server.get('/sessions', { method: 'PUT' });
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get('allow'), 'GET, HEAD, POST');
    assert.equal(wrong.headers.get('content-type'), 'application/problem+json');
    assert.equal((await server.get('/health', { method: 'DELETE' })).status, 405);
    assert.equal((await server.get('/nothing')).status, 404);
  });

  test('audio: the default changes, and only to a track that exists', async () => {
    const id = await server.create({ source: film });
    const choose = (index: unknown) =>
      server.json(`/sessions/${id}/audio`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ index }) });
    const defaults = async () =>
      checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`)).renditions.map(
        (rendition) => rendition.isDefault,
      );
    assert.deepEqual(await defaults(), [true, false]);
    assert.deepEqual(await choose(1), { status: 200, body: { audioIndex: 1 } });
    assert.deepEqual(await defaults(), [false, true]);
    for (const index of [2, -1, 'x', null])
      if (index !== null) assert.equal((await choose(index)).status, 400, String(index));
  });

  test('audio: a track that nothing can deliver is refused, and says why', async () => {
    const foreign = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'dts'], seconds: 10 });
    await using plain = await startTestServer({ PATH: '/nonexistent' }); // nothing to transcode with
    const id = await plain.create({ source: foreign });
    const choose = (index: number) =>
      plain.json(`/sessions/${id}/audio`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ index }) });
    const { status, body } = await choose(1);
    assert.deepEqual([status, body.code], [400, 'bad-request']);
    assert.match(body.detail as string, /body\/index: audio track 1 \(dts\) cannot be played: \S+/);
    assert.equal((await choose(0)).status, 200);
  });

  test('the playlist has two addresses with the same content, right types, HEAD too', async () => {
    const id = await server.create({ source: film });
    const a = await server.get(`/sessions/${id}/stream.m3u8`);
    assert.equal(a.headers.get('content-type'), 'application/vnd.apple.mpegurl');
    assert.equal(a.headers.get('access-control-allow-origin'), '*');
    const uris = (text: string, path: string) =>
      checkMultivariant(text).variants.map(({ uri }) => new URL(uri, `http://h${path}`).pathname);
    const b = await server.text(`/stream/${id}/playlist.m3u8`);
    assert.deepEqual(uris(await a.text(), `/sessions/${id}/stream.m3u8`), uris(b, `/stream/${id}/playlist.m3u8`));
    for (const [path, type] of [
      ['stream.m3u8', 'application/vnd.apple.mpegurl'],
      ['original/playlist.m3u8', 'application/vnd.apple.mpegurl'],
      ['original/init.mp4', 'video/mp4'],
      ['audio-0/0.m4s', 'audio/mp4'],
    ]) {
      const head = await server.get(`/sessions/${id}/${path}`, { method: 'HEAD' });
      assert.equal(head.status, 200);
      assert.equal(head.headers.get('content-type'), type);
      assert.ok(Number(head.headers.get('content-length')) > 0);
    }
    for (const [path, code] of [
      ['720p/playlist.m3u8', 'variant-not-found'],
      ['original/99.m4s', 'segment-not-found'],
      ['original/-1.m4s', 'segment-not-found'],
      ['original/x', 'segment-not-found'],
    ] as const) {
      const answer = await server.json<{ code: string }>(`/sessions/${id}/${path}`);
      assert.deepEqual([answer.status, answer.body.code], [404, code], path);
    }
  });

  test('slices begin at the segment that holds the time, over the same segments', async () => {
    const id = await server.create({ source: film, startTime: 13 });
    const whole = checkMediaPlaylist(await server.text(`/sessions/${id}/original/playlist.m3u8`));
    const starts = whole.segments.map((_, n) =>
      whole.segments.slice(0, n).reduce((sum, { duration }) => sum + duration, 0),
    );
    const slice = async (query: string, path = 'stream') => {
      const response = await server.get(`/sessions/${id}/${path}${query}`);
      assert.equal(response.status, 200);
      const text = await response.text();
      const [variant] = checkMultivariant(text).variants;
      const uri = new URL((variant as { uri: string }).uri, response.url);
      assert.ok(uri.pathname.startsWith(`/sessions/${id}/`));
      const playlist = checkMediaPlaylist(await server.text(uri.pathname + uri.search));
      const header = response.headers.get('x-raffi-slice-start') as string;
      assert.match(header, /^\d+\.\d{3}$/);
      const offset = /#EXT-X-START:TIME-OFFSET=([\d.]+),PRECISE=YES/.exec(text)?.[1];
      return {
        start: Number(header),
        offset: Number(offset ?? 0),
        first: playlist.segments[0]?.uri,
        count: playlist.segments.length,
      };
    };
    for (const [query, time] of [
      ['', 13],
      ['?seek=0', 0],
      ['?seek=20.25', 20.25],
      ['?seek=1e9', 30],
      ['?seek=-5', 0],
    ] as const) {
      for (const path of ['stream', 'stream/child.m3u8']) {
        const { start, offset, first, count } = await slice(query, path);
        const n = starts.findLastIndex((candidate) => candidate <= time + 1e-6);
        assert.ok(Math.abs(start - (starts[n] as number)) < 0.002, `${query}: ${start}`);
        assert.ok(Math.abs(start + offset - time) < 0.1, `${query}: ${start} + ${offset}`);
        assert.equal(first, `${n}.m4s`);
        assert.equal(count, starts.length - n);
      }
    }
    const first = await slice('?seek=20&seek_id=a');
    assert.deepEqual(await slice('?seek=2&seek_id=a'), first);
    assert.equal((await slice('?seek=2&seek_id=a&force_slice=1')).start, 0);
    assert.equal((await slice('?seek=25&seek_id=a')).start, 0);
    assert.equal((await server.get(`/sessions/${id}/stream?seek=soon`)).status, 400);
    const head = await server.get(`/sessions/${id}/stream?seek=20`, { method: 'HEAD' });
    assert.ok(head.headers.get('x-raffi-slice-start'));
    assert.match(head.headers.get('access-control-expose-headers') as string, /X-Raffi-Slice-Start/);
  });

  test('file: bytes with Range, HEAD, conditions', async () => {
    const id = await server.create({ source: film });
    const all = readFileSync(film);
    const path = `/sessions/${id}/file`;
    const whole = await server.get(path);
    assert.equal(whole.status, 200);
    assert.equal(whole.headers.get('content-type'), 'video/x-matroska');
    assert.equal(whole.headers.get('accept-ranges'), 'bytes');
    assert.ok(Buffer.from(await whole.arrayBuffer()).equals(all));
    const etag = whole.headers.get('etag') as string;
    const ranges: [string, number, number][] = [
      ['bytes=0-0', 0, 1],
      ['bytes=100-1999', 100, 2000],
      [`bytes=${all.length - 10}-`, all.length - 10, all.length],
      ['bytes=-77', all.length - 77, all.length],
    ];
    for (const [range, from, to] of ranges) {
      const part = await server.get(path, { headers: { range } });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get('content-range'), `bytes ${from}-${to - 1}/${all.length}`);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(all.subarray(from, to)));
    }
    const beyond = await server.get(path, { headers: { range: `bytes=${all.length}-` } });
    assert.equal(beyond.status, 416);
    assert.equal(beyond.headers.get('content-range'), `bytes */${all.length}`);
    assert.equal((await server.get(path, { headers: { range: 'bytes=0-9', 'if-range': '"other"' } })).status, 200);
    assert.equal((await server.get(path, { headers: { range: 'bytes=0-9', 'if-range': etag } })).status, 206);
    assert.equal((await server.get(path, { headers: { 'if-none-match': etag } })).status, 304);
    const head = await server.get(path, { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(all.length));
  });

  test('health is exact, OpenAPI 3.1 describes the routes, a foreign page may not control', async () => {
    assert.deepEqual(await server.json('/health'), { status: 200, body: { status: 'ok' } });
    const { body } = await server.json<{ openapi: string; paths: Record<string, unknown> }>('/openapi.json');
    assert.equal(body.openapi, '3.1.0');
    for (const path of [
      '/sessions',
      '/sessions/{id}',
      '/sessions/{id}/stream.m3u8',
      '/sessions/{id}/{rendition}/playlist.m3u8',
      '/cleanup',
    ]) {
      assert.ok(body.paths[path], path);
    }
    const foreign = { ...JSON_TYPE, origin: 'https://evil.example' };
    const refused = await server.json('/sessions', {
      method: 'POST',
      headers: foreign,
      body: JSON.stringify({ source: film }),
    });
    assert.deepEqual([refused.status, refused.body.code], [403, 'origin-not-allowed']);
    const allowed = { ...JSON_TYPE, origin: 'http://localhost:5173' };
    const answer = await server.get('/sessions', {
      method: 'POST',
      headers: allowed,
      body: JSON.stringify({ source: film }),
    });
    assert.equal(answer.headers.get('access-control-allow-origin'), 'http://localhost:5173');
  });
});

test('a session without requests ends by itself, one in use does not', async () => {
  const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 30 });
  await using server = await startTestServer({ RAFFI_SESSION_IDLE: '0.4s' });
  const idle = await server.create({ source: film });
  const used = await server.create({ source: film });
  const listed = async () => (await server.json<{ id: string }[]>('/sessions')).body.map(({ id }) => id);
  for (let n = 0; (await listed()).includes(idle) && n < 100; n++) {
    await server.bytes(`/sessions/${used}/original/0.m4s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(await listed(), [used]);
});
