import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { beepFrequency, type NumberedMediaOptions, numberedMedia, plainMedia } from '../fixtures/media.ts';
import { type PlayerPage, useStage } from './browser.ts';
import { hears } from './sound.ts';

const FPS = 25;
const film = () => numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'aac'], seconds: 60 });

/** 720p with noise, which takes the bits that real pictures take. */
const heavyFilm = () =>
  numberedMedia({
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    seconds: 60,
    extraArgs: [
      '-vf',
      'scale=1280:720:flags=neighbor,noise=alls=12:allf=t',
      '-b:v',
      '6M',
      '-maxrate',
      '7M',
      '-bufsize',
      '7M',
    ],
  });

/** The rendition whose picture is shown. */
const SHOWN = `/([^/]+)\\/playlist/.exec(hls.levels[hls.currentLevel]?.uri ?? '')?.[1]`;

describe('qualities on the page', { timeout: 400_000 }, () => {
  const stage = useStage(async () => void (await film()));

  test('the menu switches between the original and 360p at the same place', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    await player.until(`${SHOWN} === 'original'`);
    assert.deepEqual(await menuTexts(player, 'quality'), [
      'Auto, now Original (180p)',
      'Original (180p), not re-encoded',
      '360p, re-encoded by the server',
    ]);
    for (const [label, rendition, frame] of [
      ['360p', '360p', 512],
      ['Original', 'original', 1011],
      ['360p', '360p', 250],
      ['Original', 'original', 700],
    ] as const) {
      await choose(player, 'quality', label);
      const before = await player.currentTime();
      await player.page.evaluate('globalThis.__raffi.video.play()');
      await player.until(`${SHOWN} === '${rendition}' && !video.seeking && video.readyState >= 3`);
      assert.ok((await player.currentTime()) - before < 15, 'it went on from the same place');
      await player.seek((frame + 0.5) / FPS);
      assert.equal(await player.settledFrame(frame), frame, `${label} at frame ${frame}`);
      assert.equal(await player.page.evaluate(`(({ hls }) => ${SHOWN})(globalThis.__raffi)`), rendition);
    }
    assert.deepEqual(player.troubles, []);
  });

  test('a fixed quality is right after ten seeks, is remembered, and is told of', async () => {
    await using player = await stage.open();
    await player.enter(await film());
    await player.playing();
    await choose(player, 'quality', '360p');
    await player.page.reload();
    await player.playing();
    const frames = [730, 12, 1499, 49, 50, 1000, 1001, 375, 874, 0];
    const shown: (number | undefined)[] = [];
    for (const frame of frames) {
      await player.seek((frame + 0.5) / FPS);
      shown.push(await player.settledFrame(frame));
      await player.until(`${SHOWN} === '360p'`);
    }
    assert.deepEqual(shown, frames);
    await player.page.keyboard.press('i');
    await player.page.waitForSelector('#panel', { state: 'visible' });
    const told = (await player.page.textContent('#panel')) ?? '';
    assert.match(told, /Copied, not re-encoded; transcoded to 360p when asked for/);
    assert.match(told, /Playing360p, 320 × 180, H\.264 \(avc1\.[^)]+\) \+ AAC/);
    assert.match(told, /The serveris transcoding the picture to 360p: as chosen/);
    await player.page.keyboard.press('Escape');
    assert.equal((await menuTexts(player, 'quality'))[0], 'Auto');
    assert.deepEqual(player.troubles, []);
  });

  test('auto starts with the original, goes down on a slow line and up again', async () => {
    await using player = await stage.open();
    await player.enter(await heavyFilm());
    await player.playing();
    await player.until(`${SHOWN} === 'original'`);
    const line = await player.page.context().newCDPSession(player.page);
    const carry = (bitsPerSecond: number) =>
      line.send('Network.emulateNetworkConditions', {
        offline: false,
        latency: 0,
        downloadThroughput: bitsPerSecond < 0 ? -1 : bitsPerSecond / 8,
        uploadThroughput: -1,
      });
    await line.send('Network.enable');
    await carry(2_500_000);
    await player.page.evaluate('globalThis.__raffi.video.currentTime = 20');
    await player.until(`${SHOWN} !== 'original' && video.currentTime > 20.1`, 60_000);
    await carry(-1);
    // Soon where the server re-encodes faster than it plays; what it waits for is taken for the line's fault.
    await player.until(`/([^/]+)\\/playlist/.exec(hls.levels[hls.loadLevel].uri)?.[1] === 'original'`, 150_000);
    assert.equal(await player.page.evaluate('globalThis.__raffi.hls.autoLevelEnabled'), true);
    assert.ok(await player.page.isHidden('#failure'));
  });

  test('another track keeps a fixed quality, whatever its codec', async () => {
    await using player = await stage.open();
    await player.enter(
      await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'ac3', 'opus'], seconds: 60 }),
    );
    await player.playing();
    await hears(player, beepFrequency(0));
    await choose(player, 'quality', '360p');
    await player.until(`${SHOWN} === '360p'`);
    assert.deepEqual(await menuTexts(player, 'audio'), [
      'English, AAC, Stereo',
      'German, Dolby Digital (AC-3), Stereo, as AAC',
      'French, Opus, Stereo',
    ]);
    for (const [at, label] of ['German', 'French', 'English'].entries()) {
      const index = (at + 1) % 3;
      await choose(player, 'audio', label);
      await player.until(
        `hls.audioTracks[hls.audioTrack]?.url.includes('/audio-${index}') && !video.seeking && video.readyState >= 3`,
      );
      await hears(player, beepFrequency(index));
      assert.equal(await player.page.evaluate(`(({ hls }) => ${SHOWN})(globalThis.__raffi)`), '360p');
    }
    assert.deepEqual(player.troubles, []);
  });
});

interface Foreign extends NumberedMediaOptions {
  readonly file?: () => Promise<string>;
  /** What the details say of the server's work. */
  readonly tells?: RegExp;
}

const HDR = [
  ...['-pix_fmt', 'yuv420p10le', '-color_primaries', 'bt2020', '-color_trc', 'smpte2084', '-colorspace', 'bt2020nc'],
];

const FOREIGN: Record<string, Foreign> = {
  'MPEG-2 and MP2 in MPEG-TS': { container: 'ts', video: 'mpeg2video', audio: ['mp2'] },
  'MPEG-4 ASP and MP3 in Matroska': { container: 'mkv', video: 'mpeg4', audio: ['mp3'] },
  'H.264 and DTS': {
    container: 'mkv',
    video: 'h264',
    audio: ['dts'],
    tells: /the sound to AAC: DTS audio cannot be copied into HLS/,
  },
  'H.264 with 4:2:2 samples': {
    container: 'mkv',
    video: 'h264',
    audio: ['aac'],
    extraArgs: ['-pix_fmt', 'yuv422p'],
  },
  'HEVC in 10 bits and HDR with E-AC-3': {
    container: 'mkv',
    video: 'hevc',
    audio: ['eac3'],
    extraArgs: HDR,
    tells:
      /the picture to 360p: this browser has no decoder for HEVC.*the sound to AAC: this browser has no decoder for/,
  },
  'VP9 and Opus in WebM': { container: 'webm', video: 'vp9', audio: ['opus'], tells: /copies, nothing is re-encoded/ },
  'H.264 and AC-3': { container: 'mkv', video: 'h264', audio: ['ac3'] },
  'HEVC, which this browser cannot decode': { container: 'mkv', video: 'hevc', audio: ['aac'] },
  'Vorbis in Ogg': { container: 'ogg', audio: ['vorbis'] },
  'Vorbis in Matroska': { container: 'mkv', audio: ['vorbis'] },
  'a picture alone': { container: 'mkv', video: 'h264' },
  'thirteen AC-3 tracks': { container: 'mkv', video: 'h264', audio: ['ac3'], file: thirteenTracks },
};

/** Frames of 30 s: there and back, within a segment and across. */
const SEEKS = [500, 20, 745, 299, 301, 0, 374, 375, 376, 49, 50, 700, 125, 630, 10, 249, 250, 748, 333, 101];

async function thirteenTracks(): Promise<string> {
  const one = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['ac3'], seconds: 30 });
  const maps = Array.from({ length: 13 }, (_, n) => ['-map', '0:a', `-metadata:s:a:${n}`, `title=Track ${n}`]).flat();
  return plainMedia('thirteen.mkv', ['-i', one, '-map', '0:v', ...maps, '-c', 'copy']);
}

describe('what the browser cannot decode', { timeout: 400_000 }, () => {
  const stage = useStage();

  for (const [name, { file, tells, ...options }] of Object.entries(FOREIGN)) {
    test(`plays and seeks: ${name}`, async () => {
      await using player = await stage.open();
      await player.enter(await (file?.() ?? numberedMedia({ ...options, seconds: 30 })));
      await player.playing();
      if (options.audio) await hears(player, beepFrequency(0));
      for (const frame of SEEKS) {
        const time = (frame + 0.5) / FPS;
        await player.seek(time);
        if (options.video) assert.equal(await player.settledFrame(frame), frame);
        else await player.until(`Math.abs(video.currentTime - ${time}) < 0.1 && video.readyState >= 2`);
      }
      await player.seek(10);
      await player.page.evaluate('globalThis.__raffi.video.play()');
      await player.until('video.currentTime > 10.5');
      if (tells) {
        await player.page.keyboard.press('i');
        assert.match((await player.page.textContent('#panel')) ?? '', tells);
      }
      assert.ok(await player.page.isHidden('#failure'));
      assert.deepEqual(player.troubles, []);
    });
  }
});

describe('what the decoder of the browser fails at', { timeout: 200_000 }, () => {
  const stage = useStage();

  // Chromium's takes references into a group of pictures that it has not seen for an error.
  test('open groups of pictures after a seek: the server re-encodes them, and says so', async () => {
    const options = { container: 'mkv', video: 'h264', audio: ['aac'], bFrames: 3, openGop: true } as const;
    await using player = await stage.open();
    await player.enter(await numberedMedia({ ...options, seconds: 40 }));
    await player.playing();
    for (const frame of [148, 150, 512, 299, 448]) {
      await player.seek((frame + 0.5) / FPS);
      assert.equal(await player.settledFrame(frame), frame);
    }
    assert.match((await player.page.textContent('#notice')) ?? '', /The server re-encodes it/);
    await player.page.evaluate('globalThis.__raffi.video.play()');
    await player.until('video.currentTime > 20');
    await player.seek(33.3);
    await player.page.evaluate('globalThis.__raffi.video.play()');
    await player.until('video.currentTime > 34');
    assert.ok(await player.page.isHidden('#failure'));
    assert.deepEqual(player.troubles, []);
  });
});

describe('a film with thirteen audio tracks', { timeout: 200_000 }, () => {
  const stage = useStage();
  for (const [width, height] of [
    [1280, 720],
    [360, 640],
    [640, 360],
  ] as const) {
    test(`each can be chosen in a window of ${width} x ${height}`, async () => {
      await using player = await stage.open('/', { viewport: { width, height } });
      await player.enter(await thirteenTracks());
      await player.playing();
      for (const track of [12, 0, 6]) {
        await openMenu(player, 'audio');
        const entry = player.page.locator('#audio-menu button').nth(track);
        await entry.scrollIntoViewIfNeeded();
        const box = await entry.boundingBox();
        assert.ok(box && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height);
        await entry.click();
        await player.until(
          `hls.audioTracks[hls.audioTrack]?.url.includes('/audio-${track}-aac/') && video.readyState >= 3`,
        );
      }
      assert.deepEqual(player.troubles, []);
    });
  }
});

async function openMenu(player: PlayerPage, name: 'quality' | 'audio'): Promise<void> {
  // The bars may have faded meanwhile.
  await player.page.mouse.move(600, 300);
  await player.page.mouse.move(610, 310);
  await player.page.click(`#${name}-button`);
}

async function choose(player: PlayerPage, name: 'quality' | 'audio', label: string): Promise<void> {
  await openMenu(player, name);
  await player.page.locator(`#${name}-menu button`, { hasText: new RegExp(`^${label}`) }).click();
}

/** The entries of a menu, each with its note. */
async function menuTexts(player: PlayerPage, name: 'quality' | 'audio'): Promise<string[]> {
  await openMenu(player, name);
  const texts: string[] = await player.page.evaluate(`[...document.querySelectorAll('#${name}-menu button')].map(
    (entry) => [...entry.querySelectorAll('span, small')].map(({ textContent }) => textContent).join(', '))`);
  await player.page.keyboard.press('Escape');
  return texts;
}
