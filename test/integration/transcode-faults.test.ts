import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SHELL } from '../../src/ffmpeg/test-processes.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { listeningUrl, spawnServer } from '../fixtures/server-process.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchRendition, startTestServer, type TestServer } from './harness.ts';

const FILM = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 } as const;

/** Ids of the FFmpeg processes that are children of `parent` (or of what it started to tie them to its life). */
function encoders(parent: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid,ppid,stat,args'], { encoding: 'utf8' }).trim().split('\n').slice(1);
  const rows = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) as RegExpExecArray);
  return rows
    .filter(([, , ppid, stat, args]) => Number(ppid) === parent && !stat?.startsWith('Z') && args?.includes('matroska'))
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
    most = Math.max(most, encoders(server.pid).length);
  }, 20);
  const got = await Promise.all(ids.map((id) => server.bytes(`/sessions/${id}/360p/3.m4s`)));
  clearInterval(watch);
  for (const bytes of got) assert.deepEqual(bytes, got[0]);
  assert.ok(most <= 1, `${most} runs`);
  for (const id of ids) assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
  assert.deepEqual(encoders(server.pid), []);
});

test('a seek in transcoded sound finds FFmpeg started; none is there any more when its runs have ended', async () => {
  await using server = await startTestServer({ RAFFI_CACHE_BYTES: '0' });
  const id = await server.create({ source: await numberedMedia({ ...FILM, audio: ['dts'], seconds: 60 }) });
  await server.bytes(`/sessions/${id}/audio-0-aac/0.m4s`);
  await until(() => encoders(server.pid).length === 2);
  const [run, spare] = encoders(server.pid);
  await server.bytes(`/sessions/${id}/audio-0-aac/25.m4s`);
  await until(() => encoders(server.pid).length === 3);
  const after = encoders(server.pid);
  assert.ok(after.includes(spare as number), 'what was started for the seek makes it');
  assert.ok(after.includes(run as number));
  await until(() => encoders(server.pid).length === 0); // nobody asks for anything any more
  await server.bytes(`/sessions/${id}/audio-0-aac/10.m4s`);
  await until(() => encoders(server.pid).length === 2);
  assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
  assert.deepEqual(encoders(server.pid), []);
});

/** Sends the signal to the first FFmpeg that is seen at work, once. */
function strike({ pid: server }: TestServer, signal: NodeJS.Signals): Disposable & { readonly hit: () => boolean } {
  let hit = false;
  const timer = setInterval(() => {
    for (const pid of hit ? [] : encoders(server).slice(0, 1)) {
      process.kill(pid, signal);
      hit = true;
    }
  }, 5);
  return { hit: () => hit, [Symbol.dispose]: () => clearInterval(timer) };
}

async function showsEveryFrame(server: TestServer, id: string, seed: number): Promise<void> {
  const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, seed);
  const frames = await decodeVideo(init, segments);
  assert.deepEqual(
    frames.map(({ number }) => number),
    Array.from({ length: 500 }, (_, n) => n),
  );
}

for (const [signal, what] of [
  ['SIGKILL', 'killed'],
  ['SIGSEGV', 'crashing'],
  ['SIGSTOP', 'hanging'],
] as const) {
  test(`FFmpeg ${what} in the middle: playback goes on, every frame once; another session is unharmed`, async () => {
    await using server = await startTestServer({ RAFFI_TRANSCODE_STALL: '6s', RAFFI_MAX_RUNS: '2' });
    const id = await server.create({ source: await numberedMedia(FILM) });
    const other = await server.create({ source: await numberedMedia({ ...FILM, container: 'mp4' }) });
    using striking = strike(server, signal);
    await Promise.all([showsEveryFrame(server, id, 2), showsEveryFrame(server, other, 5)]);
    assert.ok(striking.hit());
    for (const each of [id, other]) await server.get(`/sessions/${each}`, { method: 'DELETE' });
    assert.deepEqual(encoders(server.pid), []);
  });
}

test('an FFmpeg that always hangs is an error that says so; others play on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-fake-'));
  try {
    const fake = join(folder, 'ffmpeg');
    writeFileSync(fake, `${SHELL}case "$*" in *pipe:0*) exec cat >/dev/null;; esac\nexec ffmpeg "$@"\n`);
    chmodSync(fake, 0o755);
    await using server = await startTestServer({ RAFFI_FFMPEG_BIN: fake, RAFFI_TRANSCODE_STALL: '0.5s' });
    const id = await server.create({ source: await numberedMedia(FILM) });
    const { status, body } = await server.json<{ code: string; detail: string }>(`/sessions/${id}/360p/2.m4s`);
    assert.deepEqual([status, body.code], [502, 'transcode-failed']);
    assert.ok((await server.bytes(`/sessions/${id}/original/0.m4s`)).length > 1000);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const CACHED = { RAFFI_CACHE_MEMORY: '0', RAFFI_CACHE_BYTES: '1G' };

test('the file system of the cache is full: playback goes on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-full-'));
  try {
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', folder]);
    if (mounted.status !== 0) return t.skip('a file system of its own takes root and the right to mount');
    await using server = await startTestServer({ ...CACHED, RAFFI_CACHE_DIR: folder });
    const id = await server.create({ source: await numberedMedia(FILM) });
    await showsEveryFrame(server, id, 2);
    const { bavail, bsize } = statfsSync(folder);
    assert.ok(bavail * bsize < 16 * 1024, `${bavail * bsize} bytes are free: it was never full`);
    await showsEveryFrame(server, id, 3);
    const other = await server.create({ source: await numberedMedia({ ...FILM, container: 'mp4' }) });
    await showsEveryFrame(server, other, 4);
  } finally {
    spawnSync('umount', [folder]);
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the folder of the cache is deleted while it plays: playback goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-gone-'));
  try {
    await using server = await startTestServer({ ...CACHED, RAFFI_CACHE_DIR: folder });
    const id = await server.create({ source: await numberedMedia(FILM) });
    await showsEveryFrame(server, id, 2);
    const [own] = readdirSync(folder);
    assert.ok(own !== undefined, 'it was in use');
    rmSync(join(folder, own), { recursive: true });
    await showsEveryFrame(server, id, 3);
    rmSync(folder, { recursive: true });
    await showsEveryFrame(server, id, 4);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
  const folder = mkdtempSync(join(tmpdir(), 'raffi-slow-'));
  try {
    // As slow as its pictures are shown, so that it is there to be seen.
    const slow = join(folder, 'ffmpeg');
    writeFileSync(slow, `${SHELL}case "$*" in *pipe:0*) exec ffmpeg -re "$@";; esac\nexec ffmpeg "$@"\n`);
    chmodSync(slow, 0o755);
    await using server = spawnServer({ RAFFI_FFMPEG_BIN: slow });
    const pid = server.child.pid as number;
    const url = await listeningUrl(server);
    const created = await fetch(`${url}/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source }),
    });
    const { id } = (await created.json()) as { id: string };
    const waiting = fetch(`${url}/sessions/${id}/360p/0.m4s`).catch(() => {}); // the server may be killed before
    await until(() => encoders(pid).length > 0);
    // Stopped, what runs then is not ended by the server itself.
    server.child.kill('SIGSTOP');
    const running = encoders(pid);
    server.child.kill('SIGKILL');
    assert.ok(running.length > 0, 'it was at work');
    await until(() => !running.some(isAlive));
    await waiting;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
