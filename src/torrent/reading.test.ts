import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chunksToForget, type Holding } from './budget.ts';
import { ChunkFiles } from './chunk-files.ts';
import { chunkFile } from './engine/chunks.ts';
import { PieceMap } from './piece-map.ts';
import { Playheads } from './playheads.ts';
import { withoutChunks } from './ranges.ts';

const MB = 1024 * 1024;

test('a piece map knows what is at hand, and wakes whoever waits for the last missing piece', async () => {
  const pieces = new PieceMap(10, 95, Uint8Array.of(0b1000_0000, 0));
  assert.equal(pieces.count, 10);
  assert.equal(pieces.lengthOf(9), 5);
  assert.ok(pieces.isComplete({ start: 0, end: 10 }) && !pieces.isComplete({ start: 9, end: 11 }));
  const order: string[] = [];
  const long = pieces.wait({ start: 5, end: 35 }, undefined).then(() => order.push('long'));
  const short = pieces.wait({ start: 20, end: 21 }, undefined).then(() => order.push('short'));
  assert.deepEqual(pieces.add([2, 2, 0, 99, -1]), [2]);
  await short;
  pieces.remove([2]);
  pieces.add([1, 3]);
  await Promise.resolve();
  assert.deepEqual(order, ['short'], 'what was forgotten is waited for again');
  pieces.add([2]);
  await long;
  assert.deepEqual(order, ['short', 'long']);
  assert.equal(pieces.complete, 4);
  assert.equal(pieces.bytes, 40);
  assert.equal(pieces.bytesAtHand({ start: 5, end: 95 }), 35);
  pieces.add([9]);
  assert.equal(pieces.bytesAtHand({ start: 0, end: 95 }), 45);
  assert.equal(pieces.sketch({ start: 0, end: 95 }, 10).length, 10);
  assert.equal(pieces.sketch({ start: 0, end: 40 }, 4), '9999');
});

test('a wait ends with its signal or with the failure of all', async () => {
  const pieces = new PieceMap(10, 100, new Uint8Array(2));
  const controller = new AbortController();
  const left = pieces.wait({ start: 0, end: 100 }, controller.signal);
  controller.abort(new Error('left'));
  await assert.rejects(left, /left/);
  const failed = pieces.wait({ start: 0, end: 100 }, undefined);
  pieces.fail(new Error('failed'));
  await assert.rejects(failed, /failed/);
  await assert.rejects(pieces.wait({ start: 0, end: 1 }, AbortSignal.abort(new Error('before'))), /before/);
});

test('a playhead follows reads, its window grows with them, and a look at an index wants little', () => {
  let now = 0;
  const heads = new Playheads(() => now);
  const limits = { most: 32 * MB, viewers: 1 };
  const first = heads.read({ start: 0, end: MB }, limits);
  assert.equal(first.window, 4 * MB);
  for (let at = 1; at < 6; at++) assert.equal(heads.read({ start: at * MB, end: (at + 1) * MB }, limits), first);
  assert.equal(first.position, 6 * MB);
  assert.equal(first.window, 32 * MB);
  assert.equal(heads.read({ start: 5.5 * MB, end: 5.6 * MB }, limits), first, 'sound beside the picture');
  assert.equal(first.position, 6 * MB);
  const index = heads.read({ start: 900 * MB, end: 900 * MB + 4096 }, limits);
  assert.notEqual(index, first);
  assert.equal(index.window, 2 * MB);
  assert.equal(heads.all.length, 2, 'both are in use');
  now += 2_500;
  heads.read({ start: 900 * MB + 4096, end: 901 * MB }, limits);
  assert.deepEqual(heads.all, [index], 'one viewer has left the other place');
});

test('as many places stay as there are viewers; who leaves, or reads no more, wants nothing', () => {
  let now = 0;
  const heads = new Playheads(() => now);
  const limits = { most: 32 * MB, viewers: 3 };
  const places = [0, 100, 200].map((at) => heads.read({ start: at * MB, end: (at + 1) * MB }, limits));
  now += 10_000;
  assert.equal(heads.prune(limits), 20_000);
  assert.deepEqual(heads.all, places);
  heads.leave(places[1] as (typeof places)[0]);
  assert.equal(heads.all.length, 2);
  now += 30_000;
  assert.equal(heads.prune(limits), undefined);
  assert.equal(heads.all.length, 0);
});

test('chunks behind every playhead go first, the farthest of them first, and nothing that is wanted', () => {
  const chunkLength = 10;
  const holding = (owner: string, positions: number[], wanted: { start: number; end: number }[]): Holding<string> => {
    const pieces = new PieceMap(5, 100, new Uint8Array(3).fill(0xff));
    return { owner, pieces, chunkLength, wanted, positions, isInUse: (chunk) => owner === 'a' && chunk === 1 };
  };
  const holdings = [holding('a', [50], [{ start: 50, end: 71 }]), holding('b', [20, 80], [])];
  assert.deepEqual(chunksToForget(holdings, 5), new Map([['a', [0]]]));
  const two = chunksToForget(holdings, 45);
  assert.deepEqual(two.get('a'), [0, 2, 3, 4]);
  assert.deepEqual(two.get('b')?.slice(0, 1), [0]);
  const all = chunksToForget(holdings, 1_000);
  assert.deepEqual([...(all.get('a') ?? [])].sort(), [0, 2, 3, 4, 8, 9]);
  assert.equal(all.get('b')?.length, 10);
});

test('ranges without the chunks that are being deleted', () => {
  const ranges = [
    { start: 0, end: 25 },
    { start: 31, end: 39 },
  ];
  assert.deepEqual(withoutChunks(ranges, new Set(), 10), ranges);
  assert.deepEqual(withoutChunks(ranges, new Set([1, 3]), 10), [
    { start: 0, end: 10 },
    { start: 20, end: 25 },
  ]);
});

test('bytes are read across chunk files; a file that is about to be deleted is closed when nobody reads it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-chunks-'));
  try {
    const content = Buffer.from(Array.from({ length: 400 }, (_, n) => n % 251));
    for (let chunk = 0; chunk < 40; chunk++) {
      await writeFile(chunkFile(folder, chunk), content.subarray(chunk * 10, chunk * 10 + 10));
    }
    await using files = new ChunkFiles(folder, 10);
    const read = async (start: number, length: number): Promise<Buffer> => {
      const into = Buffer.alloc(length);
      await files.read(into, start);
      return into;
    };
    assert.deepEqual(await read(3, 390), content.subarray(3, 393));
    const reading = read(95, 20);
    assert.ok(files.isInUse(9) && files.isInUse(11));
    const closed = files.close(10);
    assert.deepEqual(await reading, content.subarray(95, 115));
    await closed;
    assert.ok(!files.isInUse(10));
    await rm(chunkFile(folder, 20));
    await files.close(20);
    await assert.rejects(read(195, 10), /cannot be read any more/);
    await writeFile(chunkFile(folder, 20), content.subarray(200, 210));
    assert.deepEqual(await read(195, 10), content.subarray(195, 205));
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) =>
        assert.deepEqual(await read(n * 10, 5), content.subarray(n * 10, n * 10 + 5)),
      ),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a confined playhead wants nothing beyond, goes with its confinement, and is anybody’s once somebody else reads there', () => {
  const heads = new Playheads(() => 0);
  const limits = { most: 32 * MB, viewers: 2 };
  const range = { start: 100 * MB, end: 110 * MB };
  const confinement = heads.confine(range);
  const clip = heads.read({ start: 101 * MB, end: 102 * MB }, limits);
  assert.equal(clip.confinement, range);
  assert.equal(heads.read({ start: 102 * MB, end: 103 * MB }, limits), clip);
  const viewer = heads.read({ start: 300 * MB, end: 301 * MB }, limits);
  assert.equal(viewer.confinement, undefined);
  confinement[Symbol.dispose]();
  assert.deepEqual(heads.all, [viewer]);
  // Where a viewer reads already, or comes to read, nothing is confined.
  const second = heads.confine({ start: 300 * MB, end: 310 * MB });
  assert.equal(heads.read({ start: 301 * MB, end: 302 * MB }, limits).confinement, undefined);
  const third = heads.confine({ start: 500 * MB, end: 510 * MB });
  const shared = heads.read({ start: 509 * MB, end: 511 * MB }, limits);
  assert.equal(heads.read({ start: 510 * MB, end: 512 * MB }, limits).confinement, undefined);
  second[Symbol.dispose]();
  third[Symbol.dispose]();
  assert.ok(heads.all.includes(viewer) && heads.all.includes(shared));
});
