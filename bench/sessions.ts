/**
 * Many viewers: what copied sessions cost, what transcoded sessions hold in memory, that viewers share runs, and that nothing outlives the server. Linux only.
 *
 *   node bench/make-media.mjs && node bench/sessions.ts
 *
 * "Reading the bytes" is the same client taking as many bytes, by ranges of a segment's size, from `/sessions/{id}/file` of the same server in the same run. Counted is the
 * server's own CPU time (user and system, without its children and the client). "Active" transcoded sessions are of ten titles and take one segment after the other.
 */
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BenchServer, cpuSeconds, createSession, getBytes, median, memoryKb, startServer } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const VIEWERS = 10;
const ROUNDS = 5;
const SEGMENTS_EACH = 20;
const ACTIVE_SECONDS = 60;

/** Ids of the FFmpeg processes that transcode for the server: what tries out encoders at its start gets no Matroska. */
function runs(server: BenchServer): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [command, stat] = ['cmdline', 'stat'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1'));
        const [state, parent] = (stat?.split(') ')[1] ?? '').split(' ');
        return command?.includes('matroska') && Number(parent) === server.pid && state !== 'Z';
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Bytes of the body; nothing is kept, so that both ways cost the client the same. */
function drain(url: string, range?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = get(url, range === undefined ? {} : { headers: { range } }, (answer: IncomingMessage) => {
      let bytes = 0;
      if (answer.statusCode !== 200 && answer.statusCode !== 206) reject(new Error(`${url}: ${answer.statusCode}`));
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on('end', () => resolve(bytes));
      answer.on('error', reject);
    });
    asked.on('error', reject);
  });
}

async function copied(server: BenchServer, films: readonly string[]): Promise<void> {
  const ids = await Promise.all(films.map((film) => createSession(server, film)));
  const roots = ids.map((id) => `${server.url}/sessions/${id}`);
  const counts = await Promise.all(
    roots.map(
      async (root) => (await getBytes(`${root}/original/playlist.m3u8`)).toString().match(/#EXTINF/g)?.length ?? 0,
    ),
  );
  /** CPU seconds per GB of what the viewers take at once. */
  const cost = async (take: (root: string, viewer: number, i: number) => Promise<number>): Promise<number> => {
    const before = cpuSeconds(server.pid);
    const taken = await Promise.all(
      roots.map(async (root, viewer) => {
        let bytes = 0;
        for (let i = 0; i < SEGMENTS_EACH; i++) bytes += await take(root, viewer, i);
        return bytes;
      }),
    );
    return (cpuSeconds(server.pid) - before) / (taken.reduce((a, b) => a + b) / 1e9);
  };
  // Each viewer plays on from a place of its own.
  const place = (round: number, viewer: number, i: number): number =>
    (Math.floor(((counts[viewer] as number) * (viewer + round / ROUNDS)) / VIEWERS) + i) % (counts[viewer] as number);
  const ours: number[] = [];
  const bytes: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const sizes: number[][] = roots.map(() => []);
    const segments = await cost(async (root, viewer, i) => {
      const n = place(round + 1, viewer, i);
      const [picture, sound] = await Promise.all(
        ['original', 'audio-0'].map((name) => drain(`${root}/${name}/${n}.m4s`)),
      );
      sizes[viewer]?.push((picture as number) + (sound as number));
      return (picture as number) + (sound as number);
    });
    const offsets = roots.map((_, viewer) => (viewer + 1) * 4e8 + (round + 1) * 1e7);
    const plain = await cost((root, viewer, i) => {
      const from = offsets[viewer] as number;
      const to = from + (sizes[viewer]?.[i] as number);
      offsets[viewer] = to;
      return drain(`${root}/file`, `bytes=${from}-${to - 1}`);
    });
    // The first round warms the code.
    if (round < 0) continue;
    ours.push(segments);
    bytes.push(plain);
  }
  const ratio = median(ours.map((cpu, n) => cpu / (bytes[n] as number)));
  console.log(
    `${VIEWERS} copied sessions: ${median(ours).toFixed(2)} s of CPU per GB, reading the bytes ${median(bytes).toFixed(2)}: ratio ${ratio.toFixed(2)} (target <= 1.2)`,
  );
  for (const root of roots) await fetch(root, { method: 'DELETE' });
}

async function shared(server: BenchServer, film: string): Promise<void> {
  const ids = await Promise.all(Array.from({ length: VIEWERS }, () => createSession(server, film)));
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, runs(server).length);
  }, 10);
  await Promise.all(ids.map((id) => getBytes(`${server.url}/sessions/${id}/720p/500.m4s`)));
  clearInterval(watch);
  console.log(`${VIEWERS} viewers of one title at one place: ${most} process at a time (target 1)`);
  for (const id of ids) await fetch(`${server.url}/sessions/${id}`, { method: 'DELETE' });
}

async function transcoded(server: BenchServer, films: readonly string[]): Promise<void> {
  const ids = await Promise.all(films.map((film) => createSession(server, film)));
  const end = performance.now() + ACTIVE_SECONDS * 1000;
  const held: number[] = [];
  const watch = setInterval(() => held.push(memoryKb(server.pid, 'VmRSS') / 1024), 200);
  let segments = 0;
  let refused = 0;
  await Promise.all(
    ids.map(async (id, viewer) => {
      for (let n = viewer * 300; performance.now() < end; n++) {
        const { status } = await fetch(`${server.url}/sessions/${id}/480p/${n}.m4s`).then(async (answer) => {
          await answer.arrayBuffer();
          return answer;
        });
        if (status === 200) segments += 1;
        else refused += 1;
      }
    }),
  );
  clearInterval(watch);
  console.log(
    `${VIEWERS} transcoded sessions of ${VIEWERS} titles: ${segments} segments in ${ACTIVE_SECONDS} s (${refused} times told to come back); RSS of the server at most ${Math.max(...held).toFixed(0)} MB, median ${median(held).toFixed(0)} MB (target <= 250)`,
  );
  for (const id of ids) await fetch(`${server.url}/sessions/${id}`, { method: 'DELETE' });
}

async function killed(film: string): Promise<void> {
  const server = await startServer();
  const id = await createSession(server, film);
  const lost = fetch(`${server.url}/sessions/${id}/720p/100.m4s`).catch(() => {});
  let pids: number[] = [];
  while (pids.length === 0) {
    pids = runs(server);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const start = performance.now();
  process.kill(server.pid, 'SIGKILL');
  const alive = (pid: number): boolean => {
    try {
      return (readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1] ?? 'Z')[0] !== 'Z';
    } catch {
      return false;
    }
  };
  while (pids.some(alive)) await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(
    `FFmpeg is gone ${(performance.now() - start).toFixed(0)} ms after the server was killed (target <= 2000)`,
  );
  await lost;
}

const folder = mkdtempSync(join(CACHE, 'sessions-'));
try {
  // Ten names of one film are ten sources for the server.
  const films = Array.from({ length: VIEWERS }, (_, n) => {
    const path = join(folder, `${n}.mkv`);
    linkSync(join(CACHE, 'film.mkv'), path);
    return path;
  });
  {
    await using server = await startServer();
    await copied(server, films);
  }
  {
    await using server = await startServer({ RAFFI_MAX_RUNS: String(VIEWERS) });
    await shared(server, films[0] as string);
    await transcoded(server, films);
  }
  await killed(films[0] as string);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
