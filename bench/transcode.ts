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
import { fileURLToPath } from 'node:url';
import { createSession, getBytes, median, memoryKb, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const RUNS = 7;

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

async function measure(film: string): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const sound: number[] = [];
  await using server = await startServer({ RAFFI_CACHE_BYTES: '0' });
  const id = await createSession(server, film);
  const video = await parts(`${server.url}/sessions/${id}/720p/playlist.m3u8`);
  const { rendition } = await audioOf(server.url, id);
  const audio = rendition === undefined ? [] : await parts(`${server.url}/sessions/${id}/${rendition}/playlist.m3u8`);
  await getBytes(`${server.url}/sessions/${id}/720p/0.m4s`);
  for (let i = 0; i < RUNS; i++) {
    // Places far from each other, so that no run has made or is about to make the next one; each is used by both.
    const at = video[Math.floor(((i + 1) / (RUNS + 1)) * video.length)] as Part;
    await new Promise((resolve) => setTimeout(resolve, 1500)); // the run before has made what it looks ahead
    const start = performance.now();
    await getBytes(`${server.url}/sessions/${id}/720p/${at.n}.m4s`);
    ours.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const encoder = [
      '-vf',
      'scale=1280:720,format=yuv420p',
      '-c:v',
      'libx264',
      '-preset',
      'veryfast',
      '-crf',
      '23',
      '-maxrate',
      '3200k',
      '-bufsize',
      '3200k',
    ];
    const mp4 = ['-an', '-f', 'mp4', '-movflags', '+frag_keyframe+empty_moov', 'pipe:1'];
    theirs.push(await run(['-ss', at.start.toFixed(3), '-i', film, '-t', at.duration.toFixed(3), ...encoder, ...mp4]));
    const part = audio[Math.floor(((i + 1) / (RUNS + 1)) * audio.length)];
    if (part === undefined) continue;
    const begin = performance.now();
    await getBytes(`${server.url}/sessions/${id}/${rendition}/${part.n}.m4s`);
    sound.push(performance.now() - begin);
  }
  const [a, b] = [median(ours), median(theirs)];
  console.log(
    `${basename(film)}: cold seek to the first segment of 720p ${a.toFixed(0)} ms, ffmpeg -ss ${b.toFixed(0)} ms: ratio ${(a / b).toFixed(2)} (target <= 0.75)`,
  );
  if (sound.length > 0)
    console.log(`${basename(film)}: first segment of transcoded audio ${median(sound).toFixed(0)} ms (target <= 200)`);
  console.log(`${basename(film)}: RSS peak of the server ${(memoryKb(server.pid, 'VmHWM') / 1024).toFixed(0)} MB`);
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
for (const film of films) await measure(film);
