/**
 * Playlists of the Internet as sources: what they name is under the rules of the URL that the client gave. `films.example` and `cdn.example` stand for the
 * Internet: names of the tests' own resolver, whose address the tests' own network calls public.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type HlsFiles, hlsFiles } from '../fixtures/hls-media.ts';
import { type Internet, PUBLIC, startInternet, whyNoInternet } from '../fixtures/internet.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { type Origin, startOrigin } from '../fixtures/origin.ts';
import { type Site, startSite } from '../fixtures/site.ts';
import { fetchPresentation, type Info, startTestServer, type TestServer } from './harness.ts';

describe('playlists of the Internet', {
  skip: whyNoInternet,
  timeout: 240_000,
}, () => {
  let internet: Internet;
  let names: Internet['names'];
  let server: TestServer;
  let files: HlsFiles;
  let index: string;
  /** Nobody may ever connect to it. */
  let canary: Origin;
  let canaryPort: string;

  before(async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    files = await hlsFiles(film, ['-hls_segment_filename', '{folder}/%d.ts']);
    index = files.get('/index.m3u8') as string;
    canary = await startOrigin({ file: film });
    canaryPort = new URL(canary.url).port;
    internet = await startInternet();
    names = internet.names;
    server = await startTestServer({}, internet.world);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await canary.close();
    await internet[Symbol.asyncDispose]();
  });

  /** The site at its public name. */
  async function publicSite(more: Record<string, string> = {}): Promise<{ web: Site; url: string } & AsyncDisposable> {
    const web = await startSite([...files, ...Object.entries(more)], PUBLIC);
    for (const name of ['films.example', 'cdn.example']) names.set(name, [PUBLIC]);
    const url = `http://films.example:${new URL(web.url).port}`;
    return { web, url, [Symbol.asyncDispose]: () => web[Symbol.asyncDispose]() };
  }

  async function errorOf(source: string): Promise<string | undefined> {
    const id = await server.create({ source });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    await server.get(`/sessions/${id}/original/0.m4s`);
    await server.get(`/sessions/${id}/audio-0/0.m4s`);
    await server.get(`/sessions/${id}`, { method: 'DELETE' });
    return body.errorCode;
  }

  /** Everything of this machine and network that a playlist of the Internet might name. */
  const inward = (): string[] => {
    names.set('inward.example', ['127.0.0.1']);
    names.set('both.example', [PUBLIC, '127.0.0.1']);
    names.set('localhost', ['127.0.0.1']);
    names.set('nas.lan', ['127.0.0.1']);
    const hosts = [
      '127.0.0.1',
      'localhost',
      'inward.example',
      'both.example',
      'nas.lan',
      '[::ffff:127.0.0.1]',
      '0.0.0.0',
    ];
    return [
      ...hosts.map((host) => `http://${host}:${canaryPort}/0.ts`),
      ...['http://192.168.0.1/0.ts', 'http://169.254.169.254/latest/', `${server.url}/sessions`],
    ];
  };

  test('play, from other names of the Internet too', async () => {
    await using site = await publicSite();
    const { port } = new URL(site.url);
    site.web.files.set('/spread.m3u8', index.replaceAll(/^(\d+\.ts)/gm, `http://cdn.example:${port}/$1`));
    for (const path of ['/index.m3u8', '/spread.m3u8']) {
      const { video } = await fetchPresentation(server, await server.create({ source: site.url + path }));
      assert.ok(video && video.segments.length > 2, path);
    }
  });

  test('name nothing of this machine or network: not a segment, key, map, variant or rendition', async () => {
    await using site = await publicSite();
    for (const target of inward()) {
      const lists = {
        '/segment.m3u8': index.replace(/^0\.ts/m, target),
        '/last.m3u8': index.replace(/^\d+\.ts(?=\s+#EXT-X-ENDLIST)/m, target),
        '/key.m3u8': index.replace('#EXTINF', `#EXT-X-KEY:METHOD=AES-128,URI="${target}"\n#EXTINF`),
        '/map.m3u8': index.replace('#EXTINF', `#EXT-X-MAP:URI="${target}"\n#EXTINF`),
        '/variant.m3u8': `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${target.replace('0.ts', 'index.m3u8')}\n`,
        '/rendition.m3u8': [
          '#EXTM3U',
          `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="${target.replace('0.ts', 'index.m3u8')}"`,
          '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"',
          'index.m3u8',
          '',
        ].join('\n'),
      };
      for (const [path, text] of Object.entries(lists)) {
        site.web.files.set(path, text);
        const code = await errorOf(site.url + path);
        // What only a name leads to is told when it is fetched: the last segment when somebody comes there.
        if (path !== '/last.m3u8' && path !== '/rendition.m3u8')
          assert.equal(code, 'source-forbidden', `${path} naming ${target}`);
        assert.equal(canary.accepted(), 0, `${path} naming ${target}`);
      }
    }
  });

  test('nor lead there by redirects, or by names that change', async () => {
    await using site = await publicSite();
    const { port } = new URL(site.url);
    for (const target of inward()) {
      site.web.answers.set('/0.ts', { status: 302, headers: { location: target } });
      assert.equal(await errorOf(`${site.url}/index.m3u8`), 'source-forbidden', target);
    }
    site.web.answers.clear();
    site.web.answers.set('/moved.m3u8', { status: 302, headers: { location: `http://127.0.0.1:${canaryPort}/` } });
    assert.equal(await errorOf(`${site.url}/moved.m3u8`), 'source-forbidden');
    site.web.files.set('/rebind.m3u8', index.replaceAll(/^([1-9]\d*\.ts)/gm, `http://rebind.example:${port}/$1`));
    names.set('rebind.example', [PUBLIC]);
    const id = await server.create({ source: `${site.url}/rebind.m3u8` });
    assert.equal((await server.json<Info>(`/sessions/${id}`)).body.errorCode, undefined);
    names.set('rebind.example', ['127.0.0.1']);
    const answer = await server.json<{ code: string }>(`/sessions/${id}/original/2.m4s`);
    assert.deepEqual([answer.status, answer.body.code], [502, 'source-forbidden']);
    assert.equal(canary.accepted(), 0);
  });

  test('a playlist of this network leads to its own host, and not to other programs of this machine', async () => {
    await using web = await startSite(files);
    web.files.set('/away.m3u8', index.replace(/^0\.ts/m, `http://127.0.0.1:${canaryPort}/0.ts`));
    assert.equal(await errorOf(`${web.url}/index.m3u8`), undefined);
    assert.equal(await errorOf(`${web.url}/away.m3u8`), 'source-forbidden');
    assert.equal(canary.accepted(), 0);
  });
});
