import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { frameRate, type NumberedMediaOptions, numberedMedia } from '../fixtures/media.ts';
import { filmTorrent } from '../fixtures/torrent-film.ts';
import { useStage } from './browser.ts';

interface Case extends NumberedMediaOptions {
  readonly start: number;
  readonly seconds: number;
  /** Seconds. */
  readonly length: number;
  /** From a swarm instead of from the disk. */
  readonly torrent?: boolean;
}

const CASES: Record<string, Case> = {
  '5 s of H.264 in Matroska': { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 60, start: 5.5, length: 5 },
  '30 s of H.264 in MP4': { container: 'mp4', video: 'h264', audio: ['aac'], seconds: 60, start: 11.3, length: 30 },
  '5 s of open groups of pictures': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 20,
    openGop: true,
    start: 0,
    length: 5,
  },
  '900 s of H.264 in MP4': {
    container: 'mp4',
    video: 'h264',
    audio: ['aac'],
    seconds: 920,
    fps: 2,
    gop: 4,
    start: 3.3,
    length: 900,
  },
  '5 s of a torrent': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 60,
    start: 5.5,
    length: 5,
    torrent: true,
  },
  '5 s of HEVC': { container: 'mkv', video: 'hevc', audio: ['aac'], seconds: 20, start: 3.3, length: 5 },
};

describe('clips in Chromium', { timeout: 480_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'raffi-e2e-clips-'));
  const stage = useStage(async () => {
    const alone = { RAFFI_TORRENT_DHT: '0', RAFFI_TORRENT_LSD: '0', RAFFI_TORRENT_LISTEN: '127.0.0.1:0' };
    const data = { RAFFI_TORRENT_DIR: join(directory, 'torrents'), RAFFI_CLIPS_DIR: join(directory, 'clips') };
    return { ...alone, ...data, RAFFI_ALLOW_PRIVATE_SOURCES: '1' };
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const [name, options] of Object.entries(CASES)) {
    test(`${name}: the whole clip plays, each frame where it belongs`, async () => {
      const { start, length, torrent = false } = options;
      const FPS = frameRate(options);
      const file = await numberedMedia(options);
      await using swarm = torrent ? await filmTorrent(file) : undefined;
      await using seeder = await swarm?.seed();
      const named = swarm && seeder ? swarm.link(seeder) : file;
      const source = await post<{ id: string }>('/sessions', { source: named });
      const path = `/sessions/${source.id}/clip`;
      const { outputPath } = await post<{ outputPath: string }>(path, { start, end: start + length });
      const clip = await post<{ id: string }>('/sessions', { source: outputPath });
      // Any page of this origin that is not the player.
      await using player = await stage.open('/health');
      // The file itself, as any player of MP4 would get it.
      await player.page.evaluate(`(() => {
        const video = document.createElement('video');
        video.muted = true;
        document.body.append(video);
        video.src = '/sessions/${clip.id}/file';
        globalThis.__raffi = { video };
        return new Promise((resolve, reject) => {
          video.addEventListener('loadeddata', resolve, { once: true });
          video.addEventListener('error', () => reject(new Error(video.error.message)), { once: true });
        });
      })()`);
      const duration: number = await player.page.evaluate('globalThis.__raffi.video.duration');
      assert.ok(Math.abs(duration - length) < 0.06 + 1 / FPS, `${duration} s`);
      await player.seek(0.5 / FPS);
      // One of the two that the rounding of the container's start allows.
      const expected = Math.round(start * FPS);
      const first = await player.settledFrame(expected);
      assert.ok(first !== undefined && Math.abs(first - start * FPS) <= 1, `frame ${first} comes first`);
      const last = Math.round(length * FPS) - 1;
      for (const n of [last, 0, 1, 30, 49, 50, 51, Math.round(last / 2), last - 26, last - 1, 3]) {
        await player.seek((n + 0.5) / FPS);
        assert.equal(await player.settledFrame(first + n), first + n);
      }
      // Of a long one the end has to do.
      await player.seek(Math.max(0, length - 30));
      await player.page.evaluate('globalThis.__raffi.video.play()');
      await player.until('video.ended', 60_000 + length * 1_000);
      const quality = '(({ video }) => video.getVideoPlaybackQuality().corruptedVideoFrames)(globalThis.__raffi)';
      assert.equal(await player.page.evaluate(quality), 0);
      assert.equal(await player.page.evaluate('globalThis.__raffi.video.error'), null);
      const heard: number = await player.page.evaluate('globalThis.__raffi.video.webkitAudioDecodedByteCount');
      assert.ok(heard > Math.min(30, length) * 1_000, `${heard} bytes of sound were decoded`);
      assert.deepEqual(player.troubles, []);
    });
  }

  async function post<T>(path: string, body: unknown): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(stage.server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(response.ok, `${response.status} ${await response.clone().text()}`);
    return (await response.json()) as T;
  }
});
