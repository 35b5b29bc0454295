/** Boxes that FFmpeg does not write, or not in this way: made or changed by hand. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AppError } from '../../errors.ts';
import { viewOf } from './boxes.ts';
import { parseEsds } from './esds.ts';
import { openIsobmff } from './reader.ts';
import type { SampleEntry } from './sample-entry.ts';
import { SampleTable } from './sample-table.ts';
import { cutsOf, ffmpeg, inputs, MemorySource, readAll, workshop } from './test-media.ts';

const { signal } = new AbortController();

function box(type: string, ...parts: (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (part instanceof Uint8Array ? part : words(part))));
  return Buffer.concat([words([8 + body.length]), Buffer.from(type, 'latin1'), body]);
}

/** 32 bits each. */
function words(numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number >>> 0, 4 * i);
  return bytes;
}

const ENTRY: SampleEntry = { type: 'avc1', codec: 'h264', encrypted: false, forced: false };

function table(boxes: Buffer[], entries: SampleEntry[] = [ENTRY], kind: 'video' | 'audio' = 'video'): SampleTable {
  return new SampleTable(viewOf(Buffer.concat(boxes)), { kind, entries, fileSize: 2 ** 40 });
}

function located(samples: SampleTable, first: number, end: number): [number, number][] {
  const offsets = new Float64Array(end - first);
  const sizes = new Uint32Array(end - first);
  samples.locate(first, end, offsets, sizes);
  return Array.from(offsets, (offset, i) => [offset, sizes[i]!]);
}

describe('sample tables', () => {
  const stts = box('stts', [0, 2, 2, 10, 3, 20]);
  const stsc = box('stsc', [0, 2, 1, 2, 1, 2, 3, 1]);
  const stsz = box('stsz', [0, 0, 5, 1, 2, 3, 4, 5]);

  test('chunks, times and offsets of any range', () => {
    const stco = box('stco', [0, 2, 100, 1000]);
    const ctts = box('ctts', [0x01000000, 2, 1, 5, 2, -7]);
    const samples = table([stts, stsc, stsz, stco, ctts]);
    assert.equal(samples.count, 5);
    assert.deepEqual(located(samples, 0, 5), [
      [100, 1],
      [101, 2],
      [1000, 3],
      [1003, 4],
      [1007, 5],
    ]);
    assert.deepEqual(located(samples, 3, 5), located(samples, 0, 5).slice(3));
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((i) => samples.compositionTime(i)),
      [5, 3, 13, 40, 60],
    );
    assert.deepEqual(
      [-1, 0, 9, 10, 20, 39, 40, 1e9].map((ticks) => samples.indexAtDecodeTime(ticks)),
      [-1, 0, 0, 1, 2, 2, 3, 4],
    );
    assert.deepEqual([samples.minOffset, samples.maxOffset], [-7, 5]);
    assert.equal(samples.totalBytes(), 15);
  });

  test('offsets of 64 bits and sizes of 4 and 16 bits', () => {
    const co64 = box('co64', [0, 2, 1, 0, 2, 0]);
    const nibbles = box('stz2', [0, 4, 5], Buffer.from([0x12, 0x34, 0x50]));
    assert.deepEqual(located(table([stts, stsc, nibbles, co64]), 1, 4), [
      [2 ** 32 + 1, 2],
      [2 ** 33, 3],
      [2 ** 33 + 3, 4],
    ]);
    const shorts = box('stz2', [0, 16, 5], Buffer.from([0, 1, 0, 2, 0, 3, 0, 4, 1, 0]));
    assert.deepEqual(located(table([stts, stsc, shorts, co64]), 4, 5), [[2 ** 33 + 7, 256]]);
  });

  test('a change of description is seen where it happens', () => {
    const stco = box('stco', [0, 3, 100, 1000, 2000]);
    const changing = box('stsc', [0, 2, 1, 2, 1, 3, 1, 2]);
    const other = { ...ENTRY, type: 'avc3' };
    const samples = table([stts, changing, stsz, stco], [ENTRY, other]);
    assert.equal(samples.changesDescription(0, 4), false);
    assert.equal(samples.changesDescription(3, 5), true);
    // Entries with the same bytes are one object.
    assert.equal(table([stts, changing, stsz, stco], [ENTRY, ENTRY]).changesDescription(0, 5), false);
  });

  test('PCM frames become packets of up to 1024, within their chunks', () => {
    const audio = { channels: 2, sampleRate: 48000, bitDepth: 16, frameBytes: 4, frameSamples: 1 };
    const pcm: SampleEntry = { type: 'sowt', codec: 'pcm_s16le', encrypted: false, forced: false, audio };
    const parts = [
      box('stts', [0, 1, 3000, 1]),
      box('stsc', [0, 1, 1, 1500, 1]),
      box('stsz', [0, 4, 3000]),
      box('stco', [0, 2, 100, 10_000]),
    ];
    const samples = table(parts, [pcm], 'audio');
    assert.deepEqual(located(samples, 0, 4), [
      [100, 4096],
      [4196, 1904],
      [10_000, 4096],
      [14_096, 1904],
    ]);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => samples.decodeTime(i)),
      [0, 1024, 1500, 2524],
    );
    assert.equal(samples.indexAtDecodeTime(1499), 1);
  });

  test('a table that says more than its box holds is refused', () => {
    const stco = box('stco', [0, 1000, 100]);
    assert.throws(() => table([stts, stsc, stsz, stco]), /more than the box holds/);
    const claim = box('stsz', [0, 0, 0xffffffff, 1]);
    assert.throws(() => table([stts, stsc, claim, box('stco', [0, 1, 100])]), /more than the box holds/);
  });
});

test('esds with long and short descriptor sizes', () => {
  const config = [0x04, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xf4, 0, 0x05, 2, 0x11, 0x90];
  const short = Buffer.from([0, 0, 0, 0, 3, 22, 0, 1, 0, ...config]);
  const long = Buffer.from([0, 0, 0, 0, 3, 0x80, 0x80, 0x80, 22, 0, 1, 0, ...config]);
  for (const bytes of [short, long]) {
    const stream = parseEsds(viewOf(bytes))!;
    assert.equal(stream.objectType, 0x40);
    assert.equal(stream.averageBitrate, 128_000);
    assert.deepEqual([...stream.decoderSpecificInfo!], [0x11, 0x90]);
  }
});

describe('whole files', () => {
  let shop: Awaited<ReturnType<typeof workshop>>;
  const path = (name: string) => join(shop.dir, name);
  before(async () => {
    shop = await workshop();
    const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-g', '24', '-c:a', 'aac'];
    await ffmpeg(...inputs(4), ...x264, path('plain.mp4'));
    const flags = '+frag_keyframe+empty_moov+default_base_moof';
    await ffmpeg('-i', path('plain.mp4'), '-c', 'copy', '-movflags', flags, path('fragments.mp4'));
    await ffmpeg('-i', path('plain.mp4'), '-c', 'copy', '-movflags', `${flags}+dash+global_sidx`, path('sidx.mp4'));
  });
  after(() => shop[Symbol.asyncDispose]());

  test('fragments without a time go on where the one before ended, and no index is believed', async () => {
    const bytes = await readFile(path('fragments.mp4'));
    await using whole = await openIsobmff(new MemorySource(bytes), signal);
    const changed = Buffer.from(bytes);
    for (let at = changed.indexOf('tfdt'); at >= 0; at = changed.indexOf('tfdt', at))
      changed.write('free', at, 'latin1');
    await using reader = await openIsobmff(new MemorySource(changed), signal);
    const video = reader.info.videoTrackId!;
    const got = await readAll(reader, video, cutsOf(reader.keyframes!));
    assert.deepEqual(got, await readAll(whole, video, cutsOf(whole.keyframes!)));
    assert.equal(got.length, 96);
  });

  test('a segment index of segment indexes', async () => {
    const bytes = await readFile(path('sidx.mp4'));
    const at = bytes.indexOf('sidx') - 4;
    const rest = bytes.length - at;
    const parent = box('sidx', [0, 1, 12288, 0, 0, 1, 0x80000000 + rest, 4 * 12288, 0]);
    const nested = Buffer.concat([bytes.subarray(0, at), parent, bytes.subarray(at)]);
    await using flat = await openIsobmff(new MemorySource(bytes, 'remote'), signal);
    await using reader = await openIsobmff(new MemorySource(nested, 'remote'), signal);
    assert.deepEqual(reader.keyframes!.times, flat.keyframes!.times);
    assert.equal(reader.keyframes!.positions[1], flat.keyframes!.positions[1]! + parent.length);
    const video = reader.info.videoTrackId!;
    assert.equal((await readAll(reader, video, cutsOf(reader.keyframes!))).length, 96);
  });

  test('a compressed index is named as such', async () => {
    const ftyp = box('ftyp', Buffer.from('qt  '), [0]);
    const file = Buffer.concat([ftyp, box('moov', box('cmov', box('dcom', Buffer.from('zlib'))))]);
    await assert.rejects(openIsobmff(new MemorySource(file), signal), (error: unknown) => {
      assert.ok(error instanceof AppError && error.code === 'media-not-playable');
      return /cmov/.test(error.detail);
    });
  });

  test('a file of time code only has nothing to play', async () => {
    const bytes = Buffer.from(await readFile(path('plain.mp4')));
    for (const handler of ['vide', 'soun']) bytes.write('tmcd', bytes.lastIndexOf(handler), 'latin1');
    await assert.rejects(openIsobmff(new MemorySource(bytes), signal), /no video or audio track/);
  });
});
