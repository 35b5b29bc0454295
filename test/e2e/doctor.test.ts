import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { useStage } from './browser.ts';

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const film = () => numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 60 });
/** Takes long enough to be cut to be cancelled. */
const long = () => numberedMedia({ container: 'mkv', video: 'mpeg2video', audio: ['mp2'], seconds: 600 });

describe('the doctor and clips on the page', { timeout: 240_000 }, () => {
  const clips = mkdtempSync(join(tmpdir(), 'raffi-e2e-doctor-'));
  const stage = useStage(async () => ({ RAFFI_CLIPS_DIR: clips, RAFFI_TORRENT_DHT: '0', RAFFI_TORRENT_LSD: '0' }));
  after(() => rmSync(clips, { recursive: true, force: true }));
  const made = (): string[] => readdirSync(clips).sort();

  test('the panel says what is copied, and where the time went', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    await player.page.keyboard.press('i');
    await player.page.waitForSelector('.verdict.good:has-text("Nothing is re-encoded")');
    await player.page.waitForSelector('.doctor h3:has-text("First segment after")');
    const rows = await player.page.locator('.doctor .facts dt').allTextContents();
    assert.ok(rows.includes('Player asks') && rows.includes('First segment'), rows.join());
    assert.match((await player.page.getAttribute('.steps', 'aria-label')) ?? '', /The first segment was there/);
    assert.deepEqual(player.troubles, []);
  });

  test('the panel shows transcoders at work, on a phone too, where nothing reaches out of it', async () => {
    await using player = await stage.open('/', PHONE);
    await player.enter(await long());
    await player.playing();
    await player.page.keyboard.press('i');
    await player.page.waitForSelector('.verdict.works:has-text("Picture and sound are re-encoded.")');
    await player.page.waitForSelector('.run-head:has-text("360p") .pill');
    await player.page.waitForSelector('.run-words:has-text("times the speed of playing")');
    const wide: string[] = await player.page.evaluate(`[...document.querySelectorAll('#panel *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map((element) => element.className || element.tagName)`);
    assert.deepEqual(wide, []);
    assert.deepEqual(player.troubles, []);
  });

  test('the panel says that nobody has a torrent', async () => {
    await using player = await stage.open();
    await player.enter(`magnet:?xt=urn:btih:${'a'.repeat(40)}&dn=Dead`);
    await player.page.waitForSelector('#player', { state: 'visible' });
    await player.page.keyboard.press('i');
    await player.page.waitForSelector('.verdict.waits:has-text("Nobody has this torrent")');
    await player.page.waitForSelector('.findings .warning:has-text("no tracker is named")');
    assert.deepEqual(player.troubles, []);
  });

  test('a clip is cut with the keyboard alone, and plays', async () => {
    await using player = await stage.open();
    const { page } = player;
    await player.enter(await film());
    await player.playing();
    await player.seek(10.02);
    await page.keyboard.press('[');
    await page.waitForSelector('#clip', { state: 'visible' });
    await player.seek(14.02);
    await page.keyboard.press(']');
    assert.equal(await page.textContent('#clip-start'), '0:10.0');
    assert.equal(await page.textContent('#clip-end'), '0:14.0');
    assert.equal(await page.textContent('#clip-length'), '4.0 s');
    // From "Start here", which has the focus, to the name: past three buttons.
    for (let n = 0; n < 4; n++) await page.keyboard.press('Tab');
    await page.keyboard.type('A [clip] x');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#clip-result', { state: 'visible' });
    const path = (await page.textContent('#clip-path')) ?? '';
    assert.equal(path, join(clips, 'A [clip] x.mp4'));
    assert.match((await page.textContent('#clip-message')) ?? '', /^Saved/);
    assert.deepEqual(made(), ['A [clip] x.mp4']);
    await page.focus('#clip-play');
    await page.keyboard.press('Enter');
    await player.until('Math.abs(video.duration - 4) < 0.1 && video.readyState >= 3', 60_000);
    assert.ok(await page.isHidden('#clip'), 'the card belongs to what was played before');
    await player.seek(0.01);
    assert.equal(await player.settledFrame(250), 250);
    assert.deepEqual(player.troubles, []);
  });

  test('a clip under way tells how far it is, and is cancelled without a trace', async () => {
    const before = made();
    await using player = await stage.open('/', PHONE);
    const { page } = player;
    await player.enter(await long());
    await player.playing();
    await page.click('#clip-button');
    await player.seek(590);
    await page.click('#clip-out');
    await page.click('#clip-go');
    await page.waitForSelector('#clip-message:has-text("Being cut: ")');
    await page.waitForSelector('#clip-bar:not([aria-valuenow="0"])');
    // It goes on while the card is shut, and is still there behind it.
    await page.click('#clip-close');
    await page.click('#clip-button');
    await page.click('#clip-cancel');
    await page.waitForSelector('#clip-message:has-text("Nothing is left of it")');
    assert.deepEqual(made(), before);
    assert.ok(await page.isVisible('#clip-go'), 'another one can be made');
    await page.keyboard.press('Escape');
    assert.ok(await page.isHidden('#clip'));
    assert.deepEqual(player.troubles, []);
  });

  test('what the server refuses is said in the card', async () => {
    await using player = await stage.open();
    const { page } = player;
    await player.enter(await film());
    await player.playing();
    await page.keyboard.press('x');
    await page.fill('#clip-name', '...');
    await page.press('#clip-name', 'Enter');
    await page.waitForSelector('#clip.failed #clip-message:has-text("body/name")');
    await page.press('#clip-name', 'Escape');
    assert.ok(await page.isHidden('#clip'));
  });
});
