import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { segmentDurations } from '../fixtures/boxes.ts';
import {
  beepFrequency,
  frameCount,
  frameRate,
  frameTime,
  type NumberedMediaOptions,
  numberedMedia,
  runFFmpeg,
} from '../fixtures/media.ts';
import { decodeAudio, decodeVideo } from '../fixtures/verify.ts';
import {
  type FetchedPresentation,
  type FetchedRendition,
  fetchPresentation,
  type Info,
  startTestServer,
  type TestServer,
} from './harness.ts';

/** Audio may be this far from the picture, seconds (the limit). */
const AUDIO_TOLERANCE = 0.025;

const CASES: Record<string, NumberedMediaOptions & { readonly grid?: boolean }> = {
  'H.264 with B-frames and AAC in Matroska': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 32,
    gop: 48,
    fps: 24,
  },
  'H.264 with B-frames and AAC in MP4': {
    container: 'mp4',
    video: 'h264',
    audio: ['aac'],
    seconds: 32,
    gop: 48,
    fps: 24,
  },
  'H.264 at 23.976 fps in Matroska': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 20,
    fps: '24000/1001',
  },
  'H.264 at 23.976 fps in MP4': { container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20, fps: '24000/1001' },
  'H.264 with open groups of pictures in Matroska': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 20,
    openGop: true,
  },
  'fragmented MP4': {
    container: 'mp4',
    video: 'h264',
    audio: ['aac'],
    seconds: 20,
    extraArgs: ['-movflags', '+frag_keyframe+delay_moov'],
  },
  'HEVC in Matroska': { container: 'mkv', video: 'hevc', audio: ['aac'], seconds: 20 },
  'HEVC in MP4': { container: 'mp4', video: 'hevc', audio: ['aac'], seconds: 20 },
  'HEVC with open groups of pictures in Matroska': {
    container: 'mkv',
    video: 'hevc',
    audio: ['aac'],
    seconds: 20,
    openGop: true,
  },
  'HEVC with open groups of pictures in MP4': {
    container: 'mp4',
    video: 'hevc',
    audio: ['aac'],
    seconds: 20,
    openGop: true,
  },
  'AV1 and Opus in MP4': { container: 'mp4', video: 'av1', audio: ['opus'], seconds: 14 },
  'AV1 and Opus in Matroska': { container: 'mkv', video: 'av1', audio: ['opus'], seconds: 14 },
  'VP9 and Opus in WebM': { container: 'webm', video: 'vp9', audio: ['opus'], seconds: 14 },
  'VP9 and AAC in MP4': { container: 'mp4', video: 'vp9', audio: ['aac'], seconds: 14 },
  'variable frame rate in Matroska': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20, vfr: true },
  'variable frame rate in MP4': { container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20, vfr: true },
  'start time 5 s in Matroska': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20, startTime: 5 },
  'start time 5 s in MP4': { container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20, startTime: 5 },
  'AC-3 in Matroska': { container: 'mkv', video: 'h264', audio: ['ac3'], seconds: 20 },
  'E-AC-3 in MP4': { container: 'mp4', video: 'h264', audio: ['eac3'], seconds: 20 },
  'FLAC in Matroska': { container: 'mkv', video: 'h264', audio: ['flac'], seconds: 14 },
  'AAC at 44.1 kHz in Matroska': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20, sampleRate: 44_100 },
  'two audio tracks in Matroska': { container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 20 },
  'two audio tracks in MP4': { container: 'mp4', video: 'h264', audio: ['aac', 'ac3'], seconds: 20 },
  'MPEG-TS, without an index': { container: 'ts', video: 'h264', audio: ['aac'], seconds: 20 },
  'HEVC in MPEG-TS': { container: 'ts', video: 'hevc', audio: ['aac'], seconds: 14 },
  'Matroska without Cues': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20, extraArgs: ['-live', '1'] },
  'groups of pictures of 12 s': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 30, gop: 300 },
};

describe('every frame exactly once, audio in step, whoever asks and in whatever order', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ PATH: '/nonexistent' }); // FFmpeg takes no part
  });
  after(() => server[Symbol.asyncDispose]());

  for (const [name, options] of Object.entries(CASES)) {
    test(name, async () => {
      const source = await numberedMedia(options);
      const id = await server.create({ source });
      const { body: info } = await server.json<Info>(`/sessions/${id}`);
      assert.equal(info.error, undefined);
      const got = await fetchPresentation(server, id, 7);
      assert.ok(got.video);
      assert.equal(got.audio.length, options.audio?.length ?? 0);
      const offset = await checkFrames(got.video, options);
      for (const [index, audio] of got.audio.entries()) await checkAudio(audio, options, index, offset);
      for (const rendition of [got.video, ...got.audio]) checkTiming(rendition, 1 / frameRate(options));
      const other = await server.create({ source });
      assertSameBytes(await fetchPresentation(server, other, 99), got);
    });
  }
});

test('MP3 is packed audio: every frame once, each segment stamped with its time', async () => {
  await using server = await startTestServer({ PATH: '/nonexistent' });
  const source = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['mp3'], seconds: 20 });
  const { audio } = await fetchPresentation(server, await server.create({ source }), 7);
  const segments = (audio[0] as FetchedRendition).segments.map(unpack);
  const frames = await framesOf(source);
  assert.ok(segments.length > 2);
  assert.ok(Buffer.concat(segments.map(({ data }) => data)).equals(frames));
  const kilobits = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
  const frameBytes = 3 * (kilobits[((frames[2] as number) >> 4) - 1] as number); // 144 * bit rate / 48 kHz
  let time = (segments[0] as { time: number }).time;
  for (const { time: stamped, data } of segments) {
    assert.ok(Math.abs(stamped - time) < 0.002, `${stamped} instead of ${time}`);
    time += Math.round(data.length / frameBytes) * (1152 / 48_000);
  }
});

test('players built on FFmpeg see the same times, B-frames or not', async () => {
  await using server = await startTestServer();
  const folder = mkdtempSync(join(tmpdir(), 'raffi-times-'));
  try {
    for (const options of [
      { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 14 },
      { container: 'mp4', video: 'hevc', audio: ['aac'], seconds: 14, openGop: true },
    ] as const) {
      const { video } = await fetchPresentation(server, await server.create({ source: await numberedMedia(options) }));
      assert.ok(video);
      for (const [n, segment] of video.segments.entries()) {
        const path = join(folder, `${n}.mp4`);
        writeFileSync(path, Buffer.concat([video.init, segment]));
        const args = ['-v', 'error', '-show_entries', 'packet=pts_time', '-of', 'csv=p=0', path];
        const times = execFileSync('ffprobe', args, { encoding: 'utf8' }).trim().split('\n').map(Number.parseFloat);
        const { lowestPts, baseTime } = segmentDurations(video.init, segment);
        assert.ok(
          Math.abs(Math.min(...times) - baseTime) < 0.001,
          `segment ${n}: ${Math.min(...times)} s, tfdt ${baseTime} s`,
        );
        assert.ok(Math.abs(lowestPts - baseTime) < 0.001);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The time in the ID3 tag of a packed audio segment, seconds, and what follows the tag. */
function unpack(segment: Uint8Array): { time: number; data: Buffer } {
  const bytes = Buffer.from(segment);
  assert.equal(bytes.toString('latin1', 0, 3), 'ID3');
  const end = 10 + bytes.readUInt32BE(6);
  assert.match(bytes.toString('latin1', 10, end), /^PRIV.{6}com\.apple\.streaming\.transportStreamTimestamp\0/s);
  return { time: Number(bytes.readBigUInt64BE(end - 8)) / 90_000, data: bytes.subarray(end) };
}

/** The MP3 frames of a file, as FFmpeg finds them. */
async function framesOf(path: string): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-mp3-'));
  try {
    const out = join(folder, 'out.mp3');
    await runFFmpeg(['-i', path, '-map', '0:a:0', '-c', 'copy', '-write_xing', '0', '-id3v2_version', '0', out]);
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every number once and at its time; answers where frame 0 lies on the presentation's clock. */
async function checkFrames(video: FetchedRendition, options: NumberedMediaOptions): Promise<number> {
  const frames = await decodeVideo(video.init, video.segments);
  const count = frameCount(options);
  assert.deepEqual(
    frames.map((frame) => frame.number),
    Array.from({ length: count }, (_, n) => n),
  );
  const offset = (frames[0] as { pts: number }).pts;
  assert.ok(offset >= 0 && offset < 0.1, `the first frame is at ${offset} s`);
  for (const { number, pts } of frames) {
    const expected = offset + frameTime(number as number, options);
    assert.ok(Math.abs(pts - expected) < 0.002, `frame ${number} is at ${pts} s instead of ${expected} s`);
  }
  return offset;
}

/** A beep at each whole second of the pictures' clock, without gaps. */
async function checkAudio(
  audio: FetchedRendition,
  options: NumberedMediaOptions,
  index: number,
  offset: number,
): Promise<void> {
  const { beeps, jumps } = await decodeAudio(audio.init, audio.segments);
  assert.deepEqual(jumps, []);
  const seconds = options.seconds ?? 10;
  // The first beep begins with the file, where a codec's first packet may still be fading in.
  const heard = beeps.filter(({ time }) => time - offset > 0.5);
  assert.equal(heard.length, seconds - 1, `beeps at ${beeps.map(({ time }) => time.toFixed(3))}`);
  for (const [n, { time, frequency }] of heard.entries()) {
    const expected = n + 1 + offset;
    assert.ok(
      Math.abs(time - expected) <= AUDIO_TOLERANCE,
      `the beep of second ${n + 1} is heard at ${time} s, its frame shown at ${expected} s`,
    );
    assert.ok(Math.abs(frequency - beepFrequency(index)) < 50, `track ${index} beeps at ${frequency} Hz`);
  }
}

/** RFC 8216: EXTINF tells the real duration within one frame; nothing overlaps, nothing is missing. */
function checkTiming({ playlist, init, segments }: FetchedRendition, frame: number): void {
  let end: number | undefined;
  let total = 0;
  for (const [n, bytes] of segments.entries()) {
    const { baseTime: start, durationSeconds: duration, sampleCount } = segmentDurations(init, bytes);
    const declared = (playlist.segments[n] as { duration: number }).duration;
    const tolerance = Math.max(frame, duration / sampleCount) + 0.001;
    assert.ok(
      Math.abs(duration - declared) <= tolerance,
      `segment ${n} lasts ${duration} s, EXTINF says ${declared} s`,
    );
    if (end !== undefined)
      assert.ok(Math.abs(start - end) < 0.0015, `segment ${n} starts at ${start} s, the one before ends at ${end} s`);
    end = start + duration;
    total += declared;
    assert.ok(Math.abs(start + declared - total) <= tolerance + 0.03, `segment ${n} drifts from the playlist`);
  }
}

function assertSameBytes(a: FetchedPresentation, b: FetchedPresentation): void {
  const all = ({ video, audio }: FetchedPresentation): Uint8Array[] =>
    [...(video ? [video] : []), ...audio].flatMap(({ init, segments }) => [init, ...segments]);
  const [first, second] = [all(a), all(b)];
  assert.equal(first.length, second.length);
  for (const [n, bytes] of first.entries())
    assert.ok(Buffer.from(bytes).equals(second[n] as Uint8Array), `part ${n} differs`);
}
