import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { Cut, MediaReader, Packet } from '../types.ts';
import { openWithLibrary } from './reader.ts';
import { gridCuts, MediaMaker, memorySource, probePackets, readAll, testTone, testVideo } from './testing.ts';

const maker = new MediaMaker();
after(() => maker[Symbol.dispose]());
const { signal } = new AbortController();
/** ffprobe writes microseconds. */
const MICROSECOND = 1e-6;

async function open(bytes: Uint8Array): Promise<MediaReader> {
  const reader = await openWithLibrary(memorySource(bytes), signal);
  assert.ok(reader);
  return reader;
}

function indexCuts(reader: MediaReader): Cut[] {
  const times = reader.keyframes!.times;
  return Array.from(times, (time, i) => ({
    from: i === 0 ? Number.NEGATIVE_INFINITY : time,
    to: times[i + 1] ?? Number.POSITIVE_INFINITY,
    fromKey: i,
    toKey: i + 1,
  }));
}

function assertSame(
  got: readonly Packet[],
  path: string,
  options: { sizes?: boolean; firstMayDiffer?: boolean },
): void {
  const want = probePackets(path, 'a:0');
  assert.equal(got.length, want.length);
  for (const [i, packet] of got.entries()) {
    const expected = want[i]!;
    if (i > 0 || !options.firstMayDiffer) {
      assert.ok(Math.abs(packet.pts - expected.pts) <= MICROSECOND, `packet ${i}: ${packet.pts}, not ${expected.pts}`);
    }
    if (options.sizes !== false) assert.equal(packet.data.length, expected.size, `packet ${i}`);
    assert.equal(packet.key, true);
  }
}

interface SoundCase {
  readonly name: string;
  readonly container: string;
  readonly codec: string;
  readonly copied: boolean;
  readonly args: readonly string[];
  readonly duration: number;
  /** ADTS headers are taken off. */
  readonly sizes?: boolean;
  /** Vorbis: the first packet only primes the decoder; FFmpeg and the library time it differently. */
  readonly firstMayDiffer?: boolean;
}

const CASES: readonly SoundCase[] = [
  { name: 'o.ogg', container: 'ogg', codec: 'opus', copied: true, args: ['-c:a', 'libopus'], duration: 20 },
  {
    name: 'v.ogg',
    container: 'ogg',
    codec: 'vorbis',
    copied: false,
    args: ['-c:a', 'libvorbis'],
    duration: 20,
    firstMayDiffer: true,
  },
  { name: 'f.flac', container: 'flac', codec: 'flac', copied: true, args: [], duration: 20 },
  { name: 'vbr.mp3', container: 'mp3', codec: 'mp3', copied: true, args: ['-q:a', '4'], duration: 20.04 },
  {
    name: 'cbr.mp3',
    container: 'mp3',
    codec: 'mp3',
    copied: true,
    args: ['-b:a', '128k', '-write_xing', '0'],
    duration: 20.04,
  },
  {
    name: 'a.aac',
    container: 'adts',
    codec: 'aac',
    copied: true,
    args: ['-c:a', 'aac'],
    duration: 20.03,
    sizes: false,
  },
];

describe('sound alone', () => {
  for (const { name, container, codec, copied, args, duration, ...options } of CASES) {
    it(`gives every packet of ${name} exactly once, at its exact time`, async () => {
      const path = maker.make(name, ...testTone(20), ...args);
      const reader = await open(maker.bytes(name));
      assert.equal(reader.info.container, container);
      assert.ok(Math.abs(reader.info.duration - duration) < 0.02, String(reader.info.duration));
      assert.equal(reader.info.startTime, 0);
      const [track, ...others] = reader.info.tracks;
      assert.equal(others.length, 0);
      assert.equal(track?.codec, codec);
      assert.equal(track?.config !== undefined, copied);
      assert.equal(track?.notCopied === undefined, copied);
      assert.equal(track?.audio?.sampleRate, 48_000);
      assert.ok(reader.keyframes);
      assert.equal(await reader.scan(signal), reader.keyframes);
      for (const cuts of [gridCuts(reader, 6), gridCuts(reader, 0.7), indexCuts(reader)]) {
        assertSame(await readAll(reader, track!.id, cuts), path, options);
      }
      await reader[Symbol.asyncDispose]();
    });
  }

  it('lays Opus before 0 by its pre-skip, whole packets long', async () => {
    maker.make('pre.ogg', ...testTone(4), '-c:a', 'libopus', '-frame_duration', '2.5');
    const reader = await open(maker.bytes('pre.ogg'));
    const want = probePackets(maker.path('pre.ogg'), 'a:0');
    const got = await readAll(reader, reader.info.tracks[0]!.id, gridCuts(reader, 1));
    assert.ok(want[0]!.pts < 0);
    assert.deepEqual(
      got.map((p) => Math.round(p.pts * 1e6)),
      want.map((p) => Math.round(p.pts * 1e6)),
    );
    for (const packet of got) assert.equal(packet.duration, 0.0025);
  });

  it('passes over cover art and tags', async () => {
    maker.make('cover.png', '-f', 'lavfi', '-i', 'color=red:size=600x600:duration=1', '-frames:v', '1');
    const path = maker.make(
      'cover.mp3',
      ...[...testTone(10), '-i', maker.path('cover.png'), '-map', '0', '-map', '1', '-c:a', 'libmp3lame', '-q:a', '4'],
      ...['-c:v', 'copy', '-disposition:v', 'attached_pic', '-id3v2_version', '3', '-write_id3v1', '1'],
    );
    const reader = await open(maker.bytes('cover.mp3'));
    assert.equal(reader.info.tracks.length, 1);
    assertSame(await readAll(reader, reader.info.tracks[0]!.id, gridCuts(reader, 3)), path, {});
  });

  it('lists PCM as what cannot be copied', async () => {
    maker.make('w.wav', ...testTone(2));
    const reader = await open(maker.bytes('w.wav'));
    assert.equal(reader.info.container, 'wav');
    assert.equal(reader.info.tracks[0]?.codec, 'pcm_s16le');
    assert.ok(reader.info.tracks[0]?.notCopied);
    assert.equal(reader.info.duration, 2);
  });

  it('lists the video of Ogg, which the library leaves out', async () => {
    maker.make('t.ogv', ...testVideo(3), ...testTone(3), '-c:v', 'libtheora', '-c:a', 'libvorbis');
    const reader = await open(maker.bytes('t.ogv'));
    const types = reader.info.tracks.map((t) => [t.type, t.codec, t.index, t.notCopied !== undefined]);
    assert.deepEqual(types.sort(), [
      ['audio', 'vorbis', 0, true],
      ['video', 'theora', 0, true],
    ]);
    using batch = await reader.read(reader.info.videoTrackId!, { from: 0, to: 1 }, signal);
    assert.deepEqual(batch.packets, []);
  });

  it('tells the length of a truncated file from what is there', async () => {
    const bytes = maker.bytes('o.ogg');
    const reader = await open(bytes.subarray(0, bytes.length >> 1));
    assert.ok(reader.info.duration > 5 && reader.info.duration < 15, String(reader.info.duration));
    const packets = await readAll(reader, reader.info.tracks[0]!.id, gridCuts(reader, 2));
    const last = packets.at(-1)!;
    assert.ok(Math.abs(last.pts + last.duration - reader.info.duration) < 0.001);
  });
});

describe('what is none of ours', () => {
  const others: Record<string, () => Uint8Array> = {
    'an empty file': () => new Uint8Array(0),
    'one byte': () => new Uint8Array([0x47]),
    text: () => new TextEncoder().encode('Good news, everyone. '.repeat(5000)),
    zeros: () => new Uint8Array(300_000),
    'an AVI': () => readFileSync(maker.make('x.avi', ...testVideo(1), '-c:v', 'mpeg4')),
    'a picture': () => readFileSync(maker.make('x.png', ...testVideo(1), '-frames:v', '1')),
  };
  for (const [name, make] of Object.entries(others)) {
    it(`leaves ${name} to others`, async () => {
      assert.equal(await openWithLibrary(memorySource(make()), signal), undefined);
    });
  }
});

describe('sources that fail', () => {
  /** Fails every read from the n-th on. */
  function failing(bytes: Uint8Array, after: number, failure: () => Promise<Uint8Array>): Source {
    const source = memorySource(bytes, 'local', 'song.mp3');
    let count = 0;
    return { ...source, read: (...args) => (++count > after ? failure() : source.read(...args)) };
  }

  for (const name of ['vbr.mp3', 'o.ogg', 'f.flac']) {
    it(`tells the source's own error while opening ${name}`, async () => {
      const gone = new AppError('source-unreachable', 'song.mp3 is gone.');
      for (let count = 0; count < 2; count++) {
        const source = failing(maker.bytes(name), count, () => Promise.reject(gone));
        await assert.rejects(openWithLibrary(source, signal), gone);
      }
    });
  }

  it('says that a source is shorter than its size', async () => {
    const source = failing(maker.bytes('vbr.mp3'), 1, () => Promise.resolve(new Uint8Array(0)));
    await assert.rejects(
      openWithLibrary(source, signal),
      (error) => error instanceof AppError && error.code === 'source-truncated' && error.detail.includes('song.mp3'),
    );
  });

  it('leaves at once when the signal aborts in a read that never answers', async () => {
    const controller = new AbortController();
    const source = failing(maker.bytes('vbr.mp3'), 2, () => new Promise(() => {}));
    const opening = openWithLibrary(source, controller.signal);
    const left = new Error('left');
    setImmediate(() => controller.abort(left));
    await assert.rejects(opening, left);
  });

  it('ends reads when it is disposed, and reads nothing more', async () => {
    const source = memorySource(maker.bytes('f.flac'));
    const reader = await openWithLibrary(source, signal);
    assert.ok(reader);
    const id = reader.info.tracks[0]!.id;
    await reader[Symbol.asyncDispose]();
    await reader[Symbol.asyncDispose]();
    source.reads.length = 0;
    await assert.rejects(reader.read(id, { from: 10, to: 12 }, signal), AppError);
    assert.equal(source.reads.length, 0);
  });
});
