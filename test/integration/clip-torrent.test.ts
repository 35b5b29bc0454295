import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { numberedMedia } from '../fixtures/media.ts';
import type { Seeder } from '../fixtures/seeders.ts';
import { type FilmTorrent, filmTorrent } from '../fixtures/torrent-film.ts';
import { decodeFile } from '../fixtures/verify.ts';
import { startTestServer, type TestServer } from './harness.ts';

const FPS = 25;
const SECONDS = 200;
const PIECE = 256 * 1024;
/** What a torrent's reader fetches of any film, to find its index: head and tail. */
const INDEX_BYTES = 2 * 8 * 1024 * 1024;
/** Filled up to 4 Mb/s: 100 MB. */
const FILLER = ['-b:v', '4M', '-maxrate', '4M', '-bufsize', '4M', '-x264-params', 'nal-hrd=cbr'];

interface Status {
  readonly piecesComplete: number;
  readonly piecesTotal: number;
  readonly torrent?: { readonly sketch?: string };
}

describe('clips of torrents', { timeout: 240_000 }, () => {
  let film: FilmTorrent;
  let seeder: Seeder;
  let server: TestServer;
  let path: string;
  before(async () => {
    path = await numberedMedia({
      container: 'mkv',
      video: 'h264',
      audio: ['aac'],
      seconds: SECONDS,
      extraArgs: FILLER,
    });
    film = await filmTorrent(path, { pieceLength: PIECE });
    seeder = await film.seed();
    server = await startTestServer({ ...film.env, RAFFI_CLIPS_DIR: join(film.folder, 'clips') });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await seeder?.[Symbol.asyncDispose]();
    await film?.[Symbol.asyncDispose]();
  });

  test('one fetches the pieces that it needs, and no others', async () => {
    const id = await server.create({ source: film.link(seeder) });
    await server.text(`/sessions/${id}/stream.m3u8`);
    await settled();
    const before = await status();
    // Between two frames, also where the sound's priming moves them by some milliseconds.
    const [start, end] = [100.31, 110.91];
    const { status: code, body } = await server.json<{ outputPath: string }>(`/sessions/${id}/clip`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ start, end }),
    });
    assert.equal(code, 200, JSON.stringify(body));
    await settled();
    const fetched = (await status()).piecesComplete - before.piecesComplete;
    // The groups of pictures in which it starts and ends are 2 s long, and the next one tells where the last ends.
    const needed = ((end - start + 6) / SECONDS) * statSync(path).size;
    assert.ok(
      before.piecesComplete * PIECE <= INDEX_BYTES + 8 * PIECE,
      `${before.piecesComplete} pieces to begin with`,
    );
    assert.ok(fetched * PIECE >= (needed * 10) / 17, `only ${fetched} pieces`);
    assert.ok(
      fetched * PIECE <= needed + 2 * PIECE,
      `${fetched} pieces of ${PIECE} bytes, where ${needed} bytes are needed`,
    );
    const { frames, audio } = await decodeFile(body.outputPath);
    const numbers = frames.map(({ number }) => number);
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_, n) => Math.ceil(start * FPS) + n),
    );
    assert.equal(numbers.at(-1), Math.ceil(end * FPS) - 1);
    assert.ok(audio && audio.jumps.length === 0);
    await server.get(`/sessions/${id}`, { method: 'DELETE' });
  });

  async function status(): Promise<Status> {
    return (await server.json<Status>(`/torrents/${film.infoHash}/status`)).body;
  }

  /** Resolves when nothing comes any more: two counts, which are told once a second, are the same. */
  async function settled(): Promise<void> {
    const late = AbortSignal.timeout(60_000);
    for (let [same, last] = [0, -1]; same < 2; ) {
      assert.ok(!late.aborted, 'it never ends');
      await delay(1_200);
      const { piecesComplete } = await status();
      same = piecesComplete === last ? same + 1 : 0;
      last = piecesComplete;
    }
  }
});
