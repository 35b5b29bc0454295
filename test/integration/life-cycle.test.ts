import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { after, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { SERVER_PATH, serverCommand, spawnServer } from '../fixtures/server-process.ts';

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
  const started = start({ RAFFI_SERVER_ADDR: `127.0.0.1:${port}`, PATH: '/nowhere' });
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

/** Whether others may enter a folder, and all above it. */
function isForAll(folder: string): boolean {
  const above = dirname(folder);
  return (statSync(folder).mode & 0o005) === 0o005 && (above === folder || isForAll(above));
}

/** The server with what `spawnServer` does not offer, killed when the file's tests are over. */
async function spawned(options: SpawnOptions): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const [command, ...words] = serverCommand();
  const env = { PATH: SERVER_PATH, RAFFI_SERVER_ADDR: '127.0.0.1:0', ...options.env };
  const child = spawn(command, words, { ...options, env });
  after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const url = /^Server listening on (\S+)/.exec(line.toString())?.[1];
  assert.ok(url, line.toString());
  return { child, url };
}

test('without a home, of a user whom the system does not know, it starts all the same', {
  skip:
    (process.getuid?.() !== 0 && 'only root may become somebody else') ||
    (!isForAll(import.meta.dirname) && 'others may not read this folder'),
}, async () => {
  const { child } = await spawned({ stdio: ['ignore', 'pipe', 'inherit'], uid: 10_001, gid: 10_001 });
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

const LOGS: readonly (readonly [what: string, stderr: 'pipe' | { readonly file: string }])[] = [
  ['that no disk takes', { file: '/dev/full' }],
  ['that nobody reads', 'pipe'],
];
for (const [what, stderr] of LOGS)
  test(`a log ${what} holds up neither answers nor the end`, async () => {
    const file = stderr === 'pipe' ? undefined : openSync(stderr.file, 'w');
    const { child, url } = await spawned({ env: { DEBUG: 'true' }, stdio: ['ignore', 'pipe', file ?? 'pipe'] });
    if (file !== undefined) closeSync(file);
    for (let n = 0; n < 3_000; n += 1)
      assert.equal((await fetch(`${url}/sessions/${'0'.repeat(32)}`, { method: 'DELETE' })).status, 404);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
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
