import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { segmentDurations } from '../fixtures/boxes.ts';
import {
  frameCount,
  frameRate,
  frameTime,
  type NumberedMediaOptions,
  numberedMedia,
  plainMedia,
} from '../fixtures/media.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { decodeAudio, decodeVideo } from '../fixtures/verify.ts';
import { type FetchedRendition, fetchRendition, type Info, startTestServer, type TestServer } from './harness.ts';

/** Audio of another run may be this far from the picture, seconds (the limit). */
const AUDIO_TOLERANCE = 0.045;

const VIDEO: Record<string, NumberedMediaOptions> = {
  'H.264 in Matroska': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 14, gop: 48, fps: 24 },
  'H.264 with open groups of pictures in MP4': {
    container: 'mp4',
    video: 'h264',
    audio: ['aac'],
    seconds: 14,
    openGop: true,
  },
  'HEVC in MP4': { container: 'mp4', video: 'hevc', audio: ['aac'], seconds: 14, openGop: true },
  'VP9 in WebM': { container: 'webm', video: 'vp9', audio: ['opus'], seconds: 14 },
  'variable frame rate': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 14, vfr: true },
  'start time 5 s': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 14, startTime: 5 },
  'MPEG-TS': { container: 'ts', video: 'h264', audio: ['aac'], seconds: 14 },
  'MPEG-2 video in MPEG-TS': { container: 'ts', video: 'mpeg2video', audio: ['aac'], seconds: 14 },
  'MPEG-4 video in Matroska': { container: 'mkv', video: 'mpeg4', audio: ['mp3'], seconds: 14 },
};

describe('transcoded renditions join seamlessly, in any order', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const opened = async (options: NumberedMediaOptions): Promise<string> => {
    const id = await server.create({ source: await numberedMedia(options) });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.error, undefined);
    return id;
  };

  for (const [name, options] of Object.entries(VIDEO)) {
    test(`${name}: every frame once, whichever runs make the segments`, async () => {
      const id = await opened(options);
      const variant = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 11);
      checkFrames(await decodeVideo(variant.init, variant.segments), options);
      checkJoins(variant, 1 / frameRate(options));
    });
  }

  test('switching between the original and a variant at every segment shows every frame once', async () => {
    const options = VIDEO['H.264 in Matroska'] as NumberedMediaOptions;
    const id = await opened(options);
    const original = await fetchRendition(server, `/sessions/${id}/original/playlist.m3u8`, 3);
    const variant = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 5);
    const times = ({ segments, init }: FetchedRendition) =>
      segments.map((segment) => segmentDurations(init, segment).baseTime);
    const boundaries = [...times(original), Number.POSITIVE_INFINITY];
    const fromOriginal = original.segments.filter((_, n) => n % 2 === 0);
    const fromVariant = variant.segments.filter((_, n) => {
      const at = (times(variant)[n] as number) + 0.001;
      return boundaries.findIndex((end) => end > at) % 2 === 0; // in an odd segment of the original
    });
    const frames = [
      ...(await decodeVideo(original.init, fromOriginal)),
      ...(await decodeVideo(variant.init, fromVariant)),
    ];
    checkFrames(
      frames.sort((a, b) => a.pts - b.pts),
      options,
    );
  });

  for (const codec of ['vorbis', 'dts', 'ac3', 'mp3', 'opus'] as const) {
    test(`${codec} as AAC: in step, without a gap or a click, whichever runs make the segments`, async () => {
      const options: NumberedMediaOptions = { container: 'mkv', video: 'h264', audio: [codec], seconds: 14 };
      const id = await opened(options);
      const { body: info } = await server.json<Info>(`/sessions/${id}`);
      const sound = info.availableStreams?.find(({ type }) => type === 'audio');
      assert.equal(sound?.delivery, ['vorbis', 'dts'].includes(codec) ? 'transcoded' : 'copied');
      const video = await fetchRendition(server, `/sessions/${id}/original/playlist.m3u8`);
      const offset = (await decodeVideo(video.init, video.segments))[0]?.pts as number;
      const audio = await fetchRendition(server, `/sessions/${id}/audio-0-aac/playlist.m3u8`, 17);
      const { beeps, jumps } = await decodeAudio(audio.init, audio.segments);
      assert.deepEqual(jumps, []);
      const heard = beeps.filter(({ time }) => time - offset > 0.5);
      assert.equal(heard.length, 13, `beeps at ${beeps.map(({ time }) => time.toFixed(3))}`);
      for (const [n, { time }] of heard.entries()) {
        assert.ok(
          Math.abs(time - (n + 1 + offset)) <= AUDIO_TOLERANCE,
          `the beep of second ${n + 1} is at ${time - offset} s`,
        );
      }
      checkJoins(audio, 1024 / 48_000);
    });
  }

  test('sound of another sampling rate is in step wherever a run begins', async () => {
    const source = await numberedMedia({ container: 'ogg', audio: ['vorbis'], seconds: 14, sampleRate: 44_100 });
    const id = await server.create({ source });
    const at = `/sessions/${id}/audio-0-aac`;
    const { length } = checkMediaPlaylist(await server.text(`${at}/playlist.m3u8`)).segments;
    // From the last one on, so that each has a run of its own.
    const segments: Uint8Array[] = [];
    for (let n = length - 1; n >= 0; n--) segments.unshift(await server.bytes(`${at}/${n}.m4s`));
    const { beeps, jumps } = await decodeAudio(await server.bytes(`${at}/init.mp4`), segments);
    assert.deepEqual(jumps, []);
    assert.deepEqual(
      beeps.map(({ time }) => time.toFixed(1)),
      Array.from({ length: 14 }, (_, n) => n.toFixed(1)),
    );
  });

  for (const codec of ['mp3', 'ac3'] as const) {
    test(`${codec} in MP4, whose edit list cuts priming off, is at the same time in a run from the beginning as in others`, async () => {
      const source = await numberedMedia({ container: 'mp4', video: 'h264', audio: [codec], seconds: 8 });
      const heard = async (last: number): Promise<number[]> => {
        const id = await server.create({ source });
        const at = `/sessions/${id}/audio-0-aac`;
        // Every segment from the run that starts at the first one, or each from one of its own.
        const segments: Uint8Array[] = [];
        for (let n = 0; n <= last; n++) segments[n] = await server.bytes(`${at}/${n}.m4s`);
        for (let n = 3; n > last; n--) segments[n] = await server.bytes(`${at}/${n}.m4s`);
        const { beeps } = await decodeAudio(await server.bytes(`${at}/init.mp4`), segments);
        await server.get(`/sessions/${id}`, { method: 'DELETE' });
        return beeps.map(({ time }) => time).filter((time) => time > 2.5);
      };
      const [along, apart] = [await heard(3), await heard(-1)];
      assert.equal(along.length, 5);
      for (const [n, time] of along.entries()) assert.ok(Math.abs(time - (apart[n] ?? 0)) < 0.003, `${along} ${apart}`);
    });
  }

  test('an edit list that begins within a group of pictures: what it cuts off is not shown, the rest once', async () => {
    const whole = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 8, gop: 100 });
    const source = await plainMedia('cut.mp4', ['-ss', '1.31', '-i', whole, '-c', 'copy']);
    const id = await server.create({ source });
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 3);
    const frames = await decodeVideo(init, segments);
    const numbers = frames.map(({ number }) => number);
    // What is cut off ends in frame 32.
    assert.deepEqual(
      numbers,
      Array.from({ length: 200 - 32 }, (_, n) => n + 32),
    );
    const [first, second] = frames.map(({ pts }) => pts) as [number, number];
    assert.ok(first >= 0 && second > 0 && second <= 0.04, `${first}, ${second}`);
    for (const [n, { pts }] of frames.slice(1).entries())
      assert.ok(Math.abs(pts - (second + n / 25)) < 0.002, `frame ${n + 33} is at ${pts} s`);
  });

  test('the ladder is offered, capped by quality, the original first', async () => {
    const source = await numberedMedia(VIDEO['H.264 in Matroska'] as NumberedMediaOptions);
    const offered = async (quality: string): Promise<string[]> => {
      const id = await server.create({ source, quality });
      return checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`)).variants.map(
        ({ uri }) => uri.split('/')[0] as string,
      );
    };
    assert.deepEqual(await offered('auto'), ['original', '360p']);
    assert.deepEqual(await offered('original'), ['original']);
    assert.deepEqual(await offered('360p'), ['original', '360p']);
  });
});

function checkFrames(
  frames: readonly { number: number | undefined; pts: number }[],
  options: NumberedMediaOptions,
): void {
  assert.deepEqual(
    frames.map(({ number }) => number),
    Array.from({ length: frameCount(options) }, (_, n) => n),
  );
  const offset = (frames[0] as { pts: number }).pts;
  for (const { number, pts } of frames) {
    const expected = offset + frameTime(number as number, options);
    assert.ok(Math.abs(pts - expected) < 0.002, `frame ${number} is at ${pts} s instead of ${expected} s`);
  }
}

/** Each segment starts where the one before ends, and lasts as long as EXTINF says, within one frame. */
function checkJoins({ playlist, init, segments }: FetchedRendition, frame: number): void {
  let end: number | undefined;
  for (const [n, bytes] of segments.entries()) {
    const { baseTime, durationSeconds } = segmentDurations(init, bytes);
    if (end !== undefined)
      assert.ok(
        Math.abs(baseTime - end) < 0.0015,
        `segment ${n} starts at ${baseTime} s, the one before ends at ${end} s`,
      );
    const declared = (playlist.segments[n] as { duration: number }).duration;
    assert.ok(
      Math.abs(durationSeconds - declared) <= 1.7 * frame + 0.001,
      `segment ${n} lasts ${durationSeconds} s, EXTINF says ${declared} s`,
    );
    end = baseTime + durationSeconds;
  }
}

test('a film that lasts longer than FFmpeg takes boundaries for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-long-film-'));
  const started = join(folder, 'started');
  const wrapper = join(folder, 'ffmpeg');
  writeFileSync(wrapper, `#!/bin/sh\ncase "$*" in *force_key_frames*) echo >> '${started}';; esac\nexec ffmpeg "$@"\n`);
  chmodSync(wrapper, 0o755);
  try {
    const hours = await numberedMedia({ container: 'mkv', video: 'h264', seconds: 26_000, fps: 1, gop: 2, bFrames: 0 });
    await using server = await startTestServer({ RAFFI_FFMPEG_BIN: wrapper, RAFFI_HWACCEL: 'none' });
    const id = await server.create({ source: hours });
    const init = await server.bytes(`/sessions/${id}/360p/init.mp4`);
    const made: Uint8Array[] = [];
    for (let n = 0; n < 8; n++) made.push(await server.bytes(`/sessions/${id}/360p/${n}.m4s`));
    assert.deepEqual(
      (await decodeVideo(init, made)).map(({ number }) => number),
      Array.from({ length: 16 }, (_, number) => number),
    );
    // One process for the first segment, one for those behind it; a third where a slow machine let go of that one.
    const processes = readFileSync(started).length;
    assert.ok(processes <= 3, `${processes} processes for 8 segments in a row`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
