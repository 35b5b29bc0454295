/**
 * Hostile sources: nothing but what the client asked for is ever connected to, and no other file is read. `films.example` stands for the Internet.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Internet, PUBLIC, startInternet, whyNoInternet } from '../fixtures/internet.ts';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { type Origin, startOrigin } from '../fixtures/origin.ts';
import { type Info, startTestServer, type TestServer } from './harness.ts';

describe('hostile sources', { skip: whyNoInternet }, () => {
  let internet: Internet;
  let names: Internet['names'];
  let server: TestServer;
  let folder: string;
  let film: string;
  /** Nobody may ever connect to it. */
  let canary: Origin;
  /** The Internet. */
  let origin: Origin;
  const marker = `secret-${randomBytes(12).toString('hex')}`;
  let secret: string;

  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    folder = mkdtempSync(join(tmpdir(), 'raffi-hostile-'));
    secret = join(folder, 'secret.txt');
    writeFileSync(secret, `${marker}\n`.repeat(1000));
    canary = await startOrigin({ file: film });
    internet = await startInternet();
    names = internet.names;
    origin = await startOrigin({ file: film, address: PUBLIC });
    server = await startTestServer({ RAFFI_LAN_ACCESS: 'open' }, internet.world);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await origin.close();
    await canary.close();
    await internet[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const port = (of: Origin): string => new URL(of.url).port;
  const publicUrl = (path = '/film.mkv', name = 'films.example'): string => {
    names.set('films.example', [PUBLIC]);
    return `http://${name}:${port(origin)}${path}`;
  };
  const post = (source: string, headers: Record<string, string> = {}) =>
    server.json<{ id: string; code: string; detail: string }>('/sessions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ source }),
    });

  /** Plays it as far as it goes; the code of the error, and all bytes that came out. */
  async function played(source: string): Promise<{ code: string | undefined; bytes: Buffer }> {
    const created = await post(source);
    if (created.status !== 201) return { code: created.body.code, bytes: Buffer.from(JSON.stringify(created.body)) };
    const root = `/sessions/${created.body.id}`;
    const parts: Buffer[] = [];
    for (const path of [
      '',
      '/stream.m3u8',
      '/original/playlist.m3u8',
      '/original/init.mp4',
      '/original/0.m4s',
      '/720p/0.m4s',
      '/audio-0/0.m4s',
      '/file',
    ]) {
      parts.push(Buffer.from(await (await server.get(root + path)).arrayBuffer()));
    }
    const info = await server.json<Info>(root);
    await server.get(root, { method: 'DELETE' });
    return { code: info.body.errorCode, bytes: Buffer.concat(parts) };
  }

  /** It fails with one of these codes, tells no secret and reaches nobody. */
  async function fails(source: string, ...codes: string[]): Promise<void> {
    const { code, bytes } = await played(source);
    assert.ok(codes.includes(code as string), `${source}: ${code}`);
    assert.ok(!bytes.includes(marker), `${source} told the secret`);
    assert.equal(canary.accepted(), 0, `${source} reached the canary`);
  }

  test('what is public plays, so that the other tests can fail', async () => {
    const { code, bytes } = await played(publicUrl());
    assert.equal(code, undefined);
    assert.ok(bytes.length > 100_000);
    assert.ok((await played(film)).bytes.length > 100_000, 'a file that the client itself names');
    assert.ok(readFileSync(secret, 'utf8').includes(marker));
  });

  test('redirects into this machine, the local network, the clouds and other schemes', async () => {
    names.set('inward.example', ['127.0.0.1']);
    names.set('localhost', ['127.0.0.1']);
    const at = port(canary);
    for (const target of [
      ...[
        `http://127.0.0.1:${at}/`,
        `http://localhost:${at}/`,
        `http://inward.example:${at}/`,
        `http://0.0.0.0:${at}/`,
      ],
      ...[
        `http://[::1]:${at}/`,
        `http://[::ffff:127.0.0.1]:${at}/`,
        `http://2130706433:${at}/`,
        `http://0x7f.1:${at}/`,
      ],
      ...[
        'http://192.168.0.1/',
        'http://10.0.0.1/',
        'http://[fe80::1]/',
        'http://169.254.169.254/',
        'http://[fd00:ec2::254]/',
      ],
      `${server.url}/sessions`,
    ]) {
      for (const [first, status] of [
        ['', 302],
        ['/again', 307],
      ] as const) {
        origin.behaviour = { status, headers: { location: target } };
        await fails(publicUrl(`/redirect${first}`), 'source-forbidden');
      }
    }
    for (const target of [`file://${secret}`, `ftp://127.0.0.1:${at}/`, 'gopher://127.0.0.1/', 'data:,x']) {
      origin.behaviour = { status: 301, headers: { location: target } };
      await fails(publicUrl(), 'source-unsupported');
    }
    origin.behaviour = {};
  });

  test('names that lead into this machine, wholly, in part, or later', async () => {
    names.set('inward.example', ['127.0.0.1']);
    names.set('both.example', [PUBLIC, '127.0.0.1']);
    names.set('lan.example', ['192.168.0.1']);
    names.set('six.example', ['::1']);
    names.set('cloud.internal', ['169.254.169.254']);
    for (const name of ['inward.example', 'both.example', 'lan.example', 'six.example', 'cloud.internal']) {
      await fails(`http://${name}:${port(canary)}/film.mkv`, 'source-forbidden');
    }
  });

  test('DNS rebinding: a name that is public while it is opened, and ours from then on', async () => {
    await using large = await startOrigin({
      file: await largeFilm(),
      address: PUBLIC,
      headers: { connection: 'close' },
    });
    names.set('rebind.example', [PUBLIC]);
    const { body } = await post(`http://rebind.example:${port(large)}/film.mkv`);
    assert.equal((await server.get(`/sessions/${body.id}/stream.m3u8`)).status, 200);
    const connections = large.accepted();
    names.set('rebind.example', ['127.0.0.1']);
    const answer = await server.json<{ code: string }>(`/sessions/${body.id}/original/3.m4s`);
    assert.deepEqual([answer.status, answer.body.code], [502, 'source-forbidden']);
    assert.equal(large.accepted(), connections);
    assert.equal(canary.accepted(), 0);
  });

  test('typed addresses of this machine and network: metadata and ourselves never', async () => {
    names.set('localhost', ['127.0.0.1']);
    const own = new URL(server.url).port;
    for (const source of [
      `http://127.0.0.1:${own}/health`,
      `http://localhost:${own}/`,
      `http://[::1]:${own}/`,
      `http://0.0.0.0:${own}/`,
    ]) {
      await fails(source, 'source-not-allowed', 'source-forbidden');
    }
    for (const source of [
      'http://169.254.169.254/latest/meta-data/',
      'http://[fd00:ec2::254]/',
      'http://100.100.100.200/',
    ]) {
      await fails(source, 'source-not-allowed');
    }
    await using neighbour = await startOrigin({ file: film });
    assert.equal((await played(neighbour.url)).code, undefined, 'a typed address of this machine');
    neighbour.behaviour = { status: 302, headers: { location: canary.url } };
    await fails(neighbour.url, 'source-forbidden');
  });

  test('for clients of other machines, neither files nor private addresses', async () => {
    const elsewhere = { 'x-forwarded-for': '192.168.0.77' };
    for (const source of [
      film,
      `file://${film}`,
      canary.url,
      'http://192.168.0.1/a.mkv',
      'http://[::1]/',
      '/etc/passwd',
    ]) {
      const { status, body } = await post(source, elsewhere);
      assert.deepEqual([status, body.code], [403, 'source-not-allowed'], source);
    }
    names.set('nas.lan', ['127.0.0.1']);
    const { body } = await post(`http://nas.lan:${port(canary)}/`, elsewhere);
    const info = await server.json<Info>(`/sessions/${body.id}`);
    assert.equal(info.body.errorCode, 'source-forbidden');
    assert.equal(canary.accepted(), 0);
    assert.equal((await post(publicUrl(), elsewhere)).status, 201);
  });

  /** Texts that make programs open something else. */
  const lists = (): Record<string, string> => {
    const url = `http://127.0.0.1:${port(canary)}/film.mkv`;
    const file = `file://${secret}`;
    return {
      'HLS media playlist': `#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n${url}\n#EXTINF:6,\n${file}\n#EXT-X-ENDLIST\n`,
      'HLS with key and map': `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="${url}"\n#EXT-X-MAP:URI="${file}"\n#EXTINF:6,\n${url}\n`,
      'HLS multivariant': `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${url}\n`,
      'HLS after a BOM': `\ufeff#EXTM3U\n#EXTINF:6,\n${url}\n`,
      DASH: `<?xml version="1.0"?><MPD><BaseURL>${url}</BaseURL><Period><AdaptationSet><Representation/></AdaptationSet></Period></MPD>`,
      ffconcat: `ffconcat version 1.0\nfile '${secret}'\nfile '${url}'\n`,
      PLS: `[playlist]\nFile1=${url}\nFile2=${file}\n`,
      ASX: `<asx version="3.0"><entry><ref href="${url}"/></entry></asx>`,
      SDP: 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n',
      'QuickTime reference': `RTSPtextRTSP://127.0.0.1:${port(canary)}/film`,
      SVG: `<svg xmlns="http://www.w3.org/2000/svg"><image href="${url}"/></svg>`,
      'Matroska in name only': `\x1a\x45\xdf\xa3${url}`,
    };
  };

  test('playlists disguised as media, from a link and from a file', async () => {
    for (const [kind, text] of Object.entries(lists())) {
      for (const extension of ['mp4', 'avi']) {
        const bytes = Buffer.from(text, kind === 'Matroska in name only' ? 'latin1' : 'utf8');
        const path = join(folder, `list.${extension}`);
        writeFileSync(path, bytes);
        await fails(path, 'source-unsupported', 'media-unrecognised', 'media-damaged');
        await using web = await startOrigin({ body: bytes, address: PUBLIC });
        names.set('films.example', [PUBLIC]);
        const link = `http://films.example:${port(web)}/list.${extension}`;
        await fails(link, 'source-unsupported', 'media-unrecognised', 'media-damaged');
      }
    }
  });

  test('names that are commands to other programs', async () => {
    for (const source of [
      ...[
        `concat:${secret}|${secret}`,
        `subfile:,,start,0,end,100,,:${secret}`,
        'pipe:0',
        'pipe:',
        'fd:0',
        '-y.ts',
        '-i',
        '--help',
      ],
      ...[
        `crypto:${secret}`,
        `cache:${secret}`,
        `async:file:${secret}`,
        `data:text/plain,${marker.slice(0, 3)}`,
        `tcp://127.0.0.1:${port(canary)}`,
      ],
      ...[
        `file,http:${secret}`,
        `lavfi:movie=${secret}`,
        'file:-y.ts',
        'file:relative',
        './-y.ts',
        '~/x.mkv',
        '%00',
        '\0',
        `${secret}\0.mkv`,
      ],
      ...[
        `hls+${canary.url}`,
        `rtmp://127.0.0.1:${port(canary)}/x`,
        `//127.0.0.1:${port(canary)}/x`.replace('//', '\\\\'),
      ],
    ]) {
      const { status, body } = await post(source);
      assert.deepEqual([status, body.code], [400, 'bad-request'], source);
    }
    assert.equal(canary.accepted(), 0);
  });

  test('what is no film, as bytes: named by a program of this machine, it would be there for every page that knows its address', async () => {
    const others = {
      'secret.pem': '-----BEGIN PRIVATE KEY-----\n',
      'secret.mkv': '',
      'secret.sqlite': 'SQLite format 3\0',
    };
    const paths = Object.entries(others).map(([name, head]) => {
      writeFileSync(join(folder, name), head + marker);
      return join(folder, name);
    });
    for (const path of [secret, '/etc/passwd', ...paths]) {
      await fails(path, 'media-unrecognised');
      const { body } = await post(path);
      const answer = await server.get(`/sessions/${body.id}/file`, { headers: { range: 'bytes=0-9' } });
      assert.deepEqual([answer.status, (await answer.json()).code], [502, 'media-unrecognised'], path);
      assert.equal((await server.get(`/sessions/${body.id}/file`, { method: 'HEAD' })).status, 502, path);
    }
  });

  test('what only looks like a file', async () => {
    const fifo = join(folder, 'fifo.mkv');
    execFileSync('mkfifo', [fifo]);
    // A film that has been unlinked, so that nothing but the rule can refuse it.
    copyFileSync(film, join(folder, 'gone.mkv'));
    const unlinked = openSync(join(folder, 'gone.mkv'), 'r');
    rmSync(join(folder, 'gone.mkv'));
    const linked = ['/proc/self/environ', '/dev/zero', fifo, `/proc/self/fd/${unlinked}`].map((target, n) => {
      symlinkSync(target, join(folder, `link-${n}.mkv`));
      return join(folder, `link-${n}.mkv`);
    });
    const devices = [
      '/dev/zero',
      '/dev/random',
      '/dev/stdin',
      '/dev/tty',
      '/dev/fd/0',
      fifo,
      folder,
      '/',
      '/sys/kernel/notes',
    ];
    const made = [
      '/proc/self/environ',
      '/proc/self/cmdline',
      '/proc/self/maps',
      '/proc/1/environ',
      '/proc/kcore',
      '/proc/self/fd/1',
      ...[`/dev/fd/${unlinked}`, `/proc/self/fd/${unlinked}`, `/proc/${process.pid}/fd/${unlinked}`],
    ];
    for (const path of [...devices, ...made, ...linked]) {
      for (const source of [path, `file://${path}`, `file:${path}`]) {
        await fails(source, 'source-not-regular', 'source-not-found', 'source-unreachable');
      }
    }
    closeSync(unlinked);
    process.env.RAFFI_TEST_SECRET = marker;
    await fails('/proc/self/environ', 'source-not-regular');
    delete process.env.RAFFI_TEST_SECRET;
    assert.ok(readFileSync(secret, 'utf8').includes(marker));
  });

  test('an origin that says nothing is told as that, not as a slow probe', async () => {
    origin.behaviour = { stallHead: true };
    const { body } = await post(publicUrl());
    const answer = await server.json<{ code: string }>(`/sessions/${body.id}/stream.m3u8`);
    origin.behaviour = {};
    assert.deepEqual([answer.status, answer.body.code], [504, 'source-stalled']);
  });
});

/** 15 MB: no first read holds it. */
const largeFilm = (): Promise<string> =>
  plainMedia('rebinding.mkv', [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=24,noise=alls=40:allf=t', '-t', '30', '-c:v', 'libx264'],
    ...[
      '-preset',
      'ultrafast',
      '-b:v',
      '4M',
      '-minrate',
      '4M',
      '-maxrate',
      '4M',
      '-bufsize',
      '2M',
      '-g',
      '72',
      '-f',
      'matroska',
    ],
  ]);

describe('RAFFI_MEDIA_ROOTS and RAFFI_ALLOW_PRIVATE_SOURCES', () => {
  test('local files only from the folders, and from them for everybody', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    await using server = await startTestServer({
      RAFFI_LAN_ACCESS: 'open',
      RAFFI_MEDIA_ROOTS: join(film, '..'),
      RAFFI_ALLOW_PRIVATE_SOURCES: 'false',
    });
    const status = async (source: string, headers: Record<string, string> = {}) => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } };
      return (await server.json('/sessions', { ...init, body: JSON.stringify({ source }) })).status;
    };
    for (const headers of [{}, { 'x-forwarded-for': '192.168.0.77' }]) {
      assert.equal(await status(film, headers), 201);
      assert.equal(await status('/etc/hostname', headers), 403);
      assert.equal(await status(join(film, '../../../package.json'), headers), 403);
      assert.equal(await status(`${join(film, '..')}/../../package.json`, headers), 403);
      assert.equal(await status('http://192.168.0.1/a.mkv', headers), 403);
    }
  });
});
