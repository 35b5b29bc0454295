import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { AppError } from '../../../errors.ts';
import type { Cut, KeyframeIndex, MediaReader, Packet } from '../../types.ts';
import { openWithLibrary } from '../reader.ts';
import { gridCuts, MediaMaker, memorySource, probePackets, readAll, testTone, testVideo } from '../testing.ts';

const maker = new MediaMaker();
after(() => maker[Symbol.dispose]());
const { signal } = new AbortController();

/** One tick of 90 kHz; ffprobe gives microseconds, and rounds each frame inside a PES packet down. */
const TICK = 1 / 90_000 + 1e-6;
const AUDIO_TOLERANCE = 8 * TICK;
const WRAP = 2 ** 33 / 90_000;

const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50'];
const BFRAMES = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-bf', '3'];

async function open(bytes: Uint8Array, latency: 'local' | 'remote' = 'local'): Promise<MediaReader> {
  const reader = await openWithLibrary(memorySource(bytes, latency), signal);
  assert.ok(reader);
  return reader;
}

function indexCuts(index: KeyframeIndex): Cut[] {
  const count = index.times.length;
  return Array.from(index.times, (_, i) => ({
    from: i === 0 ? Number.NEGATIVE_INFINITY : index.starts[i]!,
    to: i + 1 === count ? Number.POSITIVE_INFINITY : index.starts[i + 1]!,
    fromKey: i,
    toKey: i + 1,
  }));
}

/** The packets are ffprobe's: as many, in the same order, at the same times, key frames alike. */
function assertSame(got: readonly Packet[], path: string, stream: string, tolerance: number, offset = 0): void {
  const want = probePackets(path, stream);
  assert.equal(got.length, want.length, `${path} ${stream}`);
  for (const [i, packet] of got.entries()) {
    const expected = want[i]!;
    assert.ok(
      Math.abs(packet.pts - offset - expected.pts) <= tolerance,
      `${path} ${stream} ${i}: ${packet.pts} is not ${expected.pts}`,
    );
    assert.equal(packet.key, expected.key, `${path} ${stream} ${i}`);
  }
}

/** Every track, by grid cuts of several widths before the scan, by index cuts after it, and by the grid again. */
async function assertWhole(path: string, bytes: Uint8Array, offset = 0): Promise<MediaReader> {
  const reader = await open(bytes);
  const check = async (cuts: readonly Cut[]): Promise<void> => {
    for (const track of reader.info.tracks) {
      const video = track.type === 'video';
      const packets = await readAll(reader, track.id, cuts);
      assertSame(packets, path, `${video ? 'v' : 'a'}:${track.index}`, video ? TICK : AUDIO_TOLERANCE, offset);
    }
  };
  for (const step of [6, 1, 0.3]) await check(gridCuts(reader, step));
  const index = await reader.scan(signal);
  await check(indexCuts(index));
  await check(gridCuts(reader, 2.7));
  return reader;
}

function assertIndex(index: KeyframeIndex, path: string): void {
  const packets = probePackets(path, 'v:0');
  const keys = packets.flatMap((p, i) => (p.key ? [i] : []));
  assert.equal(index.times.length, keys.length);
  for (const [n, i] of keys.entries()) {
    const group = packets.slice(i, keys[n + 1] ?? packets.length);
    assert.ok(Math.abs(index.times[n]! - packets[i]!.pts) <= TICK);
    assert.ok(Math.abs(index.starts[n]! - Math.min(...group.map((p) => p.pts))) <= TICK);
    if (n > 0) assert.ok(index.positions[n]! > index.positions[n - 1]!);
  }
}

describe('MPEG-TS', () => {
  it('gives every packet exactly once, with B-frames and AAC', async () => {
    const path = maker.make('bframes.ts', ...testVideo(20), ...testTone(20), ...BFRAMES, '-c:a', 'aac');
    const reader = await assertWhole(path, maker.bytes('bframes.ts'));
    assert.equal(reader.info.container, 'mpegts');
    const [video, audio] = reader.info.tracks;
    assert.equal(video?.config?.codec, 'h264');
    assert.equal(video?.video?.frameRate, 25);
    assert.ok(Math.abs((video?.startTime ?? 0) - 1.48) <= TICK);
    assert.ok(Math.abs((video?.endTime ?? 0) - 21.48) <= TICK);
    assert.equal(audio?.config?.codecString, 'mp4a.40.2');
    assertIndex(await reader.scan(signal), path);
  });

  it('counts the leading pictures of open groups', async () => {
    const params = ['-x264-params', 'open-gop=1'];
    const path = maker.make('open.ts', ...testVideo(20), ...testTone(20), ...BFRAMES, ...params, '-c:a', 'ac3');
    const reader = await assertWhole(path, maker.bytes('open.ts'));
    const index = await reader.scan(signal);
    assertIndex(index, path);
    assert.ok(index.starts.some((start, i) => start < index.times[i]!));
    for (const cut of indexCuts(index)) {
      using batch = await reader.read(reader.info.videoTrackId!, cut, signal);
      assert.equal(batch.nextStart, cut.toKey! < index.times.length ? index.starts[cut.toKey!] : undefined);
    }
  });

  it('reads HEVC with E-AC-3', async () => {
    const codec = ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none:keyint=50'];
    const path = maker.make('hevc.ts', ...testVideo(12), ...testTone(12), ...codec, '-c:a', 'eac3');
    const reader = await assertWhole(path, maker.bytes('hevc.ts'));
    assert.equal(reader.info.tracks[0]?.config?.sampleEntry, 'hvc1');
    assert.equal(reader.info.tracks[1]?.config?.codec, 'eac3');
  });

  it('tells two audio tracks apart, with their languages and real layers', async () => {
    const path = maker.make(
      'two.ts',
      ...[...testVideo(12), ...testTone(12), ...testTone(12, 44_100, 880), '-map', '0', '-map', '1', '-map', '2'],
      ...['-metadata:s:a:0', 'language=deu', '-metadata:s:a:1', 'language=fra', ...H264],
      ...['-c:a:0', 'mp2', '-c:a:1', 'libmp3lame'],
    );
    const reader = await assertWhole(path, maker.bytes('two.ts'));
    const audio = reader.info.tracks.filter((t) => t.type === 'audio');
    assert.deepEqual(
      audio.map((t) => [t.codec, t.language, t.index, t.config !== undefined]),
      [
        ['mp2', 'deu', 0, false],
        ['mp3', 'fra', 1, true],
      ],
    );
    assert.match(audio[0]?.notCopied ?? '', /layer II/);
  });

  it('lists video that it cannot copy, and indexes it all the same', async () => {
    const path = maker.make(
      'mpeg2.ts',
      ...testVideo(12),
      ...testTone(12),
      '-c:v',
      'mpeg2video',
      '-b:v',
      '3M',
      '-c:a',
      'mp2',
    );
    const reader = await assertWhole(path, maker.bytes('mpeg2.ts'));
    const video = reader.info.tracks.find((t) => t.id === reader.info.videoTrackId);
    assert.equal(video?.codec, 'mpeg2video');
    assert.equal(video?.config, undefined);
    assert.ok(video?.notCopied);
    assertIndex(await reader.scan(signal), path);
  });

  it('runs on over the wrap of the 33-bit clock', async () => {
    maker.make('plain.ts', ...testVideo(20), ...testTone(20), ...BFRAMES, '-c:a', 'aac');
    const wrapped = ['-i', maker.path('plain.ts'), '-c', 'copy', '-output_ts_offset', '95435'];
    const path = maker.make('wrap.ts', ...wrapped);
    // ffprobe counts from the wrap backwards, we from the first packet forwards.
    const reader = await assertWhole(path, maker.bytes('wrap.ts'), WRAP);
    assert.ok(reader.info.startTime < WRAP && reader.info.startTime + reader.info.duration > WRAP);
    assert.ok(Math.abs(reader.info.duration - 20.03) < 0.02);
  });

  it('reads packets of 192 and 204 bytes', async () => {
    const path = maker.make(
      'a.m2ts',
      ...testVideo(8),
      ...testTone(8),
      ...BFRAMES,
      '-c:a',
      'ac3',
      '-mpegts_m2ts_mode',
      '1',
    );
    const reader = await assertWhole(path, maker.bytes('a.m2ts'));
    assert.equal(reader.info.container, 'm2ts');
    const plain = maker.bytes('bframes.ts');
    const padded = new Uint8Array((plain.length / 188) * 204);
    for (let i = 0; i < plain.length / 188; i++) padded.set(plain.subarray(i * 188, (i + 1) * 188), i * 204);
    await assertWhole(maker.path('bframes.ts'), padded);
  });

  it('reads sound alone by time', async () => {
    const path = maker.make('radio.ts', ...testTone(20), '-c:a', 'aac');
    const reader = await open(maker.bytes('radio.ts'));
    assert.equal(reader.info.videoTrackId, undefined);
    assert.ok(reader.keyframes && reader.keyframes.times.length >= 9);
    const packets = await readAll(reader, reader.info.tracks[0]!.id, indexCuts(reader.keyframes));
    assertSame(packets, path, 'a:0', AUDIO_TOLERANCE);
  });

  it('gives the payloads that FFmpeg puts into MP4', async () => {
    const mp4 = maker.make('remux.mp4', '-i', maker.path('bframes.ts'), '-c', 'copy');
    const reader = await open(maker.bytes('bframes.ts'));
    for (const track of reader.info.tracks) {
      const out = execFileSync(
        'ffprobe',
        ['-v', 'error', '-select_streams', track.type === 'video' ? 'v' : 'a', '-show_data_hash', 'md5'].concat([
          '-show_entries',
          'packet=data_hash',
          '-of',
          'csv=p=0',
          mp4,
        ]),
        { encoding: 'utf8' },
      );
      const want = out.trim().split('\n');
      const got = await readAll(reader, track.id, gridCuts(reader, 6));
      const hashes = got.map((p) => `MD5:${createHash('md5').update(p.data).digest('hex')}`);
      assert.deepEqual(
        hashes,
        want.map((line) => line.replace(/,$/, '')),
      );
    }
  });
});

describe('damaged MPEG-TS', () => {
  const original = (): Uint8Array => maker.bytes('bframes.ts');

  function damaged(name: string, change: (bytes: Uint8Array, middle: number) => Uint8Array): [string, Uint8Array] {
    const bytes = original();
    const changed = change(bytes, Math.floor(bytes.length / 2));
    return [maker.write(name, changed), changed];
  }

  const cases: Record<string, (bytes: Uint8Array, middle: number) => Uint8Array> = {
    'with bytes overwritten': (bytes, m) => bytes.slice().fill(0, m, m + 1000),
    'with bytes put in': (bytes, m) => Buffer.concat([bytes.subarray(0, m), new Uint8Array(77), bytes.subarray(m)]),
    'with bytes left out': (bytes, m) => Buffer.concat([bytes.subarray(0, m), bytes.subarray(m + 5001)]),
    truncated: (bytes, m) => bytes.subarray(0, m + 33),
    'after leading garbage': (bytes) => Buffer.concat([new Uint8Array(500).fill(7), bytes]),
  };
  for (const [name, change] of Object.entries(cases)) {
    it(`finds what FFmpeg finds ${name}`, async () => {
      const [path, bytes] = damaged(`${name.replaceAll(' ', '-')}.ts`, change);
      await assertWhole(path, bytes);
    });
  }

  it('begins at the first key frame when it is cut out of the middle', async () => {
    const [path, bytes] = damaged('middle.ts', (b) => b.subarray(188 * 1000 + 50));
    const reader = await open(bytes);
    const packets = await readAll(reader, reader.info.videoTrackId!, gridCuts(reader, 6));
    const want = probePackets(path, 'v:0');
    const first = want.findIndex((p) => p.key);
    assert.ok(first > 0);
    assert.deepEqual(
      packets.map((p) => Math.round(p.pts * 1e5)),
      want.slice(first).map((p) => Math.round(p.pts * 1e5)),
    );
  });

  it('refuses a stream that announces nothing, in words', async () => {
    const bytes = new Uint8Array(188 * 100);
    for (let at = 0; at < bytes.length; at += 188) bytes.set([0x47, 0x1f, 0xff, 0x10], at);
    await assert.rejects(
      openWithLibrary(memorySource(bytes, 'local', 'film.ts'), signal),
      (error) => error instanceof AppError && error.code === 'media-damaged' && error.detail.includes('film.ts'),
    );
  });

  it('lists encrypted tracks as such', async () => {
    const bytes = original().slice();
    for (let at = 0; at < bytes.length; at += 188) {
      const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
      if (pid === 257) bytes[at + 3] = bytes[at + 3]! | 0xc0;
    }
    const reader = await open(bytes);
    const audio = reader.info.tracks.find((t) => t.type === 'audio');
    assert.equal(audio?.config, undefined);
    assert.match(audio?.notCopied ?? '', /encrypted/);
  });
});

describe('MPEG-TS put together from several files', () => {
  it('runs on where the clock jumps back', async () => {
    const piece = maker.bytes('bframes.ts');
    const audio = probePackets(maker.path('bframes.ts'), 'a:0');
    const reader = await open(Buffer.concat([piece, piece, piece]));
    assert.ok(Math.abs(reader.info.duration - 60) < 0.2, String(reader.info.duration));
    const index = await reader.scan(signal);
    assert.deepEqual(
      [...index.times].map((t) => Math.round(t * 1000)),
      Array.from({ length: 30 }, (_, i) => 1480 + i * 2000),
    );
    for (const cuts of [gridCuts(reader, 6), indexCuts(index), gridCuts(reader, 1.3)]) {
      const video = await readAll(reader, reader.info.videoTrackId!, cuts);
      const times = video.map((p) => Math.round(p.pts * 1000)).sort((a, b) => a - b);
      assert.deepEqual(
        times,
        Array.from({ length: 1500 }, (_, i) => 1480 + i * 40),
      );
      const sound = await readAll(reader, reader.info.tracks[1]!.id, cuts);
      assert.equal(sound.length, 3 * audio.length);
      // In step with the video: each piece's sound lies as far behind its video as in the file alone.
      for (const [i, packet] of sound.entries()) {
        const expected = audio[i % audio.length]!.pts + 20 * Math.floor(i / audio.length);
        assert.ok(Math.abs(packet.pts - expected) <= AUDIO_TOLERANCE, `${i}: ${packet.pts}, not ${expected}`);
      }
    }
  });
});

describe('reading MPEG-TS', () => {
  it('finds times in a long file with few reads, and reads an indexed cut of video at once', async () => {
    const rate = ['-b:v', '5M', '-minrate', '5M', '-maxrate', '5M', '-bufsize', '5M', '-x264-params', 'nal-hrd=cbr'];
    maker.make('long.ts', ...testVideo(100), ...testTone(100), ...H264, ...rate, '-c:a', 'aac');
    const bytes = maker.bytes('long.ts');
    assert.ok(bytes.length > 60e6);
    const source = memorySource(bytes, 'remote');
    const reader = await openWithLibrary(source, signal);
    assert.ok(reader);
    assert.ok(source.reads.length <= 4, `${source.reads.length} reads to open`);
    source.reads.length = 0;
    const cuts = gridCuts(reader, 6);
    const [video, audio] = reader.info.tracks;
    using first = await reader.read(video!.id, cuts[10]!, signal);
    assert.equal(first.packets.length, 150);
    assert.ok(source.reads.length <= 10, `${source.reads.length} reads for a cut of the grid`);
    const index = await reader.scan(signal);
    source.reads.length = 0;
    using second = await reader.read(video!.id, indexCuts(index)[20]!, signal);
    assert.equal(second.packets.length, 50);
    assert.equal(source.reads.length, 1);
    source.reads.length = 0;
    using third = await reader.read(audio!.id, indexCuts(index)[20]!, signal);
    assert.ok(third.packets.length > 90);
    assert.equal(source.reads.length, 1);
  });

  it('obeys its signals and its disposal', async () => {
    const bytes = maker.bytes('long.ts');
    const left = new Error('left');
    await assert.rejects(openWithLibrary(memorySource(bytes), AbortSignal.abort(left)), left);
    const source = memorySource(bytes);
    const reader = await openWithLibrary(source, signal);
    assert.ok(reader);
    const controller = new AbortController();
    source.reads.length = 0;
    const scanning = reader.scan(controller.signal);
    setImmediate(() => controller.abort(left));
    await assert.rejects(scanning, left);
    assert.ok(source.reads.length < 10);
    const all: Cut = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    const reading = reader.read(reader.info.videoTrackId!, all, signal);
    await reader[Symbol.asyncDispose]();
    await assert.rejects(reading, AppError);
    await reader[Symbol.asyncDispose]();
    await assert.rejects(reader.read(reader.info.videoTrackId!, all, signal), AppError);
  });
});
