/** The torrent engine and libtorrent, both ways, where there is no TCP between them: on a clean line and on one that loses datagrams. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { EVERYTHING, TestEngine, testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import { lossyRelay } from '../fixtures/torrent/lossy-relay.ts';
import { libtorrent } from '../fixtures/torrent/other-clients.ts';
import { WirePeer } from '../fixtures/torrent/wire-peer.ts';

const KB = 1024;
const MB = 1024 * KB;
const LINES = {
  'a clean line': { loss: 0 },
  'a line that loses 3 %': { loss: 0.03, twice: 0.01, late: 0.03, seed: 5 },
};

for (const [line, losses] of Object.entries(LINES))
  for (const encryption of [undefined, 'required'] as const) {
    const manner = `${line}${encryption === undefined ? '' : ', encrypted'}`;
    test(`a magnet link from libtorrent by uTP, on ${manner}`, async () => {
      const torrent = torrentOf(2 * MB + 77, 64 * KB, 12);
      await using folder = await testFolder();
      const options = { torrent, folder: join(folder.path, 'theirs'), seeds: true, utp: 'only' } as const;
      await using seed = await libtorrent(encryption === undefined ? options : { ...options, encryption });
      await using relay = await lossyRelay(seed.address.port, losses);
      await using engine = await TestEngine.start();
      const address = { host: '127.0.0.1', port: relay.port };
      await engine.add(torrent, join(folder.path, 'ours'), [address], { magnet: true });
      engine.demand(EVERYTHING);
      await engine.whenComplete();
      assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
    });

    test(`libtorrent downloads from us by uTP, on ${manner}`, async () => {
      const torrent = torrentOf(2 * MB + 77, 64 * KB, 13);
      await using folder = await testFolder();
      await using seed = await WirePeer.start(torrent);
      await using engine = await TestEngine.start();
      await engine.add(torrent, join(folder.path, 'ours'), [seed.address]);
      engine.demand(EVERYTHING);
      await engine.whenComplete();
      await seed.vanish();
      await using relay = await lossyRelay(engine.port, losses);
      const peer = { host: '127.0.0.1', port: relay.port };
      const options = { torrent, folder: join(folder.path, 'theirs'), seeds: false, utp: 'only', peer } as const;
      await using leech = await libtorrent(encryption === undefined ? options : { ...options, encryption });
      assert.ok((await leech.complete()).equals(torrent.content));
    });
  }

test('without uTP a peer that has no TCP is not reached', async () => {
  const torrent = torrentOf(256 * KB, 64 * KB, 14);
  await using folder = await testFolder();
  await using seed = await libtorrent({ torrent, folder: join(folder.path, 'theirs'), seeds: true, utp: 'only' });
  await using engine = await TestEngine.start({}, false);
  await engine.add(torrent, join(folder.path, 'ours'), [seed.address], { magnet: true });
  engine.demand(EVERYTHING);
  await using other = await WirePeer.start(torrent);
  // The address of the first one fails before that of another client is told.
  await engine.until(() => engine.stats?.knownPeers === 1 && engine.stats.connecting === 0);
  engine.engine.addPeers(torrent.infoHash, [other.address], 'loopback');
  await engine.whenComplete();
  assert.equal(other.requests.length, 16, 'all blocks came from the one that has TCP');
});
