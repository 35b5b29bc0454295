import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { folder, processesWith, script } from '../../src/ffmpeg/test-processes.ts';
import { startTestServer } from './harness.ts';

interface Answer {
  readonly ffmpeg: { readonly version: string } | null;
  readonly ffprobe: { readonly version: string } | null;
  readonly video: boolean;
  readonly audio: boolean;
  readonly burnIn: { readonly pictures: boolean; readonly text: boolean };
  readonly missing: readonly string[];
}

const directory = folder();

describe('GET /capabilities', () => {
  test('tells what the installed FFmpeg can do, and not where it is', async () => {
    await using server = await startTestServer();
    const { status, body } = await server.json<Answer>('/capabilities');
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body).sort(), [
      'audio',
      'burnIn',
      'encoder',
      'ffmpeg',
      'ffprobe',
      'hardware',
      'missing',
      'video',
    ]);
    assert.deepEqual(Object.keys(body.ffmpeg ?? {}), ['version']);
    assert.deepEqual(Object.keys(body.ffprobe ?? {}), ['version']);
    assert.equal(body.video, true);
    assert.equal(body.audio, true);
    assert.deepEqual(body.burnIn, { pictures: true, text: true });
    assert.deepEqual(body.missing, []);
    const api = (await server.json<{ paths: Record<string, unknown> }>('/openapi.json')).body;
    assert.ok('/capabilities' in api.paths);
  });

  test('without FFmpeg the server runs and says so', async () => {
    await using server = await startTestServer({ PATH: directory });
    const { body } = await server.json<Answer>('/capabilities');
    assert.deepEqual([body.ffmpeg, body.ffprobe, body.video, body.audio], [null, null, false, false]);
    assert.equal(body.missing.length, 2);
    assert.equal((await server.get('/health')).status, 200);
  });

  test('an FFmpeg that hangs delays neither the start nor the end of the server', async () => {
    const hanging = script(join(directory, 'hanging'), 'while :; do sleep 1000; done');
    const server = await startTestServer({ RAFFI_FFMPEG_BIN: hanging, PATH: directory });
    assert.equal((await server.get('/health')).status, 200);
    const asking = server.get('/capabilities').then(
      () => 'answered',
      () => 'ended with the server',
    );
    const closing = server[Symbol.asyncDispose]();
    assert.equal(await asking, 'ended with the server');
    await closing;
    assert.deepEqual(processesWith(hanging), []);
  });

  test('a hanging FFmpeg is one that is missing, in words', async () => {
    const hanging = script(join(directory, 'hanging-too'), 'exec sleep 1000');
    await using server = await startTestServer({ RAFFI_FFMPEG_BIN: hanging, PATH: directory });
    const { body } = await server.json<Answer>('/capabilities');
    assert.equal(body.ffmpeg, null);
    assert.match(body.missing[0] ?? '', /hanging-too cannot be used: it does not answer within 5 s/);
  });
});
