import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Value } from 'typebox/value';
import { Explanation } from '../../src/http/explain-schemas.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { startTestServer, type TestServer } from './harness.ts';

const root = mkdtempSync(join(tmpdir(), 'raffi-explain-'));
after(() => rmSync(root, { recursive: true, force: true }));

async function explain(server: TestServer, id: string): Promise<Explanation> {
  const { status, body } = await server.json<Explanation>(`/sessions/${id}/explain`);
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(Value.Errors(Explanation, body), []);
  return body;
}

/** Asks until it is as wanted. */
async function until(server: TestServer, id: string, wanted: (told: Explanation) => boolean): Promise<Explanation> {
  for (const deadline = performance.now() + 60_000; ; ) {
    const told = await explain(server, id);
    if (wanted(told)) return told;
    assert.ok(performance.now() < deadline, `never as wanted: ${JSON.stringify(told)}`);
    await delay(50);
  }
}

const texts = ({ findings }: Explanation): string => findings.map(({ text }) => text).join('\n');
const track = ({ tracks }: Explanation, type: string, index = 0) =>
  tracks.find((one) => one.type === type && one.index === index);
const STEPS = ['source', 'probe', 'index', 'prepare', 'player', 'first-byte'];

describe('explain tells the truth', { timeout: 180_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      RAFFI_TORRENT_DIR: join(root, 'torrents'),
      RAFFI_TORRENT_DHT: '0',
      RAFFI_TORRENT_LSD: '0',
    });
  });
  after(() => server[Symbol.asyncDispose]());

  test('of what is copied', async () => {
    const id = await server.create({
      source: await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 }),
    });
    await server.text(`/sessions/${id}/stream.m3u8`);
    const planned = await explain(server, id);
    assert.deepEqual([planned.verdict, planned.basis, planned.cache.copiedSegments], ['copied', 'planned', 0]);
    assert.deepEqual([planned.startup.isOver, planned.startup.steps.at(-1)?.step], [false, 'player']);
    const bytes = (await server.bytes(`/sessions/${id}/original/0.m4s`)).length;
    const sound = (await server.bytes(`/sessions/${id}/audio-0/0.m4s`)).length;
    const told = await explain(server, id);
    assert.deepEqual([told.verdict, told.basis, told.status], ['copied', 'played', 'streaming']);
    assert.match(told.headline, /^Nothing is re-encoded/);
    assert.deepEqual(
      told.tracks.map(({ delivery, rendition }) => [delivery, rendition]),
      [
        ['copied', 'original'],
        ['copied', 'audio-0'],
      ],
    );
    assert.deepEqual([told.cache.copiedSegments, told.cache.copiedBytes], [2, bytes + sound]);
    assert.deepEqual([told.runs, told.errors, told.findings], [[], [], []]);
    assert.deepEqual(
      told.startup.steps.map(({ step, isOver }) => [step, isOver]),
      STEPS.map((step) => [step, true]),
    );
    assert.equal(told.startup.isOver, true);
    const sum = told.startup.steps.reduce((all, { ms }) => all + ms, 0);
    assert.ok(Math.abs(sum - told.startup.totalMs) <= STEPS.length, 'the steps are the whole');
    assert.deepEqual([told.source.container, told.source.index, told.source.readBy], ['matroska', 'exact', 'server']);
  });

  test('of sound that is re-encoded, alone', async () => {
    const id = await server.create({
      source: await numberedMedia({ container: 'mkv', video: 'h264', audio: ['dts'], seconds: 20 }),
    });
    await server.text(`/sessions/${id}/stream.m3u8`);
    assert.equal((await explain(server, id)).verdict, 'audio-transcoded', 'before anything was asked for');
    await server.bytes(`/sessions/${id}/original/0.m4s`);
    await server.bytes(`/sessions/${id}/audio-0-aac/0.m4s`);
    await server.bytes(`/sessions/${id}/audio-0-aac/0.m4s`);
    const told = await explain(server, id);
    assert.deepEqual([told.verdict, told.basis], ['audio-transcoded', 'played']);
    assert.equal(told.headline, 'Only the sound is re-encoded; the picture is copied.');
    assert.equal(track(told, 'video')?.delivery, 'copied');
    assert.match(track(told, 'audio')?.text ?? '', /^Re-encoded to AAC.*DTS/i);
    assert.deepEqual([told.cache.hits, told.cache.misses], [1, 1]);
    const [run] = told.runs;
    assert.deepEqual([run?.rendition, run?.firstSegment], ['audio-0-aac', 0]);
    assert.ok((run?.segmentsMade ?? 0) >= 1 && (run?.position ?? 0) > 0 && (run?.speed ?? 0) > 0, JSON.stringify(run));
  });

  test('of picture and sound that are re-encoded', async () => {
    const id = await server.create({
      source: await numberedMedia({ container: 'mkv', video: 'mpeg2video', audio: ['mp2'], seconds: 10 }),
    });
    await server.bytes(`/sessions/${id}/360p/2.m4s`);
    await server.bytes(`/sessions/${id}/audio-0-aac/2.m4s`);
    const told = await until(server, id, ({ runs }) => runs.every(({ state }) => state === 'ended'));
    assert.deepEqual([told.verdict, told.basis], ['transcoded', 'played']);
    assert.equal(told.headline, 'Picture and sound are re-encoded.');
    assert.match(track(told, 'video')?.text ?? '', /^Re-encoded to 360p/);
    assert.deepEqual(told.runs.map(({ rendition, firstSegment, reason }) => [rendition, firstSegment, reason]).sort(), [
      ['360p', 2, 'complete'],
      ['audio-0-aac', 2, 'complete'],
    ]);
    for (const { position } of told.runs) assert.ok(Math.abs(position - 10) < 0.2, `${position}`);
  });

  test('of a copy that the player does not take', async () => {
    const id = await server.create({
      source: await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 }),
      quality: '360p',
    });
    await server.bytes(`/sessions/${id}/360p/0.m4s`);
    const told = await explain(server, id);
    assert.equal(told.verdict, 'video-transcoded');
    assert.match(track(told, 'video')?.text ?? '', /^Re-encoded to 360p.*: the session asks for 360p at most\.$/);
    assert.equal(track(told, 'audio')?.delivery, 'copied');
  });

  test('of an origin that resets its connections', async () => {
    const file = await numberedMedia({ container: 'mp4', video: 'h264', audio: ['aac'], seconds: 60 });
    await using origin = await startOrigin({ file, resetEvery: 70_000 });
    const id = await server.create({ source: origin.url });
    for (let n = 0; n < 4; n++) await server.bytes(`/sessions/${id}/original/${n}.m4s`);
    const told = await explain(server, id);
    assert.equal(told.verdict, 'copied');
    const { requests = 0, interruptions = 0, bytes = 0, lastInterruption = '' } = told.source.transfer ?? {};
    assert.ok(interruptions > 2, `${interruptions} interruptions`);
    assert.ok(
      requests > interruptions && requests <= origin.requests.length,
      `${requests} of ${origin.requests.length}`,
    );
    assert.ok(bytes > 70_000 * 2);
    assert.match(lastInterruption, /broke the connection/);
    assert.match(texts(told), new RegExp(`The origin failed ${interruptions} times`));
    // And one that never gets further.
    await using useless = await startOrigin({ file, resetEvery: 0 });
    const dead = await server.create({ source: useless.url });
    const failed = await until(server, dead, ({ verdict }) => verdict === 'failed');
    assert.equal(failed.headline, 'The source cannot be opened.');
    assert.match(texts(failed), /keeps breaking the connection/);
    assert.equal(failed.errors[0]?.code, 'source-unreachable');
    assert.deepEqual([failed.startup.steps.at(-1)?.step, failed.startup.isOver], ['source', false]);
    assert.match(failed.startup.text, /^It failed .* in the step "source"/);
  });

  test('of a file that was cut off after it was opened', async () => {
    const file = join(root, 'cut.mkv');
    copyFileSync(await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 }), file);
    const id = await server.create({ source: file });
    await server.text(`/sessions/${id}/original/playlist.m3u8`);
    truncateSync(file, 20_000);
    assert.equal((await server.get(`/sessions/${id}/original/2.m4s`)).status, 502);
    const told = await explain(server, id);
    assert.match(texts(told), /segment 2 of original.*ends at byte/);
    assert.equal(told.cache.text, 'No segment was made yet.');
  });

  test('of a torrent that nobody has', async () => {
    const hash = createHash('sha1').update('nobody').digest('hex');
    const id = await server.create({ source: `magnet:?xt=urn:btih:${hash}&dn=Nothing` });
    const told = await until(server, id, ({ torrent }) => torrent?.health === 'dead');
    assert.deepEqual([told.verdict, told.status, told.torrent?.peers], ['opening', 'metadata', 0]);
    assert.match(told.headline, /^Still opening the source, for .* now\. Nobody has this torrent/);
    assert.match(texts(told), /^Nobody who has this torrent was found.*no tracker is named/);
    assert.deepEqual(
      told.startup.steps.map(({ step }) => step),
      ['source'],
    );
  });

  test('of what was open already: it took this session no time', async () => {
    const source = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    const first = await server.create({ source });
    await server.text(`/sessions/${first}/stream.m3u8`);
    const second = await server.create({ source });
    await server.bytes(`/sessions/${second}/original/1.m4s`);
    const { startup } = await explain(server, second);
    const ms = Object.fromEntries(startup.steps.map((step) => [step.step, step.ms]));
    assert.deepEqual([ms.probe, ms.index, ms.prepare], [0, 0, 0]);
  });

  test('only to who may control', async () => {
    const id = await server.create({ source: '/nowhere.mkv' });
    const headers = { origin: 'https://example.org' };
    assert.equal((await server.get(`/sessions/${id}/explain`, { headers })).status, 403);
    assert.equal((await server.get('/sessions/none/explain')).status, 404);
  });
});

test('explain tells that FFmpeg is not there', { timeout: 60_000 }, async () => {
  await using server = await startTestServer({ PATH: '/nonexistent' });
  const silent = await server.create({
    source: await numberedMedia({ container: 'mkv', video: 'h264', audio: ['dts'], seconds: 20 }),
  });
  await server.bytes(`/sessions/${silent}/original/0.m4s`);
  const told = await explain(server, silent);
  assert.deepEqual([told.verdict, told.ffmpeg.installed], ['copied', false]);
  assert.match(told.headline, /Without sound, since FFmpeg is not there to re-encode it/);
  assert.equal(track(told, 'audio')?.delivery, 'omitted');
  assert.match(texts(told), /Sound: Left out: .*FFmpeg could re-encode it/);
  assert.match(texts(told), /ffmpeg is not installed/);
  const none = await server.create({
    source: await numberedMedia({ container: 'mkv', video: 'mpeg2video', audio: ['mp2'], seconds: 10 }),
  });
  const failed = await until(server, none, ({ status }) => status === 'error');
  assert.deepEqual([failed.verdict, failed.headline], ['failed', 'It cannot be played.']);
  assert.match(texts(failed), /ffmpeg is not installed/);
});

test('explain has the words of an FFmpeg that fails', { timeout: 60_000 }, async () => {
  const broken = join(root, 'ffmpeg');
  // Answers what it is asked at start, and fails at work.
  writeFileSync(
    broken,
    `#!/bin/sh\ncase "$*" in *pipe:*) echo "first words of http://secret/" >&2; echo "Cannot allocate the encoder" >&2; exit 7;; *) exec ffmpeg "$@";; esac\n`,
  );
  chmodSync(broken, 0o755);
  await using server = await startTestServer({ RAFFI_FFMPEG_BIN: broken });
  const id = await server.create({
    source: await numberedMedia({ container: 'mkv', video: 'mpeg2video', audio: ['mp2'], seconds: 10 }),
  });
  assert.equal((await server.get(`/sessions/${id}/360p/0.m4s`)).status, 502);
  const told = await until(server, id, ({ runs }) => runs.length > 0 && runs.every(({ state }) => state === 'ended'));
  const [run] = told.runs;
  assert.deepEqual([run?.reason, run?.errorCode], ['failed', 'transcode-failed']);
  assert.match(run?.error ?? '', /exit code 7: Cannot allocate the encoder/);
  const trouble = told.errors.find(({ what }) => what.startsWith('the run of 360p'));
  assert.equal(trouble?.count, 2, 'it was tried twice');
  assert.equal(trouble?.ffmpeg, 'first words of …\nCannot allocate the encoder');
  assert.ok(told.errors.some(({ what }) => what === 'segment 0 of 360p'));
  assert.ok(told.findings.some(({ level, text }) => level === 'error' && text.includes('The run of 360p failed')));
});
