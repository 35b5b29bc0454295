/** Containers that only FFmpeg reads: the same proofs as for those that we feed to it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { folder } from '../../src/ffmpeg/test-processes.ts';
import { segmentDurations } from '../fixtures/boxes.ts';
import {
  frameCount,
  frameRate,
  frameTime,
  type NumberedMediaOptions,
  numberedMedia,
  plainMedia,
} from '../fixtures/media.ts';
import { checkMultivariant } from '../fixtures/playlists.ts';
import { type DecodedFrame, decodeAudio, decodeVideo } from '../fixtures/verify.ts';
import { type FetchedRendition, fetchRendition, type Info, startTestServer, type TestServer } from './harness.ts';

/** Audio may be this far from the picture, seconds (the limit). */
const AUDIO_TOLERANCE = 0.045;
const SECONDS = 16;

interface Case extends NumberedMediaOptions {
  /** Done to the file's bytes. */
  readonly damage?: (bytes: Buffer) => Buffer;
}

const AVI = { container: 'avi', video: 'mpeg4', audio: ['mp3'], seconds: SECONDS } as const;
const PS = {
  container: 'mpg',
  video: 'mpeg2video',
  audio: ['mp2'],
  seconds: SECONDS,
  extraArgs: ['-f', 'vob'],
} as const;

const withoutIndex = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.lastIndexOf('idx1'));

const CASES: Record<string, Case> = {
  'AVI with MPEG-4 ASP': AVI,
  'AVI without B-frames, 23.976 frames per second': { ...AVI, bFrames: 0, fps: '24000/1001', gop: 240 },
  'AVI with H.264 and PCM': { ...AVI, video: 'h264', audio: ['pcm_s16le'] },
  'AVI without an index': { ...AVI, damage: withoutIndex },
  'WMV that starts at 3 s': { container: 'wmv', video: 'wmv2', audio: ['wmav2'], seconds: SECONDS, startTime: 3 },
  FLV: { container: 'flv', video: 'flv', audio: ['mp3'], seconds: SECONDS, sampleRate: 44_100 },
  'MPEG-PS that starts at 7 s': { ...PS, startTime: 7, gop: 12, fps: '30000/1001' },
  'MPEG-PS with groups of 10 s, which has no index': { ...PS, gop: 250 },
};

const scratch = folder();

async function fileOf(name: string, { damage, ...options }: Case): Promise<string> {
  const source = await numberedMedia(options);
  if (!damage) return source;
  const path = join(scratch, `${name.replaceAll(/\W+/g, '-')}.${options.container}`);
  writeFileSync(path, damage(readFileSync(source)));
  return path;
}

describe('sources that only FFmpeg reads', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const opened = async (source: string): Promise<[id: string, info: Info]> => {
    const id = await server.create({ source });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.error, undefined);
    return [id, body];
  };

  for (const [name, options] of Object.entries(CASES)) {
    test(`${name}: every frame once and sound in step, whichever runs make the segments`, async () => {
      const [id, info] = await opened(await fileOf(name, options));
      assert.ok(Math.abs((info.durationSeconds ?? 0) - SECONDS) < 0.2, `${info.durationSeconds} s`);
      const video = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 11);
      const frames = await decodeVideo(video.init, video.segments);
      // FFmpeg's encoder puts an empty chunk behind the first frame of an AVI without B-frames: that lasts two.
      checkFrames(frames, options, options.bFrames === 0 ? 1.01 / frameRate(options) : 0.002);
      checkJoins(video, 1 / frameRate(options));
      const offset = (frames[1] as DecodedFrame).pts - frameTime(1, options);
      const audio = await fetchRendition(server, `/sessions/${id}/audio-0-aac/playlist.m3u8`, 17);
      const { beeps, jumps } = await decodeAudio(audio.init, audio.segments);
      assert.deepEqual(jumps, []);
      const heard = beeps.filter(({ time }) => time - offset > 0.5);
      assert.equal(heard.length, SECONDS - 1, `beeps at ${beeps.map(({ time }) => time.toFixed(3))}`);
      for (const [n, { time }] of heard.entries())
        assert.ok(Math.abs(time - (n + 1 + offset)) <= AUDIO_TOLERANCE, `beep ${n + 1} is at ${time - offset} s`);
      checkJoins(audio, 1024 / 48_000);
    });
  }

  test('switching variant at every segment, in any order, shows every frame of an AVI once', async () => {
    const options: NumberedMediaOptions = { ...AVI, extraArgs: ['-vf', 'scale=1280:720:flags=neighbor', '-b:v', '4M'] };
    const [id] = await opened(await numberedMedia(options));
    const names = ['720p', '480p', '360p'];
    const offered = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`)).variants;
    assert.deepEqual(
      offered.map(({ uri }) => uri.split('/')[0]),
      names,
    );
    const frames: DecodedFrame[] = [];
    for (const [position, name] of names.entries()) {
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/${name}/playlist.m3u8`, position + 2);
      frames.push(
        ...(await decodeVideo(
          init,
          segments.filter((_, n) => n % names.length === position),
        )),
      );
    }
    checkFrames(
      frames.sort((a, b) => a.pts - b.pts),
      options,
      0.002,
    );
  });

  test('who wants loudness levelled is told why it is not', async () => {
    const source = await numberedMedia(CASES.FLV as Case);
    const id = await server.create({ source, loudness: 'on' });
    await server.text(`/sessions/${id}/stream.m3u8`);
    const { body } = await server.json<{ availableStreams: { type: string; processing?: string[] }[] }>(
      `/sessions/${id}`,
    );
    const sound = body.availableStreams.find(({ type }) => type === 'audio');
    assert.ok(
      sound?.processing?.includes(
        'loudness is left as it is: it is measured only in containers that the server reads itself',
      ),
    );
  });

  test('a picture between two rungs is offered at its own size too, and all sound as AAC', async () => {
    const source = await numberedMedia({
      ...PS,
      audio: ['ac3', 'mp2'],
      seconds: 4,
      extraArgs: ['-vf', 'scale=720:576:flags=neighbor', '-f', 'vob'],
    });
    const [id, info] = await opened(source);
    const { variants, renditions } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    assert.deepEqual(
      variants.map(({ uri, resolution }) => [uri.split('/')[0], resolution?.height]),
      [
        ['720p', 576],
        ['480p', 480],
        ['360p', 360],
      ],
    );
    assert.deepEqual(
      renditions.map(({ uri }) => uri?.split('/')[0]),
      ['audio-0-aac', 'audio-1-aac'],
    );
    for (const { delivery, reason } of info.availableStreams ?? []) {
      assert.equal(delivery, 'transcoded');
      assert.match(reason ?? '', /only FFmpeg reads MPEG-PS/);
    }
  });

  test('an AVI that was cut off plays as far as it goes', async () => {
    const bytes = readFileSync(await numberedMedia(AVI));
    const path = join(scratch, 'half.avi');
    writeFileSync(path, bytes.subarray(0, bytes.length / 2));
    const [id, info] = await opened(path);
    assert.ok((info.durationSeconds as number) > SECONDS * 0.3 && (info.durationSeconds as number) < SECONDS * 0.7);
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`);
    const frames = await decodeVideo(init, segments);
    const last = frames.at(-1)?.number as number;
    assert.ok(Math.abs(last / 25 - (info.durationSeconds as number)) < 0.2, `the last frame is ${last}`);
  });

  test('a gap in the picture is filled with the next one', async () => {
    const whole = await numberedMedia({ ...PS, audio: [] });
    // Frames 75 to 249 left out: nothing is shown between 3 s and 10 s.
    const source = await plainMedia('gap.mpg', [
      ...['-i', whole, '-vf', "select='not(between(n,75,249))'", '-fps_mode', 'passthrough', '-c:v', 'mpeg2video'],
      ...['-g', '12', '-bf', '0', '-b:v', '2M', '-f', 'vob'],
    ]);
    const [id] = await opened(source);
    for (const seed of [1, 4]) {
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, seed);
      const frames = await decodeVideo(init, segments);
      const stills = frames.filter(({ number }, n) => frames[n + 1]?.number === number);
      assert.deepEqual(
        stills.map(({ pts }) => Math.round(pts)),
        [4, 6, 8],
      );
      assert.deepEqual(
        frames.filter((frame) => !stills.includes(frame)).map(({ number }) => number),
        Array.from({ length: 400 }, (_, n) => n).filter((n) => n < 75 || n > 249),
      );
      for (const [n, bytes] of segments.entries())
        assert.ok(segmentDurations(init, bytes).baseTime >= n * 2 - 0.001, `segment ${n} starts too early`);
    }
  });
});

function checkFrames(frames: readonly DecodedFrame[], options: NumberedMediaOptions, tolerance: number): void {
  assert.deepEqual(
    frames.map(({ number }) => number),
    Array.from({ length: frameCount(options) }, (_, n) => n),
  );
  const offset = (frames[0] as { pts: number }).pts;
  for (const { number, pts } of frames) {
    const expected = offset + frameTime(number as number, options);
    assert.ok(Math.abs(pts - expected) < tolerance, `frame ${number} is at ${pts} s instead of ${expected} s`);
  }
}

/** No segment reaches into the next one, and none starts more than a frame late. */
function checkJoins({ init, segments }: FetchedRendition, frame: number): void {
  let end: number | undefined;
  for (const [n, bytes] of segments.entries()) {
    // Else the runs' initialization segments would not all have been the same.
    assert.equal(Buffer.from(bytes.subarray(4, 8)).toString('latin1'), 'moof');
    const { baseTime, durationSeconds } = segmentDurations(init, bytes);
    if (end !== undefined)
      assert.ok(
        Math.abs(baseTime - end) < 0.0015,
        `segment ${n} starts at ${baseTime} s, the one before ends at ${end} s`,
      );
    else assert.ok(baseTime <= frame + 0.05, `the first segment starts at ${baseTime} s`);
    end = baseTime + durationSeconds;
  }
}
