import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AppError } from '../../errors.ts';
import type { MediaReader } from '../types.ts';
import { isIsobmff, openIsobmff } from './reader.ts';
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
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-bf', '2', '-g', '24'];
const X265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-tag:v', 'hvc1'];
const X265_OPEN = ['-x265-params', 'log-level=error:open-gop=1:keyint=24:bframes=3:pools=1'];
const CHANGING = "select='not(mod(n\\,5))+not(mod(n\\,7))'";

/** FFmpeg's arguments by file name; a file may be made from an earlier one. */
const FILES: Record<string, (dir: string) => string[]> = {
  'end.mp4': () => [...inputs(6), ...X264, '-c:a', 'aac'],
  'faststart.mp4': (dir) => ['-i', join(dir, 'end.mp4'), '-c', 'copy', '-movflags', '+faststart'],
  'two-audio.mp4': () => [...inputs(4, 2), '-map', '0', '-map', '1', '-map', '2', ...X264, '-c:a', 'aac'],
  'negative-offsets.mp4': (dir) => ['-i', join(dir, 'end.mp4'), '-c', 'copy', '-movflags', '+negative_cts_offsets'],
  'start.mp4': (dir) => ['-i', join(dir, 'end.mp4'), '-c', 'copy', '-output_ts_offset', '5'],
  'vfr.mp4': () => [...inputs(6), ...X264, '-vf', CHANGING, '-vsync', 'vfr', '-c:a', 'aac'],
  'pcm.mov': () => [...inputs(4), ...X264, '-c:a', 'pcm_s16le'],
  'hevc.mp4': () => [...inputs(4), ...X265, ...X265_OPEN, '-c:a', 'ac3'],
  'av1.mp4': () => [...inputs(2), '-c:v', 'libaom-av1', '-cpu-used', '8', '-g', '24', '-c:a', 'libopus'],
  'vp9.mp4': () => [
    ...inputs(3),
    ...['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '24', '-c:a', 'flac', '-strict', '-2'],
  ],
  'mp3.mp4': () => [...inputs(3), ...X264, '-c:a', 'libmp3lame'],
  'audio.m4a': () => [...inputs(5), '-map', '1', '-c:a', 'aac'],
};

let shop: Awaited<ReturnType<typeof workshop>>;
const path = (name: string) => join(shop.dir, name);

before(async () => {
  shop = await workshop();
  for (const [name, args] of Object.entries(FILES)) await ffmpeg(...args(shop.dir), path(name));
});
after(() => shop[Symbol.asyncDispose]());

async function open(name: string, latency: 'local' | 'remote' = 'local') {
  const source = new MemorySource(await readFile(path(name)), latency);
  return { source, reader: await openIsobmff(source, signal) };
}

function assertSame(got: readonly Seen[], want: readonly Seen[], what: string): void {
  assert.equal(got.length, want.length, `${what}: number of packets`);
  for (const [i, packet] of got.entries()) {
    const expected = want[i]!;
    assert.equal(packet.hash, expected.hash, `${what}: bytes of packet ${i}`);
    assert.equal(packet.size, expected.size);
    assert.equal(packet.key, expected.key, `${what}: key flag of packet ${i}`);
    assert.ok(Math.abs(packet.pts - expected.pts) < 1e-5, `${what}: packet ${i} at ${packet.pts}, not ${expected.pts}`);
  }
}

describe('every packet exactly once, as ffprobe sees it', () => {
  for (const name of Object.keys(FILES)) {
    for (const latency of ['local', 'remote'] as const) {
      test(`${name}, ${latency}`, async () => {
        const { reader } = await open(name, latency);
        await using _ = reader;
        const probed = await probePackets(path(name));
        assert.equal(reader.info.tracks.length, probed.size);
        const cuts = cutsOf(reader.keyframes!);
        for (const [i, track] of reader.info.tracks.entries()) {
          assertSame(await readAll(reader, track.id, cuts), probed.get(i)!, `${name} ${track.type} ${track.index}`);
        }
      });
    }
  }
});

/** The index as it follows from all packets. */
function expectedIndex(packets: readonly Seen[]): { times: number[]; starts: number[] } {
  const times: number[] = [];
  const starts: number[] = [];
  for (const { key, pts } of packets) {
    if (key) {
      times.push(pts);
      starts.push(pts);
    } else starts[starts.length - 1] = Math.min(starts.at(-1)!, pts);
  }
  return { times, starts };
}

describe('the key-frame index', () => {
  for (const name of ['end.mp4', 'hevc.mp4', 'vfr.mp4', 'start.mp4', 'negative-offsets.mp4']) {
    test(`${name} has the times and the lowest times of its groups`, async () => {
      const { reader } = await open(name);
      await using _ = reader;
      const video = (await probePackets(path(name))).get(0)!;
      const { times, starts, positions } = reader.keyframes!;
      const expected = expectedIndex(video);
      assert.equal(times.length, expected.times.length);
      for (const [i, time] of times.entries()) {
        assert.ok(Math.abs(time - expected.times[i]!) < 1e-5, `time ${i}: ${time}, not ${expected.times[i]}`);
        assert.ok(
          Math.abs(starts[i]! - expected.starts[i]!) < 1e-5,
          `start ${i}: ${starts[i]}, not ${expected.starts[i]}`,
        );
        assert.ok(i === 0 || positions[i]! >= positions[i - 1]!);
      }
    });
  }

  test('an open group of pictures starts before its key frame, and the cut before tells so', async () => {
    const { reader } = await open('hevc.mp4');
    await using _ = reader;
    const { times, starts } = reader.keyframes!;
    assert.ok(starts[1]! < times[1]!);
    using batch = await reader.read(reader.info.videoTrackId!, cutsOf(reader.keyframes!)[0]!, signal);
    assert.equal(batch.nextStart, starts[1]);
  });
});

describe('what a file tells', () => {
  test('times, rates and codecs', async () => {
    const { reader } = await open('end.mp4');
    await using _ = reader;
    const { info } = reader;
    assert.equal(info.container, 'mp4');
    assert.equal(info.startTime, 0);
    assert.ok(Math.abs(info.duration - 6) < 0.001, `${info.duration}`);
    const [video, audio] = info.tracks;
    assert.equal(info.videoTrackId, video!.id);
    assert.equal(video!.video!.frameRate, 24);
    assert.equal(video!.config?.codec, 'h264');
    assert.equal(audio!.config?.codecString, 'mp4a.40.2');
    assert.equal(audio!.startTime, 0);
    assert.ok(video!.bitrate! > 1000 && audio!.bitrate! > 1000);
    assert.equal(audio!.isDefault, true);
  });

  test('a start time of five seconds', async () => {
    const { reader } = await open('start.mp4');
    await using _ = reader;
    assert.ok(Math.abs(reader.info.startTime - 4.978) < 0.01, `${reader.info.startTime}`);
    assert.ok(Math.abs(reader.info.tracks[0]!.startTime! - 5) < 0.001);
  });

  test('PCM is not copied, and says why', async () => {
    const { reader } = await open('pcm.mov');
    await using _ = reader;
    assert.equal(reader.info.container, 'mov');
    const audio = reader.info.tracks[1]!;
    assert.equal(audio.codec, 'pcm_s16le');
    assert.equal(audio.config, undefined);
    assert.match(audio.notCopied!, /PCM/);
  });

  test('language, title, rotation, chapters, cover and subtitles', async () => {
    const metadata =
      ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=2\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1\nSTART=2\nEND=6\ntitle=Zwei Ä\n';
    await writeFile(path('chapters.txt'), metadata);
    await writeFile(path('text.srt'), '1\n00:00:01,000 --> 00:00:02,000\nHello\n');
    await ffmpeg(
      ...['-i', path('end.mp4'), '-i', path('chapters.txt'), '-i', path('text.srt'), '-map', '0', '-map', '2'],
      ...['-map_metadata', '1', '-c', 'copy', '-c:s', 'mov_text', '-metadata:s:a:0', 'language=fra'],
      ...['-metadata:s:s:0', 'language=ita', '-metadata:s:a:0', 'handler_name=Commentary'],
      path('rich.mp4'),
    );
    await ffmpeg(
      ...['-i', path('rich.mp4'), '-map', '0:v', '-map', '0:a', '-map', '0:s', '-c', 'copy'],
      ...['-metadata:s:v:0', 'rotate=90', path('rich.mov')],
    );
    for (const name of ['rich.mp4', 'rich.mov']) {
      const { reader } = await open(name);
      await using _ = reader;
      const { tracks, chapters } = reader.info;
      assert.deepEqual(
        tracks.map(({ type }) => type),
        ['video', 'audio', 'subtitle'],
        name,
      );
      assert.deepEqual(chapters, [
        { startTime: 0, endTime: 2, title: 'One' },
        { startTime: 2, endTime: reader.info.duration, title: 'Zwei Ä' },
      ]);
      // FFmpeg 5.1 writes `rotate=90` as a quarter turn counterclockwise, and ffprobe says so.
      assert.equal(tracks[0]!.video!.rotation, name === 'rich.mov' ? 270 : 0);
      assert.equal(tracks[1]!.language, 'fra');
      assert.equal(tracks[1]!.title, 'Commentary');
      assert.equal(tracks[2]!.language, 'ita');
      assert.equal(tracks[2]!.codec, 'mov_text');
      const text = await readAll(reader, tracks[2]!.id, cutsOf(reader.keyframes!));
      assert.ok(text.some(({ pts }) => Math.abs(pts - 1) < 0.001));
    }
  });
});

test('a second video track follows the cuts of the first', async () => {
  const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-threads', '1', '-bf', '2'];
  const maps = ['-map', '0:v', '-map', '1:v', '-c:v:0', 'copy', ...x264.slice(2), '-c:v:1', 'libx264', '-g:v:1', '17'];
  await ffmpeg('-i', path('end.mp4'), '-i', path('vfr.mp4'), ...maps, path('two-video.mp4'));
  const { reader } = await open('two-video.mp4');
  await using _ = reader;
  const probed = await probePackets(path('two-video.mp4'));
  const cuts = cutsOf(reader.keyframes!);
  for (const [i, track] of reader.info.tracks.entries()) {
    assertSame(await readAll(reader, track.id, cuts), probed.get(i)!, `video ${i}`);
  }
});

test('on a grid every packet comes exactly once too', async () => {
  for (const name of ['end.mp4', 'vfr.mp4', 'hevc.mp4']) {
    for (const length of [0.3, 2]) {
      const { reader } = await open(name);
      await using _ = reader;
      const probed = await probePackets(path(name));
      const cuts = gridOf(reader.info.startTime, reader.info.duration, length);
      for (const [i, track] of reader.info.tracks.entries()) {
        assertSame(await readAll(reader, track.id, cuts), probed.get(i)!, `${name} ${track.type} by ${length} s`);
      }
    }
  }
});

test('an encrypted track says that it is', async () => {
  const bytes = Buffer.from(await readFile(path('end.mp4')));
  bytes.write('encv', bytes.indexOf('avc1', bytes.indexOf('stsd')), 'latin1');
  await using reader = await openIsobmff(new MemorySource(bytes), signal);
  const [video, audio] = reader.info.tracks;
  assert.match(video!.notCopied!, /encrypted/);
  assert.equal(audio!.config?.codec, 'aac');
});

describe('reads', () => {
  test('over a network: two to open, one range for all tracks of a cut', async () => {
    const { reader, source } = await open('end.mp4', 'remote');
    await using _ = reader;
    assert.ok(source.reads.length <= 2, `${source.reads.length} reads to open`);
    const cut = cutsOf(reader.keyframes!)[2]!;
    source.reads.length = 0;
    for (const track of reader.info.tracks) (await reader.read(track.id, cut, signal))[Symbol.dispose]();
    assert.equal(new Set(source.reads.map(({ offset, length }) => `${offset}+${length}`)).size, 1);
  });

  test('an aborted signal ends a read with its reason', async () => {
    const { reader } = await open('end.mp4');
    await using _ = reader;
    const reason = new Error('left');
    const cut = cutsOf(reader.keyframes!)[0]!;
    await assert.rejects(reader.read(reader.info.tracks[0]!.id, cut, AbortSignal.abort(reason)), reason);
  });
});

async function assertDamaged(bytes: Uint8Array, words: RegExp): Promise<void> {
  await assert.rejects(openIsobmff(new MemorySource(bytes), signal), (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, 'media-damaged');
    assert.match(error.detail, words);
    assert.match(error.detail, /test file/);
    return true;
  });
}

async function lengthOf(reader: MediaReader): Promise<{ video: number; duration: number }> {
  const video = await readAll(reader, reader.info.videoTrackId!, cutsOf(reader.keyframes!));
  return { video: video.length, duration: reader.info.duration };
}

describe('damaged files', () => {
  test('a recording that ends before its index', async () => {
    const bytes = await readFile(path('end.mp4'));
    await assertDamaged(
      bytes.subarray(0, bytes.length >> 1),
      /ends before its index \(moov\): the recording or download is incomplete/,
    );
    await assertDamaged(bytes.subarray(0, bytes.length - 100), /ends within its index/);
  });

  test('a download that stopped plays as far as it goes', async () => {
    const bytes = await readFile(path('faststart.mp4'));
    await using reader = await openIsobmff(new MemorySource(bytes.subarray(0, bytes.length >> 1)), signal);
    const { video, duration } = await lengthOf(reader);
    assert.ok(video > 24 && video < 120, `${video} frames`);
    assert.ok(duration > 1 && duration < 5, `${duration} s`);
    await assertDamaged(bytes.subarray(0, bytes.indexOf('mdat') + 20), /ends before its video and audio/);
  });
});

test('isIsobmff tells MP4 from other files', async () => {
  assert.equal(isIsobmff((await readFile(path('end.mp4'))).subarray(0, 64)), true);
  assert.equal(isIsobmff(Buffer.from('\x1a\x45\xdf\xa3 not an mp4 file at all')), false);
  assert.equal(isIsobmff(Buffer.from('free beer for everyone in this text')), false);
  assert.equal(isIsobmff(Buffer.alloc(64)), false);
  assert.equal(isIsobmff(Buffer.alloc(0)), false);
});
