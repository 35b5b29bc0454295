/** The torrent engine and other people's clients, both ways. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { EVERYTHING, TestEngine, testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import {
  aria2,
  type ClientOptions,
  libtorrent,
  type OtherClient,
  transmission,
  webtorrent,
} from '../fixtures/torrent/other-clients.ts';
import { WirePeer } from '../fixtures/torrent/wire-peer.ts';

const KB = 1024;
const MB = 1024 * KB;
const CLIENTS: Record<string, (options: ClientOptions) => Promise<OtherClient>> = {
  libtorrent,
  transmission,
  aria2,
  webtorrent,
};

for (const [name, start] of Object.entries(CLIENTS)) {
  for (const encryption of [undefined, 'required'] as const) {
    const manner = encryption === undefined ? '' : ', encryption required';
    test(`a magnet link from ${name}${manner}`, async () => {
      const torrent = torrentOf(2 * MB + 77, 64 * KB, 2);
      await using folder = await testFolder();
      const options: ClientOptions = { torrent, folder: join(folder.path, 'theirs'), seeds: true };
      await using seed = await start(encryption === undefined ? options : { ...options, encryption });
      await using engine = await TestEngine.start();
      await engine.add(torrent, join(folder.path, 'ours'), [seed.address], { magnet: true });
      engine.demand(EVERYTHING);
      await engine.whenComplete();
      assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
    });

    test(`${name} downloads from us${manner}, with nothing but the infohash`, async () => {
      const torrent = torrentOf(2 * MB + 77, 64 * KB, 3);
      await using folder = await testFolder();
      await using seed = await WirePeer.start(torrent);
      await using engine = await TestEngine.start();
      await engine.add(torrent, join(folder.path, 'ours'), [seed.address]);
      engine.demand(EVERYTHING);
      await engine.whenComplete();
      await seed.vanish();
      const options: ClientOptions = {
        torrent,
        folder: join(folder.path, 'theirs'),
        seeds: false,
        magnet: true,
        peer: engine.address,
      };
      await using leech = await start(encryption === undefined ? options : { ...options, encryption });
      engine.engine.addPeers(torrent.infoHash, [leech.address], 'loopback');
      assert.ok((await leech.complete()).equals(torrent.content));
    });
  }
}

for (const [name, start] of Object.entries({ libtorrent, transmission })) {
  test(`${name} over IPv6, both ways`, async () => {
    const torrent = torrentOf(2 * MB + 77, 64 * KB, 5);
    await using folder = await testFolder();
    await using engine = await TestEngine.start({}, true, ['127.0.0.1', '::1']);
    {
      const theirs = { torrent, folder: join(folder.path, 'theirs'), seeds: true, host: '::1' } as const;
      await using seed = await start(theirs);
      await engine.add(torrent, join(folder.path, 'ours'), [seed.address], { magnet: true });
      engine.demand(EVERYTHING);
      await engine.whenComplete();
      assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
    }
    const theirs = { torrent, folder: join(folder.path, 'leech'), seeds: false, magnet: true, host: '::1' } as const;
    // libtorrent calls us; transmission is called.
    const peer = { host: '::1', port: engine.port };
    await using leech = await start({ ...theirs, peer });
    if (name === 'transmission') engine.engine.addPeers(torrent.infoHash, [leech.address], 'loopback');
    assert.ok((await leech.complete()).equals(torrent.content));
  });
}

test('a side that requires encryption gets it from us, when we require it too', async () => {
  const torrent = torrentOf(2 * MB + 77, 64 * KB, 4);
  await using folder = await testFolder();
  await using seed = await libtorrent({
    torrent,
    folder: join(folder.path, 'theirs'),
    seeds: true,
    encryption: 'required',
  });
  await using engine = await TestEngine.start({ encryption: 'require' });
  await engine.add(torrent, join(folder.path, 'ours'), [seed.address]);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});
