/** Playlists as sources: how they are recognised, what they cost, what they may not reach, and what breaks when a part of them does. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { type HlsFiles, hlsFiles, takeApart } from '../fixtures/hls-media.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { type Site, startSite } from '../fixtures/site.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchPresentation, type Info, startTestServer, type TestServer } from './harness.ts';

const SECONDS = 20;

describe('playlists as sources', () => {
  let server: TestServer;
  let files: HlsFiles;
  let index: string;
  before(async () => {
    server = await startTestServer({ PATH: '/nonexistent' });
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: SECONDS });
    files = await hlsFiles(film, ['-hls_segment_filename', '{folder}/%d.ts']);
    index = files.get('/index.m3u8') as string;
  });
  after(() => server[Symbol.asyncDispose]());

  const info = async (source: string): Promise<Info> => {
    const { body } = await server.json<Info>(`/sessions/${await server.create({ source })}`);
    return body;
  };
  const site = (more: Record<string, string | Uint8Array> = {}): Promise<Site> =>
    startSite([...files, ...Object.entries(more)]);
  /** It plays as far as that shows in its first segment. */
  const plays = async (source: string): Promise<void> => {
    const id = await server.create({ source });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.error, undefined, source);
    const init = await server.bytes(`/sessions/${id}/original/init.mp4`);
    const frames = await decodeVideo(init, [await server.bytes(`/sessions/${id}/original/0.m4s`)]);
    assert.equal(frames[0]?.number, 0);
  };
  const fails = async (source: string, code: string, words: RegExp): Promise<void> => {
    const { errorCode, error } = await info(source);
    assert.equal(errorCode, code, `${source}: ${error}`);
    assert.match(error ?? '', words);
  };

  test('two requests open it, and a segment takes what it covers, and for its audio a neighbour', async () => {
    await using web = await site();
    const id = await server.create({ source: `${web.url}/index.m3u8` });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.error, undefined);
    assert.ok(Math.abs((body.durationSeconds ?? 0) - SECONDS) < 0.15, `${body.durationSeconds} s`);
    assert.deepEqual(
      web.requests.map(({ path, range }) => [path, range]),
      [
        ['/index.m3u8', undefined],
        ['/0.ts', undefined],
      ],
    );
    // 2 s each in the playlist, 6 s each in ours.
    await Promise.all([server.bytes(`/sessions/${id}/original/2.m4s`), server.bytes(`/sessions/${id}/audio-0/2.m4s`)]);
    const asked = web.requests.slice(2).map(({ path }) => path);
    for (const path of ['/6.ts', '/7.ts', '/8.ts']) assert.ok(asked.includes(path), `${asked}`);
    // Audio that belongs to a cut may lie in the neighbour of the segments that hold its video.
    assert.ok(asked.length <= 4, `${asked}`);
    assert.ok(web.accepted() <= 6, `${web.accepted()} connections`);
  });

  test('recognised by path or media type; compressed, with a BOM, with CRLF, redirected, with queries', async () => {
    const away = index.replaceAll(/^(\d+\.ts)/gm, '../$1?token=a%20b');
    await using web = await site({
      '/list': index,
      '/crlf.m3u8': `\ufeff${index.replaceAll('\n', '\r\n')}`,
      '/deep/er.m3u8': away,
      '/packed.m3u8': gzipSync(index),
    });
    web.answers.set('/list', { headers: { 'content-type': 'Application/X-MpegURL; charset=utf-8' } });
    web.answers.set('/coded.m3u8', { headers: { 'content-encoding': 'gzip' }, body: gzipSync(index) });
    web.answers.set('/coded', {
      headers: { 'content-encoding': 'br', 'content-type': 'audio/mpegurl' },
      body: brotliCompressSync(index),
    });
    web.answers.set('/moved.m3u8', { status: 302, headers: { location: '/deep/er.m3u8?x=1' } });
    web.answers.set('/moved', { status: 307, headers: { location: '/deep/er.m3u8' } });
    for (const path of [
      ...[
        '/list',
        '/crlf.m3u8',
        '/deep/er.m3u8?q=/x',
        '/packed.m3u8',
        '/coded.m3u8',
        '/coded',
        '/moved.m3u8',
        '/moved',
      ],
    ]) {
      await plays(web.url + path);
    }
    assert.ok(web.requests.some(({ path }) => path === '/0.ts?token=a%20b'));
  });

  test('in disguise, in a file, not HLS, live, endless, protected: each says so', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'raffi-list-'));
    try {
      await writeFile(join(folder, 'film.m3u8'), index);
      await fails(join(folder, 'film.m3u8'), 'source-unsupported', /by their URL only/);
    } finally {
      await rm(folder, { recursive: true });
    }
    const key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://a",KEYFORMAT="com.apple.streamingkeydelivery"\n#EXTINF';
    await using web = await site({
      '/film.mp4': index,
      '/live.m3u8': index.replace('#EXT-X-ENDLIST', '').replace('#EXT-X-PLAYLIST-TYPE:VOD', ''),
      '/links.m3u8': '#EXTM3U\n#EXTINF:-1,Radio\nhttp://127.0.0.1:1/a\n',
      '/protected.m3u8': index.replace('#EXTINF', key),
      '/broken.m3u8': index.replace(/#EXTINF:.*/, '#EXTINF:four,'),
      '/page.m3u8': '<!doctype html><title>Not here</title>',
      '/nested.m3u8': '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nnested.m3u8\n',
      '/pages.m3u8': index.replaceAll(/^\d+\.ts/gm, 'page.m3u8'),
    });
    await fails(`${web.url}/film.mp4`, 'source-unsupported', /in disguise/);
    await fails(`${web.url}/live.m3u8`, 'source-live', /live stream/);
    await fails(`${web.url}/links.m3u8`, 'media-not-playable', /list of links/);
    await fails(`${web.url}/protected.m3u8`, 'media-not-playable', /protected \(SAMPLE-AES, com.apple/);
    await fails(`${web.url}/broken.m3u8`, 'playlist-damaged', /EXTINF\) \(line \d+\)/);
    await fails(`${web.url}/page.m3u8`, 'media-unrecognised', /web page/);
    await fails(`${web.url}/nested.m3u8`, 'playlist-damaged', /lists variants/);
    await fails(`${web.url}/pages.m3u8`, 'playlist-damaged', /web page/);
    await fails(`${web.url}/none.m3u8`, 'source-http-status', /404/);
    assert.equal((await server.get('/health')).status, 200);
  });

  test('nothing is reached that the address itself could not reach', async () => {
    await using canary = await startSite(files);
    await using web = await site();
    const outside = `${canary.url}/0.ts`;
    const own = `${server.url}/health`;
    const { head, segments, end } = takeApart(index);
    const withFirst = (uri: string): string =>
      [head, (segments[0] as string).replace('0.ts', uri), ...segments.slice(1), end].join('');
    const cases: [string, string][] = [
      ...[outside, own, 'http://169.254.169.254/x', `//127.0.0.1:${new URL(canary.url).port}/0.ts`].map(
        (uri): [string, string] => [withFirst(uri), 'source-forbidden'],
      ),
      ...[
        'file:///etc/passwd',
        'data:video/mp2t;base64,AAAA',
        'concat:a.ts|b.ts',
        'subfile:,,start,0,end,9,,:/etc/passwd',
      ].map((uri): [string, string] => [withFirst(uri), 'source-unsupported']),
      [index.replace('#EXTINF', `#EXT-X-KEY:METHOD=AES-128,URI="${outside}"\n#EXTINF`), 'source-forbidden'],
      [index.replace('#EXTINF', '#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/passwd"\n#EXTINF'), 'source-unsupported'],
      [index.replace('#EXTINF', `#EXT-X-MAP:URI="${outside}"\n#EXTINF`), 'source-forbidden'],
      [`#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${canary.url}/index.m3u8\n`, 'source-forbidden'],
    ];
    for (const [n, [text, code]] of cases.entries()) {
      web.files.set(`/${n}.m3u8`, text);
      await fails(`${web.url}/${n}.m3u8`, code, /./);
    }
    web.answers.set('/0.ts', { status: 302, headers: { location: outside } });
    await fails(`${web.url}/index.m3u8`, 'source-forbidden', /./);
    assert.equal(canary.accepted(), 0);
  });

  test('texts that are larger than any are not taken whole, and bombs are not unpacked', async () => {
    const head = '#EXTM3U\n#EXT-X-TARGETDURATION:4\n';
    const texts = ['large', 'packed', 'fine'] as const;
    const media = texts.map((name) => `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="${name}",URI="${name}.m3u8"\n`);
    await using web = await site({
      '/main.m3u8': `#EXTM3U\n${media.join('')}#EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES="s"\nindex.m3u8\n`,
      '/index.m3u8': index,
      '/bomb.m3u8': `${head}#EXTINF:4,\nbomb.ts\n#EXT-X-ENDLIST\n`,
      ...Object.fromEntries(texts.map((name) => [`/${name}.m3u8`, `${head}#EXTINF:4,\n${name}.vtt\n#EXT-X-ENDLIST\n`])),
      '/fine.vtt': `WEBVTT\n\n00:00.500 --> 00:01.000\n${'x'.repeat(1000)}\n`,
      '/large.vtt': `WEBVTT\n\n00:00.500 --> 00:01.000\n${'x\n'.repeat(3 << 20)}`,
    });
    const coded = { 'content-encoding': 'gzip' };
    web.answers.set('/packed.vtt', { headers: coded, body: gzipSync(`WEBVTT\n\n${' '.repeat(5 << 20)}`) });
    web.answers.set('/bomb.ts', { headers: coded, body: gzipSync(Buffer.alloc(64 << 20)) });
    const id = await server.create({ source: `${web.url}/main.m3u8` });
    for (const [n, status] of [501, 501, 200].entries()) {
      const answer = await server.get(`/sessions/${id}/subtitles-${n}/0.vtt`);
      assert.equal(answer.status, status);
      assert.match(await answer.text(), status === 200 ? /xxx/ : /larger than 4194304 bytes/);
    }
    await fails(`${web.url}/bomb.m3u8`, 'source-unsupported', /bomb\.ts is larger than \d+ bytes/);
  });

  test('a segment that is missing is an error of its own: the others play', async () => {
    await using web = await site();
    web.answers.set('/4.ts', { status: 404 });
    const id = await server.create({ source: `${web.url}/index.m3u8` });
    await server.json(`/sessions/${id}`);
    const { status, body } = await server.json<{ code: string; detail: string }>(`/sessions/${id}/original/1.m4s`);
    assert.deepEqual([status, body.code], [502, 'source-http-status']);
    assert.match(body.detail, /\/4\.ts answered 404/);
    assert.equal(web.requests.filter(({ path }) => path === '/4.ts').length, 2);
    for (const n of [0, 2, 3]) {
      assert.ok((await server.bytes(`/sessions/${id}/original/${n}.m4s`)).length > 1000);
      assert.ok((await server.bytes(`/sessions/${id}/audio-0/${n}.m4s`)).length > 1000);
    }
    web.answers.set('/4.ts', { body: '<html>later' });
    const other = await server.json<{ code: string }>(`/sessions/${id}/original/1.m4s`);
    assert.deepEqual([other.status, other.body.code], [502, 'media-unrecognised']);
    web.answers.delete('/4.ts');
    const { video } = await fetchPresentation(server, id, 1);
    assert.equal((await decodeVideo(video?.init as Uint8Array, video?.segments ?? [])).length, SECONDS * 25);
  });

  test('a server that goes away is an error of the segments that are asked for', async () => {
    const web = await site();
    const id = await server.create({ source: `${web.url}/index.m3u8` });
    await server.json(`/sessions/${id}`);
    const first = await server.bytes(`/sessions/${id}/original/0.m4s`);
    await web[Symbol.asyncDispose]();
    const { status, body } = await server.json<{ code: string }>(`/sessions/${id}/original/3.m4s`);
    assert.deepEqual([status, body.code], [502, 'source-unreachable']);
    assert.ok(
      Buffer.from(await server.bytes(`/sessions/${id}/original/0.m4s`)).equals(first),
      'what is held still plays',
    );
    assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
  });

  test('missing beginnings: the best variant that is there, the first segment that is there', async () => {
    await using web = await site({
      '/all.m3u8':
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9000000\ngone/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nindex.m3u8\n',
    });
    web.answers.set('/0.ts', { status: 404 });
    const id = await server.create({ source: `${web.url}/all.m3u8` });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(body.error, undefined);
    const init = await server.bytes(`/sessions/${id}/original/init.mp4`);
    const frames = await decodeVideo(init, [await server.bytes(`/sessions/${id}/original/1.m4s`)]);
    assert.equal(frames[0]?.number, 150);
    assert.ok(Math.abs((frames[0]?.pts ?? 0) - 6) < 0.002, `${frames[0]?.pts} s`);
  });
});
