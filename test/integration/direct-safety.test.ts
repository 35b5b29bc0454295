/** What FFmpeg may reach when it reads a container itself, what is left of it afterwards, and how its failures are told. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { folder, processesWith, script } from '../../src/ffmpeg/test-processes.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { decodeVideo } from '../fixtures/verify.ts';
import { fetchRendition, type Info, startTestServer, type TestServer } from './harness.ts';

const AVI = { container: 'avi', video: 'mpeg4', audio: ['mp3'], seconds: 30 } as const;
const scratch = folder();

/** A server that nobody may ask anything. */
async function startCanary(): Promise<AsyncDisposable & { readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end('caught');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const infoOf = async (server: TestServer, source: string): Promise<Info & { id: string }> => {
  const id = await server.create({ source });
  const { body } = await server.json<Info>(`/sessions/${id}`);
  return { ...body, id };
};

describe('FFmpeg reaches the loopback reader and nothing else', () => {
  test('whatever a file names', async () => {
    await using canary = await startCanary();
    await using server = await startTestServer();
    const media = await numberedMedia(AVI);
    const { url } = canary;
    const playlist = `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${url}/segment.ts\n#EXT-X-ENDLIST\n`;
    const files: Record<string, string> = {
      'playlist.avi': playlist,
      'byte-order-mark.avi': `\u{feff}${playlist}`,
      'key.avi': playlist.replace('#EXTINF', `#EXT-X-KEY:METHOD=AES-128,URI="${url}/key"\n#EXTINF`),
      'concat.avi': `ffconcat version 1.0\nfile '${url}/a.avi'\nfile '${media}'\n`,
      'subfile.avi': `ffconcat version 1.0\nfile 'subfile,,start,0,end,1000,,:${media}'\n`,
      'concat-protocol.avi': `ffconcat version 1.0\nfile 'concat:${url}/a.avi|${media}'\n`,
      'dash.avi': `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S" profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period><BaseURL>${url}/</BaseURL><AdaptationSet mimeType="video/mp4"><Representation id="a" bandwidth="1"><SegmentList duration="10"><SegmentURL media="a.mp4"/></SegmentList></Representation></AdaptationSet></Period></MPD>`,
      'description.avi': `v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video ${new URL(url).port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n`,
      'redirection.avi': `[Reference]\r\nRef1=${url}/a.asf\r\n`,
    };
    for (const [name, text] of Object.entries(files)) {
      const path = join(scratch, name);
      writeFileSync(path, text);
      const info = await infoOf(server, path);
      assert.equal(info.status, 'error', name);
      assert.ok(
        ['media-unrecognised', 'source-unsupported'].includes(info.errorCode ?? ''),
        `${name}: ${info.errorCode}`,
      );
    }
    assert.deepEqual(canary.asked, []);
  });

  test('a playlist in the middle of a container that plays is not followed', async () => {
    await using canary = await startCanary();
    await using server = await startTestServer();
    const bytes = readFileSync(await numberedMedia(AVI));
    // Instead of the index: as a chunk, and as what may follow a RIFF.
    const text = Buffer.from(`#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${canary.url}/a.ts\n`.padEnd(400, '\n'));
    const path = join(scratch, 'hidden.avi');
    writeFileSync(path, Buffer.concat([bytes.subarray(0, bytes.lastIndexOf('idx1')), text]));
    const { id, error } = await infoOf(server, path);
    assert.equal(error, undefined);
    assert.ok((await server.bytes(`/sessions/${id}/360p/7.m4s`)).length > 1000);
    assert.deepEqual(canary.asked, []);
  });

  test('not even a proxy that the environment names', async () => {
    await using canary = await startCanary();
    const before = { ...process.env };
    process.env.http_proxy = canary.url;
    process.env.HTTP_PROXY = canary.url;
    process.env.all_proxy = canary.url;
    try {
      await using server = await startTestServer();
      const { id, error } = await infoOf(server, await numberedMedia(AVI));
      assert.equal(error, undefined);
      assert.ok((await server.bytes(`/sessions/${id}/360p/3.m4s`)).length > 1000);
      assert.ok((await server.bytes(`/sessions/${id}/audio-0-aac/3.m4s`)).length > 1000);
    } finally {
      for (const name of ['http_proxy', 'HTTP_PROXY', 'all_proxy']) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    assert.deepEqual(canary.asked, []);
  });

  test('a file over HTTP: only the server itself speaks to the origin', async () => {
    await using origin = await startOrigin({ file: await numberedMedia(AVI) });
    await using server = await startTestServer();
    const { id, error } = await infoOf(server, origin.url);
    assert.equal(error, undefined);
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 3);
    const frames = await decodeVideo(init, segments);
    assert.deepEqual(
      frames.map(({ number }) => number),
      Array.from({ length: 750 }, (_, n) => n),
    );
    assert.deepEqual(
      origin.requests.filter(({ headers }) => /Lavf/.test(headers['user-agent'] ?? '')),
      [],
    );
  });
});

/** Sockets that the server's process listens on. */
function listening({ pid }: TestServer): number {
  const inodes = new Set(
    readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A')
      .map((fields) => fields[9]),
  );
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
      return inode !== undefined && inodes.has(inode);
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

/** Ids of the server's FFmpeg processes that read from a loopback reader. */
function readers(server: TestServer): number[] {
  return processesWith('-format_whitelist').filter((pid) => {
    try {
      return Number(/\) . (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]) === server.pid;
    } catch {
      return false; // gone meanwhile
    }
  });
}

const linux = { skip: process.platform === 'linux' ? false : 'reads /proc' };

test('the loopback reader and FFmpeg are gone when the session is', linux, async () => {
  await using server = await startTestServer();
  const before = listening(server);
  const { id } = await infoOf(server, await numberedMedia(AVI));
  await server.bytes(`/sessions/${id}/360p/3.m4s`);
  await server.bytes(`/sessions/${id}/audio-0-aac/3.m4s`);
  assert.equal(listening(server), before + 1);
  assert.ok(readers(server).length > 0);
  assert.equal((await server.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
  assert.equal(listening(server), before);
  assert.deepEqual(readers(server), []);
});

describe('what goes wrong is told', () => {
  test('without FFmpeg', async () => {
    await using server = await startTestServer({ PATH: '/nonexistent' });
    const info = await infoOf(server, await numberedMedia(AVI));
    assert.deepEqual([info.status, info.errorCode], ['error', 'media-not-playable']);
    assert.match(info.error ?? '', /\(AVI\) needs FFmpeg and ffprobe, which are not installed/);
    // It is media all the same, and some player may know it.
    const bytes = await server.get(`/sessions/${info.id}/file`, { headers: { range: 'bytes=0-3' } });
    assert.deepEqual([bytes.status, await bytes.text()], [206, 'RIFF']);
  });

  test('with ffprobe alone', async () => {
    // Theirs, since the server passes over an FFmpeg that is too old for another one on its PATH.
    const tools = process.env.PATH as string;
    const ffprobe = script(join(scratch, 'ffprobe-alone'), `PATH='${tools}' exec ffprobe "$@"`);
    const ffmpeg = script(join(scratch, 'ffmpeg-old'), 'echo "ffmpeg version 4.1 Copyright"');
    const path = mkdtempSync(join(scratch, 'nothing-'));
    await using server = await startTestServer({ RAFFI_FFPROBE_BIN: ffprobe, RAFFI_FFMPEG_BIN: ffmpeg, PATH: path });
    const info = await infoOf(server, await numberedMedia(AVI));
    assert.deepEqual([info.status, info.errorCode, info.container], ['error', 'media-not-playable', 'avi']);
    assert.match(info.error ?? '', /only FFmpeg reads AVI.* version 4\.1/);
  });

  test('an FFmpeg that ends without an error where half of the film is missing', async () => {
    // What it shows ends at 14 s, whatever it is asked for.
    const short = script(
      join(scratch, 'short-ffmpeg'),
      `case "$*" in *pipe:1) exec "$NODE" -e '
        const { spawnSync } = require("node:child_process");
        const args = process.argv.slice(1).map((arg) => arg.replace(/:end=[0-9.]+/, ":end=14"));
        process.exit(spawnSync("ffmpeg", args, { stdio: "inherit" }).status);
      ' -- "$@";; esac\nexec ffmpeg "$@"`.replace('$NODE', process.execPath),
    );
    await using server = await startTestServer({ RAFFI_FFMPEG_BIN: short });
    const { id, error } = await infoOf(server, await numberedMedia(AVI));
    assert.equal(error, undefined);
    assert.ok((await server.bytes(`/sessions/${id}/360p/6.m4s`)).length > 1000);
    for (const segment of [7, 11]) {
      const answer = await server.json<{ code: string; detail: string }>(`/sessions/${id}/360p/${segment}.m4s`);
      assert.deepEqual([answer.status, answer.body.code], [502, 'transcode-failed']);
      assert.match(answer.body.detail, /FFmpeg ended at \d+ s of 30 s/);
    }
  });

  test('a source that breaks off while FFmpeg reads it is named as what failed', async () => {
    await using server = await startTestServer();
    const path = join(scratch, 'shrinking.avi');
    copyFileSync(await numberedMedia(AVI), path);
    const { id, error } = await infoOf(server, path);
    assert.equal(error, undefined);
    truncateSync(path, 1000);
    const answer = await server.json<{ code: string }>(`/sessions/${id}/360p/9.m4s`);
    assert.ok(answer.status >= 500, String(answer.status));
    assert.match(answer.body.code, /^source-/);
  });
});

describe('damaged files that our own readers refuse', () => {
  const damaged: Record<string, { container: 'mkv' | 'ts'; damage: (bytes: Buffer) => Buffer; why: RegExp }> = {
    'a Matroska file whose Segment has lost its head': {
      container: 'mkv',
      damage: (bytes) => {
        bytes[bytes.indexOf(Buffer.from('18538067', 'hex'))] = 0;
        return bytes;
      },
      why: /only FFmpeg can make something of it, which re-encodes: .*damaged Matroska file: it has no Segment/,
    },
    'MPEG-TS behind 100 kB of something else': {
      container: 'ts',
      damage: (bytes) =>
        Buffer.concat([Buffer.from(Array.from({ length: 100_000 }, (_, n) => (n * 167 + (n >> 3) * 31) & 255)), bytes]),
      why: /only FFmpeg can make something of this MPEG-TS file, which is damaged/,
    },
  };
  for (const [name, { container, damage, why }] of Object.entries(damaged)) {
    test(`${name}: FFmpeg reads it, and why is told`, async () => {
      await using server = await startTestServer();
      const path = join(scratch, `damaged.${container}`);
      const whole = await numberedMedia({ container, video: 'h264', audio: ['aac'], seconds: 12 });
      writeFileSync(path, damage(readFileSync(whole)));
      const { id, error, availableStreams } = await infoOf(server, path);
      assert.equal(error, undefined);
      for (const { delivery, reason } of availableStreams ?? []) {
        assert.equal(delivery, 'transcoded');
        assert.match(reason ?? '', why);
      }
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 5);
      const numbers = (await decodeVideo(init, segments)).map(({ number }) => number);
      assert.deepEqual(
        numbers,
        Array.from({ length: numbers.length }, (_, n) => 300 - numbers.length + n),
      );
      assert.ok(numbers.length > 240, `${numbers.length} frames`);
    });
  }
});
