import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { beepFrequency, numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { type PlayerPage, type RunningServer, useStage } from './browser.ts';
import { hears } from './sound.ts';

const FPS = 25;
const film = () => numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 60 });

describe('the page', { timeout: 180_000 }, () => {
  const stage = useStage(async () => void (await film()));

  test('plays an H.264 and AAC file whose path is pasted', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    const shown = await player.frameNumber();
    assert.ok(shown !== undefined, 'the picture carries a number');
    assert.equal(await player.page.textContent('#total'), '1:00');
    assert.deepEqual(player.troubles, []);
  });

  test('seeks ten times and shows the frame of each', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    const frames = [730, 12, 1499, 49, 50, 1000, 1001, 375, 874, 0];
    const shown: (number | undefined)[] = [];
    for (const frame of frames) {
      await player.seek((frame + 0.5) / FPS);
      shown.push(await player.settledFrame(frame));
    }
    assert.deepEqual(shown, frames);
    assert.deepEqual(player.troubles, []);
  });

  test('knows where segments begin, so that a seek to there does not fetch the one before', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    // hls.js has looked into segments of picture and sound.
    const looked = '({ details }) => details?.fragments.some(({ startDTS }) => startDTS > 0)';
    await player.until(`hls.levels.some(${looked}) && hls.audioTracks.some(${looked})`);
    const late = await player.page.evaluate<number[]>(`(() => {
      const { hls } = globalThis.__raffi;
      return [...hls.levels, ...hls.audioTracks].filter(${looked}).flatMap(({ details: { fragments } }) => {
        let start = 0;
        return fragments.map((fragment) => {
          const late = fragment.start - start;
          start += Number(fragment.tagList.find(([name]) => name === 'INF')[1]);
          return late;
        });
      });
    })()`);
    assert.ok(late.length > 10);
    // Its time 0 is that of the first picture, which is not the presentation's; a picture lasts 40 ms.
    assert.ok(Math.max(...late) < 0.002 && Math.min(...late) > -0.04, `${late}`);
  });

  test('plays an MP4 from a link', async () => {
    const file = await numberedMedia({ container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20 });
    await using origin = await startOrigin({ file, path: '/films/holiday.mp4' });
    await using player = await stage.open();
    await player.enter(origin.url);
    await player.playing();
    assert.equal(await player.page.textContent('#title'), 'holiday.mp4');
    await player.seek(15.5 / FPS);
    assert.equal(await player.settledFrame(15), 15);
    await player.seek(490.5 / FPS);
    assert.equal(await player.settledFrame(490), 490);
  });

  test('says in words that a file is not there, and lets another be chosen', async () => {
    await using player = await stage.open();
    const missing = join(tmpdir(), 'raffi-no-such-film.mkv');
    await player.enter(missing);
    await player.page.waitForSelector('#failure', { state: 'visible' });
    assert.match((await player.page.textContent('#failure-detail')) ?? '', /raffi-no-such-film\.mkv/);
    await player.page.click('#another');
    assert.equal(await player.page.inputValue('#source'), missing);
    assert.ok(await player.page.isHidden('#player'));
    await player.enter(await film());
    await player.playing();
  });

  test('says in words that a file is no video', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'raffi-e2e-'));
    try {
      const path = join(folder, 'notes.txt');
      await writeFile(path, 'Buy milk.\n'.repeat(1000));
      await using player = await stage.open();
      await player.enter(path);
      await player.page.waitForSelector('#failure', { state: 'visible' });
      assert.match((await player.page.textContent('#failure-detail')) ?? '', /notes\.txt/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('switches the audio track from the menu', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    await hears(player, beepFrequency(0));
    // The bars have faded meanwhile.
    await player.page.mouse.move(600, 300);
    await player.page.click('#audio-button');
    assert.deepEqual(await player.page.locator('#audio-menu button > span').allTextContents(), ['English', 'German']);
    await player.page.click('#audio-menu button:has-text("German")');
    await player.until('hls.audioTrack === 1');
    await hears(player, beepFrequency(1));
  });

  test('switches to an audio track of another codec', async () => {
    await using player = await stage.open();
    await player.enter(await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'opus'], seconds: 60 }));
    await player.playing();
    await hears(player, beepFrequency(0));
    await player.page.keyboard.press('a');
    await player.until("hls.audioTracks[hls.audioTrack]?.lang === 'deu' && !video.seeking && video.readyState >= 3");
    await hears(player, beepFrequency(1));
    await player.page.mouse.move(600, 300);
    await player.page.click('#audio-button');
    assert.match((await player.page.textContent('#audio-menu [aria-checked=true]')) ?? '', /German.*Opus/);
  });

  test('obeys the keyboard', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    const { keyboard } = player.page;
    await keyboard.press('Space');
    await player.until('video.paused');
    for (const [key, seconds] of [
      ['5', 30],
      ['ArrowRight', 35],
      ['ArrowLeft', 30],
      ['l', 40],
      ['j', 30],
      ['Shift+ArrowLeft', 0],
      ['End', 59.9],
      ['Home', 0],
    ] as const) {
      await keyboard.press(key);
      const time = await player.currentTime();
      assert.ok(Math.abs(time - seconds) < 0.25, `${key} leads to ${seconds} s, not ${time} s`);
    }
    await keyboard.press('m');
    await player.until('video.muted');
    await keyboard.press('m');
    await player.until('!video.muted && video.volume === 1');
    await keyboard.press('ArrowDown');
    await player.until('Math.abs(video.volume - 0.95) < 0.001');
    await keyboard.press('i');
    await player.page.waitForSelector('#panel', { state: 'visible' });
    assert.match((await player.page.textContent('#panel')) ?? '', /Video: H\.264.*Copied, not re-encoded/s);
    await keyboard.press('Escape');
    assert.ok(await player.page.isHidden('#panel'));
    await keyboard.press('?');
    assert.ok(await player.page.isVisible('#help'));
    await keyboard.press('Escape');
    await keyboard.press('f');
    await player.until('document.fullscreenElement?.id === "player"');
    await keyboard.press('k');
    await player.playing();
  });

  test('the scrub bar seeks and speaks', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    await player.page.keyboard.press('k');
    const bar = await player.page.locator('#scrub').boundingBox();
    assert.ok(bar);
    await player.page.mouse.click(bar.x + bar.width / 2, bar.y + bar.height / 2);
    await player.until('!video.seeking && Math.abs(video.currentTime - 30) < 0.5');
    assert.equal(await player.page.getAttribute('#scrub', 'aria-valuemax'), '60');
    assert.match((await player.page.getAttribute('#scrub', 'aria-valuetext')) ?? '', /^(30|29) seconds of 1 minute/);
  });

  test('plays at once what its address names, and Back leads to the start', async () => {
    await using player = await stage.open(`/#source=${encodeURIComponent(await film())}&t=40`);
    await player.playing();
    assert.ok((await player.currentTime()) >= 40);
    const id = await player.sessionId();
    await player.page.click('#back');
    assert.ok(await player.page.isVisible('#landing'));
    await ended(stage.server, id);
    await player.page.goBack();
    await player.playing();
    assert.notEqual(await player.sessionId(), id);
  });

  test('ends its session when the page is left', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    const id = await player.sessionId();
    await player.page.goto('about:blank');
    await ended(stage.server, id);
  });

  test('goes on with a new session when the server has forgotten its own', async () => {
    await using player = await stage.open();
    // Longer than what the player buffers.
    await player.enter(await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 240 }));
    await player.playing();
    const id = await player.sessionId();
    // Beyond what it has buffered, so that it must ask the server.
    await player.page.evaluate('globalThis.__raffi.hls.stopLoad()');
    assert.equal((await fetch(`${stage.server.url}/sessions/${id}`, { method: 'DELETE' })).status, 204);
    await player.page.evaluate('globalThis.__raffi.video.currentTime = 230; globalThis.__raffi.hls.startLoad()');
    await player.until(`session && session.id !== '${id}' && video.currentTime > 230.1`);
    assert.ok(await player.page.isHidden('#failure'));
  });

  for (const [width, height] of [
    [360, 740],
    [740, 360],
  ] as const) {
    test(`fits a phone of ${width} x ${height}`, async () => {
      const phone = { viewport: { width, height }, hasTouch: true, isMobile: true };
      await using player = await stage.open('/', phone);
      assert.deepEqual(await outside(player), []);
      await player.enter(await film());
      await player.playing();
      assert.deepEqual(await outside(player), []);
      // As wide as it gets: a long film with a choice of everything.
      await player.page.evaluate(`(() => {
        globalThis.__raffi.video.pause();
        const show = (id, text) => {
          const control = document.getElementById(id);
          control.hidden = false;
          if (text) control.textContent = text;
        };
        show('audio-button');
        show('subtitle-button');
        show('quality-button', '1080p');
        show('speed-button', '1.75×');
        show('elapsed', '1:23:45');
        show('total', '−2:23:45');
      })()`);
      assert.deepEqual(await outside(player), []);
      const rows: number[] =
        await player.page.evaluate(`[...new Set([...document.querySelectorAll('.row > button, .row > .menu-anchor > button')]
        .map((control) => control.getBoundingClientRect()).filter(({ width }) => width > 0).map(({ top }) => top))]`);
      assert.equal(rows.length, 1, 'the controls stand in one row');
      await player.page.tap('#info-button');
      await player.page.evaluate(
        'Promise.all(document.getElementById("panel").getAnimations().map(({ finished }) => finished))',
      );
      assert.deepEqual(await outside(player), []);
    });
  }
});

/** Resolves when the server no longer knows the session. */
async function ended(server: RunningServer, id: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { status } = await fetch(`${server.url}/sessions/${id}`);
    if (status === 404) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`Session ${id} was not ended`);
}

/** What is wider than the window, or a control that lies partly outside of it. */
function outside(player: PlayerPage): Promise<string[]> {
  return player.page.evaluate(`(() => {
    const wrong = [];
    const { clientWidth } = document.documentElement;
    if (document.documentElement.scrollWidth > clientWidth) wrong.push('the page scrolls sideways');
    for (const control of document.querySelectorAll('button, input')) {
      const { left, right, width } = control.getBoundingClientRect();
      if (width > 0 && (left < 0 || right > clientWidth)) wrong.push(control.id || control.className);
    }
    const row = [...document.querySelectorAll('.row button')].map((one) => [one, one.getBoundingClientRect()]);
    for (const [at, [one, { right, width }]] of row.entries()) {
      const over = row.slice(at + 1).find(([, next]) => width > 0 && next.width > 0 && next.left < right - 0.5);
      if (over && !one.closest('.menu') && !over[0].closest('.menu')) wrong.push(one.id + ' lies on ' + over[0].id);
    }
    return wrong;
  })()`);
}
