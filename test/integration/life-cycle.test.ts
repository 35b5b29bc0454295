import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { spawnServer } from '../fixtures/server-process.ts';

interface Started {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<[code: number | null, signal: NodeJS.Signals | null]>;
}

function start(env: Record<string, string>): Started {
  const { child, words, exited } = spawnServer(env);
  let out = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk;
  });
  return { child, stdout: () => out, stderr: words, exit: exited };
}

async function listening(started: Started): Promise<string> {
  while (!started.stdout().includes('\n')) {
    if (started.child.exitCode !== null) throw new Error(started.stderr());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return /^Server listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(started.stdout())?.[1] as string;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends the server and all that it was doing, with status 0`, async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    await using origin = await startOrigin({ file: film, latencyMs: 6_000 });
    const started = start({});
    const url = await listening(started);
    const create = (source: string) =>
      fetch(`${url}/sessions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ source }),
      });
    await create(film);
    const { id } = (await (await create(origin.url)).json()) as { id: string };
    const hanging = fetch(`${url}/sessions/${id}/stream.m3u8`).then(
      (response) => response.status,
      () => 'closed',
    );
    while (origin.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    started.child.kill(signal);
    assert.deepEqual(await started.exit, [0, null]);
    assert.notEqual(await hanging, 200);
  });
}

test('a taken port is one clear sentence and status 1', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const started = start({ RAFFI_SERVER_ADDR: `127.0.0.1:${port}` });
  assert.deepEqual(await started.exit, [1, null]);
  assert.match(started.stderr(), new RegExp(`^[^\\n]*127\\.0\\.0\\.1:${port}[^\\n]*RAFFI_SERVER_ADDR[^\\n]*\\n$`));
  assert.equal(started.stdout(), '');
  other.close();
});

test('a bad variable is one clear sentence and status 1', async () => {
  const started = start({ RAFFI_SESSION_IDLE: 'soon' });
  assert.deepEqual(await started.exit, [1, null]);
  assert.match(started.stderr(), /^RAFFI_SESSION_IDLE [^\n]*"soon"[^\n]*\n$/);
});

test('logs are JSON lines when stderr is no terminal, and debug shows requests', async () => {
  const started = start({ DEBUG: 'true' });
  const url = await listening(started);
  assert.deepEqual(await (await fetch(`${url}/health`)).json(), { status: 'ok' });
  started.child.kill('SIGTERM');
  await started.exit;
  const lines = started
    .stderr()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string; route?: string });
  assert.ok(lines.some(({ msg, route }) => msg === 'answered' && route === '/health'));
});
