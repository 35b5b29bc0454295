import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { withSubtitleTracks } from '../fixtures/subtitles.ts';
import { type PlayerPage, useStage } from './browser.ts';

/** Cue n is shown from 2n + 0.5 to 2n + 1.5 s; the last one is shown from 50.5 to 58 s, across segments. */
const LINES = [
  ...Array.from({ length: 25 }, (_, n) => ({ start: 2 * n + 0.5, end: 2 * n + 1.5, text: `cue ${n}` })),
  { start: 50.5, end: 58, text: 'long' },
];

async function subtitled(container: 'mkv' | 'mp4'): Promise<string> {
  const film = await numberedMedia({ container, video: 'h264', audio: ['aac'], seconds: 60 });
  return withSubtitleTracks(`subtitled.${container}`, film, LINES, ['eng', 'deu']);
}

/** What the browser shows now, with the track's language. */
const SHOWN = `(() => {
  const track = [...video.textTracks].find(({ mode }) => mode === 'showing');
  return track === undefined ? 'off' : [...(track.activeCues ?? [])].map(({ text }) => text).join('|');
})()`;

/** Seeks there and waits for this to be shown; nothing shown only counts once the cues around are there. */
async function assertShown(player: PlayerPage, at: number, expected: string): Promise<void> {
  await player.seek(at);
  const near = `[...video.textTracks].some(({ mode, cues }) =>
    mode === 'showing' && [...(cues ?? [])].some(({ startTime, endTime }) => startTime < ${at + 4} && endTime > ${at - 4}))`;
  await player.until(near);
  await player.until(`${SHOWN} === ${JSON.stringify(expected)}`).catch(async (error: unknown) => {
    const shown = await player.page.evaluate(`(({ video }) => ${SHOWN})(globalThis.__raffi)`);
    assert.fail(`at ${at} s ${JSON.stringify(shown)} is shown, not ${JSON.stringify(expected)}: ${String(error)}`);
  });
}

const MOMENTS: readonly (readonly [at: number, shown: string])[] = [
  [31, 'eng cue 15'],
  [31.8, ''],
  [12.44, ''],
  [12.54, 'eng cue 6'],
  [13.46, 'eng cue 6'],
  [13.56, ''],
  [0.6, 'eng cue 0'],
  [57.5, 'eng long'],
  [58.2, ''],
];

describe('subtitles on the page', { timeout: 240_000 }, () => {
  const stage = useStage(async () => void (await Promise.all([subtitled('mkv'), subtitled('mp4')])));

  for (const container of ['mkv', 'mp4'] as const) {
    test(`are shown at their times after seeks: ${container}`, async () => {
      await using player = await stage.open();
      await player.enter(await subtitled(container));
      await player.playing();
      for (const [at, shown] of MOMENTS) await assertShown(player, at, shown);
      assert.deepEqual(player.troubles, []);
    });
  }

  // The mapping of times is another where media starts at 0 exactly, as in this MP4.
  for (const container of ['mkv', 'mp4'] as const) {
    test(`are at their times when the first segment of them is in the middle: ${container}`, async () => {
      await using player = await stage.open();
      await player.enter(await subtitled(container));
      await player.playing();
      await player.page.keyboard.press('c');
      await player.until(`hls.subtitleTrack === -1 && ${SHOWN} === 'off'`);
      await player.page.reload();
      await player.playing();
      assert.equal(await player.page.evaluate('globalThis.__raffi.hls.subtitleTrack'), -1, 'off is remembered');
      await player.seek(43);
      await player.page.keyboard.press('c');
      await assertShown(player, 43, 'eng cue 21');
      await assertShown(player, 43.8, '');
      await assertShown(player, 3, 'eng cue 1');
    });
  }

  test('the menu chooses among the tracks and remembers', async () => {
    await using player = await stage.open();
    await player.enter(await subtitled('mkv'));
    await player.playing();
    const menu = async () => {
      await player.page.mouse.move(600, 300);
      await player.page.mouse.move(610, 310);
      await player.page.click('#subtitle-button');
    };
    await menu();
    const labels = player.page.locator('#subtitle-menu button > span');
    assert.deepEqual(await labels.allTextContents(), ['Off', 'English', 'German']);
    await player.page.click('#subtitle-menu button:has-text("German")');
    await assertShown(player, 31, 'deu cue 15');
    await player.page.reload();
    await player.playing();
    await assertShown(player, 31, 'deu cue 15');
    await menu();
    await player.page.click('#subtitle-menu button:has-text("Off")');
    await player.until(`hls.subtitleTrack === -1 && ${SHOWN} === 'off'`);
    await player.page.keyboard.press('c');
    await assertShown(player, 33, 'deu cue 16');
  });

  test('a slice, which begins at 0, has them at its own times', async () => {
    await using player = await stage.open();
    await player.enter(await subtitled('mkv'));
    await player.playing();
    const id = await player.sessionId();
    const answer = await fetch(`${stage.server.url}/sessions/${id}/stream?seek=33`);
    const sliceStart = Number(answer.headers.get('x-raffi-slice-start'));
    assert.ok(sliceStart > 20 && sliceStart <= 33, `${sliceStart}`);
    await player.page.evaluate(`globalThis.__raffi.hls.loadSource('/sessions/${id}/stream?seek=33')`);
    await player.until(`Math.abs(video.duration - ${60 - sliceStart}) < 0.5 && video.readyState >= 3`);
    await assertShown(player, 33 - sliceStart, 'eng cue 16');
    await assertShown(player, 33.6 - sliceStart, '');
    await assertShown(player, 45 - sliceStart, 'eng cue 22');
    await assertShown(player, 57 - sliceStart, 'eng long');
  });

  test('a file without subtitles has no menu for them', async () => {
    await using player = await stage.open();
    await player.enter(await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 60 }));
    await player.playing();
    assert.ok(await player.page.isHidden('#subtitle-button'));
  });
});
