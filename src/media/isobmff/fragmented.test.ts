import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Cut, MediaReader } from '../types.ts';
import { openIsobmff } from './reader.ts';
import {
  cutsOf,
  ffmpeg,
  gridOf,
  inputs,
  MemorySource,
  probePackets,
  readAll,
  type Seen,
  workshop,
} from './test-media.ts';

const { signal } = new AbortController();

const VARIANTS: Record<string, string> = {
  'empty.mp4': '+frag_keyframe+empty_moov',
  'base-moof.mp4': '+frag_keyframe+empty_moov+default_base_moof',
  'dash.mp4': '+dash+frag_keyframe+empty_moov',
  'global-sidx.mp4': '+dash+frag_keyframe+empty_moov+global_sidx',
  'delayed.mp4': '+frag_keyframe+delay_moov+global_sidx+dash',
  'every-frame.mp4': '+frag_every_frame+empty_moov',
  'separate.mp4': '+frag_keyframe+separate_moof+empty_moov',
  'listed.mp4': '+frag_keyframe',
  'no-mfra.mp4': '+frag_keyframe+empty_moov+skip_trailer',
};

let shop: Awaited<ReturnType<typeof workshop>>;
const path = (name: string) => join(shop.dir, name);

before(async () => {
  shop = await workshop();
  const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-bf', '2', '-g', '36'];
  await ffmpeg(...inputs(8), ...x264, '-c:a', 'aac', path('plain.mp4'));
  for (const [name, flags] of Object.entries(VARIANTS)) {
    await ffmpeg('-i', path('plain.mp4'), '-c', 'copy', '-movflags', flags, path(name));
  }
  await ffmpeg(
    ...['-i', path('plain.mp4'), '-vn', '-c', 'copy', '-frag_duration', '1000000'],
    ...['-movflags', '+empty_moov+skip_trailer', path('audio.mp4')],
  );
});
after(() => shop[Symbol.asyncDispose]());

async function open(name: string, latency: 'local' | 'remote' = 'local', eagerHops?: number) {
  const source = new MemorySource(await readFile(path(name)), latency);
  const reader = await openIsobmff(source, signal, eagerHops === undefined ? {} : { eagerHops });
  return { source, reader };
}

function assertSame(got: readonly Seen[], want: readonly Seen[], what: string): void {
  assert.equal(got.length, want.length, `${what}: number of packets`);
  for (const [i, packet] of got.entries()) {
    const expected = want[i]!;
    assert.equal(packet.hash, expected.hash, `${what}: bytes of packet ${i}`);
    assert.equal(packet.key, expected.key, `${what}: key flag of packet ${i}`);
    assert.ok(Math.abs(packet.pts - expected.pts) < 1e-5, `${what}: packet ${i} at ${packet.pts}, not ${expected.pts}`);
  }
}

async function assertAll(reader: MediaReader, name: string, cuts: readonly Cut[]): Promise<void> {
  const probed = await probePackets(path(name));
  assert.equal(reader.info.tracks.length, probed.size);
  for (const [i, track] of reader.info.tracks.entries()) {
    assertSame(await readAll(reader, track.id, cuts), probed.get(i)!, `${name} ${track.type}`);
  }
}

describe('every packet exactly once, as ffprobe sees it', () => {
  for (const name of [...Object.keys(VARIANTS), 'audio.mp4']) {
    for (const latency of ['local', 'remote'] as const) {
      test(`${name}, ${latency}`, async () => {
        const { reader } = await open(name, latency);
        await using _ = reader;
        await assertAll(reader, name, cutsOf(reader.keyframes ?? (await reader.scan(signal))));
      });
    }

    test(`${name} on a grid, before and after the scan`, async () => {
      const { reader } = await open(name, 'local', 0);
      await using _ = reader;
      const cuts = gridOf(reader.info.startTime, reader.info.duration, 2);
      await assertAll(reader, name, cuts);
      await reader.scan(signal);
      await assertAll(reader, name, cuts);
    });
  }
});

describe('the index', () => {
  test('from sidx, from mfra and from a walk is the same', async () => {
    const walked = await open('no-mfra.mp4');
    const byMfra = await open('empty.mp4', 'remote');
    const bySidx = await open('global-sidx.mp4', 'remote');
    const scanned = await open('no-mfra.mp4', 'remote');
    assert.equal(scanned.reader.keyframes, undefined);
    const index = await scanned.reader.scan(signal);
    const want = walked.reader.keyframes!;
    for (const other of [byMfra.reader.keyframes!, bySidx.reader.keyframes!, index]) {
      assert.equal(other.times.length, want.times.length);
      for (const [i, time] of want.times.entries()) {
        assert.ok(Math.abs(other.times[i]! - time) < 1e-4, `time ${i}: ${other.times[i]}, not ${time}`);
        assert.ok(Math.abs(other.starts[i]! - want.starts[i]!) < 1e-4);
      }
    }
    for (const { reader } of [walked, byMfra, bySidx, scanned]) {
      assert.ok(Math.abs(reader.info.duration - 8.083) < 0.05, `${reader.info.duration}`);
      await reader[Symbol.asyncDispose]();
    }
  });

  test('an mfra that cannot tell a first time below zero is not believed', async () => {
    // Cut between key frames: the first frame lies before the edit's start, which FFmpeg's mfra calls 0.
    const flags = ['-c', 'copy', '-movflags', '+frag_keyframe+delay_moov'];
    await ffmpeg('-ss', '2.3', '-i', path('plain.mp4'), ...flags, path('cut.mp4'));
    for (const latency of ['local', 'remote'] as const) {
      const { reader } = await open('cut.mp4', latency);
      await using _ = reader;
      const { starts } = reader.keyframes ?? (await reader.scan(signal));
      assert.ok(starts[0]! < 0, `starts at ${starts[0]}`);
      for (const [key, cut] of cutsOf({ times: starts, starts, positions: starts }).entries()) {
        using batch = await reader.read(reader.info.videoTrackId!, cut, signal);
        const lowest = Math.min(...batch.packets.map(({ pts }) => pts));
        assert.ok(Math.abs(lowest - starts[key]!) < 1e-3, `key frame ${key} at ${lowest}, not ${starts[key]}`);
      }
    }
  });

  test('an index that calls every fragment a key frame is not believed', async () => {
    const { reader } = await open('every-frame.mp4', 'remote');
    await using _ = reader;
    assert.equal(reader.keyframes, undefined);
    assert.equal((await reader.scan(signal)).times.length, 6);
  });

  test('over a network a cut of video is one range, which serves the audio too', async () => {
    const { source, reader } = await open('global-sidx.mp4', 'remote');
    await using _ = reader;
    const cut = cutsOf(reader.keyframes!)[2]!;
    source.reads.length = 0;
    (await reader.read(reader.info.videoTrackId!, cut, signal))[Symbol.dispose]();
    const ranges = new Set(source.reads.map(({ offset, length }) => `${offset}+${length}`));
    const [{ offset, length }] = source.reads as [{ offset: number; length: number }];
    // The moofs are read again, inside of what is held.
    assert.ok(source.reads.every((read) => read.offset >= offset && read.offset + read.length <= offset + length));
    (await reader.read(reader.info.tracks[1]!.id, cut, signal))[Symbol.dispose]();
    const more = source.reads.filter((read) => read.offset + read.length > offset + length || read.offset < offset);
    assert.ok(ranges.size >= 1 && more.length <= 3, `${more.length} reads outside of it`);
  });

  test('costs at most three reads over a network', async () => {
    for (const name of Object.keys(VARIANTS)) {
      const { source, reader } = await open(name, 'remote');
      assert.ok(source.reads.length <= 3, `${name}: ${source.reads.length} reads`);
      await reader[Symbol.asyncDispose]();
    }
  });
});

describe('while the walk is under way', () => {
  /** A source whose reads wait until they are let through. */
  class SlowSource extends MemorySource {
    gate: Promise<void> = Promise.resolve();
    override async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
      await this.gate;
      return super.read(offset, length, signal);
    }
  }

  test('a waiter can leave, and dispose ends the walk', async () => {
    const source = new SlowSource(await readFile(path('no-mfra.mp4')));
    const reader = await openIsobmff(source, signal, { eagerHops: 0 });
    const gate = Promise.withResolvers<void>();
    source.gate = gate.promise;
    const controller = new AbortController();
    const left = reader.scan(controller.signal);
    const waiting = reader.scan(signal);
    await nextTurn();
    const reason = new Error('left');
    controller.abort(reason);
    await assert.rejects(left, reason);
    await reader[Symbol.asyncDispose]();
    gate.resolve();
    await assert.rejects(waiting, /closed/);
  });

  test('a failed read fails those who wait, and the next one begins again', async () => {
    const source = new SlowSource(await readFile(path('no-mfra.mp4')));
    await using reader = await openIsobmff(source, signal, { eagerHops: 0 });
    const failure = new Error('the network is gone');
    source.gate = Promise.reject(failure);
    source.gate.catch(() => {});
    await assert.rejects(reader.scan(signal), failure);
    source.gate = Promise.resolve();
    assert.equal((await reader.scan(signal)).times.length, 6);
  });
});

test('a recording that broke off ends with its last whole fragment', async () => {
  const bytes = await readFile(path('no-mfra.mp4'));
  for (const share of [0.3, 0.55, 0.8]) {
    const cut = bytes.subarray(0, Math.floor(bytes.length * share));
    await using reader = await openIsobmff(new MemorySource(cut), signal);
    const video = await readAll(reader, reader.info.videoTrackId!, cutsOf(reader.keyframes!));
    assert.ok(video.length > 24 && video.length < 192, `${video.length} frames`);
    const last = Math.max(...video.map(({ pts, duration }) => pts + duration));
    assert.ok(Math.abs(last - reader.info.tracks[0]!.endTime!) < 1e-6);
  }
});
