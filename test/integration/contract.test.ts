import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { copyFile, mkdtemp, rm, truncate } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { startTestServer, type TestServer } from './harness.ts';

interface Described {
  readonly paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: object; headers?: object }> } | undefined>
  >;
}

describe('what clients do that nobody expects', () => {
  let server: TestServer;
  let film: string;
  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 30 });
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  /** The answer to bytes that no well-behaved client sends. */
  const raw = async (bytes: string): Promise<{ status: number; type: string | undefined; body: string }> => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.write(bytes);
    const answer = await text(socket);
    const [head, body] = answer.split('\r\n\r\n') as [string, string];
    return { status: Number(head.split(' ')[1]), type: /^content-type: (.*?)\r?$/im.exec(head)?.[1], body };
  };

  test('what is no request, or has no readable address, is answered with a problem too', async () => {
    const close = `Host: ${new URL(server.url).host}\r\nConnection: close\r\n\r\n`;
    for (const [bytes, status, code] of [
      ['GARBAGE\r\n\r\n', 400, 'bad-request'],
      ['GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad-request'],
      [`GET /sessions/%zz HTTP/1.1\r\n${close}`, 400, 'bad-request'],
      [`GET /sessions/${'a'.repeat(300)} HTTP/1.1\r\n${close}`, 404, 'not-found'],
      [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${close}`, 431, 'headers-too-large'],
    ] as const) {
      const answer = await raw(bytes);
      assert.deepEqual([answer.status, answer.type], [status, 'application/problem+json'], bytes.slice(0, 40));
      const problem = JSON.parse(answer.body) as { code: string; status: number };
      assert.deepEqual([problem.code, problem.status], [code, status]);
    }
    assert.equal((await raw(`GET /health HTTP/1.1\r\nExpect: tea\r\n${close}`)).status, 200);
  });

  test('an address or a method that is not there is told before the body is looked at', async () => {
    const init = { headers: { 'content-type': 'application/json' }, body: '{' };
    assert.equal((await server.get('/nothing', { ...init, method: 'POST' })).status, 404);
    const wrong = await server.get('/sessions', { ...init, method: 'PUT' });
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD, POST']);
  });

  test('JSON bodies mean what they say; what is null or empty is absent', async () => {
    const post = (path: string, body: unknown) =>
      server.json<Record<string, unknown>>(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const go = { source: '', uri: film, kind: '', type: null, startTime: null, quality: '', fileIdx: null };
    const { status, body } = await post('/sessions', go);
    assert.equal(status, 201);
    for (const wrong of [{ source: [film] }, { source: film, startTime: '5' }, { source: film, startTime: true }]) {
      assert.equal((await post('/sessions', wrong)).status, 400, JSON.stringify(wrong));
    }
    for (const index of [null, true, '1', [1]]) {
      const answer = await post(`/sessions/${body.id}/audio`, { index });
      assert.equal(answer.status, 400, JSON.stringify(index));
      assert.match(answer.body.detail as string, /index/);
    }
  });

  test('DELETE takes any content type without a body; cleanup any body that holds an id, and no other', async () => {
    for (const type of ['application/json', 'text/plain', 'nonsense']) {
      const id = await server.create({ source: film });
      const ended = await server.get(`/sessions/${id}`, { method: 'DELETE', headers: { 'content-type': type } });
      assert.equal(ended.status, 204, type);
    }
    for (const [type, body] of [
      ['nonsense', (id: string) => `{"id":"${id}"}`],
      ['application/json', (id: string) => `\ufeff{"id":"${id}"}`],
      ['application/x-www-form-urlencoded', (id: string) => `id=${id}`],
    ] as const) {
      const id = await server.create({ source: film });
      const headers = { 'content-type': type };
      assert.equal((await server.get('/cleanup', { method: 'POST', headers, body: body(id) })).status, 200, type);
      assert.equal((await server.get(`/sessions/${id}`)).status, 404);
    }
    assert.equal((await server.get('/cleanup', { method: 'POST', body: '{"id":5}' })).status, 400);
  });

  test('a slice that was sought says where to start, even at its very beginning; an empty seek_id is none', async () => {
    const id = await server.create({ source: film });
    assert.match(await server.text(`/sessions/${id}/stream?seek=0`), /^#EXT-X-START:TIME-OFFSET=0\.000,PRECISE=YES$/m);
    assert.doesNotMatch(await server.text(`/sessions/${id}/stream`), /EXT-X-START/);
    const start = async (seek: number) =>
      (await server.get(`/sessions/${id}/stream?seek=${seek}&seek_id=`)).headers.get('x-raffi-slice-start');
    assert.notEqual(await start(25), await start(2));
  });

  test('a page on this machine may ask before it posts or deletes', async () => {
    const id = await server.create({ source: film });
    for (const path of ['/sessions', `/sessions/${id}`, `/sessions/${id}/audio`, '/cleanup']) {
      const headers = { origin: 'http://localhost:5173', 'access-control-request-method': 'POST' };
      const answer = await server.get(path, { method: 'OPTIONS', headers });
      assert.equal(answer.status, 204);
      assert.match(answer.headers.get('access-control-allow-methods') as string, /POST.*DELETE/, path);
      assert.match(answer.headers.get('access-control-allow-headers') as string, /Content-Type/, path);
    }
  });

  test('DELETE ends what is being sent of the file, and closes it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'raffi-contract-'));
    const large = join(folder, 'large.mkv');
    await copyFile(film, large);
    await truncate(large, 256 * 1024 * 1024); // more than the kernel buffers for a client that does not read
    const openings = (): number =>
      readdirSync(`/proc/${server.pid}/fd`).filter((fd) => linkOf(`/proc/${server.pid}/fd/${fd}`) === large).length;
    const id = await server.create({ source: large });
    const { host, hostname, port } = new URL(server.url);
    const ask = async (): Promise<Socket> => {
      const socket = connect(Number(port), hostname);
      socket.write(`GET /sessions/${id}/file HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await once(socket, 'readable');
      return socket;
    };
    const noisy = await ask();
    noisy.write('GARBAGE\r\n\r\n');
    assert.ok(!(await received(noisy)).includes('urn:raffi:error'), 'an answer among the bytes of the file');
    const socket = await ask();
    assert.ok(openings() > 0);
    assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
    assert.equal(openings(), 0);
    socket.destroy();
    await rm(folder, { recursive: true });
  });

  test('the OpenAPI description tells the content types that really come', async () => {
    const id = await server.create({ source: film });
    const { body: described } = await server.json<Described>('/openapi.json');
    const json = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const answers: [template: string, path: string, init?: RequestInit][] = [
      ['/', '/'],
      ['/health', '/health'],
      ['/openapi.json', '/openapi.json'],
      ['/sessions', '/sessions'],
      ['/sessions', '/sessions', { ...json, body: JSON.stringify({ source: film }) }],
      ['/sessions', '/sessions', { ...json, body: '{}' }],
      ['/sessions/{id}', `/sessions/${id}`],
      ['/sessions/{id}', `/sessions/${id}`, { method: 'HEAD' }],
      ['/sessions/{id}', '/sessions/none'],
      ['/sessions/{id}/audio', `/sessions/${id}/audio`, { ...json, body: '{"index":1}' }],
      ['/sessions/{id}/stream.m3u8', `/sessions/${id}/stream.m3u8`],
      ['/stream/{id}/playlist.m3u8', `/stream/${id}/playlist.m3u8`],
      ['/sessions/{id}/stream', `/sessions/${id}/stream?seek=3`],
      ['/sessions/{id}/stream', `/sessions/${id}/stream?seek=x`],
      ['/sessions/{id}/{rendition}/playlist.m3u8', `/sessions/${id}/original/playlist.m3u8`],
      ['/sessions/{id}/{rendition}/{segment}', `/sessions/${id}/audio-0/init.mp4`],
      ['/sessions/{id}/{rendition}/{segment}', `/sessions/${id}/original/99.m4s`],
      ['/sessions/{id}/file', `/sessions/${id}/file`, { headers: { range: 'bytes=0-1' } }],
      ['/cleanup', '/cleanup', { method: 'POST' }],
    ];
    for (const [template, path, init] of answers) {
      const answer = await server.get(path, init);
      await answer.arrayBuffer();
      const operation = described.paths[template]?.[(init?.method ?? 'GET').toLowerCase()];
      assert.ok(operation, `${init?.method ?? 'GET'} ${template}`);
      const response = operation.responses[answer.status] ?? operation.responses.default;
      const type = (answer.headers.get('content-type') as string).split(';')[0] as string;
      const types = Object.keys(response?.content ?? {});
      assert.ok(types.includes(type) || types.includes('*/*'), `${path}: ${type} is none of ${types}`);
    }
    assert.ok(described.paths['/sessions/{id}/stream']?.get?.responses['200']?.headers);
  });
});

/** Where a link of /proc leads; undefined when it is gone meanwhile. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** What still comes until the connection ends, however it ends. */
async function received(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts);
}
