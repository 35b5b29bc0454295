/** Torrents that are met rarely, and files that somebody else has been at. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { numberedMedia } from '../fixtures/media.ts';
import { filmTorrent } from '../fixtures/torrent-film.ts';
import { startTestServer } from './harness.ts';

const FILLER = ['-b:v', '2M', '-maxrate', '2M', '-bufsize', '2M', '-x264-params', 'nal-hrd=cbr'];
const media = (): Promise<string> =>
  numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 30, extraArgs: FILLER });

interface Info {
  readonly status: string;
  readonly error?: string;
  readonly torrent?: { readonly files: readonly unknown[]; readonly piecesComplete: number; readonly message: string };
}

test('a .torrent file that is uploaded tells what is in it, although somebody waits with a magnet link', async () => {
  await using film = await filmTorrent(await media());
  await using server = await startTestServer(film.env);
  await server.create({ source: film.infoHash });
  const answer = await server.get('/sessions', {
    method: 'POST',
    headers: { 'content-type': 'application/x-bittorrent' },
    body: new Uint8Array(film.bytes),
  });
  const { id } = (await answer.json()) as { id: string };
  await sleep(2_000);
  const { body } = await server.json<Info>(`/sessions/${id}`);
  assert.equal(body.torrent?.files.length, 1, `status ${body.status}: ${body.torrent?.message}`);
});

test('who reads /torrents/{infohash} keeps its session from being idle', async () => {
  await using film = await filmTorrent(await media());
  await using seeder = await film.seed();
  await using server = await startTestServer({ ...film.env, RAFFI_SESSION_IDLE: '2s' });
  await server.create({ source: film.link(seeder) });
  for (let n = 0; n < 8; n += 1) {
    const response = await server.get(`/torrents/${film.infoHash}`, { headers: { range: 'bytes=0-99' } });
    await response.arrayBuffer();
    assert.equal(response.status, 206, `request ${n}, one every half second`);
    await sleep(500);
  }
});

const SUPER_SEEDER = `
import json, sys, time
import libtorrent as lt
session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
  "enable_outgoing_utp": False, "enable_incoming_utp": False, "allow_multiple_connections_per_ip": True})
parameters = lt.add_torrent_params()
parameters.ti = lt.torrent_info(sys.argv[1])
parameters.save_path = sys.argv[2]
parameters.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
parameters.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.super_seeding
session.add_torrent(parameters)
while not session.listen_port(): time.sleep(.01)
print(json.dumps(session.listen_port()), flush=True)
sys.stdin.read()
`;

test('the only seeder is a super-seeder (BEP 16): it plays all the same', { timeout: 120_000 }, async () => {
  await using film = await filmTorrent(await media(), { pieceLength: 256 * 1024 });
  const child = spawn('/usr/bin/python3', ['-c', SUPER_SEEDER, film.path, film.folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    await using server = await startTestServer(film.env);
    const id = await server.create({ source: `${film.magnet}&x.pe=127.0.0.1:${port}` });
    const signal = AbortSignal.timeout(60_000);
    const response = await server.get(`/sessions/${id}/file`, { signal }).then((answer) => answer.arrayBuffer());
    assert.ok(film.content.equals(Buffer.from(response)));
  } finally {
    child.kill('SIGKILL');
  }
});

test('a kept chunk that was truncated while it was in use is fetched again by the next run', async () => {
  await using film = await filmTorrent(await media());
  await using seeder = await film.seed();
  const env = { ...film.env, RAFFI_TORRENT_KEEP: '1' };
  {
    await using server = await startTestServer(env);
    const id = await server.create({ source: film.link(seeder) });
    assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
    await truncate(join(film.folder, 'data', 'kept', film.infoHash, 'chunk-000000'), 1_000);
  }
  await using server = await startTestServer(env);
  const id = await server.create({ source: film.link(seeder) });
  assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
});

test('what was truncated is fetched again in the same session', async () => {
  await using film = await filmTorrent(await media());
  await using seeder = await film.seed();
  await using server = await startTestServer(film.env);
  const id = await server.create({ source: film.link(seeder) });
  assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
  const [chunk = ''] = await Array.fromAsync(glob(join(film.folder, 'data', 'run-*', film.infoHash, 'chunk-000000')));
  await truncate(chunk, 1_000);
  assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
});

test('the lock of a killed server does not end keeping, whoever has its number now, or whatever its host was called', async () => {
  await using film = await filmTorrent(await media());
  await using seeder = await film.seed();
  const env = { ...film.env, RAFFI_TORRENT_KEEP: '1' };
  const lock = join(film.folder, 'data', 'kept', 'lock');
  let words: string[] = [];
  {
    await using server = await startTestServer(env);
    const id = await server.create({ source: film.link(seeder) });
    assert.ok(film.content.equals(await server.bytes(`/sessions/${id}/file`)));
    words = (await readFile(lock, 'utf8')).split(' ');
  }
  const [host, , birth] = words;
  const before = new Date(Date.now() - 120_000);
  // As a SIGKILL leaves it: init has the number now; a container that was made anew.
  for (const text of [`${host} 1 ${birth}`, 'deadbeef 7 1\n']) {
    await writeFile(lock, text);
    await utimes(lock, before, before);
    await using server = await startTestServer(env);
    const id = await server.create({ source: film.infoHash });
    await sleep(1_500);
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.ok((body.torrent?.piecesComplete ?? 0) > 0, `lock "${text.trim()}": ${body.torrent?.message}`);
  }
});
