import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { numberedMedia } from '../fixtures/media.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchRendition, startTestServer } from './harness.ts';

const FILM = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 40 } as const;

/** Ids of the FFmpeg processes that are children of `parent` (or of what it started to tie them to its life). */
function encoders(parent: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid,ppid,stat,args'], { encoding: 'utf8' }).trim().split('\n').slice(1);
  const rows = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) as RegExpExecArray);
  return rows
    .filter(([, , ppid, stat, args]) => Number(ppid) === parent && !stat?.startsWith('Z') && args?.includes('pipe:0'))
    .map(([, pid]) => Number(pid));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('viewers of one title at one place share one run; the last one who leaves ends it', async () => {
  await using server = await startTestServer();
  const source = await numberedMedia(FILM);
  const ids = await Promise.all(Array.from({ length: 10 }, () => server.create({ source })));
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, encoders(process.pid).length);
  }, 20);
  const got = await Promise.all(ids.map((id) => server.bytes(`/sessions/${id}/360p/3.m4s`)));
  clearInterval(watch);
  for (const bytes of got) assert.deepEqual(bytes, got[0]);
  assert.ok(most <= 1, `${most} runs`);
  for (const id of ids) assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
  assert.deepEqual(encoders(process.pid), []);
});

test('FFmpeg killed in the middle: playback goes on, every frame once', async () => {
  await using server = await startTestServer();
  const id = await server.create({ source: await numberedMedia(FILM) });
  const path = `/sessions/${id}/360p/playlist.m3u8`;
  await server.bytes(`/sessions/${id}/360p/0.m4s`);
  const killer = setInterval(() => {
    for (const pid of encoders(process.pid).slice(0, 1)) {
      process.kill(pid, 'SIGKILL');
      clearInterval(killer);
    }
  }, 5);
  const { init, segments } = await fetchRendition(server, path, 2);
  clearInterval(killer);
  const frames = await decodeVideo(init, segments);
  assert.deepEqual(
    frames.map(({ number }) => number),
    frames.map((_, n) => n),
  );
  assert.equal(frames.length, 1000);
});

test("an FFmpeg that fails is an error with FFmpeg's words; the original still plays", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-fake-'));
  try {
    const fake = join(folder, 'ffmpeg');
    writeFileSync(
      fake,
      '#!/bin/sh\ncase "$*" in *pipe:0*) echo "no encoder today" >&2; exit 3;; esac\nexec ffmpeg "$@"\n',
    );
    chmodSync(fake, 0o755);
    await using server = await startTestServer({ RAFFI_FFMPEG_BIN: fake });
    const id = await server.create({ source: await numberedMedia(FILM) });
    const { status, body } = await server.json<{ code: string; detail: string }>(`/sessions/${id}/360p/2.m4s`);
    assert.deepEqual([status, body.code], [502, 'transcode-failed']);
    assert.match(body.detail, /no encoder today/);
    assert.ok((await server.bytes(`/sessions/${id}/original/0.m4s`)).length > 1000);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('without FFmpeg there are no transcoded variants, and what can be copied plays', async () => {
  await using server = await startTestServer({ PATH: '/nonexistent' });
  const id = await server.create({ source: await numberedMedia(FILM) });
  assert.doesNotMatch(await server.text(`/sessions/${id}/stream.m3u8`), /360p/);
  assert.equal((await server.get(`/sessions/${id}/360p/playlist.m3u8`)).status, 404);
  assert.ok((await server.bytes(`/sessions/${id}/original/0.m4s`)).length > 1000);
});

test('a server that is killed leaves no FFmpeg running', async () => {
  const source = await numberedMedia(FILM);
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const child = spawn(process.execPath, [main], {
    env: { ...process.env, RAFFI_SERVER_ADDR: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const line = (await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()).value as string;
  const url = line.replace('Server listening on ', '');
  const created = await fetch(`${url}/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source }),
  });
  const { id } = (await created.json()) as { id: string };
  await (await fetch(`${url}/sessions/${id}/360p/0.m4s`)).arrayBuffer();
  const running = encoders(child.pid as number);
  assert.equal(running.length, 1);
  child.kill('SIGKILL');
  const alive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  await until(() => running.every((pid) => !alive(pid)));
});
