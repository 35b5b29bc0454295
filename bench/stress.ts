/**
 * 50 sessions on 10 files at once, each taking segments of video and audio in random order: no error, event loop delay p99 <= 50 ms.
 *
 *   node bench/make-media.mjs && node bench/stress.ts
 */
import { linkSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSession, getBytes, memoryKb, percentile, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const FILES = 10;
const SESSIONS = 50;
const SEGMENTS_EACH = 40;

const folder = mkdtempSync(join(dirname(CACHE), 'stress-'));
// Ten names of two films are ten sources for the server: each has an identity, a reader and a handle of its own.
const files = Array.from({ length: FILES }, (_, n) => {
  const path = join(folder, `${n}.${n % 2 ? 'mkv' : 'mp4'}`);
  linkSync(join(CACHE, n % 2 ? 'film.mkv' : 'film.mp4'), path);
  return path;
});

let bytes = 0;
const times: number[] = [];

async function viewer(url: string, id: string): Promise<void> {
  const count =
    Buffer.from(await getBytes(`${url}/sessions/${id}/original/playlist.m3u8`))
      .toString()
      .match(/\.m4s/g)?.length ?? 0;
  for (let i = 0; i < SEGMENTS_EACH; i++) {
    const n = Math.floor(Math.random() * count);
    const start = performance.now();
    const parts = await Promise.all(
      ['original', 'audio-0'].map((name) => getBytes(`${url}/sessions/${id}/${name}/${n}.m4s`)),
    );
    times.push(performance.now() - start);
    for (const part of parts) bytes += part.length;
  }
}

try {
  const preload = fileURLToPath(new URL('lib/loop-delay.ts', import.meta.url));
  await using server = await startServer({}, { preload });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const start = performance.now();
  await Promise.all(
    Array.from({ length: SESSIONS }, async (_, n) =>
      viewer(server.url, await createSession(server, files[n % FILES] as string)),
    ),
  );
  const seconds = (performance.now() - start) / 1000;
  console.log(`${SESSIONS} sessions on ${FILES} files, ${SEGMENTS_EACH} segments each: no error`);
  console.log(
    `${(bytes / 1e6 / seconds).toFixed(0)} MB/s; segment with audio p50 ${percentile(times, 50).toFixed(0)} ms, p95 ${percentile(times, 95).toFixed(0)} ms (client on the same two cores)`,
  );
  console.log(`RSS peak ${(memoryKb(server.pid, 'VmHWM') / 1024).toFixed(0)} MB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
