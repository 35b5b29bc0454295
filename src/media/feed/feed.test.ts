import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { gridCuts, MediaMaker, memorySource, readAll, testTone, testVideo } from '../library/testing.ts';
import { codecIdOf, mapCodec } from '../matroska/codec-id.ts';
import { openMedia } from '../open.ts';
import type { Cut, MediaReader, Packet, Track } from '../types.ts';
import { canFeed, feedCluster, feedHeader } from './feed.ts';

const maker = new MediaMaker();
after(() => maker[Symbol.dispose]());
const signal = new AbortController().signal;

interface Frame {
  /** Seconds. */
  readonly time: number;
  readonly hash: string;
}

/** The frames that FFmpeg decodes, in the order in which they are shown. */
function decode(args: readonly string[], input?: Uint8Array): Frame[] {
  const run = spawnSync('ffmpeg', ['-v', 'error', '-copyts', ...args, '-f', 'framemd5', '-'], {
    ...(input && { input }),
    maxBuffer: 1 << 28,
    encoding: 'utf8',
  });
  let unit = 1;
  const frames: Frame[] = [];
  for (const line of run.stdout.split('\n')) {
    const base = /^#tb 0: (\d+)\/(\d+)/.exec(line);
    if (base) unit = Number(base[1]) / Number(base[2]);
    if (line === '' || line.startsWith('#')) continue;
    const fields = line.split(',').map((field) => field.trim());
    frames.push({ time: Number(fields[2]) * unit, hash: fields[5] as string });
  }
  assert.ok(frames.length > 0, run.stderr);
  return frames;
}

const LEAD = 1;
const ON_STDIN = [
  '-itsoffset',
  `-${LEAD}`,
  '-probesize',
  '32',
  '-analyzeduration',
  '0',
  '-f',
  'matroska',
  '-i',
  'pipe:0',
];
const VIDEO_OUT = ['-fps_mode', 'passthrough', '-enc_time_base', '1:100000'];

function decodeFeed(track: Track, packets: readonly Packet[]): Frame[] {
  // In two goes, as a run gets them.
  const half = packets.length >> 1;
  const parts = [packets.slice(0, half), packets.slice(half)].map((some) => feedCluster(some, -LEAD));
  return decode(
    [...ON_STDIN, ...(track.type === 'video' ? VIDEO_OUT : [])],
    Buffer.concat([feedHeader(track), ...parts]),
  );
}

async function open(name: string): Promise<MediaReader> {
  return await openMedia(memorySource(maker.bytes(name)), signal);
}

function whole({ keyframes }: MediaReader): Cut {
  const range = keyframes && { fromKey: 0, toKey: keyframes.times.length };
  return { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY, ...range };
}

/** Frames of `got` that are the same as those of `wanted`, counted from the end, and the largest difference of their times. */
function compare(got: readonly Frame[], wanted: readonly Frame[]): { same: number; difference: number } {
  let same = 0;
  let difference = 0;
  for (const [i, frame] of got.toReversed().entries()) {
    const other = wanted.at(-1 - i);
    if (other?.hash !== frame.hash) continue;
    same += 1;
    difference = Math.max(difference, Math.abs(other.time - frame.time));
  }
  return { same, difference };
}

const experimental = ['-strict', '-2'];
const AUDIO: readonly (readonly [name: string, ...args: string[]])[] = [
  ['dts.mkv', '-c:a', 'dca', ...experimental],
  ['dts.mp4', '-c:a', 'dca', ...experimental],
  ['truehd.mkv', '-c:a', 'truehd', ...experimental],
  ['truehd.mp4', '-c:a', 'truehd', ...experimental],
  ['vorbis.mkv', '-c:a', 'libvorbis'],
  ['vorbis.ogg', '-c:a', 'libvorbis'],
  ['s16.mkv', '-c:a', 'pcm_s16le'],
  ['s24.mkv', '-c:a', 'pcm_s24le'],
  ['f32.mkv', '-c:a', 'pcm_f32le'],
  ['s16be.mkv', '-c:a', 'pcm_s16be'],
  ['u8.mkv', '-c:a', 'pcm_u8'],
  ['alaw.mkv', '-c:a', 'pcm_alaw'],
  ['s16.mov', '-c:a', 'pcm_s16le'],
  ['s24.mov', '-c:a', 'pcm_s24le'],
  ['f32.mov', '-c:a', 'pcm_f32le'],
  ['f32be.mov', '-c:a', 'pcm_f32be'],
  ['s16be.mov', '-c:a', 'pcm_s16be'],
  ['s8.mov', '-c:a', 'pcm_s8'],
  ['mulaw.mov', '-c:a', 'pcm_mulaw'],
  ['ima.mov', '-c:a', 'adpcm_ima_qt'],
  ['alaw.wav', '-c:a', 'pcm_alaw'],
  ['adpcm.mkv', '-c:a', 'adpcm_ms'],
  ['wma.mkv', '-c:a', 'wmav2'],
  ['wavpack.mkv', '-c:a', 'wavpack'],
  ['mp2.mkv', '-c:a', 'mp2'],
  ['mp2.ts', '-c:a', 'mp2'],
  ['alac.mkv', '-c:a', 'alac'],
  ['alac.mp4', '-c:a', 'alac'],
  ['ac3.mkv', '-c:a', 'ac3'],
  ['ac3.mp4', '-c:a', 'ac3'],
  ['ac3.ts', '-c:a', 'ac3'],
  ['eac3.mkv', '-c:a', 'eac3'],
  ['eac3.mp4', '-c:a', 'eac3'],
  ['aac.mkv', '-c:a', 'aac'],
  ['aac.mp4', '-c:a', 'aac'],
  ['aac.ts', '-c:a', 'aac'],
  ['opus.mkv', '-c:a', 'libopus'],
  ['opus.mp4', '-c:a', 'libopus'],
  ['opus.ogg', '-c:a', 'libopus'],
  ['flac.mkv', '-c:a', 'flac'],
  ['flac.mp4', '-c:a', 'flac', ...experimental],
  ['mp3.mkv', '-c:a', 'libmp3lame'],
  ['mp3.mp4', '-c:a', 'libmp3lame'],
  ['mp3.ts', '-c:a', 'libmp3lame'],
];

for (const [name, ...args] of AUDIO) {
  test(`audio: FFmpeg decodes ${name} as it does the file`, async () => {
    const path = maker.make(name, ...testTone(1.5), '-ac', '2', ...args);
    await using reader = await open(name);
    const track = reader.info.tracks[0] as Track;
    assert.ok(canFeed(track));
    const fed = decodeFeed(track, await readAll(reader, track.id, [whole(reader)]));
    const direct = decode(['-i', path]);
    const { same, difference } = compare(fed, direct);
    // Of the first and the last frame the container may cut off a part.
    assert.ok(
      same >= direct.length - 2 && fed.length >= direct.length,
      `${same} of ${direct.length}, fed ${fed.length}`,
    );
    // Matroska has milliseconds, which FFmpeg and our reader smooth each in their way.
    assert.ok(difference <= (name.endsWith('.mkv') ? 0.001 : 0.000_03), `${difference} s`);
  });
}

const VIDEO: readonly (readonly [name: string, ...args: string[]])[] = [
  ['mpeg2.ts', '-c:v', 'mpeg2video', '-bf', '2'],
  ['mpeg2.mkv', '-c:v', 'mpeg2video', '-bf', '2'],
  ['mpeg1.mkv', '-c:v', 'mpeg1video'],
  ['mpeg4.mkv', '-c:v', 'mpeg4', '-bf', '2'],
  ['mpeg4.mp4', '-c:v', 'mpeg4', '-bf', '2'],
  ['vp8.mkv', '-c:v', 'libvpx', '-g', '25', '-b:v', '300k', '-deadline', 'realtime'],
  ['vp9.mkv', '-c:v', 'libvpx-vp9', '-g', '25', '-b:v', '300k', '-deadline', 'realtime'],
  ['theora.mkv', '-c:v', 'libtheora', '-g', '25'],
  ['wmv2.mkv', '-c:v', 'wmv2'],
  ['h264.mkv', '-c:v', 'libx264', '-preset', 'fast', '-bf', '3', '-g', '25'],
  ['h264.mp4', '-c:v', 'libx264', '-preset', 'fast', '-bf', '3', '-g', '25'],
  ['h264.ts', '-c:v', 'libx264', '-preset', 'fast', '-bf', '3', '-g', '25'],
  ['slow.mkv', '-c:v', 'libx264', '-preset', 'fast', '-bf', '3', '-g', '4', '-r', '2'],
  ['hevc.mkv', '-c:v', 'libx265', '-preset', 'ultrafast', '-g', '25', '-x265-params', 'log-level=none:pools=1'],
  ['hevc.mp4', '-c:v', 'libx265', '-preset', 'ultrafast', '-g', '25', '-x265-params', 'log-level=none:pools=1'],
  ['av1.mkv', '-c:v', 'libsvtav1', '-preset', '12', '-g', '25'],
  ['mjpeg.mov', '-c:v', 'mjpeg'],
  ['prores.mov', '-c:v', 'prores'],
  ['svq1.mov', '-c:v', 'svq1'],
];

for (const [name, ...args] of VIDEO) {
  test(`video: FFmpeg decodes ${name} as it does the file, from the start and from the middle`, async () => {
    const path = maker.make(name, ...testVideo(3), ...args);
    await using reader = await open(name);
    const track = reader.info.tracks[0] as Track;
    assert.ok(canFeed(track));
    assert.deepEqual([track.video?.width, track.video?.height], [320, 180]);
    const direct = decode(['-i', path, '-fps_mode', 'passthrough']);
    const packets = await readAll(reader, track.id, [whole(reader)]);
    const fed = compare(decodeFeed(track, packets), direct);
    assert.equal(fed.same, direct.length);
    assert.ok(fed.difference < 0.000_011, `${fed.difference} s`);
    const key = packets.findIndex((packet, i) => packet.key && i >= packets.length / 3);
    const rest = packets.slice(key);
    const later = compare(decodeFeed(track, rest), direct);
    // Leading pictures of an open group lack what they refer to.
    assert.ok(later.same >= rest.length - 4 && later.same > direct.length / 4, `${later.same} of ${rest.length}`);
    assert.ok(later.difference < 0.000_011, `${later.difference} s`);
  });
}

test('a file is fed cut by cut as it is whole', async () => {
  maker.make('cuts.mkv', ...testTone(4), '-c:a', 'dca', ...experimental);
  await using reader = await open('cuts.mkv');
  const track = reader.info.tracks[0] as Track;
  const packets = await readAll(reader, track.id, gridCuts(reader, 1));
  assert.equal(decodeFeed(track, packets).length, packets.length);
});

const packet = (pts: number, key = true): Packet => ({ data: Uint8Array.of(1, 2, 3), pts, duration: 0, key });

test('clusters: absolute 10 us ticks, decode order, key flags, relative times of 16 bits', () => {
  const bytes = Buffer.from(feedCluster([packet(10.5), packet(10.62, false), packet(10.54, false), packet(11)], 10));
  const first = ['1f43b675', 'b0', 'e7', '82', 'c350']; // Cluster, its size, Timestamp 50,000
  const block = (relative: string, flags: string): string => `a38781${relative}${flags}010203`;
  const blocks = [block('0000', '80'), block('2ee0', '00'), block('0fa0', '00')];
  const size = (4 + 3 * 9 + 0x80).toString(16);
  const second = `1f43b675${(5 + 9 + 0x80).toString(16)}e7830186a0${block('0000', '80')}`;
  assert.equal(bytes.toString('hex'), [first[0], size, 'e782c350', ...blocks, second].join(''));
  assert.equal(feedCluster([], 0).length, 0);
});

test('times before the start become the start', () => {
  const bytes = Buffer.from(feedCluster([packet(-0.02), packet(0)], 0)).toString('hex');
  assert.match(bytes, /^1f43b675..e78100a387810000.*a387810000/);
});

test('what cannot be decoded is not fed', async () => {
  const base = { id: 1, type: 'audio' as const, index: 0, isDefault: true, isForced: false };
  const audio = { sampleRate: 48_000, channels: 2 };
  assert.ok(canFeed({ ...base, codec: 'dts', audio }));
  assert.ok(!canFeed({ ...base, codec: 'dts', audio, unreadable: true }));
  assert.ok(!canFeed({ ...base, codec: 'vorbis', audio }), 'without its headers');
  assert.ok(!canFeed({ ...base, codec: 'pcm_bluray', audio }));
  assert.ok(!canFeed({ ...base, codec: 'unknown', audio, matroska: { codecId: 'A_NOBODY/KNOWS' } }));
  assert.throws(() => feedHeader({ ...base, codec: 'unknown' }), /canFeed/);
  maker.make('theora.ogv', ...testVideo(1), '-c:v', 'libtheora');
  await using reader = await open('theora.ogv').catch(() => undefined as never);
  for (const track of reader?.info.tracks ?? []) assert.ok(!canFeed(track), 'its packets are not read');
});

test('DTS and MPEG audio in Matroska are fed without the jitter of its milliseconds', async () => {
  for (const codec of ['dca', 'mp2']) {
    maker.make(`grid-${codec}.mkv`, ...testTone(1, 44_100), '-ac', '2', '-c:a', codec, ...experimental);
    await using reader = await open(`grid-${codec}.mkv`);
    const packets = await readAll(reader, 1, [whole(reader)]);
    const step = (codec === 'dca' ? 512 : 1152) / 44_100;
    assert.ok(packets.length > 30);
    for (const [i, { pts }] of packets.entries()) {
      assert.ok(Math.abs(pts - (packets[0] as Packet).pts - i * step) < 1e-9, `${codec} packet ${i} at ${pts}`);
    }
  }
});

test('codec ids go both ways', () => {
  const names = ['h264', 'hevc', 'av1', 'aac', 'dts', 'eac3', 'mp2', 'mpeg4', 'vorbis', 'truehd', 'theora'];
  for (const name of [...names, 'pcm_s16le', 'pcm_s24be', 'pcm_s32le', 'pcm_u8', 'pcm_f32le', 'pcm_f64le']) {
    const id = codecIdOf(name);
    assert.equal(id && mapCodec(id.codecId, undefined, id.bitDepth ?? 0).codec, name);
  }
  assert.equal(codecIdOf('pcm_mulaw')?.formatTag, 7);
  assert.equal(codecIdOf('pcm_f32be'), undefined);
  assert.equal(codecIdOf('nonsense'), undefined);
});
