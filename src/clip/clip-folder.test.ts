import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AppError } from '../errors.ts';
import { hostTag } from '../lib/leftovers.ts';
import { ClipFolder } from './clip-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'raffi-clip-folder-'));
after(() => rmSync(root, { recursive: true, force: true }));

async function publish(folder: ClipFolder, stem: string, text: string): Promise<string> {
  await using clip = await folder.create();
  await clip.handle.write(text);
  return await clip.publish(stem);
}

test('a clip gets its name, or the next number; nothing is overwritten', async () => {
  const folder = new ClipFolder(join(root, 'new', 'clips'));
  writeFileSync(join(root, 'outside'), 'outside');
  assert.equal(await publish(folder, 'a', 'first'), join(folder.path, 'a.mp4'));
  assert.equal(await publish(folder, 'a', 'second'), join(folder.path, 'a (2).mp4'));
  // Neither a link to elsewhere nor one to nowhere is followed.
  symlinkSync(join(root, 'outside'), join(folder.path, 'b.mp4'));
  symlinkSync(join(root, 'nowhere'), join(folder.path, 'b (2).mp4'));
  assert.equal(await publish(folder, 'b', 'third'), join(folder.path, 'b (3).mp4'));
  assert.equal(readFileSync(join(folder.path, 'a.mp4'), 'utf8'), 'first');
  assert.equal(readFileSync(join(root, 'outside'), 'utf8'), 'outside');
  assert.deepEqual(readdirSync(root).sort(), ['new', 'outside']);
});

test('clips that end at the same time get different names', async () => {
  const folder = new ClipFolder(join(root, 'race'));
  const texts = Array.from({ length: 20 }, (_, n) => String(n));
  const paths = await Promise.all(texts.map((text) => publish(folder, 'same', text)));
  assert.equal(new Set(paths).size, 20);
  assert.deepEqual(
    paths.map((path) => readFileSync(path, 'utf8')),
    texts,
  );
});

test('a clip that is not published leaves nothing', async () => {
  const folder = new ClipFolder(join(root, 'unfinished'));
  {
    await using clip = await folder.create();
    await clip.handle.write('half');
    assert.match(readdirSync(folder.path).join(), /^\.raffi-clip-.*\.part$/);
  }
  assert.deepEqual(readdirSync(folder.path), []);
});

test('what a killed process left is swept, what is in use or of others is not', async () => {
  const folder = new ClipFolder(join(root, 'sweep'));
  await using _clip = await folder.create();
  const [used] = readdirSync(folder.path);
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  const name = (pid: number | undefined, host = hostTag()): string => `.raffi-clip-${host}-${pid}-abc.part`;
  const kept = [name(1), name(child.pid, '00000000'), 'mine.part', 'film.mp4'];
  const gone = [name(child.pid), name(process.pid)];
  for (const file of [...kept, ...gone]) writeFileSync(join(folder.path, file), '');
  await folder.sweep();
  assert.deepEqual(readdirSync(folder.path).sort(), [...kept, used].sort());
  await new ClipFolder(join(root, 'absent')).sweep();
});

test('a directory that cannot be written, and a disk that is full, are told in words', async () => {
  writeFileSync(join(root, 'file'), '');
  const folder = new ClipFolder(join(root, 'file', 'clips'));
  await assert.rejects(
    () => folder.create(),
    (error) => error instanceof AppError && error.code === 'clips-unwritable' && error.detail.includes(folder.path),
  );
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
  const told = folder.explain(full);
  assert.ok(told instanceof AppError && told.code === 'disk-full');
  const other = new Error('something else');
  assert.equal(folder.explain(other), other);
});
