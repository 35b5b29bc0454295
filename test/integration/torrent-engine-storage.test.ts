/** What the torrent engine leaves on the disk, and what it leaves behind in the process. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { chunkFile } from '../../src/torrent/engine/chunks.ts';
import {
  EVERYTHING,
  randomBytes,
  TestEngine,
  ThreadlessEngine,
  testFolder,
  torrentOf,
} from '../fixtures/torrent/engine-kit.ts';
import { WirePeer } from '../fixtures/torrent/wire-peer.ts';
import { wrapInfo } from '../fixtures/torrents.ts';

const KB = 1024;
const MB = 1024 * KB;

test('what is kept is taken up again: unchanged chunks at once, changed ones after hashing', async () => {
  const torrent = torrentOf(40 * MB, MB);
  await using folder = await testFolder();
  {
    await using seed = await WirePeer.start(torrent);
    await using engine = await TestEngine.start();
    await engine.add(torrent, folder.path, [seed.address], { keep: true });
    engine.demand(EVERYTHING);
    await engine.whenComplete();
  }
  // Chunk 0 as it was, chunk 1 touched only, chunk 2 with a wrong byte in its first piece.
  await utimes(chunkFile(folder.path, 1), 1, 1);
  const damaged = Buffer.from(torrent.content.subarray(32 * MB));
  damaged[5]! ^= 1;
  await writeFile(chunkFile(folder.path, 2), damaged);
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [], { keep: true, magnet: true });
  assert.deepEqual(Buffer.from(engine.metadata!.info), torrent.info);
  const { have } = engine.metadata!;
  assert.deepEqual([...have], [0xff, 0xff, 0, 0, 0]);
  await engine.whenHad({ start: 33 * MB, end: 40 * MB });
  await engine.whenHad({ start: 0, end: 32 * MB });
  assert.ok(!engine.have.has(32));
  await using seed = await WirePeer.start(torrent);
  engine.engine.addPeers(torrent.infoHash, [seed.address], 'loopback');
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
  assert.ok(seed.requests.every(([piece]) => piece === 32));
});

test('what a run that was killed had not noted yet is found by hashing', async () => {
  const torrent = torrentOf(40 * MB, MB);
  await using folder = await testFolder();
  {
    await using seed = await WirePeer.start(torrent);
    await using engine = await TestEngine.start();
    await engine.add(torrent, folder.path, [seed.address], { keep: true });
    engine.demand({ readers: [{ reader: 1, waiting: [{ start: 0, end: 3 * MB }], ahead: [] }] });
    await engine.whenHad({ start: 0, end: 3 * MB });
  }
  await writeFile(chunkFile(folder.path, 0), torrent.content.subarray(0, 16 * MB));
  await writeFile(chunkFile(folder.path, 1), torrent.content.subarray(16 * MB, 20 * MB + 5));
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [], { keep: true });
  await engine.whenHad({ start: 0, end: 20 * MB });
  assert.equal(engine.have.size, 20);
});

test('space that is given back ends that the disk is full', { skip: !existsSync('/dev/full') }, async () => {
  const torrent = torrentOf(40 * MB, MB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await symlink('/dev/full', chunkFile(folder.path, 2));
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.until(() => engine.events.some((event) => event.type === 'fault' && event.fault === 'disk-full'));
  engine.demand({});
  await engine.engine.forget(torrent.infoHash, [2]);
  assert.equal(engine.events.filter(({ type }) => type === 'recovered').length, 1);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
});

test('what is not kept begins anew, and leaves nothing', async () => {
  const torrent = torrentOf(2 * MB, 256 * KB);
  await using folder = await testFolder();
  const directory = join(folder.path, 'data');
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await engine.add(torrent, directory, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.deepEqual(await readdir(directory), ['chunk-000000']);
  await engine.engine.remove(torrent.infoHash, true);
  assert.deepEqual(await readdir(folder.path), []);
});

test('chunks that are forgotten give their space back, and can be had again', async () => {
  const torrent = torrentOf(48 * MB, MB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  engine.demand({});
  for (let piece = 16; piece < 32; piece += 1) engine.have.delete(piece);
  await engine.engine.forget(torrent.infoHash, [1, 99, -1]);
  assert.deepEqual((await readdir(folder.path)).sort(), ['chunk-000000', 'chunk-000002']);
  const again = { start: 20 * MB, end: 22 * MB };
  // It had left us, since two that have everything have nothing to say to each other.
  engine.engine.addPeers(torrent.infoHash, [seed.address], 'loopback');
  engine.demand({ readers: [{ reader: 1, waiting: [again], ahead: [] }] });
  await engine.whenHad(again);
  assert.ok((await engine.read(again)).equals(torrent.content.subarray(again.start, again.end)));
  assert.equal(engine.have.size, 34);
});

test('a disk that refuses is a fault that is told; the download goes on when it is over', async () => {
  const torrent = torrentOf(4 * MB, 256 * KB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await mkdir(chunkFile(folder.path, 0));
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.until(() => engine.events.some((event) => event.type === 'fault'));
  const fault = engine.events.find((event) => event.type === 'fault');
  assert.equal(fault?.fault, 'disk-failed');
  assert.equal(engine.have.size, 0);
  await rm(chunkFile(folder.path, 0), { recursive: true });
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok(engine.events.some((event) => event.type === 'recovered'));
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test('padding is neither asked for nor missed', async () => {
  const pieceLength = 256 * KB;
  const first = randomBytes(100 * KB, 5);
  const second = randomBytes(300 * KB, 6);
  const content = Buffer.concat([first, Buffer.alloc(pieceLength - first.length), second]);
  const pieces = Buffer.concat(
    [0, 1, 2].map((piece) =>
      createHash('sha1')
        .update(content.subarray(piece * pieceLength, (piece + 1) * pieceLength))
        .digest(),
    ),
  );
  const files = [
    { length: first.length, path: ['a'] },
    { attr: 'p', length: pieceLength - first.length, path: ['.pad', '1'] },
    { length: second.length, path: ['b'] },
  ];
  const made = wrapInfo({ name: 'padded', 'piece length': pieceLength, pieces, files });
  const torrent = { ...made, content, pieceLength, name: 'padded' };
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: content.length })).equals(content));
  assert.ok(seed.requests.every(([piece, begin]) => piece > 0 || begin < 112 * KB));
});

test("a torrent that can't be used is refused with a sentence", async () => {
  await using folder = await testFolder();
  await using engine = await TestEngine.start();
  const torrent = torrentOf(MB, 256 * KB);
  await assert.rejects(
    engine.add({ ...torrent, info: Buffer.from('d4:name1:ae') }, folder.path, []),
    /not the one of this torrent/,
  );
  const odd = wrapInfo({ name: 'x', 'piece length': 16384, length: 40_000, pieces: Buffer.alloc(20) });
  await assert.rejects(engine.add(odd, folder.path, []), /1 pieces for 40000 bytes/);
  const second = wrapInfo({ name: 'x', 'piece length': 16384, 'meta version': 2 });
  await assert.rejects(engine.add(second, folder.path, []), /v2 only/);
  await engine.add(torrent, folder.path, []);
  await assert.rejects(engine.add(torrent, folder.path, []), /here already/);
});

test('a hundred torrents come and go: no socket, file or timer stays', async () => {
  const torrent = torrentOf(MB, 64 * KB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  // In this thread, where its timers and handles can be counted.
  await using engine = await ThreadlessEngine.start();
  const { infoHash } = torrent;
  const round = async (n: number): Promise<void> => {
    const add = {
      infoHash,
      directory: join(folder.path, String(n)),
      keep: n % 5 === 0,
      peers: [seed.address],
      peersFrom: 'loopback',
    } as const;
    await engine.ask((id) => ({ type: 'add', id, torrent: n % 2 === 0 ? add : { ...add, info: torrent.info } }));
    engine.thread.obey({ type: 'demand', infoHash, demand: EVERYTHING });
    if (n % 3 === 0) await engine.verified();
    await engine.ask((id) => ({ type: 'remove', id, infoHash, deleteFiles: true }));
    await seed.alone();
  };
  for (let n = 0; n < 3; n += 1) await round(n);
  const files = await openFiles();
  const resources = process.getActiveResourcesInfo().sort();
  for (let n = 3; n < 103; n += 1) await round(n);
  assert.deepEqual(await openFiles(), files);
  assert.deepEqual(process.getActiveResourcesInfo().sort(), resources);
  assert.deepEqual(await readdir(folder.path), []);
  assert.equal(engine.thread.pool.reserved, 0);
});

/** Files and sockets of the process, by kind; there are no others than /proc's where that isn't. */
async function openFiles(): Promise<Record<string, number>> {
  const kinds: Record<string, number> = {};
  for (const name of await readdir('/proc/self/fd').catch(() => [])) {
    const target = await readlink(`/proc/self/fd/${name}`).catch(() => 'gone');
    const kind = target.replace(/[\d[\]]+/g, '');
    if (kind !== 'gone' && !kind.startsWith('/proc')) kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}
