import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { get, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type NumberedMediaOptions, numberedMedia } from '../fixtures/media.ts';
import { listeningUrl, spawnServer } from '../fixtures/server-process.ts';

const SESSIONS = 100;
const AT_ONCE = 5;
const SECONDS = 14;

const SOURCES: readonly NumberedMediaOptions[] = [
  { container: 'mkv', video: 'h264', audio: ['dts'], seconds: SECONDS },
  { container: 'mp4', video: 'hevc', audio: ['aac'], seconds: SECONDS, openGop: true },
  { container: 'webm', video: 'vp9', audio: ['opus'], seconds: SECONDS },
  { container: 'ts', video: 'mpeg2video', audio: ['aac'], seconds: SECONDS },
];

/** Every request on a connection of its own: none stays open. */
async function fetchBytes(url: string, leave: boolean): Promise<{ status: number; text: string }> {
  const asked = get(url, { agent: false });
  if (leave) {
    await once(asked, 'socket');
    await once(asked, 'finish');
    setImmediate(() => asked.destroy());
    await once(asked, 'close').catch(() => {});
    return { status: 0, text: '' };
  }
  const [answer] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  const chunks: Buffer[] = [];
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(answer, 'end');
  return { status: answer.statusCode as number, text: Buffer.concat(chunks).toString('latin1') };
}

async function send(method: string, url: string, body?: object): Promise<{ status: number; text: string }> {
  const asked = request(url, { method, agent: false, headers: { 'content-type': 'application/json' } });
  asked.end(body && JSON.stringify(body));
  const [answer] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  let text = '';
  answer.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(answer, 'end');
  return { status: answer.statusCode as number, text };
}

/** What the process has open; sockets of clients and what the runtime keeps for itself apart. */
function held(child: ChildProcess): { descriptors: string[]; children: number } {
  const pid = child.pid as number;
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d+/g, '');
    } catch {
      return 'gone';
    }
  });
  const children = execFileSync('ps', ['-eo', 'ppid'], { encoding: 'utf8' }).split('\n');
  return { descriptors: descriptors.sort(), children: children.filter((line) => Number(line) === pid).length };
}

/** A viewer who seeks at random and closes; some leave in the middle of an answer. */
async function view(url: string, source: string, random: () => number): Promise<void> {
  const created = await send('POST', `${url}/sessions`, { source });
  assert.equal(created.status, 201, created.text);
  const { id } = JSON.parse(created.text) as { id: string };
  const root = `${url}/sessions/${id}`;
  const { text } = await fetchBytes(`${root}/stream.m3u8`, false);
  const playlists = [...text.matchAll(/(?:^|URI=")([\w-]+)\/playlist\.m3u8/gm)].map(([, name]) => name as string);
  assert.ok(playlists.length >= 2, text);
  for (let seek = 0; seek < 3; seek++) {
    const name = playlists[Math.floor(random() * playlists.length)] as string;
    const media = (await fetchBytes(`${root}/${name}/playlist.m3u8`, false)).text;
    const segments = [...media.matchAll(/^[^#].*$/gm)].map(([uri]) => uri);
    const uri = segments[Math.floor(random() * segments.length)] as string;
    const leaves = random() < 0.3;
    const { status } = await fetchBytes(`${root}/${name}/${uri}`, leaves);
    // With more viewers than transcoders some are told to come back.
    assert.ok(leaves || [200, 503].includes(status), `${name}/${uri}: ${status}`);
  }
  assert.equal((await send('DELETE', root)).status, 204);
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('100 sessions opened, seeked at random and closed leave no process, file, descriptor or listener', {
  skip: process.platform !== 'linux' && 'what a process holds is read from /proc',
}, async () => {
  const cache = mkdtempSync(join(tmpdir(), 'raffi-leaks-'));
  const sources = await Promise.all(SOURCES.map((options) => numberedMedia(options)));
  const server = spawnServer({ RAFFI_CACHE_DIR: cache, RAFFI_CACHE_MEMORY: '0', RAFFI_CACHE_BYTES: '1G' });
  const { child, words } = server;
  try {
    const url = await listeningUrl(server);
    // Until it has asked FFmpeg what it can do.
    await fetchBytes(`${url}/capabilities`, false);
    const before = held(child);
    assert.equal(before.children, 0);
    const random = generator(7);
    for (let done = 0; done < SESSIONS; done += AT_ONCE)
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, n) => view(url, sources[(done + n) % sources.length] as string, random)),
      );
    assert.equal(held(child).children, 0);
    assert.deepEqual(JSON.parse((await fetchBytes(`${url}/sessions`, false)).text), []);
    for (const folder of readdirSync(cache)) assert.deepEqual(readdirSync(join(cache, folder)), []);
    // The last connections are closed by both sides, soon.
    const patience = performance.now() + 20_000;
    let after = held(child);
    while (after.descriptors.length > before.descriptors.length && performance.now() < patience) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      after = held(child);
    }
    if (after.descriptors.length > before.descriptors.length) assert.deepEqual(after.descriptors, before.descriptors);
    assert.doesNotMatch(words(), /Warning/);
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    assert.deepEqual(readdirSync(cache), []);
  } finally {
    child.kill('SIGKILL');
    rmSync(cache, { recursive: true, force: true });
  }
});
