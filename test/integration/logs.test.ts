/** What the log of a real server has, and what it has not. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startUpstream } from '../../src/catalogue/testing.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { sendRaw } from '../fixtures/raw-http.ts';
import { SERVER_PATH, serverCommand } from '../fixtures/server-process.ts';
import { startSite } from '../fixtures/site.ts';

const [SERVER, ...WORDS] = serverCommand('bin/raffi-server.mjs');
/** Wherever it stands, it must not stand in the log. */
const SECRET = 'hunter2hunter2';

interface Line {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly session?: string;
  readonly clip?: string;
  readonly torrent?: string;
  readonly [field: string]: unknown;
}

describe('the log', () => {
  let folder: string;
  let film: string;
  const lines: Line[] = [];
  const ids = { played: '', expired: '', torrent: 'ab'.repeat(20), clip: '', left: '' };
  let text = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'raffi-test-logs-'));
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 10 });
    await useServer();
  });
  after(() => rm(folder, { recursive: true }));

  /** A whole life of a server, with secrets wherever a client or an operator may put some. */
  async function useServer(): Promise<void> {
    await using site = await startSite([
      ['/broken.mkv', Buffer.concat([Buffer.from('1a45dfa3', 'hex'), Buffer.alloc(5_000, 7)])],
      ['/page.mkv', `<!doctype html><a href="?${SECRET}">`],
      ['/list.m3u8', `#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg.ts?${SECRET}\n#EXT-X-ENDLIST\n`],
    ]);
    site.answers.set('/away.mkv', { status: 302, headers: { location: `http://127.0.0.1:1/x?${SECRET}` } });
    site.answers.set('/busy.mkv', { status: 503, body: SECRET });
    await using upstream = await startUpstream((_request, response) => response.writeHead(500).end(SECRET));
    const child = spawn(SERVER, WORDS, {
      env: {
        PATH: SERVER_PATH,
        RAFFI_SERVER_ADDR: '127.0.0.1:0',
        DEBUG: '1',
        RAFFI_HWACCEL: 'none',
        RAFFI_API_KEY: SECRET,
        RAFFI_LAUNCH_TOKEN: SECRET,
        RAFFI_CACHE_DIR: folder,
        RAFFI_CLIPS_DIR: join(folder, 'clips'),
        RAFFI_TORRENT_DIR: join(folder, 'torrents'),
        RAFFI_TORRENT_DHT: '0',
        RAFFI_TORRENT_LSD: '0',
        RAFFI_ADDON_CATALOGUES: `http://user:${SECRET}@${upstream.url.host}/list.json?key=${SECRET}`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
    const closed = once(child, 'close');
    await useAll(await listening(child), site.url);
    child.kill('SIGTERM');
    assert.deepEqual(await closed, [0, null]);
    for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line) as Line);
  }

  async function useAll(url: string, site: string): Promise<void> {
    const post = async (
      path: string,
      body: object,
      headers: Record<string, string> = {},
    ): Promise<Record<string, string>> => {
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      };
      return (await (await fetch(url + path, init)).json()) as Record<string, string>;
    };
    const create = async (source: string): Promise<string> => (await post('/sessions', { source })).id as string;
    const get = async (path: string, init?: RequestInit): Promise<void> =>
      void (await (await fetch(url + path, init)).arrayBuffer());

    ids.played = await create(film);
    await get(`/sessions/${ids.played}/original/0.m4s?x=${SECRET}`);
    const { streamUrl, token } = await post('/cast/token', { sessionId: ids.played });
    await get(new URL(streamUrl as string).pathname + new URL(streamUrl as string).search, {
      headers: { forwarded: 'for=10.0.0.1' },
    });
    await get(`/sessions/${ids.played}/file?cast_token=${SECRET}`, { headers: { forwarded: 'for=10.0.0.1' } });
    await get('/sessions', { headers: { forwarded: 'for=10.0.0.1', authorization: `Bearer ${SECRET}` } });
    await get('/sessions', { headers: { origin: 'null', 'x-raffi-token': SECRET } });
    await get(`/sessions/${ids.played}/360p/0.m4s`);
    ids.clip = (await post(`/sessions/${ids.played}/clip?async=1&${SECRET}`, { start: 1, end: 99 })).id as string;
    await get(`/clips/${ids.clip}`, { method: 'DELETE' });
    const host = new URL(site).host;
    for (const name of ['gone.mkv', 'broken.mkv', 'page.mkv', 'away.mkv', 'busy.mkv', 'list.m3u8']) {
      const id = await create(`http://user:${SECRET}@${host}/${name}?token=${SECRET}#${SECRET}`);
      await get(`/sessions/${id}/stream.m3u8?x=${SECRET}`);
      await get(`/sessions/${id}`, { method: 'DELETE' });
    }
    const magnet = `magnet:?xt=urn:btih:${ids.torrent}&tr=${encodeURIComponent(`http://127.0.0.1:1/announce?passkey=${SECRET}`)}`;
    const swarm = await create(magnet);
    await get(`/sessions/${swarm}`);
    await get(`/sessions/${swarm}`, { method: 'DELETE' });
    await get('/community-addons');
    await get(`/%zz?${SECRET}`);
    await get(`/nothing/here?${SECRET}`);
    await sendRaw(url, `GET /?${SECRET} HTTP/9\r\n\r\n`);
    await get(`/sessions/${ids.played}`, { method: 'DELETE' });
    ids.left = await create(film);
    assert.ok(token);
    secrets.push(token);
  }
  const secrets = [SECRET];

  test('every line is JSON, with level, time and message', () => {
    assert.ok(lines.length > 30, `${lines.length} lines`);
    for (const line of lines) {
      assert.ok(Number.isInteger(line.level) && Number.isInteger(line.time) && line.msg, JSON.stringify(line));
    }
  });

  test('no secret of an address, a header or a variable is in it', () => {
    for (const secret of secrets) {
      const found = lines.filter((line) => JSON.stringify(line).includes(secret));
      assert.deepEqual(found, []);
    }
    // They would have been: the addresses around them are there.
    for (const name of ['gone.mkv', 'busy.mkv', 'list.json']) assert.ok(text.includes(name), name);
  });

  test('everything that ended has one line, with its id', () => {
    const about = (msg: string): Line[] => lines.filter((line) => line.msg === msg);
    const sessions = about('session ended');
    assert.equal(sessions.length, 9);
    for (const id of [ids.played, ids.left]) assert.equal(sessions.filter(({ session }) => session === id).length, 1);
    const failed = sessions.filter(({ code }) => code !== undefined);
    assert.ok(failed.length >= 5, JSON.stringify(sessions));
    for (const { session, reason, source } of failed) assert.ok(session && reason && source);
    assert.deepEqual(
      about('torrent ended').map(({ torrent }) => torrent),
      [ids.torrent],
    );
    const clips = lines.filter(({ clip, msg }) => clip === ids.clip && msg.startsWith('clip '));
    assert.equal(clips.length, 1);
    assert.equal(clips[0]?.session, ids.played);
    const runs = about('run ended');
    assert.ok(runs.length > 0);
    for (const { run, reason, rendition, made } of runs)
      assert.ok(run && reason && rendition && Number.isInteger(made));
    assert.equal(new Set(runs.map(({ run }) => run)).size, runs.length);
    assert.equal(about('stopped').length, 1);
    // Requests are ended things too, for who asks for so much.
    const [segment] = about('answered').filter(({ route }) => route === '/sessions/:id/:rendition/:segment');
    assert.deepEqual([segment?.id, segment?.status, segment?.method], [ids.played, '200', 'GET']);
    assert.ok(Number(segment?.bytes) > 1_000 && Number(segment?.ms) >= 0);
  });
});

async function listening(child: ChildProcess): Promise<string> {
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  return /http:\S+/.exec(line.toString())?.[0] as string;
}
