/** A server and the program that started it: docs/embedding.md, whose example is the parent here. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempDisposableSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listeningVersion, ServerProcess } from '../../examples/parent.mjs';
import { numberedMedia } from '../fixtures/media.ts';
import { type Program, startProgram } from '../fixtures/process.ts';
import { SERVER_PATH, serverCommand } from '../fixtures/server-process.ts';
import { startTestServer } from './harness.ts';

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const [SERVER, ...WORDS] = serverCommand();
const PARENT = file('examples/parent.mjs');
const ENV = { ...process.env, PATH: SERVER_PATH, RAFFI_SERVER_ADDR: '127.0.0.1:0', RAFFI_HWACCEL: 'none' };

type State = Parameters<NonNullable<ConstructorParameters<typeof ServerProcess>[0]['onState']>>[0];

/** A supervised server, and what it has told. */
function supervised(options: Partial<ConstructorParameters<typeof ServerProcess>[0]> = {}) {
  const states: State[] = [];
  const waiting: { state: State['state']; nth: number; resolve: (state: State) => void }[] = [];
  const nthOf = (state: State['state'], nth: number) => states.filter((one) => one.state === state)[nth];
  const server = new ServerProcess({
    command: SERVER,
    args: WORDS,
    address: '127.0.0.1:0',
    variables: { RAFFI_HWACCEL: 'none' },
    onState: (state) => {
      states.push(state);
      for (const one of waiting) {
        const found = nthOf(one.state, one.nth);
        if (found) one.resolve(found);
      }
    },
    ...options,
  });
  return {
    server,
    states,
    /** The n-th time, from 0 on, that it was in a state. */
    reached: (state: State['state'], nth: number) =>
      new Promise<State>((resolve) => {
        const found = nthOf(state, nth);
        if (found) resolve(found);
        else waiting.push({ state, nth, resolve });
      }),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

const tasksOf = (pid: number): string[] => {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
};

/** Processes that a process has started, and theirs, by /proc. What has ended meanwhile has none. */
function descendants(pid: number): number[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  const children = tasksOf(pid).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [...children, ...children.flatMap(descendants)];
}

const isRunning = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

const answers = (url: string): Promise<boolean> =>
  fetch(new URL('/health', url)).then(
    ({ ok }) => ok,
    () => false,
  );

describe('the example of a parent process', {
  timeout: 300_000,
  skip: process.platform === 'win32' && 'Windows knows neither SIGTERM nor SIGSTOP',
}, () => {
  test('starts the server, reads its log, and stops it', async () => {
    const log: Record<string, unknown>[] = [];
    await using parent = supervised({ onLog: (entry) => log.push(entry) });
    const url = await parent.server.start();
    assert.match(String(await listeningVersion(url)), /^\d+\.\d+\.\d+/);
    await parent.server.stop();
    assert.equal(await answers(url), false);
    assert.deepEqual(
      parent.states.map(({ state }) => state),
      ['starting', 'running', 'stopped'],
    );
    assert.ok(
      log.some(({ msg }) => msg === 'stopped'),
      'it ended of itself, by SIGTERM',
    );
  });

  test('starts it again after a crash, at the same address', async () => {
    await using parent = supervised();
    const url = await parent.server.start();
    for (const nth of [0, 1]) {
      const running = await parent.reached('running', nth);
      assert.ok(running.state === 'running' && running.url === url && running.pid !== undefined);
      process.kill(running.pid, 'SIGKILL');
      const crashed = await parent.reached('crashed', nth);
      assert.match(crashed.state === 'crashed' ? crashed.reason : '', /SIGKILL/);
    }
    await parent.reached('running', 2);
    assert.ok(await answers(url));
  });

  /** What stands for the server here: it tells the address that it is given, and that it listens at another. */
  const saying = (url: string): string =>
    `console.error(process.env.RAFFI_SERVER_ADDR); console.log('Server listening on ${url}'); setInterval(() => {}, 1e9)`;
  for (const [address, url, again] of [
    [':17970', 'http://127.0.0.1:17970', ':17970'],
    ['127.0.0.1:80', 'http://127.0.0.1:80', '127.0.0.1:80'],
    ['films.localhost:17970', 'http://films.localhost:17970', 'films.localhost:17970'],
    ['127.0.0.1:0', 'http://127.0.0.1:17971', '127.0.0.1:17971'],
    [':0', 'http://127.0.0.1:17971', ':17971'],
    ['[::1]:0', 'http://[::1]:17971', '[::1]:17971'],
  ] as const)
    test(`${address} is ${again} after a crash`, async () => {
      const given: unknown[] = [];
      await using parent = supervised({
        command: process.execPath,
        args: ['-e', saying(url)],
        address,
        onLog: ({ msg }) => given.push(msg),
      });
      assert.equal(await parent.server.start(), url);
      const running = await parent.reached('running', 0);
      assert.ok(running.state === 'running' && running.pid !== undefined);
      process.kill(running.pid, 'SIGKILL');
      await parent.reached('running', 1);
      await parent.server.stop();
      assert.deepEqual(given, [address, again]);
    });

  test('tells why it could not be started again, and goes on trying', async () => {
    await using parent = supervised();
    const { port } = new URL(await parent.server.start());
    const running = await parent.reached('running', 0);
    assert.ok(running.state === 'running' && running.pid !== undefined);
    process.kill(running.pid, 'SIGKILL');
    await parent.reached('crashed', 0);
    const other = createServer().listen(Number(port), '127.0.0.1');
    try {
      const crashed = await parent.reached('crashed', 1);
      assert.match(
        crashed.state === 'crashed' ? crashed.reason : '',
        new RegExp(`did not start: it ended with status 1: The address 127\\.0\\.0\\.1:${port} is already in use`),
      );
    } finally {
      other.close();
    }
    await parent.reached('running', 1);
  });

  test('starts a server again that is there and does not answer', async () => {
    await using parent = supervised({ health: { everyMs: 100, answerMs: 2_000 } });
    await parent.server.start();
    const running = await parent.reached('running', 0);
    assert.ok(running.state === 'running' && running.pid !== undefined);
    process.kill(running.pid, 'SIGSTOP');
    const crashed = await parent.reached('crashed', 0);
    assert.match(crashed.state === 'crashed' ? crashed.reason : '', /SIGKILL/);
    assert.equal(isRunning(running.pid), false);
    await parent.reached('running', 1);
  });

  test('kills a server that does not end by itself', async () => {
    const deaf = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1e9); console.log('Server listening on http://127.0.0.1:9')`;
    await using parent = supervised({ command: process.execPath, args: ['-e', deaf] });
    await parent.server.start();
    const running = await parent.reached('running', 0);
    assert.ok(running.state === 'running' && running.pid !== undefined);
    await parent.server.stop();
    assert.equal(isRunning(running.pid), false);
  });

  test('tells why the first start failed', async () => {
    await using parent = supervised({ variables: { RAFFI_SESSION_IDLE: 'soon' } });
    await assert.rejects(parent.server.start(), /did not start: it ended with status 1: RAFFI_SESSION_IDLE .*"soon"/);
    await using missing = supervised({ command: '/nonexistent/raffi-server' });
    await assert.rejects(missing.server.start(), /could not be started: .*ENOENT/);
  });

  test('can be stopped while the server starts', async () => {
    const parent = supervised({ command: process.execPath, args: ['-e', 'setInterval(() => {}, 1e9)'] });
    const started = assert.rejects(parent.server.start(), /it was stopped/);
    await parent.server.stop();
    await started;
  });

  test('uses a server that listens already, and nothing else that does', async () => {
    await using there = await startTestServer();
    const { host, port } = new URL(there.url);
    for (const address of [host, `:${port}`, `0.0.0.0:${port}`]) {
      await using parent = supervised({ address, command: '/nonexistent/raffi-server' });
      assert.equal(await parent.server.start(), there.url);
      await parent.server.stop();
      assert.ok(await answers(there.url));
    }

    const other = createServer((_request, response) => response.end('{"status":"ok"}')).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => other.once('listening', resolve));
      const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
      assert.equal(await listeningVersion(`http://${address}`), undefined);
      await using refused = supervised({ address });
      await assert.rejects(refused.server.start(), /already in use/);
    } finally {
      other.close();
    }
  });
});

/** What the snippet of docs/embedding.md uses of Electron, and tells what it was asked for. */
const ELECTRON = `
import { EventEmitter } from 'node:events';
const tell = (...words) => console.log(JSON.stringify(words));
const { promise: ready, resolve } = Promise.withResolvers();
export const dialog = { showErrorBox: (...words) => tell('error', ...words) };
export class BrowserWindow {
  webContents = { send: (...words) => tell(...words) };
  isDestroyed = () => false;
  loadURL = async (url) => tell('shows', url);
}
export const app = Object.assign(new EventEmitter(), {
  whenReady: () => ready,
  getPath: () => import.meta.dirname,
  quit: () => app.emit('before-quit', { preventDefault() {} }),
  exit: () => process.exit(),
});
process.resourcesPath = import.meta.dirname;
process.once('SIGTERM', app.quit);
// As Electron does it: the application's code comes first.
import('./main.mjs').then(resolve);
`;

describe('the main process of Electron in docs/embedding.md', {
  timeout: 60_000,
  skip: process.platform === 'win32' && 'what stands for the executable is a script of a Unix shell',
}, () => {
  /** Runs it with a stand-in for Electron, and on a free port. */
  function startApplication(folder: string, variables: Record<string, string> = {}): Program {
    const [, snippet = ''] =
      /```js\n(import [^`]*'electron'.*?)```/s.exec(readFileSync(file('docs/embedding.md'), 'utf8')) ?? [];
    cpSync(PARENT, join(folder, 'parent.mjs'));
    writeFileSync(join(folder, 'electron.mjs'), ELECTRON);
    const code = snippet.replace("'electron'", "'./electron.mjs'").replace('variables:', "address: '127.0.0.1:0', $&");
    writeFileSync(join(folder, 'main.mjs'), code);
    const words = [SERVER, ...WORDS].map((word) => `'${word}'`).join(' ');
    for (const [, name = ''] of snippet.matchAll(/'(decoder-[^']+)'/g))
      writeFileSync(join(folder, name), `#!/bin/sh\nexec ${words}\n`, { mode: 0o755 });
    return startProgram(process.execPath, [join(folder, 'electron.mjs')], { env: { ...ENV, ...variables } });
  }

  test('shows the page, and leaves nothing', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'raffi-electron-'));
    await using application = startApplication(folder.path);
    const [, url = ''] = await application.said(/"shows","(http:[^"]+)"/);
    assert.ok(await answers(url));
    application.child.kill('SIGTERM');
    assert.deepEqual(await application.closed, [0, null], application.stderr());
    assert.match(application.stdout(), /"state":"stopped"/);
    assert.match(readFileSync(join(folder.path, 'server.log'), 'utf8'), /"msg":"stopped"/);
  });

  test('says why there is no server', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'raffi-electron-'));
    await using application = startApplication(folder.path, { RAFFI_SESSION_IDLE: 'soon' });
    assert.deepEqual(await application.closed, [0, null], application.stderr());
    assert.match(application.stdout(), /"error",.*did not start: .*RAFFI_SESSION_IDLE must be /);
  });
});

test('when the parent is killed, the server, its transcoding and its log end by themselves', {
  timeout: 120_000,
  skip: process.platform !== 'linux' && 'reads /proc',
}, async () => {
  const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 40 });
  await using parent = startProgram(process.execPath, [PARENT, SERVER, ...WORDS], {
    env: { ...ENV, DEBUG: '1' },
  });
  const [, url = '', pid = ''] = await parent.said(/"running","url":"(http:[^"]+)","pid":(\d+)/);
  const create = await fetch(`${url}/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source: film }),
  });
  const { id } = (await create.json()) as { id: string };
  const master = await (await fetch(`${url}/sessions/${id}/stream.m3u8`)).text();
  const [variant] = /^[^#\n]*\d+p[^\n]*$/m.exec(master) ?? [];
  const segment = new URL('0.m4s', new URL(variant as string, `${url}/sessions/${id}/stream.m3u8`));
  assert.equal((await fetch(segment)).status, 200);
  const started = descendants(Number(pid));
  assert.ok(started.length > 0, 'it transcodes');
  assert.ok(isRunning(Number(pid)));

  // Its output stays open as long as the server, which has the other end, is there.
  process.kill(parent.child.pid as number, 'SIGKILL');
  while (isRunning(Number(pid))) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(started.filter(isRunning), []);
});
