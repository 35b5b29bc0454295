/** The package as the registry would hand it out: packed, looked at by the tools that know the ways of consumers, installed into an empty folder, used. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { numberedMedia } from '../fixtures/media.ts';
import { type Program, run, startProgram } from '../fixtures/process.ts';
import { startRegistry } from '../fixtures/registry.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const tool = (path: string): string => join(ROOT, 'node_modules', path);
const TSC = tool('typescript/bin/tsc');
const LISTENING = /^Server listening on (http:\/\/\S+)\n/m;

/** The variables of this process without what the npm that started it has put in. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
const SERVER_ENV = { ...ENV, RAFFI_SERVER_ADDR: '127.0.0.1:0', RAFFI_HWACCEL: 'none' };

/** The first `node` on PATH that is too old for the server's code. */
async function oldNode(): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const node = join(folder, 'node');
    if (!existsSync(node)) continue;
    const [major = 0] = (await run(node, ['-p', 'process.versions.node'])).split('.').map(Number);
    if (major < 24) return node;
  }
  return undefined;
}

/** That a server works: the page with its player, and a film's playlist, initialization segment and first segment. */
async function playsFilm(url: string, film: string): Promise<void> {
  const get = async (path: string): Promise<Buffer> => {
    const response = await fetch(new URL(path, url));
    assert.equal(response.status, 200, path);
    return Buffer.from(await response.arrayBuffer());
  };
  assert.match(String(await get('/')), /<title>/);
  assert.match(String(await get('/web/vendor/hls.mjs')), /MEDIA_ATTACHED/);
  const body = JSON.stringify({ source: film });
  const headers = { 'content-type': 'application/json' };
  const created = await fetch(new URL('/sessions', url), { method: 'POST', headers, body });
  const { id } = (await created.json()) as { id: string };
  const playlist = String(await get(`/sessions/${id}/original/playlist.m3u8`));
  assert.match(playlist, /#EXT-X-ENDLIST/);
  assert.equal((await get(`/sessions/${id}/original/init.mp4`)).toString('latin1', 4, 8), 'ftyp');
  assert.ok((await get(`/sessions/${id}/original/0.m4s`)).includes('moof'));
}

/** That the torrent engine, a file that nothing imports, is there and answers. */
async function knowsTorrents(url: string): Promise<void> {
  const infohash = '0123456789abcdef0123456789abcdef01234567';
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ source: infohash });
  await fetch(new URL('/sessions', url), { method: 'POST', headers, body });
  const status = (await (await fetch(new URL(`/torrents/${infohash}/status`, url))).json()) as { stage: string };
  assert.equal(status.stage, 'metadata', JSON.stringify(status));
}

const NO_DISCOVERY = { RAFFI_TORRENT_DHT: '0', RAFFI_TORRENT_LSD: '0', RAFFI_TORRENT_TRACKERS: '0' };

const EMBEDDING = `
import { createServer, type RunningServer, type ServerOptions } from 'raffi-server';

const options: ServerOptions = { port: 0, variables: { RAFFI_MEDIA_ROOTS: '/films' }, log: (line) => line.trim() };
const server: RunningServer = await createServer(options);
const url: string = server.url;
await server.close();
// @ts-expect-error: a port is a number
await createServer({ port: '6969' });
// @ts-expect-error: no such option
await createServer({ prot: 6969 });
export { url };
`;

/** A program that embeds the server: tells its address, and ends by itself once it has closed it. */
const CONSUMER = `
import { createServer } from 'raffi-server';
const lines = [];
const variables = ${JSON.stringify({ RAFFI_HWACCEL: 'none', ...NO_DISCOVERY })};
const server = await createServer({ variables, log: (line) => lines.push(JSON.parse(line)) });
const second = await createServer({ variables });
await second.close();
console.log('Server listening on ' + server.url);
process.on('SIGTERM', async () => {
  process.removeAllListeners('SIGTERM');
  await Promise.all([server.close(), server.close()]);
  console.log('closed ' + server.version + ' after ' + lines.length);
});
`;

describe('the package', {
  timeout: 600_000,
  skip: process.platform === 'win32' && 'its commands here are not those of Windows',
}, () => {
  const stack = new AsyncDisposableStack();
  let tarball: string;
  let home: string;
  let film: string;

  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    home = stack.use(await mkdtempDisposable(join(tmpdir(), 'raffi-package-'))).path;
    const packed = await run('npm', ['pack', '--json', '--pack-destination', home], { cwd: ROOT, env: ENV });
    // Before it come the words of the scripts.
    const [{ filename }] = JSON.parse(packed.slice(packed.search(/^\[/m))) as [{ filename: string }];
    tarball = join(home, filename);
    const registry = stack.use(await startRegistry(ROOT));
    await writeFile(join(home, 'package.json'), '{"name": "consumer", "type": "module", "private": true}');
    const quiet = ['--no-audit', '--no-fund', '--no-update-notifier'];
    const offline = ['--registry', registry.url, '--cache', join(home, 'cache')];
    await run('npm', ['install', tarball, ...quiet, ...offline], { cwd: home, env: ENV });
  });
  after(() => stack.disposeAsync());

  const command = (): string => join(home, 'node_modules', '.bin', 'raffi-server');

  test('has what it needs and no more', async () => {
    const folder = join(home, 'node_modules', 'raffi-server');
    const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name)
          .slice(folder.length + 1)
          .replaceAll('\\', '/'),
      );
    for (const wanted of ['LICENSE', 'README.md', 'dist/npm/src/index.d.ts', 'dist/npm/src/torrent/engine/worker.js'])
      assert.ok(files.includes(wanted), wanted);
    const strange = files.filter(
      (file) =>
        !/^(LICENSE|[A-Z]+\.md|package\.json|deploy\/raffi-server\.service|dist\/npm\/(src|bin|web)\/.+|dist\/npm\/package\.json)$/.test(
          file,
        ),
    );
    const sources = files.filter((file) => /\.test\.|(?<!index\.d)\.m?ts$/.test(file));
    assert.deepEqual([strange, sources], [[], []]);
    const inside = JSON.parse(await readFile(join(folder, 'dist/npm/package.json'), 'utf8')) as { version: string };
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
    assert.equal(inside.version, manifest.version);
  });

  test('pleases publint and attw', async () => {
    const publint = await run(process.execPath, [tool('publint/src/cli.js'), 'run', tarball, '--strict'], { env: ENV });
    assert.match(publint, /All good/);
    const attw = [tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only', '--no-color'];
    const looked = await run(process.execPath, attw, { env: ENV });
    for (const way of ['node16 (from ESM)', 'bundler']) assert.ok(looked.includes(`${way} `), looked);
  });

  for (const [module, moduleResolution] of [
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const)
    test(`type-checks in a TypeScript project (${moduleResolution}), without the types of anything else`, async () => {
      const folder = join(home, moduleResolution);
      await mkdir(folder);
      await writeFile(join(folder, 'index.ts'), EMBEDDING);
      const compilerOptions = { module, moduleResolution, target: 'es2022', strict: true, noEmit: true, types: [] };
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
      await run(process.execPath, [TSC, '-p', folder], { env: ENV });
    });

  test('serves a film inside another program, which ends by itself when it has closed the server', async () => {
    await writeFile(join(home, 'consumer.mjs'), CONSUMER);
    await using program = startProgram(process.execPath, ['consumer.mjs'], { cwd: home, env: ENV });
    const [, url = ''] = await program.said(LISTENING);
    await playsFilm(url, film);
    await knowsTorrents(url);
    program.child.kill('SIGTERM');
    assert.deepEqual(await program.closed, [0, null], program.stderr());
    assert.match(program.stdout(), /^closed \d+\.\d+\.\d+\S* after [1-9]/m);
    assert.equal(program.stderr(), '');
  });

  test('`npx raffi-server` serves a film', async () => {
    const args = ['exec', '--offline', '--no-update-notifier', '--', 'raffi-server'];
    await using program = startProgram('npm', args, { cwd: home, env: { ...SERVER_ENV, ...NO_DISCOVERY } });
    const [, url = ''] = await program.said(LISTENING);
    await playsFilm(url, film);
    await knowsTorrents(url);
  });

  describe('under a Node that is too old', () => {
    let node: string | undefined;
    before(async () => {
      node = await oldNode();
    });

    const start = (): Program =>
      startProgram(command(), [], {
        cwd: home,
        env: { ...SERVER_ENV, PATH: `${dirname(node as string)}:/usr/bin:/bin` },
      });

    for (const signal of ['SIGTERM', 'SIGKILL'] as const)
      test(`runs under the one that comes with it, and ${signal} leaves nothing`, async (t) => {
        if (node === undefined) return t.skip('there is none on PATH');
        await using program = start();
        const [, url = ''] = await program.said(LISTENING);
        await playsFilm(url, film);
        program.child.kill(signal);
        assert.deepEqual(await program.closed, signal === 'SIGTERM' ? [0, null] : [null, 'SIGKILL']);
        await assert.rejects(fetch(url));
      });

    test('says what to do where none came with it', async (t) => {
      if (node === undefined) return t.skip('there is none on PATH');
      await using elsewhere = await mkdtempDisposable(join(tmpdir(), 'raffi-launch-'));
      await copyFile(join(ROOT, 'bin/launch.mjs'), join(elsewhere.path, 'launch.mjs'));
      await using program = startProgram(node, ['launch.mjs'], { cwd: elsewhere.path, env: {} });
      assert.deepEqual(await program.closed, [1, null]);
      assert.match(program.stderr(), /^raffi-server needs Node 24\.2 or later, and this is \d[^\n]*\n$/);
    });
  });
});
