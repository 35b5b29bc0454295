/** What a reader gets when somebody else has been at the files. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ChunkFiles } from './chunk-files.ts';
import { chunkFile } from './engine/chunks.ts';
import { PieceMap } from './piece-map.ts';
import { Timeline } from './timeline.ts';
import { type SourceHost, TorrentSource } from './torrent-source.ts';

const CHUNK = 16_384;
const folder = await mkdtemp(join(tmpdir(), 'raffi-source-'));
after(() => rm(folder, { recursive: true }));

/** A film of two chunks of a piece each; what is lost is there again after a moment. */
function filmIn(directory: string): { source: TorrentSource; lost: number[] } & AsyncDisposable {
  const pieces = new PieceMap(CHUNK, 2 * CHUNK, Uint8Array.of(0b1100_0000));
  const files = new ChunkFiles(directory, CHUNK);
  const lost: number[] = [];
  const host: SourceHost = {
    infoHash: 'a'.repeat(40),
    pieces,
    files,
    viewers: 1,
    mostAhead: 1_000_000,
    failure: undefined,
    timeline: new Timeline(() => {}),
    changed() {},
    closed() {},
    async lost(chunk) {
      lost.push(chunk);
      pieces.remove([chunk]);
      await files.close(chunk);
      setTimeout(async () => {
        await writeFile(chunkFile(directory, chunk), Buffer.alloc(CHUNK));
        pieces.add([chunk]);
      }, 50);
    },
  };
  const file = { index: 0, path: ['film.mkv'], offset: 0, length: 2 * CHUNK, isPadding: false };
  const source = new TorrentSource(file, false, host, async () => {});
  return {
    source,
    lost,
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
      await files[Symbol.asyncDispose]();
    },
  };
}

test('two reads, the one over both chunks, get what has been deleted', async () => {
  await using film = filmIn(await mkdtemp(join(folder, 'deleted-')));
  const [one, both] = await Promise.all([film.source.read(0, 100), film.source.read(CHUNK - 100, 200)]);
  assert.deepEqual([one.length, both.length], [100, 200]);
  assert.deepEqual(new Set(film.lost), new Set([0, 1]));
});

test('what is there, but cannot be read, is not given up', async () => {
  const directory = await mkdtemp(join(folder, 'unreadable-'));
  // A folder can be opened as a file, and not be read, whoever asks.
  await mkdir(chunkFile(directory, 0));
  await using film = filmIn(directory);
  await assert.rejects(film.source.read(0, 100), { code: 'torrent-failed' });
  assert.deepEqual(film.lost, []);
});
