/** What thousands of rude clients and sessions leave behind: nothing. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { numberedMedia } from '../fixtures/media.ts';
import { EXECUTABLE, SERVER_PATH, serverCommand } from '../fixtures/server-process.ts';
import { type Vitals, vitalsFromOutside } from '../fixtures/vitals.ts';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MOST_SESSIONS = 1_000;
const ENV = { PATH: SERVER_PATH, RAFFI_SERVER_ADDR: '127.0.0.1:0' };

/** The sources tell what they hold. */
const startSources = (): ChildProcess =>
  fork(file('../../src/main.ts'), {
    env: ENV,
    execArgv: ['--expose-gc', '--import', file('../fixtures/vitals.ts')],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });

function startExecutable(): ChildProcess {
  const [command, ...words] = serverCommand();
  return spawn(command, words, { env: ENV, stdio: ['ignore', 'pipe', 'pipe'] });
}

describe('10,000 aborted requests and 1,000 sessions', {
  skip: process.platform !== 'linux' && 'there is no /proc',
  timeout: 600_000,
}, () => {
  let child: ChildProcess;
  let exited: Promise<unknown>;
  let host: string;
  let film: string;
  let complaints = '';
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });

  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    child = EXECUTABLE === undefined ? startSources() : startExecutable();
    exited = once(child, 'exit');
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-10_000);
    });
    const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
    host = new URL(line.replace('Server listening on ', '')).host;
  });
  after(async () => {
    agent.destroy();
    child.kill('SIGTERM');
    await exited;
  });

  async function vitals(): Promise<Vitals> {
    if (EXECUTABLE !== undefined) return vitalsFromOutside(child.pid as number);
    child.send('?');
    return ((await once(child, 'message')) as [Vitals])[0];
  }

  /** Once no connection is left. */
  async function settled(): Promise<Vitals> {
    agent.destroy();
    for (;;) {
      const now = await vitals();
      if (now.sockets === 0) return now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  function ask(
    method: string,
    path: string,
    body?: string,
  ): Promise<{ status: number; retryAfter: string | undefined; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const outgoing = request(`http://${host}${path}`, { method, headers, agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], text }),
        );
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  const create = async (): Promise<string> => {
    const { status, text } = await ask('POST', '/sessions', JSON.stringify({ source: film }));
    assert.equal(status, 201, text);
    return (JSON.parse(text) as { id: string }).id;
  };

  /** `count` times, 20 at once. */
  async function crowd(count: number, work: (n: number) => Promise<void>): Promise<void> {
    let next = 0;
    const one = async (): Promise<void> => {
      while (next < count) await work(next++);
    };
    await Promise.all(Array.from({ length: 20 }, one));
  }

  /** Connects, sends, and is gone: at once, or with the first bytes of the answer. */
  function rude(bytes: string, patient: boolean): Promise<void> {
    return new Promise((resolve) => {
      const [name, port] = host.split(':') as [string, string];
      const socket = connect(Number(port), name);
      socket.on('error', () => {});
      socket.once('close', () => resolve());
      if (patient) socket.once('data', () => socket.destroy());
      socket.write(bytes, () => {
        if (!patient) socket.destroy();
      });
    });
  }

  const rudeness = (id: string): [bytes: string, patient: boolean][] => {
    const get = (path: string): string => `GET /sessions/${id}${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    return [
      ...['/original/0.m4s', '/original/1.m4s', '/audio-0/1.m4s', '/file', '/stream.m3u8', ''].flatMap((path) =>
        [true, false].map((patient): [string, boolean] => [get(path), patient]),
      ),
      [get('/stream').slice(0, -3), false],
      [get('/stream.m3u8') + get('/file') + get('/original/0.m4s'), true],
      ['GET /sessions HTTP/1.1\r\nHost: evil.example\r\n\r\n', true],
      ['garbage\r\n\r\n', true],
    ];
  };

  async function abuse(sessions: number, aborted: number): Promise<void> {
    const ids: string[] = [];
    await crowd(sessions, async () => void ids.push(await create()));
    await ask('GET', `/sessions/${ids[0]}/stream.m3u8`);
    await crowd(aborted, async (n) => {
      const id = ids[n % ids.length] as string;
      const kinds = rudeness(id);
      await rude(...(kinds[n % kinds.length] as [string, boolean]));
    });
    if (sessions === MOST_SESSIONS) {
      const { status, retryAfter, text } = await ask('POST', '/sessions', JSON.stringify({ source: film }));
      assert.deepEqual([status, (JSON.parse(text) as { code: string }).code], [503, 'server-full']);
      assert.ok(Number(retryAfter) > 0);
    }
    await crowd(sessions, async (n) => {
      assert.equal((await ask('DELETE', `/sessions/${ids[n]}`)).status, 204);
    });
  }

  test('leave descriptors, listeners and memory as they were', async (t) => {
    await abuse(100, 2_000);
    const before = await settled();
    await abuse(MOST_SESSIONS, 10_000);
    const now = await settled();
    t.diagnostic(JSON.stringify({ before, now }));
    const descriptors = `descriptors: ${before.descriptors}, ${now.descriptors}`;
    assert.ok(now.descriptors <= before.descriptors + 2, descriptors);
    if (now.inside === undefined || before.inside === undefined) {
      t.diagnostic(
        'An executable tells neither its memory after a collection nor its timers: descriptors alone are compared.',
      );
    } else {
      assert.ok(now.descriptors >= before.descriptors - 2, descriptors);
      const [resources, resourcesBefore] = [now.inside.resources, before.inside.resources];
      assert.ok(Math.abs(resources - resourcesBefore) <= 2, `resources: ${resourcesBefore}, ${resources}`);
      assert.ok(
        now.inside.memory <= before.inside.memory * 1.1,
        `memory: ${before.inside.memory}, ${now.inside.memory}`,
      );
    }
    assert.doesNotMatch(complaints, /MaxListenersExceeded|"level":(50|60)/);
    assert.equal((await ask('GET', '/health')).text, '{"status":"ok"}');
  });
});
