/**
 * In Chromium, a film of 5 Mb/s from a swarm of 1 MB/s: from the link to the first frame, stalls in the next seconds, and from each of 10 seeks to its frame.
 *
 *   node bench/make-media.mjs && node bench/torrent-film.ts [--seconds 600] [--piece 524288] [--rate 1000000] [--long] [--timeline]
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launchBrowser, PlayerPage } from '../test/e2e/browser.ts';
import { startServer } from './lib/server.ts';
import { infoOf } from './lib/torrent/info.ts';
import { filmOf, seed, torrentOfFile } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    piece: { type: 'string', default: '524288' },
    rate: { type: 'string', default: '1000000' },
    long: { type: 'boolean', default: false },
    timeline: { type: 'boolean', default: false },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const TARGET_MS = 4000;
const PLAYED_SECONDS = 15;
const seconds = Number(values.seconds);
/** Parts of the film: far from each other, forwards and backwards. */
const PLACES = [0.5, 0.13, 0.88, 0.31, 0.72, 0.05, 0.61, 0.94, 0.22, 0.42];

/** With `--timeline`: what happened when, in ms since `begin`; what the server logged in parentheses. */
class Marks {
  #lines: string[] = [];
  #began = performance.now();

  begin(): void {
    this.#lines = [];
    this.#began = performance.now();
  }

  mark(what: string): void {
    this.#lines.push(`${Math.round(performance.now() - this.#began)} ${what}`);
  }

  /** A line of the server's log; warnings are passed on. */
  readonly logged = (line: string): void => {
    if (!line.startsWith('{') || /^\{"level":[4-6]0/.test(line)) console.error(line);
    if (!line.startsWith('{')) return;
    const { milestone, ms, from, offset, length } = JSON.parse(line) as Record<string, string | number>;
    if (milestone === 'read') this.mark(`(read ${offset}+${length} waited ${Number(ms) - Number(from)})`);
    else if (milestone !== undefined) this.mark(`(${milestone})`);
  };

  print(heading: string): void {
    if (values.timeline) console.log(`${heading}\n  ${this.#lines.join('\n  ')}`);
  }
}

const marks = new Marks();
const { file } = await filmOf(values.folder, { container: 'mkv', seconds, short: !values.long });
const torrent = await torrentOfFile(file, Number(values.piece));
const { infoHash } = infoOf(readFileSync(torrent));
const directory = await mkdtemp(join(values.folder, 'server-'));
{
  const save = join(values.folder, 'seed');
  await using seeders = await seed({ torrent, save, count: 1, uploadLimit: Number(values.rate) });
  await using server = await startServer(
    {
      RAFFI_TORRENT_DIR: directory,
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
      RAFFI_ALLOW_PRIVATE_SOURCES: '1',
      RAFFI_HWACCEL: 'none',
      ...(values.timeline ? { DEBUG: '1' } : {}),
    },
    { log: marks.logged },
  );
  const browser = await launchBrowser();
  await using player = await PlayerPage.open(browser, server);
  const began = performance.now();
  player.page.on('request', (request) => marks.mark(`asked for ${new URL(request.url()).pathname}`));
  player.page.on('requestfinished', (request) => marks.mark(`has ${new URL(request.url()).pathname}`));
  marks.begin();
  await player.enter(`magnet:?xt=urn:btih:${infoHash}&x.pe=127.0.0.1:${seeders.ports[0]}`);
  await player.until('video.readyState >= 3 && video.currentTime > 0', 60_000);
  const first = performance.now() - began;
  marks.print('link to playing');
  player.page.on('console', (message) => marks.mark(message.text()));
  await player.page.evaluate(`(() => {
    const { video } = globalThis.__raffi;
    globalThis.stalls = 0;
    video.addEventListener('waiting', () => { if (!video.seeking) console.debug('stall', globalThis.stalls += 1, video.currentTime); });
  })()`);
  await player.until(`video.currentTime > ${PLAYED_SECONDS}`, 120_000);
  const stalls = await player.page.evaluate('globalThis.stalls');
  marks.print(`the first ${PLAYED_SECONDS} s`);
  const seeks: number[] = [];
  for (const place of PLACES) {
    const target = place * seconds;
    marks.begin();
    const ms = await player.page.evaluate<number>(`new Promise((resolve) => {
      const { video } = globalThis.__raffi;
      const start = performance.now();
      const look = (now, { mediaTime }) => {
        if (Math.abs(mediaTime - ${target}) <= 0.5) resolve(now - start);
        else video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
      video.currentTime = ${target};
    })`);
    seeks.push(ms);
    marks.print(`to ${target} s: ${Math.round(ms)} ms`);
  }
  await browser.close();
  console.log(
    `link to playing ${Math.round(first)} ms, ${String(stalls)} stalls in ${PLAYED_SECONDS} s, seeks ${seeks.map(Math.round).join(' ')} ms, ` +
      `the longest ${Math.round(Math.max(...seeks))} (target ${TARGET_MS})`,
  );
}
await rm(directory, { recursive: true, force: true });
