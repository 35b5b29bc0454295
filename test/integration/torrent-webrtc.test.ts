/** WebRTC peers, met through a WebSocket tracker: npm's webtorrent, which has no other way to us, and another of our servers. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startTracker } from '../fixtures/seeders.ts';
import { noWebRtc } from '../fixtures/server-process.ts';
import { testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import { webtorrent } from '../fixtures/torrent/other-clients.ts';
import { startTestServer, type TestServer, until } from './harness.ts';

const MB = 1024 * 1024;

function start(folder: string, more: Record<string, string> = {}): Promise<TestServer> {
  return startTestServer({
    RAFFI_TORRENT_DIR: folder,
    RAFFI_TORRENT_DHT: '0',
    RAFFI_TORRENT_LSD: '0',
    RAFFI_TORRENT_STUN: 'none',
    RAFFI_TORRENT_LISTEN: '127.0.0.1:0',
    // Trackers of these tests are on this machine.
    RAFFI_ALLOW_PRIVATE_SOURCES: '1',
    ...more,
  });
}

/** Connections by WebRTC take their time on a machine at work. */
const PATIENCE_MS = 120_000;

const withTracker = (magnet: string, tracker: string): string => `${magnet}&tr=${encodeURIComponent(tracker)}`;
const drop = (server: TestServer, id: string): Promise<Response> => server.get(`/sessions/${id}`, { method: 'DELETE' });

/** Bytes of the only file, as soon as the metadata are there. */
async function download(server: TestServer, infoHash: string): Promise<Uint8Array> {
  await until(
    'metadata',
    async () => {
      const { body } = await server.json<{ stage: string }>(`/torrents/${infoHash}/status`);
      return body.stage === 'metadata' ? undefined : body;
    },
    PATIENCE_MS,
  );
  return server.bytes(`/torrents/${infoHash}/0`);
}

/** Sockets and files of this process. */
const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

describe('WebRTC', { skip: noWebRtc, timeout: 400_000 }, () => {
  test('a magnet link from webtorrent by a WebSocket tracker alone, and back to another one', async () => {
    const torrent = torrentOf(8 * MB + 77, 64 * 1024, 5);
    await using tracker = await startTracker();
    await using folder = await testFolder();
    const seed = await webtorrent({ torrent, folder: join(folder.path, 'theirs'), seeds: true }, [tracker.ws]);
    await using server = await start(join(folder.path, 'ours'));
    await server.create({ source: withTracker(torrent.magnet, tracker.ws) });
    assert.ok(torrent.content.equals(await download(server, torrent.infoHash)));
    assert.deepEqual(seed.wires, ['webrtc']);
    await seed[Symbol.asyncDispose]();
    const options = { torrent, folder: join(folder.path, 'leech'), seeds: false, magnet: true };
    await using leech = await webtorrent(options, [tracker.ws]);
    assert.ok(torrent.content.equals(await leech.complete()));
    assert.deepEqual(leech.wires, ['webrtc']);
  });

  test('two of ours meet, whatever encryption they require, again and again, and nothing is left', async () => {
    const torrent = torrentOf(2 * MB + 77, 64 * 1024, 6);
    await using tracker = await startTracker();
    await using folder = await testFolder();
    await using seed = await webtorrent({ torrent, folder: join(folder.path, 'theirs'), seeds: true });
    const required = { RAFFI_TORRENT_ENCRYPTION: 'require' };
    await using first = await start(join(folder.path, 'first'), required);
    const source = withTracker(torrent.magnet, tracker.ws);
    await first.create({ source: `${source}&x.pe=127.0.0.1:${seed.address.port}` });
    assert.ok(torrent.content.equals(await download(first, torrent.infoHash)));
    await using second = await start(join(folder.path, 'second'), required);
    let before = 0;
    for (let round = 0; round < 5; round += 1) {
      const id = await second.create({ source });
      assert.ok(torrent.content.equals(await download(second, torrent.infoHash)));
      assert.equal((await drop(second, id)).status, 204);
      // The other side notices by itself.
      await until(
        'nobody is connected',
        async () => {
          const { body } = await first.json<{ peers: number }>(`/torrents/${torrent.infoHash}/status`);
          return body.peers === 0 ? true : undefined;
        },
        PATIENCE_MS,
      );
      if (round === 1) before = await descriptors();
    }
    await until(
      'no socket more than at the start',
      async () => ((await descriptors()) <= before ? true : undefined),
      PATIENCE_MS,
    );
  });

  test('RAFFI_TORRENT_WEBRTC=0 asks no WebSocket tracker', async () => {
    const torrent = torrentOf(MB, 64 * 1024, 7);
    await using tracker = await startTracker();
    await using folder = await testFolder();
    await using server = await start(join(folder.path, 'ours'), { RAFFI_TORRENT_WEBRTC: '0' });
    const both = withTracker(withTracker(torrent.magnet, tracker.ws), tracker.http);
    await server.create({ source: both });
    await until(
      'the other tracker was asked',
      async () => (tracker.announced.length > 0 ? true : undefined),
      PATIENCE_MS,
    );
    assert.deepEqual(tracker.announced, ['start']);
    assert.equal(tracker.webSockets, 0);
  });
});
