/** A torrent's state under hostile messages: they are used or end the connection, and nothing else happens. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { EngineEvent } from '../protocol.ts';
import type { Link } from './handshake.ts';
import { KnownPeer } from './peer-book.ts';
import { SlabPool } from './slab-pool.ts';
import { Swarm } from './swarm.ts';
import type { SwarmOwner } from './swarm-owner.ts';
import type { Transport } from './transport.ts';
import { encode } from './wire/bencode.ts';
import { Outbox } from './wire/outbox.ts';
import { BLOCK, MESSAGE } from './wire/reader.ts';

const PIECES = 9;
const PIECE = 3 * BLOCK;
const content = Buffer.alloc(PIECES * PIECE - 5000, 'content');
const info = encode({
  length: content.length,
  name: 'x',
  'piece length': PIECE,
  pieces: Buffer.concat(
    Array.from({ length: PIECES }, (_, n) =>
      createHash('sha1')
        .update(content.subarray(n * PIECE, (n + 1) * PIECE))
        .digest(),
    ),
  ),
});
const infoHash = createHash('sha1').update(info).digest();

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'raffi-swarm-'));
});
after(() => rm(folder, { recursive: true, force: true }));

function ownerOf(events: EngineEvent[], pool: SlabPool): SwarmOwner {
  return {
    pool,
    peerId: Buffer.alloc(20, 'u'),
    own: { port: undefined, places: [] },
    listenPort: 1234,
    encryption: 'allow',
    maxConnectionsPerTorrent: 50,
    tell: (event) => events.push(event),
    dialMore: () => {},
    tellStats: () => {},
    dialUtp: undefined,
    downloadAllowance: () => Number.POSITIVE_INFINITY,
    downloadSpent: () => {},
    uploadAllowance: () => Number.POSITIVE_INFINITY,
    uploadSpent: () => {},
  };
}

/** A connection whose other side is this test. */
function connect(
  swarm: Swarm,
  n: number,
  fast: boolean,
): { transport: Transport; open: () => boolean; written: Buffer[] } {
  let open = true;
  const written: Buffer[] = [];
  const transport: Transport = {
    remote: { host: '127.0.0.1', port: 1000 + (n % 60_000) },
    dialable: true,
    handler: { received: () => {}, closed: () => {}, drained: () => {} },
    backlog: 0,
    write: (bytes) => {
      written.push(bytes);
    },
    destroy: () => {
      if (!open) return;
      open = false;
      transport.handler.closed();
    },
  };
  const peerId = Buffer.alloc(20);
  peerId.writeUInt32BE(n + 1);
  const rest = Buffer.alloc(0);
  const link: Link = {
    transport,
    encrypt: undefined,
    decrypt: undefined,
    infoHash,
    peerId,
    fast,
    extended: true,
    dht: true,
    rest,
  };
  swarm.join(link, new KnownPeer(transport.remote, true), n % 2 === 0);
  return { transport, open: () => open, written };
}

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One message that a hostile peer might send: mostly of the right form. */
function message(next: (below: number) => number): Buffer {
  const out = new Outbox();
  const piece = next(20) === 0 ? next(2 ** 32) : next(PIECES);
  const begin = next(10) === 0 ? next(2 ** 32) : next(4) * BLOCK;
  const kind = next(12);
  if (kind < 2) out.plain([0, 1, 2, 3, 14, 15][next(6)]!);
  else if (kind === 2) out.number([4, 13, 17][next(3)]!, piece);
  else if (kind < 5) out.block([6, 8, 16][next(3)]!, piece, begin, next(5) === 0 ? next(2 ** 32) : BLOCK);
  else if (kind === 5) out.bitfield(Buffer.alloc(next(10) === 0 ? next(5) : 2, next(2) * 0xff).fill(0x80, 1));
  else if (kind < 9) {
    const place = piece * PIECE + begin;
    const length = Math.min(BLOCK, Math.max(1, content.length - place));
    out.pieceHead(piece, begin, length);
    const bytes = Buffer.alloc(length);
    bytes.set(content.subarray(place, place + length));
    if (next(4) === 0) bytes[0]! ^= 1;
    return Buffer.concat([out.take(), bytes]);
  } else if (kind === 9)
    out.extended(next(4), Buffer.from(['d1:md', 'i1e', 'le', 'd5:added6:abcdefe', '\0\0\0\x01'][next(5)]!));
  else if (kind === 10) {
    const offers = { ut_metadata: next(300), ut_pex: next(3), lt_donthave: 7 };
    out.extended(0, encode({ m: offers, metadata_size: next(3) * 9000, p: next(70_000), reqq: next(1000) }));
  } else out.extended(1, encode({ msg_type: next(4), piece: next(3) }), Buffer.alloc(next(3) * 100, 'm'));
  return out.take();
}

for (const known of [true, false])
  test(`hostile messages ${known ? 'with' : 'before'} the metadata`, async () => {
    const runs = Number(process.env.FUZZ_RUNS ?? 20_000);
    const events: EngineEvent[] = [];
    const pool = new SlabPool(1024 * 1024);
    const directory = join(folder, String(known));
    const torrent = {
      infoHash: infoHash.toString('hex'),
      directory,
      keep: false,
      peers: [],
      peersFrom: 'public',
    } as const;
    const swarm = new Swarm(known ? { ...torrent, info } : torrent, ownerOf(events, pool));
    await swarm.open();
    swarm.setDemand({
      readers: [{ reader: 1, waiting: [{ start: 0, end: 2 * PIECE }], ahead: [{ start: PIECE, end: 5 * PIECE }] }],
      index: [{ start: 8 * PIECE, end: 9 * PIECE }],
      rest: [{ start: 0, end: content.length }],
    });
    const next = random(20261121);
    const peers: ReturnType<typeof connect>[] = [];
    let connections = 0;
    for (let run = 0; run < runs; run += 1) {
      const at = next(8);
      if (peers[at]?.open() !== true) peers[at] = connect(swarm, connections++, next(2) === 0);
      const bytes = message(next);
      peers[at].transport.handler.received(bytes, 0, bytes.length);
      if (run % 500 === 499) {
        swarm.tick(0.25);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    assert.ok(connections > 8, 'some were thrown out');
    assert.ok(swarm.peers.size <= 8);
    await swarm.close();
    assert.equal(swarm.peers.size, 0);
    assert.equal(pool.reserved, 0, 'all memory is back');
    assert.deepEqual(
      events.filter(({ type }) => type === 'fault'),
      [],
    );
  });

function said(write: (out: Outbox) => void): Buffer {
  const out = new Outbox();
  write(out);
  return out.take();
}

test('a block that was cancelled and comes all the same is taken, and nobody else need send it', async () => {
  const block = (n: number): Buffer =>
    Buffer.concat([said((out) => out.pieceHead(0, n * BLOCK, BLOCK)), content.subarray(n * BLOCK, (n + 1) * BLOCK)]);
  const verified = Promise.withResolvers<readonly number[]>();
  const owner = {
    ...ownerOf([], new SlabPool(1024 * 1024)),
    tell: (event: EngineEvent) => {
      if (event.type === 'verified') verified.resolve(event.pieces);
    },
  };
  const torrent = { infoHash: infoHash.toString('hex'), directory: join(folder, 'late'), keep: false, peers: [], info };
  const swarm = new Swarm({ ...torrent, peersFrom: 'public' }, owner);
  await swarm.open();
  const wants = (...waiting: { start: number; end: number }[]): void =>
    swarm.setDemand({ readers: [{ reader: 1, waiting, ahead: [] }], index: [], rest: [] });
  const [first, second] = [connect(swarm, 0, true), connect(swarm, 2, true)];
  const tell = ({ transport }: typeof first, bytes: Buffer): void => transport.handler.received(bytes, 0, bytes.length);
  const asks = said((out) => out.block(MESSAGE.request, 0, 0, BLOCK));
  const hears = async ({ written }: typeof first, bytes: Buffer): Promise<boolean> => {
    await new Promise((resolve) => setImmediate(resolve)); // what is said leaves with the event
    return Buffer.concat(written).includes(bytes);
  };
  const ready = said((out) => {
    out.plain(MESSAGE.haveAll);
    out.plain(MESSAGE.unchoke);
  });
  tell(first, ready);
  wants({ start: 0, end: PIECE });
  assert.ok(await hears(first, asks));
  wants();
  tell(
    first,
    said((out) => out.plain(MESSAGE.choke)),
  );
  tell(second, ready);
  wants({ start: 0, end: PIECE });
  assert.ok(await hears(second, asks));
  tell(first, block(0));
  assert.ok(
    await hears(
      second,
      said((out) => out.block(MESSAGE.cancel, 0, 0, BLOCK)),
    ),
  );
  tell(second, Buffer.concat([block(1), block(2)]));
  assert.deepEqual(await verified.promise, [0]);
  assert.equal(swarm.stats().wastedBytes, 0);
  await swarm.close();
});

test('what a peer neither sent nor rejected when it choked us is asked for again when it no longer does', async () => {
  const torrent = {
    infoHash: infoHash.toString('hex'),
    directory: join(folder, 'choke'),
    keep: false,
    peers: [],
    info,
  };
  const swarm = new Swarm({ ...torrent, peersFrom: 'public' }, ownerOf([], new SlabPool(1024 * 1024)));
  await swarm.open();
  swarm.setDemand({ readers: [{ reader: 1, waiting: [{ start: 0, end: PIECE }], ahead: [] }], index: [], rest: [] });
  const { transport, written } = connect(swarm, 0, true);
  const tell = (...messages: (typeof MESSAGE)['haveAll' | 'choke' | 'unchoke'][]): void => {
    const bytes = said((out) => {
      for (const message of messages) out.plain(message);
    });
    transport.handler.received(bytes, 0, bytes.length);
  };
  const asked = async (): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve)); // what is said leaves with the event
    return (
      Buffer.concat(written)
        .toString('latin1')
        .split(said((out) => out.block(MESSAGE.request, 0, 0, BLOCK)).toString('latin1')).length - 1
    );
  };
  tell(MESSAGE.haveAll, MESSAGE.unchoke);
  assert.equal(await asked(), 1);
  tell(MESSAGE.choke);
  tell(MESSAGE.unchoke);
  assert.equal(await asked(), 2);
  await swarm.close();
});

test('what is in it can be told again when the disk refused at first', async () => {
  const events: string[] = [];
  const owner = { ...ownerOf([], new SlabPool(1024 * 1024)), tell: ({ type }: EngineEvent) => void events.push(type) };
  const blocked = join(folder, 'a file');
  await writeFile(blocked, '');
  const torrent = { infoHash: infoHash.toString('hex'), directory: join(blocked, 'x'), keep: false, peers: [] };
  const swarm = new Swarm({ ...torrent, peersFrom: 'public' }, owner);
  await swarm.open();
  const until = async (type: string): Promise<void> => {
    while (events.at(-1) !== type) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  swarm.inform(info);
  await until('fault');
  await rm(blocked);
  swarm.inform(info);
  await until('metadata');
  await swarm.close();
});
