/**
 * Clips of 5, 30 and 900 s of a film, as smart cuts, side by side with the predecessor's way: FFmpeg re-encodes the same stretch. The re-encode of 900 s takes
 * minutes; `--quick` measures 60 s of it and scales. Ends with status 1 when a smart cut of 900 s is less than 20 times as fast.
 *
 *   node bench/make-media.mjs && node bench/clips.ts [--quick] [film ...]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSession, getBytes, memoryKb, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const START = 1_805.3;
const TARGET = 20;
const QUICK_SECONDS = 60;

interface Made {
  readonly ms: number;
  readonly path: string;
}

async function clip(url: string, id: string, seconds: number): Promise<Made> {
  const begin = performance.now();
  const response = await fetch(`${url}/sessions/${id}/clip`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ start: START, end: START + seconds }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  const { outputPath } = (await response.json()) as { outputPath: string };
  return { ms: performance.now() - begin, path: outputPath };
}

/** Milliseconds that FFmpeg takes for the same stretch, at the same priority as the server's own. */
async function reencode(film: string, seconds: number, path: string): Promise<number> {
  const begin = performance.now();
  const input = ['-v', 'error', '-nostdin', '-y', '-ss', String(START), '-i', film, '-t', String(seconds)];
  const video = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '23', '-profile:v', 'main', '-level', '4.1'];
  const audio = ['-c:a', 'aac', '-b:a', '160k', '-ac', '2', '-ar', '48000', '-movflags', '+faststart'];
  const child = spawn('nice', ['-n', '10', 'ffmpeg', ...input, ...video, ...audio, path], { stdio: 'inherit' });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
  return performance.now() - begin;
}

const quick = process.argv.includes('--quick');
const films = process.argv
  .slice(2)
  .filter((arg) => !arg.startsWith('--'))
  .map((path) => resolve(path));
const directory = await mkdtemp(join(tmpdir(), 'raffi-bench-clips-'));
try {
  await using server = await startServer({ RAFFI_CLIPS_DIR: directory });
  for (const film of films.length > 0 ? films : [`${CACHE}film.mkv`, `${CACHE}film.mp4`]) {
    const id = await createSession(server, film);
    await getBytes(`${server.url}/sessions/${id}/stream.m3u8`);
    let longest = 0;
    for (const seconds of [5, 30, 900]) {
      const { ms, path } = await clip(server.url, id, seconds);
      const { size } = await stat(path);
      console.log(
        `${basename(film)}: ${seconds} s in ${(ms / 1000).toFixed(2)} s, ${(size / 1e6).toFixed(1)} MB, ${(seconds / (ms / 1000)).toFixed(0)} times real time`,
      );
      longest = ms;
      await rm(path);
    }
    console.log(`${basename(film)}: RSS peak of the server ${(memoryKb(server.pid, 'VmHWM') / 1024).toFixed(0)} MB`);
    const measured = quick ? QUICK_SECONDS : 900;
    const theirs = (await reencode(film, measured, join(directory, 'reencoded.mp4'))) * (900 / measured);
    if (theirs / longest < TARGET) process.exitCode = 1;
    console.log(
      `${basename(film)}: FFmpeg re-encodes 900 s in ${(theirs / 1000).toFixed(0)} s${quick ? ' (scaled)' : ''}: the smart cut is ${(theirs / longest).toFixed(0)} times as fast (target >= ${TARGET})`,
    );
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
