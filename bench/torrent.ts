/**
 * The torrent engine beside other downloaders, from libtorrent seeders on loopback, one after the other in one run:
 * MB/s (of the whole process), CPU seconds per GB, peak memory. Needs python3-libtorrent and aria2 of Debian.
 *
 *   node bench/torrent.ts [--megabytes 1600] [--seeders 1,8,40] [--clients ours,libtorrent,aria2,webtorrent] [--rounds 1]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { MEASURE, PEERS, PYTHON, seed, torrentOf, tracker } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1600' },
    seeders: { type: 'string', default: '1,8,40' },
    clients: { type: 'string', default: 'ours,libtorrent,aria2,webtorrent' },
    rounds: { type: 'string', default: '1' },
    piece: { type: 'string', default: '1048576' },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const lib = join(import.meta.dirname, 'lib/torrent');

interface Taken {
  readonly seconds: number;
  readonly cpu: number;
  readonly rss: number;
  readonly status: number;
}

type Client = (torrent: string, directory: string, ports: readonly number[], announce: string) => string[];

const CLIENTS: Record<string, Client> = {
  ours: (torrent, directory, ports) => [
    process.execPath,
    join(lib, 'ours.ts'),
    torrent,
    directory,
    ...ports.map(String),
  ],
  webtorrent: (torrent, directory, ports) => [
    process.execPath,
    join(lib, 'web.mjs'),
    torrent,
    directory,
    ...ports.map(String),
  ],
  libtorrent: (torrent, directory, ports) => [
    PYTHON,
    PEERS,
    JSON.stringify({ torrent, save: directory, connect: ports.map((port) => `127.0.0.1:${port}`), exit: true }),
  ],
  aria2: (torrent, directory, _, announce) => [
    'aria2c',
    ...['--no-conf', '--quiet', `--dir=${directory}`, '--enable-dht=false', '--bt-enable-lpd=false', '--seed-time=0'],
    ...[
      '--file-allocation=none',
      '--bt-max-peers=100',
      '--bt-request-peer-speed-limit=1000M',
      `--bt-tracker=${announce}`,
    ],
    torrent,
  ],
};

/** As `bin/raffi-server.mjs` has it, and for all that run on Node: else compiling is a third of the time of a short run. */
const NODE_COMPILE_CACHE = join(import.meta.dirname, '../.cache/compile');

async function measure(command: readonly string[]): Promise<Taken> {
  const env = { ...process.env, NODE_COMPILE_CACHE };
  const child = spawn(PYTHON, [MEASURE, ...command], { stdio: ['pipe', 'pipe', 'inherit'], env });
  const [words] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return JSON.parse(words) as Taken;
}

const { file, torrent } = await torrentOf(values.folder, Number(values.megabytes), Number(values.piece));
const gigabytes = Number(values.megabytes) / 1000;
console.log(`${values.megabytes} MB, pieces of ${values.piece}, ${file}`);
for (const count of values.seeders.split(',').map(Number)) {
  await using seeders = await seed({ torrent, save: join(values.folder, 'seed'), count });
  await using announce = await tracker(seeders.ports);
  for (let round = 0; round < Number(values.rounds); round += 1)
    for (const name of values.clients.split(',')) {
      const directory = await mkdtemp(join(values.folder, 'leech-'));
      const taken = await measure(CLIENTS[name]!(torrent, directory, seeders.ports, announce.url));
      await rm(directory, { recursive: true });
      const failed = taken.status === 0 ? '' : `  FAILED (${taken.status})`;
      console.log(
        `${String(count).padStart(3)} seeders  ${name.padEnd(11)} ${String(Math.round((gigabytes * 1000) / taken.seconds)).padStart(4)} MB/s  ` +
          `${(taken.cpu / gigabytes).toFixed(2).padStart(5)} CPU s/GB  ${String(Math.round(taken.rss)).padStart(4)} MB${failed}`,
      );
    }
}
