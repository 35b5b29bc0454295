import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hlsFiles } from '../fixtures/hls-media.ts';
import { beepFrequency, numberedMedia } from '../fixtures/media.ts';
import { startSite } from '../fixtures/site.ts';
import { useStage } from './browser.ts';
import { hears } from './sound.ts';

const FPS = 25;

describe('a playlist in the page', { timeout: 180_000 }, () => {
  const stage = useStage();

  for (const type of ['mpegts', 'fmp4']) {
    test(`plays ${type} from its URL, is heard, and shows the frame of each seek`, async () => {
      const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 60 });
      await using site = await startSite(await hlsFiles(film, ['-hls_segment_type', type], '/films'));
      await using player = await stage.open();
      await player.enter(`${site.url}/films/index.m3u8`);
      await player.playing();
      await hears(player, beepFrequency(0));
      assert.equal(await player.page.textContent('#total'), '1:00');
      const frames = [730, 12, 1490, 49, 50, 1000, 375, 0];
      const shown: (number | undefined)[] = [];
      for (const frame of frames) {
        await player.seek((frame + 0.5) / FPS);
        shown.push(await player.settledFrame(frame));
      }
      assert.deepEqual(shown, frames);
      assert.deepEqual(player.troubles, []);
    });
  }
});
