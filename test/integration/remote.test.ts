import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { fetchPresentation, type Info, shuffled, startTestServer, type TestServer } from './harness.ts';

/** A film of 90 s at about 4 Mb/s: too large for any head read to hold it. */
const film = (container: 'mkv' | 'mp4') =>
  plainMedia(`remote.${container}`, [
    ...[
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=640x360:rate=24,noise=alls=40:allf=t',
      '-f',
      'lavfi',
      '-i',
      'sine=440:sample_rate=48000',
    ],
    ...[
      '-t',
      '90',
      '-c:v',
      'libx264',
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
    ],
    ...['-bf', '2', '-g', '72', '-c:a', 'aac', '-ac', '2', '-f', container === 'mkv' ? 'matroska' : 'mp4'],
  ]);

describe('a link costs few requests', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ PATH: '/nonexistent' }); // FFmpeg takes no part
  });
  after(() => server[Symbol.asyncDispose]());

  for (const container of ['mkv', 'mp4'] as const) {
    test(`${container}: opens in at most 4 requests, a segment of video with its audio in one`, async () => {
      await using origin = await startOrigin({ file: await film(container) });
      const id = await server.create({ source: origin.url });
      const { body: info } = await server.json<Info>(`/sessions/${id}`);
      assert.equal(info.error, undefined);
      const playlist = await server.text(`/sessions/${id}/original/playlist.m3u8`);
      assert.ok(
        origin.requests.length <= 4,
        `${origin.requests.length} requests: ${origin.requests.map(({ range }) => range)}`,
      );
      const count = playlist.match(/\.m4s/g)?.length as number;
      assert.ok(count > 10);
      for (const n of shuffled(count, 5)) {
        const before = origin.requests.length;
        await Promise.all([
          server.bytes(`/sessions/${id}/original/${n}.m4s`),
          server.bytes(`/sessions/${id}/audio-0/${n}.m4s`),
        ]);
        const ranges = origin.requests.slice(before).map(({ range }) => range);
        assert.ok(ranges.length <= 1, `segment ${n}: ${ranges}`);
      }
    });
  }

  test('a link gives the same bytes as the file', async () => {
    const path = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'ac3'], seconds: 20 });
    await using origin = await startOrigin({ file: path });
    const [local, remote] = await Promise.all([server.create({ source: path }), server.create({ source: origin.url })]);
    const parts = async (id: string): Promise<string[]> => {
      const { video, audio } = await fetchPresentation(server, id, 3);
      return [video, ...audio]
        .flatMap((rendition) => rendition?.segments ?? [])
        .map((bytes) => Buffer.from(bytes).toString('base64'));
    };
    assert.deepEqual(await parts(remote), await parts(local));
  });

  test('a viewer who leaves ends the request to the origin; one who stays gets its bytes', async () => {
    await using origin = await startOrigin({ file: await film('mkv') });
    const id = await server.create({ source: origin.url });
    await server.json(`/sessions/${id}`);
    origin.behaviour = { stallAfter: 1000 };
    const controller = new AbortController();
    const before = origin.requests.length;
    const left = server.get(`/sessions/${id}/original/7.m4s`, { signal: controller.signal });
    while (origin.requests.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await assert.rejects(left);
    while (origin.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    origin.behaviour = {};
    assert.ok((await server.bytes(`/sessions/${id}/original/7.m4s`)).length > 1_000_000);
  });

  test('segments that an origin does not send keep nobody else waiting', async () => {
    await using stalled = await startOrigin({ file: await film('mkv') });
    await using other = await startOrigin({ file: await film('mp4') });
    const [bad, good] = await Promise.all([
      server.create({ source: stalled.url }),
      server.create({ source: other.url }),
    ]);
    for (const id of [bad, good]) await server.json(`/sessions/${id}`);
    stalled.behaviour = { stallHead: true };
    const controller = new AbortController();
    const waiting = ['original', 'audio-0'].flatMap((name) =>
      Array.from({ length: 12 }, (_, n) =>
        server.get(`/sessions/${bad}/${name}/${n + 1}.m4s`, { signal: controller.signal }).then(
          ({ status }) => status,
          () => 0,
        ),
      ),
    );
    const segment = server.bytes(`/sessions/${good}/original/7.m4s`).then(({ length }) => length);
    assert.ok((await Promise.race([segment, ...waiting])) > 1_000_000);
    controller.abort();
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([0]));
  });
});
