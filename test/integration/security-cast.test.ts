/** What the holder of a cast token is told, and for how long. A proxy's header makes a client of this machine one of another. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { noClock } from '../fixtures/server-process.ts';
import { makeTorrent } from '../fixtures/torrents.ts';
import { startTestServer, type TestServer } from './harness.ts';

const ELSEWHERE = { 'x-forwarded-for': '192.168.0.77' };
const SECRET = 'a-folder-that-nobody-else-shall-know';

async function tokenFor(server: TestServer, sessionId: string, duration = 900): Promise<string> {
  const { status, body } = await server.json<{ token: string }>('/cast/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sessionId, duration }),
  });
  assert.equal(status, 200);
  return body.token;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(server: TestServer, path: string, token?: string): Promise<Answer> {
  const headers = token === undefined ? {} : { ...ELSEWHERE, 'x-raffi-cast-token': token };
  const response = await server.get(path, { headers });
  return { status: response.status, text: await response.text() };
}

describe('who only has a cast token', { timeout: 240_000 }, () => {
  const ADDRESSES = [
    '',
    '/stream.m3u8',
    '/stream',
    '/original/playlist.m3u8',
    '/original/init.mp4',
    '/720p/0.m4s',
  ].concat(['/nothing/0.m4s', '/original/999999.m4s', '/original/x.m4s', '/file']);

  /** All that is told here, and there, of a session: there, none of `secrets`, which are told here. */
  async function tellsNone(server: TestServer, id: string, secrets: readonly string[]): Promise<void> {
    const token = await tokenFor(server, id);
    let here = '';
    for (const path of ADDRESSES) {
      const own = await ask(server, `/sessions/${id}${path}`);
      const guest = await ask(server, `/sessions/${id}${path}`, token);
      assert.equal(guest.status, own.status, path);
      here += own.text;
      for (const secret of secrets) assert.ok(!guest.text.includes(secret), `${path}: ${guest.text.slice(0, 2_000)}`);
      if (own.status < 400) continue;
      const [mine, theirs] = [own, guest].map(({ text }) => JSON.parse(text) as Record<string, string>);
      assert.equal(theirs?.detail, `${mine?.title}.`, path);
      assert.deepEqual({ ...theirs, detail: '' }, { ...mine, detail: '' }, path);
    }
    for (const secret of secrets) assert.ok(here.includes(secret), `${secret} is told here, so that the test can fail`);
  }

  test('is told by title and code what is wrong, without paths and addresses', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), `${SECRET}-`));
    const film = join(folder.path, 'film.mkv');
    await writeFile(film, 'no film');
    await using server = await startTestServer();
    for (const source of [film, join(folder.path, 'missing.mkv'), folder.path, `http://127.0.0.1:1/${SECRET}/a.mkv`])
      await tellsNone(server, await server.create({ source }), [SECRET]);
  });

  test('is not told why a track is as it is, in which paths may stand', async () => {
    const avi = await plainMedia('guest.avi', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=24', '-t', '4', '-c:v', 'mpeg4', '-f', 'avi'],
    ]);
    await using server = await startTestServer();
    const id = await server.create({ source: avi });
    const token = await tokenFor(server, id);
    type Info = { readonly availableStreams: readonly { readonly reason?: string; readonly codec: string }[] };
    const [here, there] = await Promise.all(
      [undefined, token].map(async (one) => JSON.parse((await ask(server, `/sessions/${id}`, one)).text) as Info),
    );
    assert.ok(here?.availableStreams.some(({ reason }) => reason !== undefined));
    assert.deepEqual(
      there?.availableStreams,
      here?.availableStreams.map(({ reason: _reason, ...stream }) => stream),
    );
  });

  test('is told nothing of a torrent but how it is getting on', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-cast-'));
    const torrent = makeTorrent({
      name: 'pack',
      pieceLength: 16_384,
      files: [
        { path: [SECRET, 'film.mkv'], content: Buffer.alloc(50_000, 'x') },
        { path: ['other-film.mkv'], content: Buffer.alloc(40_000, 'y') },
      ],
      trackers: [`http://${SECRET}.invalid/passkey/announce`],
    });
    const path = join(folder.path, 'pack.torrent');
    await writeFile(path, torrent.bytes);
    await using server = await startTestServer({
      RAFFI_TORRENT_DIR: join(folder.path, 'data'),
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
      RAFFI_TORRENT_LISTEN: 'off',
    });
    const id = await server.create({ source: path });
    const token = await tokenFor(server, id);
    const secrets = [SECRET, 'other-film.mkv', torrent.infoHash, 'passkey', folder.path];
    let here = await ask(server, `/sessions/${id}`);
    const deadline = performance.now() + 60_000;
    while (!here.text.includes('other-film.mkv')) {
      assert.ok(performance.now() < deadline, here.text);
      here = await ask(server, `/sessions/${id}`);
    }
    for (const secret of [SECRET, 'other-film.mkv', torrent.infoHash, folder.path])
      assert.ok(here.text.includes(secret));
    const there = await ask(server, `/sessions/${id}`, token);
    assert.equal(there.status, 200);
    for (const secret of secrets) assert.ok(!there.text.includes(secret), there.text);
    const info = JSON.parse(there.text) as Record<string, unknown>;
    assert.deepEqual([info.isTorrent, info.progress, info.peers, info.name], [true, 0, 0, 'film.mkv']);
  });

  test('gets no more when its time is over, of what began before neither', { skip: noClock }, async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    const large = await largeFile(film);
    await using _folder = large.folder;
    let ahead = 0;
    await using server = await startTestServer({}, { now: () => Date.now() + ahead });
    const id = await server.create({ source: large.path });
    await server.text(`/sessions/${id}/stream.m3u8`);
    const [ending, going] = [await tokenFor(server, id, 30), await tokenFor(server, id, 3_600)];
    ahead += 29_000;
    const begin = (token: string): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        const headers = { ...ELSEWHERE, 'x-raffi-cast-token': token };
        request(`${server.url}/sessions/${id}/file`, { headers }, resolve).on('error', reject).end();
      });
    const [ended, other] = await Promise.all([begin(ending), begin(going)]);
    assert.deepEqual([ended.statusCode, other.statusCode], [200, 200]);
    // Nobody reads meanwhile: both hang in the middle.
    while ((await ask(server, `/sessions/${id}/original/playlist.m3u8`, ending)).status === 200);
    assert.equal((await ask(server, `/sessions/${id}/original/playlist.m3u8`, ending)).status, 401);
    await assert.rejects(lengthOf(ended), { code: 'ECONNRESET' });
    assert.equal(await lengthOf(other), large.size, 'with a token that is good still');
  });
});

async function lengthOf(answer: IncomingMessage): Promise<number> {
  let length = 0;
  for await (const part of answer) length += (part as Buffer).length;
  return length;
}

/** A film that no buffer between server and client holds: what is behind its end nobody looks at. */
async function largeFile(film: string): Promise<{ path: string; size: number; folder: AsyncDisposable }> {
  const { readFile, truncate } = await import('node:fs/promises');
  const folder = await mkdtempDisposable(join(tmpdir(), 'raffi-cast-'));
  const path = join(folder.path, 'film.mkv');
  const size = 64 * 1024 * 1024;
  await writeFile(path, await readFile(film));
  await truncate(path, size);
  return { path, size, folder };
}
