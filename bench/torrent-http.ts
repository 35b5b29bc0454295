/**
 * The whole server with a reader: a film of 1.6 GB through `GET /torrents/{infohash}` while it comes from libtorrent seeders on loopback. MB/s, CPU seconds per GB of
 * the server alone, its peak memory, and how long `GET /sessions/{id}` takes meanwhile, asked 50 times a second. Beside it, asked as often, Node's server without any
 * work ("plain"): where seeders and reader want more than the machine has, that waits too, and what the API takes longer is the server's own doing. Each round is a
 * server of its own, which has answered some requests before; a run of some seconds has too few for their 99th percentile, so those of all rounds are taken together.
 *
 *   node bench/make-media.mjs && node bench/torrent-http.ts [--megabytes 1600] [--seeders 1,8,40] [--piece 1048576] [--rounds 3]
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Drain, startDrain } from './lib/drain.ts';
import {
  type BenchServer,
  cpuSeconds,
  createSession,
  getBytes,
  median,
  memoryKb,
  percentile,
  startPlain,
  startServer,
  threadSeconds,
  waitedMs,
} from './lib/server.ts';
import { infoOf } from './lib/torrent/info.ts';
import { filmOf, seed, torrentOfFile, tracker } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1600' },
    seeders: { type: 'string', default: '1,8,40' },
    piece: { type: 'string', default: '1048576' },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const EVERY_MS = 20;
/** Requests that are answered before. */
const FIRST = 50;
/** Of the film. */
const BYTES_PER_SECOND = 648_500;

/** Asks for `url` until the signal aborts. @returns ms that each answer took. */
async function probe(url: string, signal: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  while (!signal.aborted) {
    const began = performance.now();
    await getBytes(url);
    times.push(performance.now() - began);
    await sleep(EVERY_MS);
  }
  return times;
}

interface Taken {
  /** Per second. */
  readonly megabytes: number;
  /** Seconds of processor per gigabyte. */
  readonly cpu: number;
  readonly byThread: readonly string[];
  /** Of the time, the part in which the main thread was ready and had no processor. */
  readonly waited: number;
  /** Megabytes. */
  readonly peak: number;
  readonly api: readonly number[];
  readonly plain: readonly number[];
}

async function measure(server: BenchServer, id: string, plainUrl: string, reader: Drain): Promise<Taken> {
  const apiUrl = `${server.url}/sessions/${id}`;
  for (let asked = 0; asked < FIRST; asked += 1) await Promise.all([getBytes(apiUrl), getBytes(plainUrl)]);
  const cpuBefore = cpuSeconds(server.pid);
  const threadsBefore = threadSeconds(server.pid);
  const waitedBefore = waitedMs(server.pid);
  const began = performance.now();
  const read = new AbortController();
  const asked = probe(apiUrl, read.signal);
  const askedPlain = probe(plainUrl, read.signal);
  const gigabytes = (await reader.read(`${apiUrl}/file`)) / 1e9;
  const ms = performance.now() - began;
  const cpu = (cpuSeconds(server.pid) - cpuBefore) / gigabytes;
  const waited = (waitedMs(server.pid) - waitedBefore) / ms;
  const byThread = [...threadSeconds(server.pid)]
    .map(([name, seconds]) => [name, (seconds - (threadsBefore.get(name) ?? 0)) / gigabytes] as const)
    .filter(([, perGb]) => perGb >= 0.05)
    .map(([name, perGb]) => `${name} ${perGb.toFixed(2)}`);
  const peak = memoryKb(server.pid, 'VmHWM') / 1000;
  read.abort();
  const megabytes = (gigabytes * 1e6) / ms;
  return { megabytes, cpu, byThread, waited, peak, api: await asked, plain: await askedPlain };
}

/** A server that has nothing yet, and the reader that reads the whole film from it. */
async function round(magnet: string, plainUrl: string): Promise<Taken> {
  const directory = await mkdtemp(join(values.folder, 'server-'));
  try {
    const env = {
      RAFFI_TORRENT_DIR: directory,
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
      RAFFI_ALLOW_PRIVATE_SOURCES: '1',
      RAFFI_HWACCEL: 'none',
    };
    await using reader = await startDrain();
    await using server = await startServer(env, { log: () => {} });
    const id = await createSession(server, magnet);
    // Until it is known what is in the film, the answer waits for that.
    await getBytes(`${server.url}/sessions/${id}/stream.m3u8`);
    return await measure(server, id, plainUrl, reader);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function report(count: number, rounds: readonly Taken[]): void {
  const each = (of: (taken: Taken) => number, digits = 0) =>
    rounds.map((taken) => of(taken).toFixed(digits)).join(', ');
  const ms = (of: (taken: Taken) => readonly number[]) => {
    const times = rounds.flatMap(of);
    return `p50 ${median(times).toFixed(1)}, p99 ${percentile(times, 99).toFixed(1)} of ${times.length} (rounds: p99 ${each((taken) => percentile(of(taken), 99), 1)})`;
  };
  console.log(
    `${String(count).padStart(3)} seeders  ${each(({ megabytes }) => megabytes)} MB/s to the reader, CPU ${each(({ cpu }) => cpu, 2)} s/GB (target 2.8), peak ${each(({ peak }) => peak)} MB (200)\n` +
      `             API, ms: ${ms(({ api }) => api)}, target 15\n           plain, ms: ${ms(({ plain }) => plain)}\n` +
      `             CPU s/GB by thread, last round: ${rounds.at(-1)?.byThread.join(', ')}; the main thread was ready without a processor ${each(({ waited }) => waited * 100)} % of the time`,
  );
}

const seconds = Math.round((Number(values.megabytes) * 1e6) / BYTES_PER_SECOND);
const { file } = await filmOf(values.folder, { container: 'mkv', seconds, short: false });
const torrent = await torrentOfFile(file, Number(values.piece));
const { infoHash } = infoOf(readFileSync(torrent));
{
  await using plain = await startPlain();
  for (const count of values.seeders.split(',').map(Number)) {
    await using seeders = await seed({ torrent, save: join(values.folder, 'seed'), count });
    await using announce = await tracker(seeders.ports);
    const magnet = `magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(announce.url)}`;
    const rounds: Taken[] = [];
    while (rounds.length < Number(values.rounds)) rounds.push(await round(magnet, plain.url));
    report(count, rounds);
  }
}
process.exit(0); // the agent's idle connections
