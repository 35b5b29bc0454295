/**
 * The foundation's promises on a 2-hour film, side by side with `ffmpeg -c copy` making HLS of the same file in the same run.
 *
 *   node bench/make-media.mjs && node bench/foundation.ts [film.mkv ...]
 *
 * "Warm" means that the file is in the page cache and that the server has opened it some times before; it opens it anew each time (no session is left from before).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planTimeline } from '../src/hls/timeline.ts';
import { Limiter } from '../src/lib/limiter.ts';
import { openMedia } from '../src/media/open.ts';
import { copiedRenditions } from '../src/presentation/copied.ts';
import { CutPlaces } from '../src/presentation/cut-places.ts';
import { openFile } from '../src/source/file.ts';
import { type BenchServer, createSession, getBytes, median, memoryKb, percentile, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const RUNS = 5;
/** Opens before those that count: warm code as well as a warm page cache. The very first one is printed by itself. */
const WARM_UP = 10;
const RANDOM_SEGMENTS = 200;

interface Row {
  readonly what: string;
  readonly ours: number;
  readonly ffmpeg?: number;
  readonly unit: string;
  readonly target: string;
}

function print(title: string, rows: readonly Row[]): void {
  console.log(`\n${title}`);
  console.log(
    `${'what'.padEnd(44)}${'ours'.padStart(12)}${'ffmpeg -c copy'.padStart(16)}${'ratio'.padStart(8)}  target`,
  );
  for (const { what, ours, ffmpeg, unit, target } of rows) {
    const ratio = ffmpeg === undefined ? '' : `${(unit === 'MB/s' ? ours / ffmpeg : ffmpeg / ours).toFixed(1)}x`;
    const theirs = ffmpeg === undefined ? '' : `${ffmpeg.toFixed(1)} ${unit}`;
    console.log(
      `${what.padEnd(44)}${`${ours.toFixed(ours < 10 ? 2 : 1)} ${unit}`.padStart(12)}${theirs.padStart(16)}${ratio.padStart(8)}  ${target}`,
    );
  }
}

/** POST to the last byte of both playlists, then init and first segment. Milliseconds. */
async function open(
  server: BenchServer,
  film: string,
): Promise<{ playlist: number; firstSegment: number; segments: number }> {
  const start = performance.now();
  const id = await createSession(server, film);
  await getBytes(`${server.url}/sessions/${id}/stream.m3u8`);
  const media = (await getBytes(`${server.url}/sessions/${id}/original/playlist.m3u8`)).toString();
  const playlist = performance.now() - start;
  await getBytes(`${server.url}/sessions/${id}/original/init.mp4`);
  await getBytes(`${server.url}/sessions/${id}/original/0.m4s`);
  const firstSegment = performance.now() - start - playlist;
  await fetch(`${server.url}/sessions/${id}`, { method: 'DELETE' });
  return { playlist, firstSegment, segments: media.match(/#EXTINF/g)?.length ?? 0 };
}

async function randomSegments(server: BenchServer, film: string, segments: number, count: number): Promise<number[]> {
  const id = await createSession(server, film);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const n = Math.floor(Math.random() * segments);
    const start = performance.now();
    await getBytes(`${server.url}/sessions/${id}/original/${n}.m4s`);
    times.push(performance.now() - start);
  }
  await fetch(`${server.url}/sessions/${id}`, { method: 'DELETE' });
  return times;
}

/** Packages the whole film in this process, one segment after the other. */
async function sustained(film: string): Promise<{ mbPerSecond: number; cpuPerGb: number }> {
  const signal = new AbortController().signal;
  const source = await openFile(film, signal);
  await using reader = await openMedia(source, signal);
  const index = reader.keyframes;
  if (!index) throw new Error('the film has no index');
  const starts = index.starts.map((start) => start - reader.info.startTime);
  const timeline = planTimeline({ starts, positions: index.positions }, reader.info.duration);
  const [video] = copiedRenditions({ reader, info: reader.info, timeline, places: new CutPlaces(new Limiter(1)) });
  if (!video) throw new Error('the film has no video to copy');
  let bytes = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let n = 0; n < video.segments.length; n++) {
    using segment = await video.segment(n, signal);
    bytes += segment.bytes.length;
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await source[Symbol.asyncDispose]();
  return { mbPerSecond: bytes / 1e6 / seconds, cpuPerGb: (user + system) / 1e6 / (bytes / 1e9) };
}

interface Ran {
  readonly ms: number;
  readonly cpuSeconds: number;
}

/** Runs ffmpeg to its end, or until `until` resolves. */
async function ffmpeg(args: readonly string[], until?: Promise<unknown>): Promise<Ran> {
  const start = performance.now();
  const command = 'TIMEFORMAT="%U %S"; time ffmpeg "$@"';
  const child = spawn('bash', ['-c', command, 'bash', '-v', 'error', '-nostdin', '-y', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words += chunk.toString();
  });
  child.stdout.resume();
  const ended = once(child, 'close');
  if (until) {
    await Promise.race([until, ended]);
    const ms = performance.now() - start;
    spawn('pkill', ['-P', String(child.pid)]);
    await ended;
    return { ms, cpuSeconds: 0 };
  }
  await ended;
  const [user, system] = (words.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { ms: performance.now() - start, cpuSeconds: (user ?? 0) + (system ?? 0) };
}

const HLS = ['-c', 'copy', '-f', 'hls', '-hls_segment_type', 'fmp4', '-hls_time', '6', '-hls_playlist_type', 'event'];

/** Until the first playlist (which names the first segment) is there. */
async function ffmpegOpen(film: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-bench-'));
  try {
    const there = new Promise<void>((resolve) => {
      const watcher = watch(folder, (_event, name) => {
        if (name !== 'out.m3u8') return;
        watcher.close();
        resolve();
      });
    });
    return (await ffmpeg(['-i', film, '-map', '0:v:0', '-map', '0:a:0', ...HLS, join(folder, 'out.m3u8')], there)).ms;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function ffmpegSegment(film: string, time: number): Promise<number> {
  const movflags = '+frag_keyframe+empty_moov+default_base_moof';
  const args = [
    '-ss',
    String(time),
    '-i',
    film,
    '-t',
    '6',
    '-map',
    '0:v:0',
    '-c',
    'copy',
    '-f',
    'mp4',
    '-movflags',
    movflags,
    'pipe:1',
  ];
  return (await ffmpeg(args)).ms;
}

async function ffmpegSustained(film: string): Promise<{ mbPerSecond: number; cpuPerGb: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-bench-'));
  try {
    const ran = await ffmpeg(['-i', film, '-map', '0:v:0', '-map', '0:a:0', ...HLS, join(folder, 'out.m3u8')]);
    const { size } = statSync(film);
    return { mbPerSecond: size / 1e6 / (ran.ms / 1000), cpuPerGb: ran.cpuSeconds / (size / 1e9) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function warm(film: string): Promise<void> {
  await ffmpeg(['-i', film, '-map', '0', '-c', 'copy', '-f', 'null', '-']);
}

async function measure(film: string): Promise<void> {
  await warm(film);
  await using server = await startServer();
  const first = await open(server, film);
  for (let run = 0; run < WARM_UP; run++) await open(server, film);
  const opens: Awaited<ReturnType<typeof open>>[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    opens.push(await open(server, film));
    theirs.push(await ffmpegOpen(film));
  }
  const random: number[] = [];
  for (let run = 0; run < RUNS; run++)
    random.push(...(await randomSegments(server, film, first.segments, RANDOM_SEGMENTS / RUNS)));
  const ffmpegRandom: number[] = [];
  for (let run = 0; run < 20; run++) ffmpegRandom.push(await ffmpegSegment(film, Math.random() * 7000));
  await randomSegments(server, film, first.segments, 300);
  const rssEarly = memoryKb(server.pid, 'VmRSS');
  await randomSegments(server, film, first.segments, 1000);
  const rssLate = memoryKb(server.pid, 'VmRSS');
  const rssPeak = memoryKb(server.pid, 'VmHWM');
  const runs: Awaited<ReturnType<typeof sustained>>[] = [];
  for (let run = 0; run < 3; run++) runs.push(await sustained(film));
  const ffmpegRun = await ffmpegSustained(film);

  print(`${basename(film)}: ${(statSync(film).size / 1e9).toFixed(2)} GB, ${first.segments} segments`, [
    { what: 'first open after start-up: POST to playlist', ours: first.playlist, unit: 'ms', target: '' },
    {
      what: `POST to last byte of playlist (median of ${RUNS})`,
      ours: median(opens.map((o) => o.playlist)),
      ffmpeg: median(theirs),
      unit: 'ms',
      target: '<= 40',
    },
    {
      what: 'then init and first segment',
      ours: median(opens.map((o) => o.firstSegment)),
      unit: 'ms',
      target: '<= 25',
    },
    {
      what: 'random segment, p50',
      ours: percentile(random, 50),
      ffmpeg: percentile(ffmpegRandom, 50),
      unit: 'ms',
      target: '<= 12',
    },
    {
      what: 'random segment, p95',
      ours: percentile(random, 95),
      ffmpeg: percentile(ffmpegRandom, 95),
      unit: 'ms',
      target: '<= 30',
    },
    {
      what: 'sustained packaging, one core',
      ours: median(runs.map((r) => r.mbPerSecond)),
      ffmpeg: ffmpegRun.mbPerSecond,
      unit: 'MB/s',
      target: '>= 1000',
    },
    {
      what: 'CPU seconds per GB',
      ours: median(runs.map((r) => r.cpuPerGb)),
      ffmpeg: ffmpegRun.cpuPerGb,
      unit: 's',
      target: '<= 1',
    },
    { what: 'RSS after 500 segments', ours: rssEarly / 1024, unit: 'MB', target: '' },
    { what: 'RSS after 1,500 segments', ours: rssLate / 1024, unit: 'MB', target: 'not growing' },
    { what: 'RSS peak', ours: rssPeak / 1024, unit: 'MB', target: '<= 220' },
  ]);
}

const films =
  process.argv.length > 2
    ? process.argv.slice(2).map((film) => resolve(film))
    : [join(CACHE, 'film.mkv'), join(CACHE, 'film.mp4')];
for (const film of films) {
  if (!existsSync(film)) throw new Error(`${film} is not there: run "node bench/make-media.mjs" first`);
  await measure(film);
}
