/** The torrent engine against peers that are slow, silent, lying, gone and back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeedWire } from '../../src/torrent/webseed/seed-wire.ts';
import { EVERYTHING, randomBytes, TestEngine, testFolder, torrentOf } from '../fixtures/torrent/engine-kit.ts';
import { WirePeer, type WirePeerOptions } from '../fixtures/torrent/wire-peer.ts';

const KB = 1024;
const MB = 1024 * KB;

test('a magnet link becomes metadata, pieces and bytes', async () => {
  const torrent = torrentOf(3 * MB + 12_345, 256 * KB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [seed.address], { magnet: true });
  await engine.until(() => engine.metadata !== undefined);
  assert.deepEqual(Buffer.from(engine.metadata!.info), torrent.info);
  assert.equal(seed.requests.length, 0, 'nothing is downloaded that nobody wants');
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test('pieces of 16 MiB, with memory for a part of one', async () => {
  const torrent = torrentOf(40 * MB + 1, 16 * MB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent);
  await using other = await WirePeer.start(torrent);
  await using engine = await TestEngine.start({ bufferBytes: 4 * MB });
  await engine.add(torrent, folder.path, [seed.address, other.address]);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test('a peer that sends wrong bytes is banned within three bad pieces, and nobody else is', async () => {
  const torrent = torrentOf(24 * MB, 256 * KB);
  await using folder = await testFolder();
  const honest = await Promise.all([1, 2, 3].map(() => WirePeer.start(torrent, { rate: 8 * MB })));
  await using stack = new AsyncDisposableStack();
  for (const peer of honest) stack.use(peer);
  await using liar = await WirePeer.start(torrent, { rate: 8 * MB, corrupt: (_, begin) => begin === 64 * KB });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [liar.address, ...honest.map(({ address }) => address)]);
  engine.demand({ readers: [{ reader: 1, waiting: [{ start: 0, end: 24 * MB }], ahead: [] }] });
  await engine.whenComplete();
  const banned = engine.events.flatMap((event) => (event.type === 'banned' ? [event.peer] : []));
  assert.deepEqual(banned, [liar.address]);
  await engine.until(() => engine.stats?.bannedPeers === 1);
  assert.ok(engine.stats!.badPieces <= 3, `${engine.stats!.badPieces} bad pieces`);
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test("sixty silent peers don't keep one good one from its work", async () => {
  const torrent = torrentOf(8 * MB, 256 * KB);
  await using folder = await testFolder();
  await using stack = new AsyncDisposableStack();
  const silent = await Promise.all(
    Array.from({ length: 60 }, (_, n) => WirePeer.start(torrent, n % 2 === 0 ? { silent: true } : { mute: true })),
  );
  for (const peer of silent) stack.use(peer);
  await using good = await WirePeer.start(torrent);
  // The good one is the last in line, and there are places for half of them: the silent ones must give theirs up.
  await using engine = await TestEngine.start({ maxConnectionsPerTorrent: 30 });
  await engine.add(
    torrent,
    folder.path,
    [...silent, good].map(({ address }) => address),
  );
  engine.demand({ readers: [{ reader: 1, waiting: [{ start: 0, end: MB }], ahead: [{ start: MB, end: 8 * MB }] }] });
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test('what a read waits for and does not come is asked of another peer, although there is other work', async () => {
  const torrent = torrentOf(24 * MB, 256 * KB);
  await using folder = await testFolder();
  await using silent = await WirePeer.start(torrent, { silent: true });
  await using good = await WirePeer.start(torrent, { rate: 8 * MB });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [silent.address]);
  const first = { start: 0, end: 256 * KB };
  engine.demand({ readers: [{ reader: 1, waiting: [first], ahead: [{ start: first.end, end: 24 * MB }] }] });
  await engine.until(() => silent.requests.length >= 16);
  engine.engine.addPeers(torrent.infoHash, [good.address], 'loopback');
  await engine.whenHad(first);
  assert.ok(engine.have.size < 48, `${engine.have.size} pieces came before the one that was waited for`);
  await engine.until(() => new Set(silent.cancels.map(String)).size === 16); // who was late is told
});

test('what a read waits for and one peer passes over is asked of another, although the one sends all else', async () => {
  const torrent = torrentOf(24 * MB, 256 * KB);
  await using folder = await testFolder();
  await using peer = await WirePeer.start(torrent, {
    rate: MB,
    passesOver: (piece, begin) => piece === 0 && begin < 64 * KB,
  });
  await using good = await WirePeer.start(torrent, { rate: MB });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [peer.address, good.address]);
  const first = { start: 0, end: 256 * KB };
  engine.demand({ readers: [{ reader: 1, waiting: [first], ahead: [{ start: first.end, end: 24 * MB }] }] });
  await engine.until(() => peer.requests.some(([piece]) => piece === 0));
  await engine.whenHad(first);
  assert.ok(engine.have.size < 72, `${engine.have.size} of 96 pieces came before the one that was waited for`);
});

test('what the only peer has passed over is asked of it again', async () => {
  const torrent = torrentOf(12 * MB, 256 * KB);
  await using folder = await testFolder();
  const passedOver = new Set<number>();
  const passesOver = (piece: number, begin: number): boolean => {
    if (piece > 0 || begin > 32 * KB || passedOver.has(begin)) return false;
    passedOver.add(begin);
    return true;
  };
  await using peer = await WirePeer.start(torrent, { rate: MB, passesOver });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [peer.address]);
  const first = { start: 0, end: 256 * KB };
  engine.demand({ readers: [{ reader: 1, waiting: [first], ahead: [{ start: first.end, end: 12 * MB }] }] });
  await engine.whenHad(first);
  assert.ok(engine.have.size < 48, `${engine.have.size} of 48 pieces came before the one that was waited for`);
  assert.equal(peer.connections, 1);
});

test('a seeder that vanishes and comes back is used again', async () => {
  const torrent = torrentOf(8 * MB, 256 * KB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent, { rate: 4 * MB });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand(EVERYTHING);
  await engine.until(() => engine.have.size >= 4);
  await seed.vanish();
  await engine.until(() => engine.stats?.peers === 0);
  const before = engine.have.size;
  assert.ok(before < 32);
  await seed.listen();
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
});

test('ten readers at random places get their bytes, and one that leaves cancels what it asked for', async () => {
  const torrent = torrentOf(48 * MB, MB);
  await using folder = await testFolder();
  await using stack = new AsyncDisposableStack();
  const seeds = await Promise.all([1, 2, 3].map(() => WirePeer.start(torrent, { rate: 30 * MB })));
  for (const peer of seeds) stack.use(peer);
  await using engine = await TestEngine.start();
  await engine.add(
    torrent,
    folder.path,
    seeds.map(({ address }) => address),
  );
  const places = randomBytes(400, 7);
  const waiting = new Map<number, { start: number; end: number }>();
  const tell = (): void =>
    engine.demand({
      readers: [...waiting].map(([reader, range]) => ({
        reader,
        waiting: [range],
        ahead: [{ start: range.end, end: Math.min(range.end + 4 * MB, 48 * MB) }],
      })),
    });
  await Promise.all(
    Array.from({ length: 10 }, async (_, reader) => {
      for (let read = 0; read < 10; read += 1) {
        const start = Math.floor((places.readUInt16BE((reader * 10 + read) * 2) / 65536) * 47 * MB);
        const range = { start, end: start + 200_000 };
        waiting.set(reader, range);
        tell();
        await engine.whenHad(range);
        assert.ok((await engine.read(range)).equals(torrent.content.subarray(range.start, range.end)));
      }
      waiting.delete(reader);
      tell();
    }),
  );
});

test('all of it at once: ten readers, pieces of 16 MiB, a liar, sixty silent peers, one that vanishes and comes back', async () => {
  const torrent = torrentOf(96 * MB + 4321, 16 * MB);
  await using folder = await testFolder();
  await using stack = new AsyncDisposableStack();
  const start = async (options: WirePeerOptions): Promise<WirePeer> =>
    stack.use(await WirePeer.start(torrent, options));
  const silent = await Promise.all(
    Array.from({ length: 60 }, (_, n) => start(n % 2 === 0 ? { silent: true } : { mute: true })),
  );
  const liar = await start({ rate: 20 * MB, corrupt: (_, begin) => begin === 64 * KB });
  const honest = await start({ rate: 20 * MB });
  const fickle = await start({ rate: 20 * MB });
  await using engine = await TestEngine.start({ bufferBytes: 24 * MB });
  await engine.add(
    torrent,
    folder.path,
    [...silent, liar, fickle, honest].map(({ address }) => address),
  );
  const places = randomBytes(400, 9);
  const waiting = new Map<number, { start: number; end: number }>();
  const tell = (): void =>
    engine.demand({ readers: [...waiting].map(([reader, range]) => ({ reader, waiting: [range], ahead: [] })) });
  const readers = Promise.all(
    Array.from({ length: 10 }, async (_, reader) => {
      for (let read = 0; read < 6; read += 1) {
        const begin = Math.floor((places.readUInt16BE((reader * 6 + read) * 2) / 65536) * 63 * MB);
        const range = { start: begin, end: begin + 300_000 };
        waiting.set(reader, range);
        tell();
        await engine.whenHad(range);
        assert.ok((await engine.read(range)).equals(torrent.content.subarray(range.start, range.end)));
      }
      waiting.delete(reader);
      tell();
    }),
  );
  await engine.until(() => engine.have.size >= 1);
  await fickle.vanish();
  await engine.until(() => engine.have.size >= 3);
  const [calls, before] = [fickle.connections, fickle.requests.length];
  await fickle.listen();
  await readers;
  await engine.until(() => fickle.connections > calls);
  engine.demand(EVERYTHING);
  await engine.whenComplete();
  assert.ok((await engine.read({ start: 0, end: torrent.content.length })).equals(torrent.content));
  await engine.until(() => engine.stats !== undefined && engine.stats.verifiedBytes === torrent.content.length);
  const banned = engine.events.flatMap((event) => (event.type === 'banned' ? [event.peer] : []));
  assert.deepEqual(banned, [liar.address]);
  assert.ok(engine.stats!.badPieces <= 3, `${engine.stats!.badPieces} bad pieces`);
  assert.ok(fickle.requests.length > before, 'who is back is used again');
});

test('what nobody wants any more is cancelled, and nothing more is asked for', async () => {
  const torrent = torrentOf(32 * MB, MB);
  await using folder = await testFolder();
  await using seed = await WirePeer.start(torrent, { rate: MB });
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [seed.address]);
  engine.demand({ readers: [{ reader: 1, waiting: [{ start: 0, end: MB }], ahead: [{ start: MB, end: 32 * MB }] }] });
  await engine.until(() => engine.have.size >= 1);
  engine.demand({});
  // What is asked for afterwards comes after the cancels, on the same connection.
  const last = { start: 31 * MB, end: 32 * MB };
  engine.demand({ readers: [{ reader: 2, waiting: [last], ahead: [] }] });
  await engine.whenHad(last);
  assert.ok(seed.cancels.length > 0, 'requests were cancelled');
  const firstOfLast = seed.requests.findIndex(([piece]) => piece === 31);
  assert.ok(
    seed.requests.slice(firstOfLast).every(([piece]) => piece === 31),
    'only what is wanted is asked for',
  );
});

test('wrong metadata is thrown away, and the right one is found', async () => {
  const torrent = torrentOf(2 * MB, 16 * KB);
  const wrong = Buffer.from(torrent.info);
  wrong[wrong.length - 10]! ^= 1;
  await using folder = await testFolder();
  await using liar = await WirePeer.start(torrent, { metadata: wrong });
  await using good = await WirePeer.start(torrent);
  await using engine = await TestEngine.start();
  await engine.add(torrent, folder.path, [liar.address, good.address], { magnet: true });
  await engine.until(() => engine.metadata !== undefined);
  assert.deepEqual(Buffer.from(engine.metadata!.info), torrent.info);
});

test('a peer by another way than TCP is banned, and let in, by the same rules', async () => {
  const torrent = torrentOf(2 * MB, 64 * KB, 9);
  await using folder = await testFolder();
  await using engine = await TestEngine.start({ maxConnections: 1, encryption: 'require' });
  await engine.add(torrent, folder.path, []);
  engine.demand(EVERYTHING);
  using stack = new DisposableStack();
  /** @param bits what is wrong with its bytes. */
  const attach = (host: string, bits: number): { readonly closed: Promise<void> } => {
    const closed = Promise.withResolvers<void>();
    const wire: SeedWire = new SeedWire(torrent.infoHash, {
      requested: (block) => {
        const { message, content } = wire.blockMessage(block);
        const at = block.piece * torrent.pieceLength + block.begin;
        message.set(torrent.content.subarray(at, at + block.length), content);
        message[content]! ^= bits;
        wire.send(message);
      },
      cancelled: () => {},
      closed: () => closed.resolve(),
    });
    stack.defer(() => wire.close());
    const remote = { host, port: 1 };
    engine.engine.attach({ type: 'stream', infoHash: torrent.infoHash, port: wire.far, remote, isReserve: false });
    return { closed: closed.promise };
  };
  const liar = attach('192.0.2.1', 1);
  const tooMany = attach('192.0.2.2', 0);
  await tooMany.closed;
  await liar.closed;
  await engine.until(() => engine.events.some(({ type }) => type === 'banned'));
  const banned = engine.events.flatMap((event) => (event.type === 'banned' ? [event.peer.host] : []));
  assert.deepEqual(banned, ['192.0.2.1']);
  await attach('192.0.2.1', 0).closed;
  assert.equal(engine.have.size, 0);
  attach('192.0.2.3', 0);
  await engine.whenComplete();
});
