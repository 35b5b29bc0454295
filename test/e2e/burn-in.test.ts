import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withPgs } from '../fixtures/bitmap-subtitles.ts';
import type { NumberedMediaOptions } from '../fixtures/media.ts';
import { withSubtitleTracks } from '../fixtures/subtitles.ts';
import { type PlayerPage, useStage } from './browser.ts';

const SECONDS = 60;
const FILM: NumberedMediaOptions = { container: 'mkv', video: 'h264', audio: ['dts'], seconds: SECONDS };
/** Shown in the second half of every other second. */
const SHOWN = Array.from({ length: SECONDS / 2 }, (_, n) => ({ start: 2 * n + 0.5, end: 2 * n + 1.5 }));

const TEXT = Array.from({ length: 12 }, (_, n) => ({ start: 5 * n, end: 5 * n + 4, text: 'text' }));

/** H.264 + DTS + PGS, and a text track before it. */
async function film(): Promise<string> {
  const pictures = await withPgs(FILM, SHOWN, { width: 1920, height: 1080 });
  return withSubtitleTracks('pictures-and-text.mkv', pictures, TEXT, ['deu'], true);
}

/** Luma in the middle of the box that is drawn, as `bitmap-subtitles.ts` has it: grey where it is shown. */
const BOX_LUMA = `(() => {
  const canvas = new OffscreenCanvas(320, 180);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, 320, 180);
  const { data } = context.getImageData(70, 130, 180, 10);
  let grey = 0;
  for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - 127) < 30) grey += 1;
  return (grey * 4) / data.length;
})()`;

describe('subtitles drawn into the picture, on the page', { timeout: 240_000 }, () => {
  const stage = useStage(async () => void (await film()));

  const open = async (): Promise<PlayerPage> => {
    const player = await stage.open();
    await player.enter(await film());
    await player.playing();
    return player;
  };
  const choose = async (player: PlayerPage, label: string): Promise<void> => {
    await player.page.mouse.move(600, 300);
    await player.page.mouse.move(610, 310);
    await player.page.click('#subtitle-button');
    await player.page.click(`#subtitle-menu button:has-text("${label}")`);
  };
  const isDrawn = `video.readyState >= 2 && !video.seeking && ${BOX_LUMA} > 0.9`;
  const isNotDrawn = `video.readyState >= 2 && !video.seeking && ${BOX_LUMA} < 0.2`;

  test('H.264 + DTS + PGS: chosen in the menu, 20 seeks, and off again', async () => {
    await using player = await open();
    await player.seek(30.9);
    await player.until(isNotDrawn);
    await choose(player, 'English');
    await player.until(`hls.url.endsWith('subtitle=0') && ${isDrawn} && Math.abs(video.currentTime - 30.9) < 0.2`);
    assert.equal(await player.page.evaluate('globalThis.__raffi.video.paused'), true, 'it stood still before');
    assert.match((await player.page.textContent('#notice')) ?? '', /draws them into the picture/);
    await player.page.click('#subtitle-button');
    const checked = player.page.locator('#subtitle-menu [aria-checked="true"] > span');
    assert.equal(await checked.textContent(), 'English');
    await player.page.keyboard.press('Escape');
    for (let i = 0; i < 20; i++) {
      const at = ((i * 37) % 58) + (i % 2 === 0 ? 0.9 : 0.3);
      await player.seek(at);
      const shown = SHOWN.some(({ start, end }) => at >= start && at < end);
      await player.until(shown ? isDrawn : isNotDrawn).catch((error: unknown) => {
        throw new Error(`at ${at} s the box should ${shown ? '' : 'not '}be there`, { cause: error });
      });
      assert.equal(await player.settledFrame(Math.floor(at * 25 + 0.001)), Math.floor(at * 25 + 0.001));
    }
    await player.page.evaluate('globalThis.__raffi.video.play()');
    await player.playing();
    await player.page.evaluate('globalThis.__raffi.video.pause()');
    await choose(player, 'Off');
    await player.until(`!hls.url.includes('subtitle=')`);
    await player.seek(30.9);
    await player.until(isNotDrawn);
    assert.deepEqual(player.troubles, []);
    assert.equal(await player.page.isHidden('#failure'), true);
  });

  test('from pictures to text and back, with c too', async () => {
    await using player = await open();
    await choose(player, 'English');
    await player.until(`hls.url.endsWith('subtitle=0') && hls.subtitleTracks.length === 0`);
    await choose(player, 'German');
    await player.until(`!hls.url.includes('subtitle=') && hls.subtitleTrack === 0`);
    await player.seek(30.9);
    await player.until(
      `[...video.textTracks].some(({ mode, activeCues }) => mode === 'showing' && activeCues?.length)`,
    );
    await choose(player, 'Off');
    await player.until('hls.subtitleTrack === -1');
    await player.page.keyboard.press('c');
    await player.until(`hls.url.endsWith('subtitle=0') && ${isDrawn}`);
    await player.page.keyboard.press('c');
    await player.until(`!hls.url.includes('subtitle=') && ${isNotDrawn} && hls.subtitleTrack === -1`);
    assert.deepEqual(player.troubles, []);
  });
});
