import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { frameCount, numberedMedia } from '../fixtures/media.ts';
import { type Origin, type OriginBehaviour, startOrigin } from '../fixtures/origin.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchPresentation, type Info, startTestServer, type TestServer } from './harness.ts';

/** The limit for an error or for playing, in milliseconds. */
const LIMIT = 15_000;

const FILM = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 } as const;

describe('bad input gets its clear error or plays, and other sessions notice nothing', () => {
  let server: TestServer;
  let folder: string;
  let mkv: string;
  let mp4: string;
  let neighbour: string;

  before(async () => {
    server = await startTestServer();
    folder = mkdtempSync(join(tmpdir(), 'raffi-bad-'));
    mkv = await numberedMedia(FILM);
    mp4 = await numberedMedia({ ...FILM, container: 'mp4' });
    neighbour = await server.create({ source: mkv });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The session info within the time limit, while the neighbour plays. */
  async function infoOf(source: string): Promise<Info> {
    const id = await server.create({ source });
    const signal = AbortSignal.timeout(LIMIT);
    await server.bytes(`/sessions/${neighbour}/original/1.m4s`);
    const playlist = await server.get(`/sessions/${id}/stream.m3u8`, { signal });
    await playlist.arrayBuffer();
    const { body } = await server.json<Info>(`/sessions/${id}`, { signal });
    if (body.error === undefined) assert.equal(playlist.status, 200);
    else assert.ok(playlist.status >= 500, String(playlist.status));
    await server.bytes(`/sessions/${neighbour}/original/2.m4s`);
    return body;
  }

  const file = (name: string, bytes: Uint8Array | string): string => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };

  const FAILURES: Record<string, [source: () => string, code: string, words: RegExp]> = {
    'no such file': [() => join(folder, 'missing.mkv'), 'source-not-found', /missing\.mkv/],
    'a directory': [() => folder, 'source-not-regular', /raffi-bad-/],
    'a FIFO': [
      () => {
        execFileSync('mkfifo', [join(folder, 'pipe.mkv')]);
        return join(folder, 'pipe.mkv');
      },
      'source-not-regular',
      /pipe\.mkv/,
    ],
    'a device': [() => '/dev/zero', 'source-not-regular', /\/dev\/zero/],
    'an empty file': [() => file('empty.mp4', ''), 'source-empty', /empty\.mp4/],
    'a text file': [() => file('text.mkv', 'Once upon a time. '.repeat(1000)), 'media-unrecognised', /text\.mkv/],
    'a web page': [
      () => file('page.mp4', '<!DOCTYPE html><html></html>'),
      'media-unrecognised',
      /page\.mp4 is a web page/,
    ],
    'random bytes': [
      () =>
        file(
          'noise.mkv',
          readFileSync(mkv).map((byte, n) => (byte * 31 + n * 17) & 255),
        ),
      'media-unrecognised',
      /noise\.mkv/,
    ],
    'an MP4 cut off before its moov': [
      () => file('cut.mp4', readFileSync(mp4).subarray(0, 60_000)),
      'media-damaged',
      /cut\.mp4.*moov|moov.*cut\.mp4/s,
    ],
    'a Matroska file of which only the head is left': [
      () => file('head.mkv', readFileSync(mkv).subarray(0, 200)),
      'media-damaged',
      /head\.mkv/,
    ],
  };
  for (const [name, [source, code, words]] of Object.entries(FAILURES)) {
    test(name, async () => {
      const info = await infoOf(source());
      assert.equal(info.status, 'error');
      assert.equal(info.errorCode, code, String(info.error));
      assert.match(info.error as string, words);
    });
  }

  test('a truncated Matroska file plays as far as it goes', async () => {
    const bytes = readFileSync(mkv);
    const source = file('truncated.mkv', bytes.subarray(0, Math.floor(bytes.length * 0.6)));
    const info = await infoOf(source);
    assert.equal(info.error, undefined);
    await playsFrom(await server.create({ source }), frameCount(FILM) * 0.4);
  });

  test('a truncated MP4 with its moov in front plays as far as it goes', async () => {
    const whole = await numberedMedia({ ...FILM, container: 'mp4', extraArgs: ['-movflags', '+faststart'] });
    const bytes = readFileSync(whole);
    const source = file('truncated.mp4', bytes.subarray(0, Math.floor(bytes.length * 0.6)));
    const info = await infoOf(source);
    assert.equal(info.error, undefined);
    await playsFrom(await server.create({ source }), frameCount(FILM) * 0.4);
  });

  /**
   * All segments come, and show at least `frames` frames, in order from 0. A file that was cut off may lack B-frames of its last few
   * pictures, since they stand behind the picture that they precede.
   */
  async function playsFrom(id: string, frames: number): Promise<void> {
    const { video } = await fetchPresentation(server, id);
    assert.ok(video);
    const shown = await decodeVideo(video.init, video.segments);
    assert.ok(shown.length >= frames, `${shown.length} frames`);
    const numbers = shown.map(({ number }) => number as number);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    assert.deepEqual(
      numbers.slice(0, -2),
      numbers.slice(0, -2).map((_, n) => n),
    );
    assert.ok(
      (numbers.at(-1) as number) < numbers.length + 3,
      `the last frame is ${numbers.at(-1)} of ${numbers.length}`,
    );
  }

  test('a container that only FFmpeg knows is re-encoded, and the reason given', async () => {
    const source = await numberedMedia({ container: 'avi', video: 'mpeg4', audio: ['mp3'], seconds: 4 });
    const info = await infoOf(source);
    assert.equal(info.error, undefined);
    assert.equal(info.container, 'avi');
    const described = info.availableStreams?.map(({ type, codec, delivery, reason }) => [
      type,
      codec,
      delivery,
      reason !== undefined,
    ]);
    assert.deepEqual(described, [
      ['video', 'mpeg4', 'transcoded', true],
      ['audio', 'mp3', 'transcoded', true],
    ]);
  });

  test('without FFmpeg, what cannot be copied is left out with its reason, and the rest plays', async () => {
    await using alone = await startTestServer({ PATH: '/nonexistent' });
    const source = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['vorbis', 'aac'], seconds: 8 });
    const { body: info } = await alone.json<Info>(`/sessions/${await alone.create({ source })}`);
    assert.equal(info.error, undefined);
    const [video, vorbis, aac] = info.availableStreams ?? [];
    assert.deepEqual([video?.delivery, vorbis?.delivery, aac?.delivery], ['copied', 'omitted', 'copied']);
    assert.match(vorbis?.reason as string, /vorbis/i);
    const got = await fetchPresentation(alone, await alone.create({ source }));
    assert.ok(got.video);
    assert.equal(got.audio.length, 1);
  });

  test('a refused connection', async () => {
    const placeholder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => placeholder.once('listening', resolve));
    const { port } = placeholder.address() as { port: number };
    await new Promise((resolve) => placeholder.close(resolve));
    const info = await infoOf(`http://127.0.0.1:${port}/film.mkv`);
    assert.equal(info.errorCode, 'source-unreachable', String(info.error));
  });

  const withOrigin = async (behaviour: OriginBehaviour, use: (origin: Origin) => Promise<void>): Promise<void> => {
    await using origin = await startOrigin({ ...behaviour, file: mkv });
    await use(origin);
  };

  test('a 404 URL', () =>
    withOrigin({ status: 404 }, async ({ url }) => {
      const info = await infoOf(url);
      assert.equal(info.errorCode, 'source-http-status', String(info.error));
      assert.match(info.error as string, /404/);
    }));

  test('an origin that trickles ends in an error in time', () =>
    withOrigin({ trickle: { bytes: 50, everyMs: 500 } }, async ({ url }) => {
      const info = await infoOf(url);
      assert.ok(['source-stalled', 'probe-timeout'].includes(info.errorCode as string), String(info.error));
      assert.ok(info.error?.includes(url), String(info.error));
    }));

  const PLAYING: Record<string, OriginBehaviour> = {
    'an origin that behaves': {},
    'an origin that resets the connection again and again': { resetEvery: 40_000 },
    'an origin that knows no ranges': { noRange: true },
    'an origin that knows neither ranges nor the length': { noRange: true, chunked: true },
  };
  for (const [name, behaviour] of Object.entries(PLAYING)) {
    test(`${name}: plays, every frame`, () =>
      withOrigin(behaviour, async ({ url }) => {
        const info = await infoOf(url);
        assert.equal(info.error, undefined);
        await playsFrom(await server.create({ source: url }), frameCount(FILM));
      }));
  }
});
