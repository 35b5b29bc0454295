import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { folder, processesWith } from '../../src/ffmpeg/test-processes.ts';
import { type HardwareOptions, hardwareFfmpeg } from '../fixtures/hardware-ffmpeg.ts';
import { frameCount, numberedMedia } from '../fixtures/media.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchRendition, shuffled, startTestServer, type TestServer } from './harness.ts';

const directory = folder();
const FILM = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 24 } as const;

interface Answer {
  readonly encoder: string | null;
  readonly missing: readonly string[];
  readonly hardware: readonly { name: string; encoder: string; works: boolean; failure?: string }[];
}

async function start(name: string, options: HardwareOptions, hwaccel = 'nvenc'): Promise<TestServer> {
  const ffmpeg = await hardwareFfmpeg(join(directory, name), options);
  return await startTestServer({ RAFFI_FFMPEG_BIN: ffmpeg, RAFFI_HWACCEL: hwaccel });
}

const capabilities = async (server: TestServer): Promise<Answer> => (await server.json<Answer>('/capabilities')).body;
const numbers = (frames: readonly { number: number | undefined }[]) => frames.map(({ number }) => number);
const ALL = Array.from({ length: frameCount(FILM) }, (_, n) => n);
const startsWith = (bytes: Uint8Array, type: string): boolean => Buffer.from(bytes.subarray(4, 8)).toString() === type;

describe("graphics processors' encoders", () => {
  test('one that works is used: every frame once, in any order', async () => {
    await using server = await start('works', {});
    const { encoder, hardware } = await capabilities(server);
    assert.equal(encoder, 'h264_nvenc');
    assert.deepEqual(hardware, [{ name: 'nvenc', encoder: 'h264_nvenc', works: true }]);
    const id = await server.create({ source: await numberedMedia(FILM) });
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 5);
    assert.deepEqual(numbers(await decodeVideo(init, segments)), ALL);
    assert.ok(segments.every((bytes) => startsWith(bytes, 'moof')));
    const answer = await server.get(`/sessions/${id}/360p/0.m4s`);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    await answer.arrayBuffer();
  });

  test('one that does not work is said not to, and libx264 is used', async () => {
    await using server = await start('broken', { trial: 'No capable devices found' });
    const { encoder, hardware } = await capabilities(server);
    assert.equal(encoder, 'libx264');
    assert.deepEqual([hardware.length, hardware[0]?.works], [1, false]);
    assert.match(hardware[0]?.failure ?? '', /No capable devices found/);
    const id = await server.create({ source: await numberedMedia(FILM) });
    const first = await server.get(`/sessions/${id}/360p/0.m4s`);
    assert.equal(first.status, 200);
    assert.match(first.headers.get('cache-control') ?? '', /max-age/);
    await first.arrayBuffer();
  });

  test('one that FFmpeg does not have', async () => {
    await using server = await startTestServer({ RAFFI_HWACCEL: 'videotoolbox' });
    const { encoder, hardware } = await capabilities(server);
    assert.deepEqual([encoder, hardware[0]?.failure], ['libx264', 'this FFmpeg does not have it']);
  });

  test('one that fails in a run: software goes on in that run, and hardware is off', async () => {
    await using server = await start('fails', { breaksAfter: 70_000 });
    assert.equal((await capabilities(server)).encoder, 'h264_nvenc');
    const id = await server.create({ source: await numberedMedia(FILM) });
    const path = `/sessions/${id}/360p/playlist.m3u8`;
    const first = ['init.mp4', '0.m4s'].map((name) => server.bytes(`/sessions/${id}/360p/${name}`));
    const [before, zero] = (await Promise.all(first)) as [Uint8Array, Uint8Array];
    const segments = [zero, ...(await fetchRendition(server, path, 1)).segments.slice(1)];
    const { encoder, hardware } = await capabilities(server);
    assert.equal(encoder, 'libx264');
    assert.match(hardware[0]?.failure ?? '', /the graphics processor has gone/);
    const own = segments.map((bytes) => startsWith(bytes, 'ftyp'));
    assert.deepEqual([own[0], own.at(-1)], [false, true]);
    // A player that took the first initialization segment shows all of it, in whichever order it asked.
    assert.deepEqual(await shown(segments, before), ALL);
    // One that comes later gets only segments that bring their own: a run that was still at it on hardware may have made some of them.
    const later = await fetchRendition(server, path, 9);
    assert.notDeepEqual(later.init, before);
    assert.ok(later.segments.every((bytes) => startsWith(bytes, 'ftyp')));
    assert.deepEqual(await shown(later.segments, later.init), ALL);
    // Another film has never seen hardware.
    const other = await server.create({ source: await numberedMedia({ ...FILM, seconds: 6 }) });
    const clean = await fetchRendition(server, `/sessions/${other}/360p/playlist.m3u8`);
    assert.ok(clean.segments.every((bytes) => startsWith(bytes, 'moof')));
  });

  test('a trial without an answer keeps no copy waiting', async () => {
    const server = await start('hangs', { trial: 'hang' }, 'auto');
    const id = await server.create({ source: await numberedMedia(FILM) });
    assert.match(await server.text(`/sessions/${id}/stream.m3u8`), /360p/);
    for (const n of shuffled(3, 2)) assert.ok((await server.bytes(`/sessions/${id}/original/${n}.m4s`)).length > 1000);
    await server[Symbol.asyncDispose]();
    assert.deepEqual(processesWith(join(directory, 'hangs')), []);
  });
});

/** The frames of segments one by one, each with the initialization segment in front of it, or with `init`. */
async function shown(segments: readonly Uint8Array[], init: Uint8Array): Promise<(number | undefined)[]> {
  const frames: (number | undefined)[] = [];
  for (const bytes of segments) {
    const { init: own, rest } = split(bytes);
    frames.push(...numbers(await decodeVideo(own.length > 0 ? own : init, [rest])));
  }
  return frames;
}

/** What precedes the first `moof`, and the rest. */
function split(bytes: Uint8Array): { init: Uint8Array; rest: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (!startsWith(bytes.subarray(at), 'moof')) at += view.getUint32(at);
  return { init: bytes.subarray(0, at), rest: bytes.subarray(at) };
}
