/** Mutated files: nothing but AppError may come out, in time. FUZZ_RUNS tells how many; FUZZ_SEED which. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AppError } from '../../errors.ts';
import type { Cut, MediaReader } from '../types.ts';
import { isIsobmff, openIsobmff } from './reader.ts';
import { cutsOf, ffmpeg, gridOf, inputs, MemorySource, random, workshop } from './test-media.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Milliseconds for one file, and bytes of heap and buffers over all. */
const MAX_TIME = 2000;
const MAX_MEMORY = 700 * 1024 * 1024;

let shop: Awaited<ReturnType<typeof workshop>>;
let files: Buffer[];

const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-bf', '2', '-g', '12', '-c:a', 'aac'];
const X265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-tag:v', 'hvc1', '-x265-params', 'log-level=error:pools=1'];
const COPIES: Record<string, string[]> = {
  'fast.mp4': ['-movflags', '+faststart'],
  'frag.mp4': ['-movflags', '+frag_keyframe+empty_moov'],
  'bare.mp4': ['-movflags', '+frag_keyframe+empty_moov+skip_trailer'],
  'sidx.mp4': ['-movflags', '+dash+global_sidx+frag_keyframe+delay_moov'],
  'listed.mp4': ['-movflags', '+frag_keyframe+separate_moof'],
  'edits.mp4': ['-output_ts_offset', '3'],
  'quicktime.mov': [],
};

before(async () => {
  shop = await workshop();
  const path = (name: string) => join(shop.dir, name);
  await ffmpeg(...inputs(1.5), '-s', '64x48', ...X264, '-metadata:s:a:0', 'language=fra', path('end.mp4'));
  for (const [name, args] of Object.entries(COPIES))
    await ffmpeg('-i', path('end.mp4'), '-c', 'copy', ...args, path(name));
  await ffmpeg('-ss', '0.7', '-i', path('end.mp4'), '-c', 'copy', path('cut.mp4'));
  await ffmpeg(...inputs(1), '-s', '64x64', ...X265, '-c:a', 'libopus', path('hevc.mp4'));
  await ffmpeg(...inputs(1), '-s', '64x48', '-c:v', 'mpeg4', '-c:a', 'pcm_s24le', path('pcm.mov'));
  const names = ['end.mp4', ...Object.keys(COPIES), 'cut.mp4', 'hevc.mp4', 'pcm.mov'];
  files = await Promise.all(names.map((name) => readFile(path(name))));
});
after(() => shop[Symbol.asyncDispose]());

/** Numbers that break arithmetic. */
const EVIL = [0, 1, 7, 8, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const BOXES =
  'moov trak mdia minf stbl stsd stts ctts stsc stsz stco stss elst tkhd mdhd mvhd moof traf trun tfhd tfdt sidx mfra tfra mfro trex mvex esds avcC hvcC dOps wave'.split(
    ' ',
  );

function mutate(file: Buffer, next: () => number): Buffer {
  let bytes = Buffer.from(file);
  const below = (limit: number) => Math.floor(next() * Math.max(1, limit));
  const times = 1 + below(6);
  for (let i = 0; i < times; i++) {
    const kind = below(10);
    if (kind < 6) {
      // Most bytes are media: aim at a box.
      const at = bytes.indexOf(BOXES[below(BOXES.length)]!, below(bytes.length / 2));
      const place = at < 4 ? below(bytes.length - 4) : at - 4 + below(kind < 3 ? 64 : 200);
      if (place + 4 > bytes.length) continue;
      if (kind === 0) bytes.writeUInt32BE(EVIL[below(EVIL.length)]!, at < 4 ? place : at - 4);
      else if (kind < 4) bytes.writeUInt32BE(EVIL[below(EVIL.length)]!, place);
      else bytes[place] = bytes[place]! ^ (1 << below(8));
    } else if (kind === 6) {
      bytes = bytes.subarray(0, below(bytes.length));
    } else if (kind === 7) {
      const at = below(bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + below(64)))]);
    } else if (kind === 8) {
      const other = files[below(files.length)]!;
      const from = below(other.length);
      const piece = other.subarray(from, from + below(2000));
      const at = below(bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    } else {
      for (let n = 0; n < 16 && bytes.length > 0; n++) bytes[below(bytes.length)] = below(256);
    }
  }
  return bytes;
}

async function readSome(reader: MediaReader, next: () => number, signal: AbortSignal): Promise<void> {
  const { startTime, duration, tracks } = reader.info;
  assert.ok(Number.isFinite(startTime) && Number.isFinite(duration) && duration >= 0);
  let cuts: Cut[] = [{ from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }];
  if (next() < 0.7) {
    const index = reader.keyframes ?? (await reader.scan(signal));
    const { times, starts, positions } = index;
    assert.ok(times.length >= 1 && starts.length === times.length && positions.length === times.length);
    for (let i = 0; i < times.length; i++) {
      assert.ok(starts[i]! <= times[i]! && (i === 0 || times[i]! > times[i - 1]!), 'times ascend');
    }
    cuts = cutsOf({ times: times.subarray(0, 50), starts: starts.subarray(0, 50), positions });
  } else if (duration < 1e6) {
    cuts = gridOf(startTime, Math.min(duration, 50), 1);
  }
  for (let i = 0; i < 3; i++) {
    const cut = cuts[Math.floor(next() * cuts.length)]!;
    for (const track of tracks.slice(0, 4)) {
      using batch = await reader.read(track.id, cut, signal);
      for (const packet of batch.packets) assert.ok(packet.data.length > 0 && Number.isFinite(packet.pts));
    }
  }
}

test(`${RUNS} mutated files`, async () => {
  for (const file of files) assert.ok(isIsobmff(file));
  let opened = 0;
  for (let run = 0; run < RUNS; run++) {
    const next = random(SEED * 1_000_003 + run);
    const bytes = mutate(files[run % files.length]!, next);
    const source = new MemorySource(bytes, next() < 0.3 ? 'remote' : 'local');
    const { signal } = new AbortController();
    const begin = process.cpuUsage();
    try {
      await using reader = await openIsobmff(source, signal, next() < 0.5 ? {} : { eagerHops: 0 });
      opened += 1;
      await readSome(reader, next, signal);
    } catch (error) {
      if (!(error instanceof AppError) || error.code === 'internal') {
        throw new Error(`run ${run} with seed ${SEED}`, { cause: error });
      }
    }
    const { user, system } = process.cpuUsage(begin);
    assert.ok((user + system) / 1000 < MAX_TIME, `run ${run} with seed ${SEED} took ${(user + system) / 1000} ms`);
    if (run % 500 === 0) {
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      assert.ok(heapUsed + arrayBuffers < MAX_MEMORY, `run ${run}: ${heapUsed + arrayBuffers} bytes in use`);
    }
  }
  assert.ok(opened > RUNS / 10, `only ${opened} of ${RUNS} could be opened at all`);
});
