import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { testBytes } from '../../test/fixtures/origin.ts';
import { AppError } from '../errors.ts';
import { BufferPool } from '../lib/buffer-pool.ts';
import { openFile } from './file.ts';

const posix = process.platform !== 'win32';
const folder = await mkdtemp(join(tmpdir(), 'raffi-file-test-'));
after(() => rm(folder, { recursive: true }));

const body = testBytes(1_000_003);
const never = new AbortController().signal;
let made = 0;

async function fileOf(bytes: Uint8Array): Promise<string> {
  made += 1;
  const path = join(folder, `video ${made}.mkv`);
  await writeFile(path, bytes);
  return path;
}

const failsWith = (code: string, path: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, code, error.message);
  assert.ok(error.detail.includes(path), error.detail);
  assert.match(error.detail, words);
  return true;
};

/** How many descriptors of this process are open on files of the test's folder. */
function descriptors(): number {
  if (!existsSync('/proc/self/fd')) return 0;
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
    } catch {
      return false;
    }
  }).length;
}

test('reads exactly what is asked for, shorter only at the end', async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never);
  assert.equal(source.size, body.length);
  assert.equal(source.label, path);
  assert.equal(source.name, `video ${made}.mkv`);
  assert.equal(source.latency, 'local');
  for (const [offset, length] of [
    [0, 10],
    [999_999, 4],
    [999_999, 100],
    [0, body.length],
    [0, body.length + 1],
    [500_000, 65_536],
    [body.length, 10],
    [body.length + 10, 10],
    [10, 0],
  ] as const) {
    const bytes = await source.read(offset, length);
    assert.ok(Buffer.from(bytes).equals(body.subarray(offset, offset + length)), `${offset}+${length}`);
    source.recycle(bytes);
    source.recycle(bytes);
  }
  await assert.rejects(source.read(-1, 1), RangeError);
  await assert.rejects(source.read(0, Number.NaN), RangeError);
});

test('concurrent reads with recycling never mix', async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never, new BufferPool(1 << 20));
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let turn = 0; turn < 50; turn += 1) {
        const offset = (worker * 7919 + turn * 104_729) % (body.length - 5000);
        const bytes = await source.read(offset, 5000);
        assert.ok(Buffer.from(bytes).equals(body.subarray(offset, offset + 5000)));
        source.recycle(bytes);
      }
    }),
  );
});

test('what is not a regular file is named for what it is', { skip: !posix }, async () => {
  const fifo = join(folder, 'fifo');
  execFileSync('sh', ['-c', 'mkfifo "$0"', fifo]);
  const directory = join(folder, 'directory');
  await mkdir(directory);
  const address = join(folder, 'socket');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(address, resolve));
  try {
    await assert.rejects(openFile(directory, never), failsWith('source-not-regular', directory, /a directory/));
    await assert.rejects(openFile(fifo, never), failsWith('source-not-regular', fifo, /a named pipe/));
    await assert.rejects(openFile(address, never), failsWith('source-not-regular', address, /a socket/));
    await assert.rejects(openFile('/dev/zero', never), failsWith('source-not-regular', '/dev/zero', /a device/));
    const link = join(folder, 'link-to-fifo');
    await symlink(fifo, link);
    await assert.rejects(openFile(link, never), failsWith('source-not-regular', link, /a named pipe/));
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('missing and empty files', async () => {
  const missing = join(folder, 'missing.mkv');
  await assert.rejects(openFile(missing, never), failsWith('source-not-found', missing, /does not exist/));
  const below = join(await fileOf(body), 'x.mkv');
  await assert.rejects(openFile(below, never), failsWith('source-not-found', below, /does not exist/));
  const long = join(folder, 'x'.repeat(5000));
  await assert.rejects(openFile(long, never), failsWith('source-not-found', long, /does not exist/));
  const empty = await fileOf(new Uint8Array(0));
  await assert.rejects(openFile(empty, never), failsWith('source-empty', empty, /is empty/));
  assert.equal(descriptors(), 0);
});

test('links: followed, dangling, and in a circle', { skip: !posix }, async () => {
  const path = await fileOf(body);
  const link = join(folder, 'link.mkv');
  await symlink(path, link);
  {
    await using source = await openFile(link, never);
    assert.equal(source.size, body.length);
  }
  const dangling = join(folder, 'dangling.mkv');
  await symlink(join(folder, 'nowhere'), dangling);
  await assert.rejects(openFile(dangling, never), failsWith('source-not-found', dangling, /symbolic link/));
  const circle = join(folder, 'circle.mkv');
  await symlink(circle, circle);
  await assert.rejects(openFile(circle, never), failsWith('source-unreachable', circle, /too many symbolic links/));
});

test('a file that may not be read', { skip: !posix }, async () => {
  const path = await fileOf(body);
  await chmod(path, 0);
  // Root may read everything, so it becomes somebody else meanwhile.
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65_534);
  try {
    await assert.rejects(openFile(path, never), failsWith('source-forbidden', path, /not allowed to read/));
  } finally {
    if (root) process.seteuid?.(0);
  }
});

test('a file that shrinks is source-truncated, then and later', async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never);
  await truncate(path, 500_000);
  await assert.rejects(source.read(600_000, 10), failsWith('source-truncated', path, /./));
  await assert.rejects(source.read(0, 10), failsWith('source-truncated', path, /./));
});

test('a file that is written to is source-changed', async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never);
  await source.read(0, 10);
  const handle = await open(path, 'r+');
  await handle.write(Buffer.from('changed'), 0, 7, 100);
  await handle.close();
  // Not left to the clock's grain.
  await utimes(path, new Date(), new Date(Date.now() + 5000));
  await assert.rejects(source.read(0, 10), failsWith('source-changed', path, /changed since it was opened/));
});

test('a file that grows is source-changed', async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never);
  await writeFile(path, 'more', { flag: 'a' });
  await assert.rejects(source.read(0, 10), failsWith('source-changed', path, /changed since it was opened/));
});

test('a file that is replaced or removed stays readable to those who have it open', { skip: !posix }, async () => {
  const path = await fileOf(body);
  await using source = await openFile(path, never);
  const before = source.identity;
  await rename(await fileOf(testBytes(1_000_003, 'other')), path);
  assert.ok(Buffer.from(await source.read(0, 1000)).equals(body.subarray(0, 1000)));
  await using replaced = await openFile(path, never);
  assert.notEqual(replaced.identity, before);
  await rm(path);
  assert.ok(Buffer.from(await source.read(0, 1000)).equals(body.subarray(0, 1000)));
});

test('identity stays while the file does', async () => {
  const path = await fileOf(body);
  await using first = await openFile(path, never);
  await using second = await openFile(path, never);
  assert.equal(first.identity, second.identity);
});

test('signals', async () => {
  const path = await fileOf(body);
  const gone = AbortSignal.abort(new Error('gone'));
  await assert.rejects(openFile(path, gone), /gone/);
  await using source = await openFile(path, never);
  await assert.rejects(source.read(0, 10, gone), /gone/);
  const leaver = new AbortController();
  const read = source.read(0, 100_000, leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(read, /left/);
  assert.equal((await source.read(0, 10)).length, 10);
});

test('dispose waits for reads under way, closes the descriptor, and ends reading', async () => {
  const path = await fileOf(body);
  const source = await openFile(path, never);
  assert.equal(descriptors(), existsSync('/proc/self/fd') ? 1 : 0);
  const reads = [source.read(0, body.length), source.read(5, 10)];
  const disposal = source[Symbol.asyncDispose]();
  await assert.rejects(source.read(0, 10), /was closed|after it was closed/);
  for (const bytes of await Promise.all(reads)) assert.ok(bytes.length > 0);
  await disposal;
  await source[Symbol.asyncDispose]();
  assert.equal(descriptors(), 0);
});
