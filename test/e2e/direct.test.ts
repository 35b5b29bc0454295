/** What only FFmpeg reads, and interlaced pictures, in the browser. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { beepFrequency, type NumberedMediaOptions, numberedMedia } from '../fixtures/media.ts';
import { useStage } from './browser.ts';
import { hears } from './sound.ts';

const FPS = 25;
const SECONDS = 40;

const INTERLACED = ['-flags', '+ildct+ilme', '-top', '1'];

const CASES: Record<string, NumberedMediaOptions> = {
  'AVI with MPEG-4 ASP and MP3': { container: 'avi', video: 'mpeg4', audio: ['mp3'] },
  'WMV with WMV2 and WMA': { container: 'wmv', video: 'wmv2', audio: ['wmav2'] },
  'MPEG-PS with interlaced MPEG-2 and MP2': {
    container: 'mpg',
    video: 'mpeg2video',
    audio: ['mp2'],
    gop: 12,
    extraArgs: [...INTERLACED, '-f', 'vob'],
  },
  'MPEG-TS with interlaced MPEG-2 and MP2': {
    container: 'ts',
    video: 'mpeg2video',
    audio: ['mp2'],
    gop: 12,
    extraArgs: INTERLACED,
  },
};

/** Frames to seek to: near and far, forwards and backwards, beside the boundaries of segments, at both ends. */
const FRAMES = [500, 20, 745, 299, 300, 301, 49, 50, 0, 990, 998, 120, 125, 640, 15, 860, 449, 451, 700, 333];

describe('what only FFmpeg reads', { timeout: 400_000 }, () => {
  const stage = useStage();

  for (const [name, options] of Object.entries(CASES)) {
    test(`plays, and seeks twenty times: ${name}`, async () => {
      await using player = await stage.open();
      await player.enter(await numberedMedia({ ...options, seconds: SECONDS }));
      await player.playing();
      await hears(player, beepFrequency(0));
      const shown: (number | undefined)[] = [];
      for (const frame of FRAMES) {
        await player.seek((frame + 0.5) / FPS);
        shown.push(await player.settledFrame(frame));
      }
      assert.deepEqual(shown, FRAMES);
      await player.seek(10);
      await player.page.evaluate('globalThis.__raffi.video.play()');
      await player.until('video.currentTime > 10.5');
      assert.ok(await player.page.isHidden('#failure'));
      assert.deepEqual(player.troubles, []);
    });
  }
});
