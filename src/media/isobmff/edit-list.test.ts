import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AppError } from '../../errors.ts';
import type { MediaReader } from '../types.ts';
import { openIsobmff } from './reader.ts';
import { cutsOf, ffmpeg, inputs, MemorySource, probePackets, readAll, type Seen, workshop } from './test-media.ts';

const { signal } = new AbortController();

/** An entry of an edit list: seconds, ticks of the media (-1: empty), rate. */
interface Entry {
  readonly seconds: number;
  readonly mediaTime: number;
  readonly rate?: number;
}

function box(type: string, body: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + body.length, 0);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, body]);
}

function elst(entries: readonly Entry[], timescale: number): Buffer {
  const body = Buffer.alloc(8 + 12 * entries.length);
  body.writeUInt32BE(entries.length, 4);
  for (const [i, { seconds, mediaTime, rate = 1 }] of entries.entries()) {
    body.writeUInt32BE(Math.round(seconds * timescale), 8 + 12 * i);
    body.writeInt32BE(mediaTime, 12 + 12 * i);
    body.writeInt16BE(rate, 16 + 12 * i);
  }
  return box('elst', body);
}

function children(body: Buffer): { type: string; body: Buffer }[] {
  const found: { type: string; body: Buffer }[] = [];
  for (let at = 0; at + 8 <= body.length; at += body.readUInt32BE(at)) {
    found.push({
      type: body.toString('latin1', at + 4, at + 8),
      body: body.subarray(at + 8, at + body.readUInt32BE(at)),
    });
  }
  return found;
}

/** The file (moov at its end, movie timescale 1000) with other edit lists, by position of the track. */
function withEdits(file: Buffer, lists: readonly (readonly Entry[] | undefined)[]): Buffer {
  const at = file.lastIndexOf('moov') - 4;
  let position = 0;
  const parts = children(file.subarray(at + 8)).map(({ type, body }) => {
    const entries = type === 'trak' ? lists[position++] : undefined;
    if (entries === undefined) return box(type, body);
    const kept = children(body).filter((part) => part.type !== 'edts');
    const edts = entries.length === 0 ? [] : [box('edts', elst(entries, 1000))];
    return box(type, Buffer.concat([...kept.map((part) => box(part.type, part.body)), ...edts]));
  });
  return Buffer.concat([file.subarray(0, at), box('moov', Buffer.concat(parts))]);
}

let shop: Awaited<ReturnType<typeof workshop>>;
let file: Buffer;
/** The original's frames by presentation, and its audio. */
let frames: Seen[];
let sound: Seen[];
/** Ticks at which the first frame is presented: 24 frames per second at a timescale of 12288, two frames of reordering. */
const FIRST = 1024;
const TICKS = 12288;
const PRIMING = 1024;

before(async () => {
  shop = await workshop();
  const path = join(shop.dir, 'file.mp4');
  const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-bf', '2', '-g', '24'];
  await ffmpeg(...inputs(4), ...x264, '-c:a', 'aac', path);
  file = await readFile(path);
  const probed = await probePackets(path);
  frames = probed.get(0)!.toSorted((a, b) => a.pts - b.pts);
  sound = probed.get(1)!;
});
after(() => shop[Symbol.asyncDispose]());

async function openWith(...lists: (readonly Entry[] | undefined)[]): Promise<MediaReader> {
  return openIsobmff(new MemorySource(withEdits(file, lists)), signal);
}

async function packetsOf(reader: MediaReader, type: 'video' | 'audio'): Promise<Seen[]> {
  const track = reader.info.tracks.find((one) => one.type === type)!;
  return (await readAll(reader, track.id, cutsOf(reader.keyframes!))).toSorted((a, b) => a.pts - b.pts);
}

function assertFrames(got: readonly Seen[], want: readonly (readonly [number, Seen])[]): void {
  assert.equal(got.length, want.length);
  for (const [i, [pts, frame]] of want.entries()) {
    assert.equal(got[i]!.hash, frame.hash, `frame ${i}`);
    assert.ok(Math.abs(got[i]!.pts - pts) < 1e-6, `frame ${i} at ${got[i]!.pts}, not ${pts}`);
  }
}

describe('edits of video', () => {
  test('an empty edit delays it', async () => {
    await using reader = await openWith([
      { seconds: 0.5, mediaTime: -1 },
      { seconds: 4, mediaTime: FIRST },
    ]);
    assertFrames(
      await packetsOf(reader, 'video'),
      frames.map((frame, i) => [0.5 + i / 24, frame] as const),
    );
    assert.equal(reader.info.tracks[0]!.startTime, 0.5);
    assert.ok(Math.abs(reader.info.tracks[0]!.endTime! - 4.5) < 1e-6);
  });

  test('segments in another order, one of them twice', async () => {
    const second = { seconds: 1, mediaTime: FIRST + 2 * TICKS };
    await using reader = await openWith([second, { seconds: 1, mediaTime: FIRST }, second], []);
    const order = [...frames.slice(48, 72), ...frames.slice(0, 24), ...frames.slice(48, 72)];
    assertFrames(
      await packetsOf(reader, 'video'),
      order.map((frame, i) => [i / 24, frame] as const),
    );
    assert.deepEqual([...reader.keyframes!.times], [0, 1, 2]);
    assert.equal(reader.info.tracks[0]!.endTime, 3);
  });

  test('one that begins between key frames keeps what decoding needs, just before its start', async () => {
    await using reader = await openWith([{ seconds: 1, mediaTime: FIRST + 1.5 * TICKS }]);
    const got = await packetsOf(reader, 'video');
    const hidden = got.filter(({ pts }) => pts < 0);
    assertFrames(
      hidden,
      frames.slice(24, 36).map((frame, i) => [(i - 12) / 90000, frame] as const),
    );
    const onFrames = got.filter(({ pts }) => pts >= 0 && Math.abs(pts * 24 - Math.round(pts * 24)) < 1e-6);
    assertFrames(
      onFrames,
      frames.slice(36, 60).map((frame, i) => [i / 24, frame] as const),
    );
    const late = got.filter(({ pts }) => pts > 23 / 24 + 1e-9);
    assert.ok(late.length <= 3 && late.every(({ pts }) => pts < 1), 'references after the end are squeezed before it');
    assert.equal(reader.info.tracks[0]!.startTime, 0);
    assert.equal(reader.keyframes!.times[0], -12 / 90000);
  });

  test('a dwell shows one frame', async () => {
    await using reader = await openWith([
      { seconds: 2, mediaTime: FIRST + TICKS, rate: 0 },
      { seconds: 1, mediaTime: FIRST + TICKS },
    ]);
    const order = [[0, frames[24]!] as const, ...frames.slice(24, 48).map((frame, i) => [2 + i / 24, frame] as const)];
    assertFrames(await packetsOf(reader, 'video'), order);
  });

  test('an edit that ends early cuts the media', async () => {
    await using reader = await openWith([{ seconds: 2, mediaTime: FIRST }]);
    assertFrames(
      await packetsOf(reader, 'video'),
      frames.slice(0, 48).map((frame, i) => [i / 24, frame] as const),
    );
  });

  test('a list that shows nothing is ignored', async () => {
    await using reader = await openWith([{ seconds: 2, mediaTime: -1 }]);
    assert.equal((await packetsOf(reader, 'video')).length, frames.length);
  });

  test('a list that repeats the film thousands of times is refused', async () => {
    const list = Array.from({ length: 10_000 }, () => ({ seconds: 4, mediaTime: FIRST }));
    const huge = Array.from({ length: 200 }, () => list).flat();
    for (const edits of [list, huge]) {
      const opened = openWith(edits, edits);
      await opened.then(
        (reader) => assert.ok(reader.keyframes!.times.length < 100_000),
        (error: unknown) => assert.ok(error instanceof AppError && error.code === 'media-damaged'),
      );
    }
  });
});

describe('edits of audio', () => {
  test('priming lies below the start, which is where the edit begins', async () => {
    await using reader = await openWith(undefined, [{ seconds: 4, mediaTime: PRIMING }]);
    const got = await packetsOf(reader, 'audio');
    assert.equal(got[0]!.pts, -1024 / 48000);
    assert.equal(reader.info.tracks[1]!.startTime, 0);
    assert.equal(got.length, sound.length);
  });

  test('edits follow each other without gap or overlap of more than half a packet', async () => {
    const list = [1, 2.3, 0.1].map((at) => ({ seconds: 1, mediaTime: Math.round(PRIMING + at * 48000) }));
    await using reader = await openWith(undefined, list);
    const got = (await packetsOf(reader, 'audio')).filter(({ pts }) => pts >= -0.011);
    for (const [i, { pts }] of got.entries()) {
      const step = i === 0 ? 1024 / 48000 : pts - got[i - 1]!.pts;
      assert.ok(step > 0.5 * (1024 / 48000) && step < 1.5 * (1024 / 48000), `step ${step} at ${pts}`);
    }
    assert.ok(Math.abs(got.length - (3 * 48000) / 1024) <= 2, `${got.length} packets`);
  });
});
