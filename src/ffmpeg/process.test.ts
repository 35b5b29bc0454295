import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findBinary } from './binaries.ts';
import { runProcess } from './process.ts';

const directory = mkdtempSync(join(tmpdir(), 'raffi-process-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function script(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const never = new AbortController().signal;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] !== 'Z';
  } catch {
    return false;
  }
}

async function pidFrom(file: string): Promise<number> {
  for (;;) {
    if (existsSync(file)) {
      const pid = Number(readFileSync(file, 'utf8'));
      if (pid > 0) return pid;
    }
    await delay(10);
  }
}

async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await delay(10);
}

describe('runProcess', () => {
  it('gives output, exit code and the end of standard error, arguments untouched', async () => {
    const command = script(
      'echo',
      'printf "%s|" "$@"; i=0; while [ $i -lt 600 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 3',
    );
    const result = await runProcess({
      command,
      args: ['a b', '$HOME', ';x'],
      signal: never,
      timeoutMs: 20_000,
      stdoutLimit: 1000,
    });
    assert.equal(result.outcome, 'exited');
    assert.equal(result.exitCode, 3);
    assert.equal(result.stdout.toString(), 'a b|$HOME|;x|');
    assert.equal(Buffer.byteLength(result.stderrTail), 4096);
    assert.match(result.stderrTail, /line 599\n$/);
  });

  it('ends a child that ignores SIGTERM, and what the child started, when the signal aborts', async () => {
    const pids = join(directory, 'pids');
    const command = script(
      'stubborn',
      `trap '' TERM\nsleep 1000 &\necho $! > ${pids}.child\necho $$ > ${pids}.self\nwhile :; do sleep 1000; done`,
    );
    const controller = new AbortController();
    const running = runProcess({ command, args: [], signal: controller.signal, timeoutMs: 60_000, stdoutLimit: 10 });
    const self = await pidFrom(`${pids}.self`);
    const child = await pidFrom(`${pids}.child`);
    assert.ok(isAlive(self) && isAlive(child));
    controller.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
    assert.equal(isAlive(self), false);
    await gone(child);
  });

  it('ends a child at its time limit', async () => {
    const command = script('slow', 'echo begun; exec sleep 1000');
    const result = await runProcess({ command, args: [], signal: never, timeoutMs: 300, stdoutLimit: 100 });
    assert.equal(result.outcome, 'timeout');
    assert.equal(result.exitSignal, 'SIGTERM');
  });

  it('ends a child that writes more than its limit, and keeps no more than that', async () => {
    const command = script('flood', 'exec cat /dev/zero');
    const result = await runProcess({ command, args: [], signal: never, timeoutMs: 30_000, stdoutLimit: 1_000_000 });
    assert.equal(result.outcome, 'output-limit');
    assert.ok(result.stdout.length <= 1_000_000);
  });

  it('does not wait for a grandchild that holds the pipes', async () => {
    const pids = join(directory, 'held');
    const command = script('holder', `sleep 1000 &\necho $! > ${pids}\necho done`);
    const result = await runProcess({ command, args: [], signal: never, timeoutMs: 60_000, stdoutLimit: 100 });
    assert.equal(result.outcome, 'exited');
    assert.equal(result.stdout.toString(), 'done\n');
    await gone(await pidFrom(pids));
  });

  it('never starts under an aborted signal', async () => {
    const marker = join(directory, 'marker');
    const command = script('mark', `touch ${marker}`);
    const options = { command, args: [], signal: AbortSignal.abort(new Error('no')), timeoutMs: 1000, stdoutLimit: 1 };
    await assert.rejects(runProcess(options), /no/);
    assert.equal(existsSync(marker), false);
  });

  it('says when there is nothing to run', async () => {
    const result = await runProcess({
      command: join(directory, 'absent'),
      args: [],
      signal: never,
      timeoutMs: 5000,
      stdoutLimit: 1,
    });
    assert.notEqual(result.exitCode, 0);
  });
});

describe('findBinary', () => {
  it('takes the configured path, then PATH, then the directory of the executable', async () => {
    const beside = join(directory, 'beside');
    const inPath = join(directory, 'in-path');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(beside);
    mkdirSync(inPath);
    const own = script('my-probe', 'true');
    const places = { pathEntries: ['', 'relative', inPath], besideExecutable: beside };
    assert.equal(await findBinary('ffprobe', places), undefined);
    const last = join(beside, 'ffprobe');
    writeFileSync(last, '', { mode: 0o755 });
    assert.equal(await findBinary('ffprobe', places), last);
    const onPath = join(inPath, 'ffprobe');
    writeFileSync(onPath, '', { mode: 0o644 });
    assert.equal(await findBinary('ffprobe', places), last, 'a file that cannot be run is passed over');
    chmodSync(onPath, 0o755);
    assert.equal(await findBinary('ffprobe', places), onPath);
    assert.equal(await findBinary('ffprobe', { ...places, configured: own }), own);
    assert.equal(await findBinary('ffprobe', { ...places, configured: join(directory, 'nowhere') }), onPath);
    assert.equal(await findBinary('ffprobe', { pathEntries: [directory], configured: 'my-probe' }), own);
  });
});
