/** Mutated files: nothing but AppError may come out, soon, and memory stays bounded. FUZZ_RUNS sets how many. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '../../errors.ts';
import { openMatroska } from './reader.ts';
import { encodedMp3, lacedMp3 } from './test-handmade.ts';
import { ffmpeg, ffmpegPiped, gridCuts, load, memorySource, random } from './testing.ts';
import { findCluster } from './walker.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 20261121);
/** A hang, not a timing: a run takes about a millisecond. */
const HANG_MS = 2000;
const MAX_HEAP = 700 * 1024 * 1024;

let folder = '';
const files: Uint8Array[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'matroska-fuzz-'));
  const make = async (name: string, args: string): Promise<void> => {
    await ffmpeg(`${args} ${join(folder, name)}`);
    files.push(await load(join(folder, name)));
  };
  const video = '-f lavfi -i testsrc2=s=64x48:r=12:d=4';
  const tone = '-f lavfi -i sine=f=440:r=48000:d=4';
  const x264 = '-c:v libx264 -preset ultrafast -crf 40 -g 12 -bf 2';
  await make('a.mkv', `${video} ${tone} ${x264} -c:a aac -b:a 32k -metadata title=x`);
  await make(
    'b.webm',
    `${video} ${tone} -c:v libvpx-vp9 -b:v 50k -deadline realtime -cpu-used 8 -g 12 -c:a libopus -b:a 24k`,
  );
  await make('c.mkv', `${tone} -c:a libmp3lame -b:a 32k`);
  await make('d.webm', `${video} ${tone} -c:v libvpx -b:v 50k -g 12 -c:a libopus -b:a 24k -f webm -live 1`);
  await make('e.mkv', `${video} -c:v libx265 -x265-params keyint=12:open-gop=1:log-level=none -cluster_time_limit 400`);
  files.push(await ffmpegPiped(`${video} ${tone} ${x264} -c:a flac -f matroska`));
  files.push((await load(join(folder, 'a.mkv'))).slice(0, 20_000));
  for (const lacing of ['xiph', 'ebml', 'fixed'] as const) files.push(lacedMp3(lacing));
  for (const kind of ['stripped', 'zlib'] as const) files.push(encodedMp3(kind));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('mutated files', () => {
  it(`${RUNS} of them: only AppError, no hang, bounded memory`, { timeout: 3_600_000 }, async () => {
    const next = random(SEED);
    let opened = 0;
    let packets = 0;
    for (let i = 0; i < RUNS; i++) {
      const bytes = mutate(files, next);
      const started = performance.now();
      const what = `run ${i} of seed ${SEED}`;
      try {
        packets += await exercise(bytes, next);
        opened++;
      } catch (error) {
        assert.ok(error instanceof AppError, `${what}: ${error instanceof Error ? error.stack : error}`);
        assert.ok(error.cause === undefined, `${what}: ${error.cause instanceof Error ? error.cause.stack : ''}`);
      }
      assert.ok(performance.now() - started < HANG_MS, `${what} took ${performance.now() - started} ms`);
      if (i % 500 === 0) assert.ok(process.memoryUsage().rss < MAX_HEAP, `${what}: ${process.memoryUsage().rss} bytes`);
    }
    // Mutations that leave nothing to read would test nothing.
    assert.ok(opened > RUNS * 0.5, `${opened} opened`);
    assert.ok(packets > opened, `${packets} packets`);
  });
});

async function exercise(bytes: Uint8Array, next: () => number): Promise<number> {
  const { signal } = new AbortController();
  const source = memorySource(bytes, next() < 0.3 ? 'remote' : 'local');
  await using reader = await openMatroska(source, signal);
  const { info } = reader;
  assert.ok(Number.isFinite(info.startTime) && info.duration >= 0 && Number.isFinite(info.duration));
  let packets = 0;
  const read = async (trackId: number, cut: Parameters<typeof reader.read>[1]): Promise<void> => {
    using batch = await reader.read(trackId, cut, signal);
    packets += batch.packets.length;
    for (const { pts, duration, data } of batch.packets) {
      if (!Number.isFinite(pts) || !(duration >= 0) || data.length === 0)
        assert.fail(`pts ${pts}, duration ${duration}`);
    }
  };
  const some = info.tracks.slice(0, 4);
  const grid = gridCuts(info.startTime, Math.min(info.duration, 1000), 1 + next() * 3);
  for (const track of some) await read(track.id, grid[Math.floor(next() * grid.length)] ?? assert.fail());
  const index = reader.keyframes ?? (await reader.scan(signal));
  assert.ok(index.times.length >= 1 && index.starts.length === index.times.length);
  for (let i = 1; i < index.times.length; i++) {
    if (!((index.times[i] ?? 0) > (index.times[i - 1] ?? 0))) assert.fail(`key frame times ${i}`);
    if (!((index.positions[i] ?? 0) >= (index.positions[i - 1] ?? 0))) assert.fail(`key frame positions ${i}`);
  }
  for (const track of some) {
    const fromKey = Math.floor(next() * index.times.length);
    const toKey = Math.min(index.times.length, fromKey + 1 + Math.floor(next() * 3));
    const from = index.starts[fromKey] ?? 0;
    await read(track.id, { from, to: index.starts[toKey] ?? Number.POSITIVE_INFINITY, fromKey, toKey });
  }
  return packets;
}

/** One to four changes to one of the files. */
function mutate(all: readonly Uint8Array[], next: () => number): Uint8Array {
  const pick = (n: number): number => Math.floor(next() * n);
  let bytes = (all[pick(all.length)] ?? new Uint8Array(0)).slice();
  for (let n = 1 + pick(4); n > 0; n--) {
    // Half of the changes hit the head, where the structure is.
    const place = next() < 0.5 ? pick(Math.min(1500, bytes.length)) : pick(bytes.length);
    switch (pick(6)) {
      case 0:
        bytes[place] = (bytes[place] ?? 0) ^ (1 << pick(8));
        break;
      case 1:
        bytes[place] = pick(256);
        break;
      case 2:
        bytes = bytes.slice(0, next() < 0.8 ? bytes.length - pick(bytes.length / 2) : place);
        break;
      case 3: {
        // A length field: the bytes behind an ID.
        const cluster = findCluster(bytes, place);
        const at = cluster < 0 ? place : cluster + 4 + pick(12);
        bytes.set(
          [0x01, pick(256), pick(256), 0xff].slice(0, Math.max(0, Math.min(4, bytes.length - at))),
          Math.min(at, bytes.length),
        );
        break;
      }
      case 4: {
        const other = all[pick(all.length)] ?? bytes;
        const from = pick(other.length);
        const part = other.subarray(from, from + pick(4000));
        bytes = new Uint8Array([...bytes.subarray(0, place), ...part, ...bytes.subarray(place + pick(200))]);
        break;
      }
      default:
        bytes.fill(next() < 0.5 ? 0 : 0xff, place, place + pick(64));
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}
