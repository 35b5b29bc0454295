/** `createServer`, as programs that embed the server use it; the package itself is in package.test.ts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { processesWith } from '../../src/ffmpeg/test-processes.ts';
import { createServer, type ServerOptions } from '../../src/index.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { until } from './harness.ts';

/** Whether a process is a child of this one. */
const isOurs = (pid: number): boolean => {
  try {
    const [, , parent] = /^.*\) (\S) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return Number(parent) === process.pid;
  } catch {
    return false; // it has ended
  }
};

describe('createServer', { timeout: 120_000 }, () => {
  test('listens on this machine, on a free port, and tells nobody', async () => {
    const [one, other] = await Promise.all([createServer(), createServer({})]);
    assert.match(one.url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.notEqual(one.url, other.url);
    const response = await fetch(`${one.url}/health`);
    assert.equal(response.headers.get('server'), `raffi-server/${one.version}`);
    const closing = one.close();
    assert.equal(one.close(), closing);
    await closing;
    await assert.rejects(fetch(`${one.url}/health`));
    assert.ok((await fetch(`${other.url}/health`)).ok);
    await other.close();
  });

  test('does as its options say', async () => {
    const lines: string[] = [];
    const server = await createServer({
      host: '::1',
      variables: { DEBUG: '1', RAFFI_MAX_SESSIONS: '1', RAFFI_HWACCEL: 'none' },
      log: (line) => lines.push(line),
    });
    assert.match(server.url, /^http:\/\/\[::1\]:\d+$/);
    const body = JSON.stringify({ source: 'http://127.0.0.1:9/film.mkv' });
    const create = () =>
      fetch(`${server.url}/sessions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    assert.deepEqual([(await create()).status, (await create()).status], [201, 503]);
    await server.close();
    const entries = lines.map((line) => JSON.parse(line) as { msg: string });
    assert.ok(entries.some(({ msg }) => msg === 'answered'));
  });

  for (const [host, there] of [
    ['[::1]', '[::1]'],
    ['LOCALHOST', 'localhost'],
  ] as const)
    test(`listens on ${host}`, async () => {
      const server = await createServer({ host });
      assert.equal(new URL(server.url).hostname, there);
      assert.ok((await fetch(`${server.url}/health`)).ok);
      await server.close();
    });

  test('closes while requests wait, and leaves nothing of them', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 40 });
    await using silent = await startOrigin({ file: film, stallHead: true });
    const server = await createServer({ variables: { RAFFI_HWACCEL: 'none' } });
    const create = async (source: string): Promise<string> => {
      const body = JSON.stringify({ source });
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${server.url}/sessions`, { method: 'POST', headers, body });
      return `${server.url}/sessions/${((await answer.json()) as { id: string }).id}`;
    };
    const [stalled, playing] = [await create(silent.url), await create(film)];
    await (await fetch(`${playing}/360p/0.m4s`)).arrayBuffer(); // the run goes on behind it
    const waiting = [`${stalled}/stream.m3u8`, `${stalled}/0/0.m4s`, `${playing}/480p/9.m4s`, `${server.url}/events`];
    const ends = waiting.map((url) => fetch(url).then((answer) => answer.arrayBuffer()));
    const settled = Promise.allSettled(ends);
    await until('the origin is asked', () => (silent.requests.length > 0 ? true : undefined));
    await server.close();
    await settled;
    await assert.rejects(fetch(`${server.url}/health`));
    await until('the origin is left alone', () => (silent.connections() === 0 ? true : undefined));
    assert.deepEqual(processesWith('pipe:0').filter(isOurs), []);
  });

  test('does not read the RAFFI_ variables of the program around it', async () => {
    process.env.RAFFI_SESSION_IDLE = 'soon';
    try {
      await (await createServer()).close();
    } finally {
      delete process.env.RAFFI_SESSION_IDLE;
    }
  });

  test('an address in use is the error of the system', async () => {
    const taken = createPlainServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    try {
      await assert.rejects(createServer({ port: (taken.address() as AddressInfo).port }), { code: 'EADDRINUSE' });
    } finally {
      taken.close();
    }
  });

  const BAD: readonly (readonly [options: unknown, name: string, message: RegExp])[] = [
    [{ port: '6969' }, 'TypeError', /port must/],
    [{ port: 65_536 }, 'TypeError', /port must/],
    [{ port: 1.5 }, 'TypeError', /port must/],
    [{ host: '' }, 'TypeError', /host must/],
    [null, 'TypeError', /the options must be an object/],
    ['127.0.0.1:6969', 'TypeError', /the options must be an object/],
    ...[
      '127.0.0.1:80/x',
      '127.0.0.1:80',
      '[::1]:80',
      '[::1',
      '[127.0.0.1]',
      'fe80::1%eth0',
      'http://localhost',
      ' ',
    ].map((host) => [{ host }, 'TypeError', /host must be a name or an address, without a port/] as const),
    [{ variables: null }, 'TypeError', /variables must be an object/],
    [{ variables: ['DEBUG=1'] }, 'TypeError', /variables must be an object/],
    [{ prot: 6969 }, 'TypeError', /no option prot/],
    [{ log: 'stdout' }, 'TypeError', /log must/],
    [{ variables: { RAFFI_MAX_RUNS: 2 } }, 'TypeError', /variables\.RAFFI_MAX_RUNS must be a string/],
    [{ variables: { RAFFI_MAX_RUNS: 'two' } }, 'ConfigError', /RAFFI_MAX_RUNS.*"two"/],
    [{ variables: { RAFFI_MEDIA_ROOT: '/films' } }, 'ConfigError', /RAFFI_MEDIA_ROOT has no effect/],
    [{ variables: { PORT: '1' } }, 'ConfigError', /PORT has no effect/],
    [{ variables: { RAFFI_SERVER_ADDR: ':1' } }, 'ConfigError', /RAFFI_SERVER_ADDR/],
    [{ variables: { RAFFI_PARENT_PID: '1' } }, 'ConfigError', /RAFFI_PARENT_PID/],
  ];
  for (const [options, name, message] of BAD)
    test(`refuses ${JSON.stringify(options)}`, async () => {
      await assert.rejects(createServer(options as ServerOptions), { name, message });
    });
});
