import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type NumberedMediaOptions, numberedMedia } from '../fixtures/media.ts';
import { filmTorrent } from '../fixtures/torrent-film.ts';
import { checkClip, firstFrameTime } from './clip-check.ts';
import { startTestServer, type TestServer } from './harness.ts';

/** Few frames per second, so that a quarter of an hour is made and decoded in seconds. */
const LONG = { seconds: 920, fps: 2, gop: 4, audio: ['aac'] } as const;

const CASES: Record<string, NumberedMediaOptions & { readonly method: string; readonly length?: number }> = {
  '900 s of H.264 in Matroska': { ...LONG, container: 'mkv', video: 'h264', method: 'smart' },
  '900 s of H.264 in MP4': { ...LONG, container: 'mp4', video: 'h264', method: 'smart' },
  '900 s of HEVC': { ...LONG, container: 'mkv', video: 'hevc', method: 'encoded' },
  '900 s of open groups of pictures': { ...LONG, container: 'mkv', video: 'h264', openGop: true, method: 'encoded' },
  '30 s of HEVC': { ...LONG, container: 'mkv', video: 'hevc', method: 'encoded', length: 30 },
  '30 s of open groups of pictures': {
    ...LONG,
    container: 'mkv',
    video: 'h264',
    openGop: true,
    method: 'encoded',
    length: 30,
  },
};

interface Clip {
  readonly outputPath: string;
  readonly method?: string;
}

describe('long clips', { timeout: 600_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'raffi-clips-long-'));
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ RAFFI_CLIPS_DIR: directory });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const [name, options] of Object.entries(CASES)) {
    test(`${name}, exact to the frame`, async () => {
      const id = await server.create({ source: await numberedMedia(options) });
      assert.equal(await cut(server, id, options), options.method);
    });
  }

  test('900 s and 5 s of a torrent', async () => {
    const options = CASES['900 s of H.264 in Matroska'] as NumberedMediaOptions;
    await using film = await filmTorrent(await numberedMedia(options));
    await using seeder = await film.seed();
    await using own = await startTestServer({ ...film.env, RAFFI_CLIPS_DIR: join(film.folder, 'clips') });
    const id = await own.create({ source: film.link(seeder) });
    assert.equal(await cut(own, id, options), 'smart');
    assert.equal(await cut(own, id, { ...options, length: 5 }), 'smart');
  });
});

/** Makes a clip, from between two key frames to between two others, and looks at all of it. @returns how it was made. */
async function cut(
  server: TestServer,
  id: string,
  options: NumberedMediaOptions & { readonly length?: number },
): Promise<string | undefined> {
  const offset = await firstFrameTime(server, id);
  const start = 3.3;
  const end = start + (options.length ?? 900);
  const { status, body } = await server.json<Clip>(`/sessions/${id}/clip`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ start, end }),
  });
  assert.equal(status, 200, JSON.stringify(body));
  const { body: clips } = await server.json<Clip[]>('/clips');
  await checkClip(body.outputPath, { ...options, start, end, offset });
  return clips.find(({ outputPath }) => outputPath === body.outputPath)?.method;
}
