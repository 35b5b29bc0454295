/** What the words of a torrent's link, its trackers and its peers can make this server connect to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeTorrent } from '../fixtures/torrents.ts';
import { startTestServer } from './harness.ts';

/** A service of this machine that counts who calls. */
async function canary(): Promise<{ port: number; called: () => number } & AsyncDisposable> {
  let called = 0;
  const server: Server = createServer((socket) => {
    called += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    called: () => called,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a magnet link', { timeout: 120_000 }, () => {
  /** What the session's info said of it at last. */
  let told = '';

  /** Opens the link and ends the session, which resolves when nothing of it is under way; how often each canary was called. */
  async function callsOf(link: (port: number) => string, env: Record<string, string>): Promise<number> {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-peers-'));
    await using service = await canary();
    await using server = await startTestServer({
      RAFFI_TORRENT_DIR: folder.path,
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
      RAFFI_TORRENT_LISTEN: 'off',
      ...env,
    });
    const id = await server.create({ source: `magnet:?xt=urn:btih:${'ab'.repeat(20)}${link(service.port)}` });
    // Until the engine and the trackers have been told of it.
    for (let tried = false; !tried; ) {
      const { body } = await server.json<{ torrent?: { sources: { state: string; reason?: string }[] } }>(
        `/sessions/${id}`,
      );
      const sources = body.torrent?.sources ?? [];
      tried = service.called() > 0 || (sources.length > 0 && sources.every(({ state }) => state === 'failed'));
      told = sources.flatMap(({ reason }) => reason ?? []).join('; ');
    }
    assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
    return service.called();
  }

  /** A tracker that fails at once tells when the engine has been told of the peers. */
  const tracker = '&tr=http://127.0.0.1:1/announce';
  const peers = (port: number): string =>
    ['127.0.0.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '0.0.0.0', '127.0.0.2']
      .map((host) => `&x.pe=${host}:${port}`)
      .join('');

  test('names no peers of this machine', async () => {
    for (const env of [{}, { RAFFI_ALLOW_PRIVATE_SOURCES: 'false' }]) {
      assert.equal(await callsOf((port) => peers(port) + tracker, env), 0);
      assert.match(told, /names 5 peers of this machine or network.*RAFFI_ALLOW_PRIVATE_SOURCES/);
    }
  });

  test('names no trackers of this machine', async () => {
    assert.equal(await callsOf((port) => `&tr=http://127.0.0.1:${port}/announce`, {}), 0);
    assert.equal(await callsOf((port) => `&tr=udp://127.0.0.1:${port}`, {}), 0);
  });

  test('names both where the operator says so: so the tests above can fail', async () => {
    const env = { RAFFI_ALLOW_PRIVATE_SOURCES: 'true' };
    assert.ok((await callsOf((port) => peers(port) + tracker, env)) > 0);
    assert.ok((await callsOf((port) => `&tr=http://127.0.0.1:${port}/announce`, env)) > 0);
  });
});

test('torrents have a limit, and one that is in use already is none more', { timeout: 120_000 }, async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-torrents-'));
  await using server = await startTestServer({
    RAFFI_TORRENT_DIR: folder.path,
    RAFFI_TORRENT_DHT: '0',
    RAFFI_TORRENT_LSD: '0',
    RAFFI_TORRENT_LISTEN: 'off',
    RAFFI_MAX_TORRENTS: '2',
  });
  const create = (digit: string) =>
    server.get('/sessions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: digit.repeat(40) }),
    });
  const [first] = await Promise.all(['a', 'b', 'a'].map((digit) => server.create({ source: digit.repeat(40) })));
  const full = await create('c');
  assert.deepEqual([full.status, ((await full.json()) as { code: string }).code], [503, 'server-full']);
  assert.ok(Number(full.headers.get('retry-after')) >= 1);
  assert.equal((await create('b')).status, 201);
  const path = join(folder.path, 'third.torrent');
  await writeFile(path, makeTorrent({ name: 'x', pieceLength: 16_384, files: [{ content: Buffer.alloc(9) }] }).bytes);
  const late = await server.create({ source: path });
  const { body } = await server.json<{ code: string }>(`/sessions/${late}/stream.m3u8`);
  assert.equal(body.code, 'server-full', 'one that has to be read first');
  // The first of the two on it holds it still.
  assert.equal((await server.get(`/sessions/${first}`, { method: 'DELETE' })).status, 204);
  assert.equal((await create('c')).status, 503);
});
