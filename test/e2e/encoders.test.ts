import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { folder } from '../../src/ffmpeg/test-processes.ts';
import { hardwareFfmpeg } from '../fixtures/hardware-ffmpeg.ts';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { launchBrowser, PlayerPage, startServer } from './browser.ts';

const FPS = 25;
const directory = folder();

describe('encoders and players', { timeout: 200_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser?.close());

  test('a graphics processor that fails in the middle: the player goes on, forwards and backwards', async () => {
    const ffmpeg = await hardwareFfmpeg(join(directory, 'ffmpeg'), { breaksAfter: 150_000 });
    await using server = await startServer({ RAFFI_FFMPEG_BIN: ffmpeg, RAFFI_HWACCEL: 'nvenc' });
    const encoder = async (): Promise<unknown> =>
      ((await (await fetch(`${server.url}/capabilities`)).json()) as { encoder: string }).encoder;
    assert.equal(await encoder(), 'h264_nvenc');
    await using player = await PlayerPage.open(browser, server);
    await player.enter(await numberedMedia({ container: 'ts', video: 'mpeg2video', audio: ['aac'], seconds: 60 }));
    await player.playing();
    for (const frame of [20, 60, 400, 1300, 30, 700, 10, 1450, 410]) {
      await player.seek((frame + 0.5) / FPS);
      assert.equal(await player.settledFrame(frame), frame);
    }
    assert.equal(await encoder(), 'libx264');
    await player.seek(5);
    await player.page.evaluate('globalThis.__raffi.video.play()');
    await player.until('video.currentTime > 8');
    assert.ok(await player.page.isHidden('#failure'));
    assert.deepEqual(player.troubles, []);
  });

  test('of stereo and 5.1 a browser takes stereo', async () => {
    const tone = Array(6).fill('0.1*sin(2*PI*1000*t)').join('|');
    const source = await plainMedia('surround.mkv', [
      ...['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=20', '-f', 'lavfi', '-i', `aevalsrc='${tone}':c=5.1:d=20`],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50', '-c:a', 'dca', '-strict', '-2'],
    ]);
    await using server = await startServer();
    await using player = await PlayerPage.open(browser, server);
    await player.enter(source);
    await player.playing();
    await player.until(`hls.audioTracks[hls.audioTrack]?.url.includes('/audio-0-aac/')`);
    assert.deepEqual(player.troubles, []);
  });
});
