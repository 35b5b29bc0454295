/**
 * The whole server in slow swarms: 1 seeder of 3 MB/s, 8 of 375 KB/s each, round trips of 40 ms (`--rtt`) (libtorrent, and a tracker, behind relays, see slow-relay.ts).
 * From `POST /sessions` with a magnet link to the first byte of the first segment, asked for as players do; to the first byte of `/file`; from a Range at the middle,
 * while the beginning still downloads, to its first byte. Each round has a server of its own. `--timeline` prints what happened when; `--long` takes the film with
 * 4 s from the first key frame to the second, whose first segment is of 2.6 MB.
 *
 *   node bench/make-media.mjs && node bench/torrent-play.ts [--seconds 600] [--piece 524288] [--rounds 5] [--containers mkv,mp4] [--long] [--timeline]
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type BenchServer, createSession, median, startServer } from './lib/server.ts';
import { infoOf } from './lib/torrent/info.ts';
import { slowRelay } from './lib/torrent/slow-relay.ts';
import { filmOf, seed, torrentOfFile, tracker } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    piece: { type: 'string', default: '524288' },
    rtt: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '5' },
    containers: { type: 'string', default: 'mkv,mp4' },
    long: { type: 'boolean', default: false },
    timeline: { type: 'boolean', default: false },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const RTT_MS = Number(values.rtt);
const TARGET_MS = 1200;
const pieceLength = Number(values.piece);

/** What happened, in ms since the session was asked for; what the server logged in parentheses. */
class Marks {
  readonly #began = performance.now();
  readonly #marks: string[] = [];

  mark(what: string): number {
    const ms = performance.now() - this.#began;
    this.#marks.push(`${what} ${Math.round(ms)}`);
    return ms;
  }

  /** A line of the server's debug log. */
  readonly logged = (line: string): void => {
    if (!line.startsWith('{')) return;
    const entry = JSON.parse(line) as Record<string, string | number>;
    if (entry.milestone === 'read') {
      const { from, ms, offset, length } = entry;
      this.#marks.push(`(read ${offset}+${length} waited ${from}-${ms})`);
    } else if (entry.milestone !== undefined) this.#marks.push(`(${entry.milestone} ${entry.ms})`);
  };

  toString(): string {
    return this.#marks.join(', ');
  }
}

const agent = new Agent({ keepAlive: true });

/** @returns the whole body, or, with `whole` false, its first bytes as soon as they are there. */
function fetchBytes(url: string, range: string | undefined, whole: boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent, headers: range === undefined ? {} : { range } }, (answer: IncomingMessage) => {
      const parts: Buffer[] = [];
      if ((answer.statusCode ?? 500) >= 300) reject(new Error(`${url}: ${answer.statusCode}`));
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        if (whole) return;
        resolve(part);
        answer.destroy();
      });
      answer.on('end', () => resolve(Buffer.concat(parts)));
      answer.on('error', reject);
    });
    asked.on('error', reject);
  });
}

/** The first line of a playlist that is a URI, or the value of `URI=` in the first line with this tag. */
function uriIn(playlist: string, tag?: string): string {
  const lines = playlist.split('\n');
  if (tag === undefined) return lines.find((line) => line !== '' && !line.startsWith('#')) ?? '';
  return /URI="([^"]+)"/.exec(lines.find((line) => line.startsWith(tag)) ?? '')?.[1] ?? '';
}

/** As a player does: playlists, then the initialization and the first segment of the picture. @returns ms to its first byte. */
async function toSegment(server: BenchServer, magnet: string, marks: Marks): Promise<number> {
  const id = await createSession(server, magnet);
  marks.mark('created');
  const root = `${server.url}/sessions/${id}/`;
  const multivariant = (await fetchBytes(`${root}stream.m3u8`, undefined, true)).toString();
  marks.mark('multivariant');
  const playlistUrl = new URL(uriIn(multivariant), root).href;
  const playlist = (await fetchBytes(playlistUrl, undefined, true)).toString();
  marks.mark('playlist');
  const init = fetchBytes(new URL(uriIn(playlist, '#EXT-X-MAP'), playlistUrl).href, undefined, true);
  await fetchBytes(new URL(uriIn(playlist), playlistUrl).href, undefined, false);
  const ms = marks.mark('segment');
  await init;
  return ms;
}

/** @returns ms to the first byte of the file, and from a Range at its middle to the first byte of that. */
async function toBytes(server: BenchServer, magnet: string, size: number, marks: Marks): Promise<[number, number]> {
  const id = await createSession(server, magnet);
  marks.mark('created');
  const file = `${server.url}/sessions/${id}/file`;
  const first = Promise.withResolvers<number>();
  const reading = get(file, { agent: false }, (answer) => {
    answer.once('data', () => first.resolve(marks.mark('file')));
    answer.on('error', () => {}); // broken off below
    answer.resume();
  });
  reading.on('error', () => {});
  const toFirst = await first.promise;
  await sleep(1000); // the window downloads
  const asked = marks.mark('asks for the middle');
  await fetchBytes(file, `bytes=${Math.floor(size / 2)}-`, false);
  const toMiddle = marks.mark('middle') - asked;
  reading.destroy();
  return [toFirst, toMiddle];
}

const list = (numbers: readonly number[]): string =>
  `${Math.round(median(numbers))} ms (${numbers.map(Math.round).join(' ')})`;

for (const container of values.containers.split(',')) {
  const { file, size } = await filmOf(values.folder, {
    container,
    seconds: Number(values.seconds),
    short: !values.long,
  });
  const torrent = await torrentOfFile(file, pieceLength);
  const { infoHash } = infoOf(readFileSync(torrent));
  for (const [count, rate] of [
    [1, 3_000_000],
    [8, 375_000],
  ] as const) {
    await using seeders = await seed({ torrent, save: join(values.folder, 'seed'), count });
    using relays = new DisposableStack();
    const ports: number[] = [];
    for (const port of seeders.ports) ports.push(relays.use(await slowRelay(port, rate, RTT_MS)).port);
    await using announce = await tracker(ports);
    const slowTracker = relays.use(await slowRelay(Number(new URL(announce.url).port), 1e8, RTT_MS));
    const url = `http://127.0.0.1:${slowTracker.port}/announce`;
    const magnet = `magnet:?xt=urn:btih:${infoHash}&tr=${encodeURIComponent(url)}`;
    const segment: number[] = [];
    const bytes: number[] = [];
    const middle: number[] = [];
    for (let round = 0; round < Number(values.rounds) * 2; round += 1) {
      const directory = await mkdtemp(join(values.folder, 'server-'));
      let marks: Marks | undefined;
      await using server = await startServer(
        {
          RAFFI_TORRENT_DIR: directory,
          RAFFI_TORRENT_DHT: '0',
          RAFFI_TORRENT_LSD: '0',
          RAFFI_HWACCEL: 'none',
          RAFFI_ALLOW_PRIVATE_SOURCES: '1',
          ...(values.timeline ? { DEBUG: '1' } : {}),
        },
        { log: (line) => marks?.logged(line) },
      );
      await fetchBytes(`${server.url}/health`, undefined, true);
      marks = new Marks();
      if (round % 2 === 0) segment.push(await toSegment(server, magnet, marks));
      else {
        const [first, half] = await toBytes(server, magnet, size, marks);
        bytes.push(first);
        middle.push(half);
      }
      if (values.timeline) console.log(`  ${marks}`);
      await rm(directory, { recursive: true, force: true });
    }
    const piece = (pieceLength / (count * rate)) * 1000 + 300;
    console.log(
      `${container}, ${count} x ${rate / 1000} KB/s: magnet to the first segment's first byte ${list(segment)}, to the file's ${list(bytes)} (target ${TARGET_MS}); ` +
        `Range at the middle ${list(middle)} (target ${Math.round(piece)})`,
    );
  }
}
agent.destroy();
