import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { type FilmTorrent, filmTorrent } from '../fixtures/torrent-film.ts';
import { makeTorrent } from '../fixtures/torrents.ts';
import { useStage } from './browser.ts';

const FPS = 25;
/** Filled up to 4.8 Mb/s: with its sound, a film of 5 Mb/s. */
const FILLER = ['-b:v', '4800k', '-maxrate', '4800k', '-bufsize', '4800k', '-x264-params', 'nal-hrd=cbr'];
const film = (seconds: number) =>
  numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds, extraArgs: FILLER });

describe('torrents on the page', { timeout: 300_000 }, () => {
  let torrent: FilmTorrent;
  const stage = useStage(async () => {
    torrent = await filmTorrent(await film(60), { pieceLength: 256 * 1024 });
    return torrent.env;
  });
  after(() => torrent?.[Symbol.asyncDispose]());

  test('a magnet link plays from a swarm of 1 MB/s, and each of ten seeks shows its frame', async () => {
    await using seeder = await torrent.seed({ upload: 1_000_000 });
    await using player = await stage.open();
    await player.enter(torrent.link(seeder));
    await player.page.waitForSelector('#torrent-message:has-text(" ")');
    await player.until('video.readyState >= 3 && video.currentTime > 0.1', 60_000);
    // That it does not stall is a matter of time, which a busy machine has not: bench/torrent-film.ts.
    await player.until('video.currentTime > 8', 60_000);
    const frames = [1010, 262, 1440, 610, 1212, 60, 812, 460, 1110, 310];
    const shown: (number | undefined)[] = [];
    for (const frame of frames) {
      await player.seek((frame + 0.5) / FPS);
      shown.push(await player.settledFrame(frame));
    }
    assert.deepEqual(shown, frames);
    assert.deepEqual(player.troubles, []);
    assert.equal(await player.page.textContent('#title'), 'film.mkv');
    await player.page.keyboard.press('i');
    await player.page.waitForSelector('.torrent-section .pieces canvas');
    const facts = await player.page.textContent('.torrent-section');
    assert.match(facts ?? '', /1 connected.*[kM]B\/s down|All of it is here/s);
  });

  test('a .torrent file that is dropped plays its film; another file of it can be chosen', async () => {
    const { readFile } = await import('node:fs/promises');
    const files = [
      { path: ['one.mkv'], content: await readFile(await film(20)) },
      { path: ['two.mkv'], content: await readFile(await film(10)) },
    ];
    const several = makeTorrent({ name: 'Two films', pieceLength: 256 * 1024, files });
    const path = join(torrent.folder, 'two.torrent');
    await writeFile(path, several.bytes);
    await mkdir(join(torrent.folder, 'Two films'));
    for (const { path: parts, content } of files) await writeFile(join(torrent.folder, 'Two films', ...parts), content);
    await using player = await stage.open();
    await player.page.evaluate(`((base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], 'two.torrent', { type: 'application/x-bittorrent' }));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    })(${JSON.stringify(several.bytes.toString('base64'))})`);
    // No tracker, no peer: it waits, and says so.
    await player.page.waitForSelector('#torrent-message:has-text("Looking for peers")');
    await player.page.waitForSelector('#torrent-files select');
    await using seeder = await torrent.seed({ torrent: path });
    const link = `${several.magnet}&x.pe=127.0.0.1:${seeder.peer.port}`;
    const headers = { 'content-type': 'application/json' };
    await fetch(`${stage.server.url}/sessions`, { method: 'POST', headers, body: JSON.stringify({ source: link }) });
    await player.playing();
    assert.equal(await player.page.textContent('#total'), '0:20');
    await player.page.keyboard.press('i');
    await player.page.selectOption('.torrent-section select', '1');
    await player.until('Math.round(video.duration) === 10 && video.readyState >= 3', 30_000);
    assert.equal(await player.page.textContent('#title'), 'two.mkv');
    assert.deepEqual(player.troubles, []);
  });
});
