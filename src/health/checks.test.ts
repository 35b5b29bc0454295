import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkDisk, checkFfmpeg, checkFolder } from './checks.ts';

test('a folder is tried out, also one that is yet to be made, and left as it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-test-checks-'));
  try {
    for (const path of [folder, join(folder, 'a', 'b')]) {
      const check = await checkFolder('torrents', path);
      assert.deepEqual([check.name, check.state], ['torrents', 'ok'], check.detail);
    }
    assert.deepEqual(await readdir(folder), []);
    const file = join(folder, 'file');
    await writeFile(file, '');
    for (const path of [file, join(file, 'below')]) {
      const failing = await checkFolder('torrents', path);
      assert.equal(failing.state, 'failing');
      assert.match(failing.detail, /ENOTDIR.*RAFFI_TORRENT_DIR/);
      assert.equal((await checkFolder('clips', path)).state, 'limited');
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a folder of the kernel cannot be written', { skip: process.platform !== 'linux' }, async () => {
  assert.equal((await checkFolder('cache', '/proc/self')).state, 'failing');
});

test('the least room on any disk counts', async () => {
  const here = tmpdir();
  const folders = { temporary: here, cache: here, torrents: join(here, 'not', 'yet'), clips: here };
  const { name, detail } = await checkDisk(folders);
  assert.equal(name, 'disk');
  assert.match(detail, /\d+(?:\.\d)? [MG]B/);
  if (process.platform !== 'linux') return;
  // A file system without any room.
  const full = await checkDisk({ ...folders, clips: '/proc' });
  assert.equal(full.state, 'failing');
  assert.match(full.detail, /Only 0 MB are free for \/proc/);
});

test('without FFmpeg the server is limited, and says what is missing', () => {
  assert.deepEqual(checkFfmpeg(['There is no ffmpeg.', 'There is no ffprobe.'], ''), {
    name: 'ffmpeg',
    state: 'limited',
    detail: 'There is no ffmpeg. There is no ffprobe.',
  });
  assert.equal(checkFfmpeg([], 'Found ffmpeg 7.').state, 'ok');
});
