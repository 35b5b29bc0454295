/**
 * The torrent engine in slow swarms: 1 seeder of 3 MB/s, 8 of 375 KB/s each, round trips of 40 ms (`--rtt`) (libtorrent behind
 * relays, see slow-relay.ts). From a magnet link to the first piece; from a seek to the middle to the piece there, while the
 * first reader's window still downloads; how much of what came was what readers had asked for.
 *
 *   node bench/torrent-shaped.ts [--megabytes 400] [--piece 1048576] [--rounds 3]
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Engine } from '../src/torrent/engine/engine.ts';
import type { ByteRange, TorrentStats } from '../src/torrent/protocol.ts';
import { infoOf } from './lib/torrent/info.ts';
import { type SlowRelay, slowRelay } from './lib/torrent/slow-relay.ts';
import { seed, torrentOf } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '400' },
    piece: { type: 'string', default: '1048576' },
    rtt: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const MB = 1024 * 1024;
const RTT_MS = Number(values.rtt);
const pieceLength = Number(values.piece);
const { torrent } = await torrentOf(values.folder, Number(values.megabytes), pieceLength);
const { infoHash } = infoOf(readFileSync(torrent));

/** One session: its times in ms, and the share of what came that a reader wanted. */
async function session(
  peers: readonly { host: string; port: number }[],
): Promise<[first: number, seek: number, share: number]> {
  const directory = await mkdtemp(join(values.folder, 'leech-'));
  const have = new Set<number>();
  let wake = (): void => {};
  let stats: TorrentStats | undefined;
  let size = 0;
  await using engine = new Engine(
    {
      port: 0,
      listen: false,
      hosts: [],
      utp: false,
      limits: {
        maxConnections: 100,
        maxConnectionsPerTorrent: 100,
        maxHalfOpen: 50,
        uploadBytesPerSecond: null,
        downloadBytesPerSecond: null,
        bufferBytes: 64 * MB,
        encryption: 'allow',
      },
      own: { port: undefined, places: [] },
    },
    {
      event: (event) => {
        if (event.type === 'metadata') size = event.totalLength;
        else if (event.type === 'verified') for (const piece of event.pieces) have.add(piece);
        else if (event.type === 'stats') stats = event.stats[0];
        wake();
      },
      crashed: (error) => {
        throw error;
      },
    },
  );
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  await engine.remove(infoHash, false); // the worker has started when it answers
  const began = performance.now();
  await engine.add({ infoHash, directory, keep: false, peers, peersFrom: 'loopback' });
  await until(() => size > 0);
  const ask = (start: number): void => {
    const waiting: ByteRange = { start, end: start + 64 * 1024 };
    const index = [
      { start: 0, end: 8 * MB },
      { start: size - 8 * MB, end: size },
    ];
    const ahead = [{ start, end: Math.min(size, start + 32 * MB) }];
    engine.demand(infoHash, { readers: [{ reader: start, waiting: [waiting], ahead }], index, rest: [] });
  };
  ask(0);
  await until(() => have.has(0));
  const first = performance.now() - began;
  await until(() => have.size >= 6); // the pipelines are full of what comes next
  const middle = Math.floor(size / pieceLength / 2);
  const seekAt = performance.now();
  ask(middle * pieceLength);
  await until(() => have.has(middle));
  const seek = performance.now() - seekAt;
  const told = have.size;
  await until(() => (stats?.downloadedBytes ?? 0) >= told * pieceLength);
  const inWindows = [...have].filter((piece) => piece * pieceLength < 32 * MB || piece >= middle).length;
  const share = (inWindows * pieceLength) / stats!.downloadedBytes;
  await engine.remove(infoHash, true);
  await rm(directory, { recursive: true, force: true });
  return [first, seek, share];
}

for (const [count, rate] of [
  [1, 3_000_000],
  [8, 375_000],
] as const) {
  await using seeders = await seed({ torrent, save: join(values.folder, 'seed'), count });
  using relays = new DisposableStack();
  const peers: { host: string; port: number }[] = [];
  for (const port of seeders.ports) {
    const relay: SlowRelay = relays.use(await slowRelay(port, rate, RTT_MS));
    peers.push({ host: '127.0.0.1', port: relay.port });
  }
  for (let round = 0; round < Number(values.rounds); round += 1) {
    const [first, seek, share] = await session(peers);
    const limit = (pieceLength / (count * rate)) * 1000 + 300;
    console.log(
      `${count} x ${rate / 1000} KB/s: magnet to first piece ${Math.round(first)} ms; ` +
        `seek to the middle ${Math.round(seek)} ms (a piece and 300 ms: ${Math.round(limit)}); asked for ${Math.round(share * 100)} %`,
    );
  }
}
