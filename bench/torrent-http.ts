/**
 * The whole server with a reader: a film of 1.6 GB through `GET /torrents/{infohash}` while it comes from libtorrent seeders on loopback. MB/s, CPU seconds per GB of
 * the server alone, its peak memory, and how long `GET /sessions/{id}` takes meanwhile, asked 50 times a second. Beside it, asked as often, Node's server without any
 * work ("plain"): where seeders and reader want more than the machine has, that waits too, and what the API takes longer is the server's own doing.
 *
 *   node bench/make-media.mjs && node bench/torrent-http.ts [--megabytes 1600] [--seeders 1,8,40] [--piece 1048576] [--rounds 1]
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { drain } from './lib/drain.ts';
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
    rounds: { type: 'string', default: '1' },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const EVERY_MS = 20;
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
  readonly bytes: number;
  readonly seconds: number;
  readonly cpu: number;
  /** Of the time, the part in which the main thread was ready and had no processor. */
  readonly waited: number;
  readonly threads: readonly string[];
  readonly api: readonly number[];
  readonly plain: readonly number[];
}

async function measure(server: BenchServer, id: string, plainUrl: string): Promise<Taken> {
  const cpuBefore = cpuSeconds(server.pid);
  const threadsBefore = threadSeconds(server.pid);
  const waitedBefore = waitedMs(server.pid);
  const began = performance.now();
  const read = new AbortController();
  const asked = probe(`${server.url}/sessions/${id}`, read.signal);
  const askedPlain = probe(plainUrl, read.signal);
  const bytes = await drain(`${server.url}/sessions/${id}/file`);
  const ms = performance.now() - began;
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const waited = (waitedMs(server.pid) - waitedBefore) / ms;
  const threads = [...threadSeconds(server.pid)]
    .map(([name, seconds]) => [name, (seconds - (threadsBefore.get(name) ?? 0)) / (bytes / 1e9)] as const)
    .filter(([, perGb]) => perGb >= 0.05)
    .map(([name, perGb]) => `${name} ${perGb.toFixed(2)}`);
  read.abort();
  return { bytes, seconds: ms / 1000, cpu, waited, threads, api: await asked, plain: await askedPlain };
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
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const directory = await mkdtemp(join(values.folder, 'server-'));
      {
        const env = {
          RAFFI_TORRENT_DIR: directory,
          RAFFI_TORRENT_DHT: '0',
          RAFFI_TORRENT_LSD: '0',
          RAFFI_ALLOW_PRIVATE_SOURCES: '1',
          RAFFI_HWACCEL: 'none',
        };
        await using server = await startServer(env, { log: () => {} });
        const magnet = `magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(announce.url)}`;
        const id = await createSession(server, magnet);
        // Until it is known what is in the film, the answer waits for that.
        await getBytes(`${server.url}/sessions/${id}/stream.m3u8`);
        const taken = await measure(server, id, plain.url);
        const gigabytes = taken.bytes / 1e9;
        const ms = (times: readonly number[]) =>
          `p50 ${median(times).toFixed(1)} p99 ${percentile(times, 99).toFixed(1)}`;
        console.log(
          `${String(count).padStart(3)} seeders  ${Math.round(taken.bytes / 1e6 / taken.seconds)} MB/s to the reader  ${(taken.cpu / gigabytes).toFixed(2)} CPU s/GB (target 2.8)  ` +
            `peak ${Math.round(memoryKb(server.pid, 'VmHWM') / 1000)} MB (target 200)  API ${ms(taken.api)} ms (target 15, ${taken.api.length} asked; plain ${ms(taken.plain)})\n` +
            `             CPU s/GB by thread: ${taken.threads.join(', ')}; the main thread was ready without a processor ${Math.round(taken.waited * 100)} % of the time`,
        );
      }
      await rm(directory, { recursive: true, force: true });
    }
  }
}
process.exit(0); // the agent's idle connections
