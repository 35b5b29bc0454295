/**
 * In Chromium, on the 2-hour film: from the click to the first frame, and from each of 20 random seeks to its frame.
 *
 *   node bench/make-media.mjs && node bench/browser.ts [film.mkv ...]
 */
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { launchBrowser, PlayerPage, type RunningServer, startServer } from '../test/e2e/browser.ts';
import { median, percentile } from './lib/server.ts';

const CACHE = fileURLToPath(new URL('../.cache/bench/', import.meta.url));
const RUNS = 5;
const SEEKS = 20;
const FRAME = 1 / 24;

/** Milliseconds from the click on "Play" to the first frame that the compositor got. */
async function firstFrame(browser: Browser, server: RunningServer, film: string): Promise<number> {
  await using player = await PlayerPage.open(browser, server);
  await player.page.fill('#source', film);
  const ms = await player.page.evaluate<number>(`new Promise((resolve) => {
    const start = performance.now();
    const wait = setInterval(() => {
      const video = globalThis.__raffi?.video;
      if (!video) return;
      clearInterval(wait);
      video.requestVideoFrameCallback((now) => resolve(now - start));
    }, 1);
    document.querySelector('.open-go').click();
  })`);
  return ms;
}

/** Milliseconds from setting the time to the callback for the frame that belongs there. */
async function seeks(browser: Browser, server: RunningServer, film: string): Promise<number[]> {
  await using player = await PlayerPage.open(browser, server);
  await player.enter(film);
  await player.playing();
  const times: number[] = [];
  for (let n = 0; n < SEEKS; n++) {
    const target = Math.random() * 7190;
    const { ms, shown } = await player.page.evaluate<{ ms: number; shown: number }>(`new Promise((resolve) => {
      const { video } = globalThis.__raffi;
      const start = performance.now();
      const look = (now, { mediaTime }) => {
        if (Math.abs(mediaTime - ${target}) <= 0.5) resolve({ ms: now - start, shown: mediaTime });
        else video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
      video.currentTime = ${target};
    })`);
    if (Math.abs(shown - target) > 2 * FRAME + 0.05) throw new Error(`a seek to ${target} s showed ${shown} s`);
    times.push(ms);
  }
  return times;
}

const films =
  process.argv.length > 2
    ? process.argv.slice(2).map((film) => resolve(film))
    : [join(CACHE, 'film.mkv'), join(CACHE, 'film.mp4')];
await using server = await startServer();
const browser = await launchBrowser();
try {
  for (const film of films) {
    await firstFrame(browser, server, film); // starts the decoder's process and fills the caches of code
    const first: number[] = [];
    for (let run = 0; run < RUNS; run++) first.push(await firstFrame(browser, server, film));
    const seeked = await seeks(browser, server, film);
    const ms = (value: number): string => `${value.toFixed(0)} ms`;
    console.log(
      `${basename(film)}: first frame ${ms(median(first))} (median of ${RUNS}; target <= 700), ${SEEKS} random seeks p50 ${ms(percentile(seeked, 50))} (<= 450), p95 ${ms(percentile(seeked, 95))} (<= 900)`,
    );
  }
} finally {
  await browser.close();
}
