import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');
const isRoot = process.getuid?.() === 0;

/** Runs `scripts/setup.mjs` below `root` with nothing on PATH but `root`/bin. */
function setup(root: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const env = { PATH: join(root, 'bin') };
  return new Promise((resolve) => {
    execFile(process.execPath, [join(root, 'scripts/setup.mjs'), ...args], { env }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

/** A project without dependencies, installed or not, and a place for commands. */
async function project(installed: boolean) {
  const directory = await mkdtempDisposable(join(tmpdir(), 'raffi-setup-'));
  const root = directory.path;
  for (const folder of ['bin', 'scripts', 'node_modules']) await mkdir(join(root, folder));
  await copyFile(join(ROOT, 'scripts/setup.mjs'), join(root, 'scripts/setup.mjs'));
  const lock = JSON.stringify({ lockfileVersion: 3, packages: { '': { name: 'empty' } } });
  await writeFile(join(root, 'package-lock.json'), lock);
  if (installed) await writeFile(join(root, 'node_modules/.package-lock.json'), lock);
  return {
    root,
    command: async (name: string, script: string) => {
      await writeFile(join(root, 'bin', name), `#!/bin/sh\n${script}\n`);
      await chmod(join(root, 'bin', name), 0o755);
    },
    log: () => readFile(join(root, 'log'), 'utf8').catch(() => ''),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

describe('setup --verify', () => {
  test('is silent in a project that is set up', async () => {
    assert.deepEqual(await setup(ROOT, '--verify'), { status: 0, stdout: '', stderr: '' });
  });

  test('says in one sentence what to do first', async () => {
    await using fresh = await project(false);
    const { status, stdout, stderr } = await setup(fresh.root, '--verify');
    assert.deepEqual([status, stdout], [1, '']);
    assert.equal(stderr, 'What this project depends on is not installed: run `npm run setup` first.\n');
  });
});

describe('setup', { skip: process.platform === 'win32' && 'its commands here are shell scripts' }, () => {
  test('runs npm ci when the installed packages are not those of the lockfile', async () => {
    await using fresh = await project(false);
    for (const name of ['ffmpeg', 'ffprobe']) await fresh.command(name, 'exit 0');
    await fresh.command(
      'npm',
      `echo "$@" >> ${fresh.root}/log; echo "npm error network https://mirror.example:8080/path" >&2; exit 1`,
    );
    const { status, stderr } = await setup(fresh.root);
    assert.equal(status, 1);
    assert.match(await fresh.log(), /^ci /);
    assert.match(stderr, /npm error network \(address\)\/path/);
    assert.doesNotMatch(stderr, /mirror\.example/);
  });

  test('leaves alone what is installed, FFmpeg included', async () => {
    await using ready = await project(true);
    for (const name of ['ffmpeg', 'ffprobe']) await ready.command(name, 'exit 0');
    for (const name of ['npm', 'apt-get']) await ready.command(name, `echo ${name} >> ${ready.root}/log`);
    assert.deepEqual(await setup(ready.root), { status: 0, stdout: 'Ready: npm start\n', stderr: '' });
    assert.equal(await ready.log(), '');
  });

  test('installs FFmpeg by apt as root, and else says what to type and goes on', async () => {
    await using ready = await project(true);
    const install = `for name in ffmpeg ffprobe; do echo '#!/bin/sh' > ${ready.root}/bin/$name; /bin/chmod +x ${ready.root}/bin/$name; done`;
    await ready.command('apt-get', `echo "$@" >> ${ready.root}/log; case "$*" in *install*) ${install};; esac`);
    const { status, stdout } = await setup(ready.root);
    assert.equal(status, 0);
    assert.match(stdout, /Ready: npm start\n$/);
    if (isRoot) assert.match(await ready.log(), /update\n.*install -y --no-install-recommends ffmpeg\n$/);
    else
      assert.match(stdout, /type: {2}sudo apt-get update && sudo apt-get install -y --no-install-recommends ffmpeg\n/);
  });

  test('--test makes an error of what cannot be installed', async () => {
    await using ready = await project(true);
    await ready.command('apt-get', 'echo "E: Unable to locate package" >&2; exit 100');
    const { status, stderr } = await setup(ready.root, '--test');
    assert.equal(status, 1);
    assert.match(
      stderr,
      /The tests need FFmpeg, Chromium.*type: {2}(sudo )?apt-get update && (sudo )?apt-get install -y .* ffmpeg chromium/,
    );
  });

  test('without any package manager it says so', async () => {
    await using ready = await project(true);
    const { status, stdout } = await setup(ready.root);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /FFmpeg is missing; videos that need no conversion play without it\. Install it and put it on PATH\.\n/,
    );
  });
});
