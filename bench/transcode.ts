/**
 * Transcoding, side by side in one run with plain FFmpeg doing the same with the same encoder settings:
 * a cold seek to the first 2 s of 720p, and to the first segment of transcoded audio.
 *
 *   node bench/make-media.mjs && node bench/transcode.ts [film ...]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createSession, getBytes, median, memoryKb, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const RUNS = 7;

const ENCODER = [
  ...['-vf', 'scale=1280:720,format=yuv420p', '-c:v', 'libx264', '-preset', 'veryfast'],
  ...['-crf', '23', '-maxrate', '3200k', '-bufsize', '3200k'],
];

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function cut(film: string, { start, duration }: Part): string[] {
  return ['-ss', start.toFixed(3), '-i', film, '-t', duration.toFixed(3)];
}

/** Places far from each other, from the last to the first, so that no run has made or is about to make the next one; each is used by both. */
function places(all: readonly Part[]): Part[] {
  return Array.from({ length: RUNS }, (_, i) => all[Math.floor(((RUNS - i) / (RUNS + 1)) * all.length)] as Part);
}

async function run(args: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  await once(child, 'close');
  return performance.now() - start;
}

/** A film of its own codec for the cold seeks: two minutes of 1080p. */
async function made(name: string, args: readonly string[]): Promise<string> {
  const path = `${CACHE}${name}`;
  if (!existsSync(path)) await run([...args, path]);
  return path;
}

interface Part {
  readonly n: number;
  readonly start: number;
  readonly duration: number;
}

async function parts(url: string): Promise<Part[]> {
  const durations = [...(await getBytes(url)).toString().matchAll(/#EXTINF:([\d.]+)/g)].map((match) =>
    Number(match[1]),
  );
  let start = 0;
  return durations.map((duration, n) => {
    const part = { n, start, duration };
    start += duration;
    return part;
  });
}

async function measureVideo(film: string): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  await using server = await startServer({ RAFFI_CACHE_BYTES: '0' });
  const id = await createSession(server, film);
  const video = await parts(`${server.url}/sessions/${id}/720p/playlist.m3u8`);
  await getBytes(`${server.url}/sessions/${id}/720p/0.m4s`);
  for (const at of places(video)) {
    await sleep(1500); // the run before has made what it looks ahead
    ours.push(await timeOf(() => getBytes(`${server.url}/sessions/${id}/720p/${at.n}.m4s`)));
    await sleep(1500);
    const mp4 = ['-an', '-f', 'mp4', '-movflags', '+frag_keyframe+empty_moov', 'pipe:1'];
    theirs.push(await run([...cut(film, at), ...ENCODER, ...mp4]));
  }
  const [a, b] = [median(ours), median(theirs)];
  console.log(
    `${basename(film)}: cold seek to the first segment of 720p ${a.toFixed(0)} ms, ffmpeg -ss ${b.toFixed(0)} ms: ratio ${(a / b).toFixed(2)} (target <= 0.75)`,
  );
  console.log(`${basename(film)}: RSS peak of the server ${(memoryKb(server.pid, 'VmHWM') / 1024).toFixed(0)} MB`);
}

/** Where only the sound is foreign, and the picture a copy: nothing else is encoded meanwhile. */
async function measureAudio(film: string): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  await using server = await startServer({ RAFFI_CACHE_BYTES: '0' });
  const id = await createSession(server, film);
  const { rendition } = await audioOf(server.url, id);
  if (rendition === undefined) return;
  const audio = await parts(`${server.url}/sessions/${id}/${rendition}/playlist.m3u8`);
  const first = await timeOf(() => getBytes(`${server.url}/sessions/${id}/${rendition}/0.m4s`));
  for (const at of places(audio)) {
    await sleep(1500);
    ours.push(await timeOf(() => getBytes(`${server.url}/sessions/${id}/${rendition}/${at.n}.m4s`)));
    await sleep(500);
    theirs.push(await run([...cut(film, at), '-vn', '-c:a', 'aac', '-b:a', '160k', '-f', 'adts', 'pipe:1']));
  }
  console.log(
    `${basename(film)}: a seek to the first segment of transcoded audio ${median(ours).toFixed(0)} ms (target <= 200), the first one of the session ${first.toFixed(0)} ms, ffmpeg -ss ${median(theirs).toFixed(0)} ms`,
  );
}

async function audioOf(url: string, id: string): Promise<{ rendition?: string }> {
  const info = JSON.parse((await getBytes(`${url}/sessions/${id}`)).toString()) as {
    availableStreams: { renditions?: string[] }[];
  };
  const rendition = info.availableStreams
    .flatMap(({ renditions = [] }) => renditions)
    .find((name) => name.endsWith('-aac'));
  return rendition === undefined ? {} : { rendition };
}

const source = [
  '-f',
  'lavfi',
  '-i',
  'testsrc2=size=1920x1080:rate=24,noise=alls=12:allf=t',
  '-f',
  'lavfi',
  '-i',
  'sine=330:sample_rate=48000',
  '-t',
  '120',
];
const films =
  process.argv.length > 2
    ? process.argv.slice(2)
    : [
        `${CACHE}film.mkv`,
        await made('hevc-ac3.mkv', [
          ...source,
          '-c:v',
          'libx265',
          '-preset',
          'ultrafast',
          '-x265-params',
          'log-level=error:keyint=96',
          '-b:v',
          '4M',
          '-c:a',
          'ac3',
          '-ac',
          '2',
        ]),
        await made('h264-dts.mkv', [
          ...source,
          '-c:v',
          'libx264',
          '-preset',
          'ultrafast',
          '-g',
          '96',
          '-b:v',
          '5M',
          '-c:a',
          'dca',
          '-strict',
          '-2',
          '-ac',
          '2',
        ]),
      ];
for (const film of films) {
  await measureVideo(film);
  await measureAudio(film);
}
