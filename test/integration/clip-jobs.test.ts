import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { startTestServer, type TestServer } from './harness.ts';

interface ClipAnswer {
  readonly id: string;
  readonly sessionId: string;
  readonly state: string;
  readonly progress: number;
  readonly outputPath?: string;
  readonly errorCode?: string;
}

const json = (body: unknown, signal?: AbortSignal): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
  ...(signal && { signal }),
});

/** Copied in no time. */
const short = (): Promise<string> => numberedMedia({ container: 'mp4', video: 'h264', audio: ['aac'], seconds: 20 });

/** Two minutes that must be encoded: long enough to be interrupted. */
const long = (): Promise<string> =>
  plainMedia('long.mkv', [
    ...[
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=1280x720:rate=25',
      '-t',
      '120',
      '-c:v',
      'mpeg2video',
      '-q:v',
      '6',
      '-g',
      '50',
    ],
  ]);

describe('clips as jobs', () => {
  const root = mkdtempSync(join(tmpdir(), 'raffi-clip-jobs-'));
  let directory: string;
  let server: TestServer;
  let count = 0;
  before(async () => {
    server = await startTestServer({ RAFFI_CLIPS_DIR: join(root, 'clips') });
  });
  beforeEach(() => {
    directory = join(root, 'clips');
    count = 0;
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });

  const files = (): string[] => (existsSync(directory) ? readdirSync(directory) : []);

  /** A clip that is being encoded. */
  async function running(own = server): Promise<{ session: string; clip: ClipAnswer }> {
    const session = await own.create({ source: await long() });
    const response = await own.get(`/sessions/${session}/clip?async=1`, json({ start: 1, end: 119 }));
    assert.equal(response.status, 202);
    const clip = (await response.json()) as ClipAnswer;
    assert.equal(response.headers.get('location'), `/clips/${clip.id}`);
    assert.equal(clip.sessionId, session);
    await until(own, clip.id, ({ state, progress }) => state === 'running' && progress > 0);
    assert.equal(children(own, 'libx264').length > 0, true);
    return { session, clip };
  }

  test('with async=1 the answer comes at once, and the job tells how far it is', async () => {
    const id = await server.create({ source: await short() });
    const response = await server.get(`/sessions/${id}/clip?async=1`, json({ start: 2, end: 12, name: 'async' }));
    assert.equal(response.status, 202);
    const job = (await response.json()) as ClipAnswer;
    const done = await until(server, job.id, ({ state }) => state !== 'queued' && state !== 'running');
    assert.deepEqual([done.state, done.progress, done.outputPath], ['done', 1, join(directory, 'async.mp4')]);
    assert.ok(statSync(done.outputPath as string).size > 1_000);
    const { body: list } = await server.json<ClipAnswer[]>('/clips');
    assert.deepEqual(
      list.find((clip) => clip.id === job.id),
      done,
    );
    assert.equal((await server.get(`/clips/${job.id}`, { method: 'DELETE' })).status, 204);
    assert.equal((await server.get(`/clips/${job.id}`)).status, 404);
    assert.equal((await server.get(`/clips/${job.id}`, { method: 'DELETE' })).status, 404);
    assert.ok(files().includes('async.mp4'), 'the file stays');
  });

  test('a cancelled clip leaves nothing, no process either', async () => {
    const before = files();
    const { clip } = await running();
    assert.ok(files().some((name) => name.endsWith('.part')));
    assert.equal((await server.get(`/clips/${clip.id}`, { method: 'DELETE' })).status, 204);
    assert.deepEqual(files(), before);
    assert.deepEqual(children(server, 'libx264'), []);
    assert.equal((await server.get(`/clips/${clip.id}`)).status, 404);
  });

  test('a clip whose FFmpeg dies fails, and leaves nothing', async () => {
    const before = files();
    const { clip } = await running();
    for (const pid of children(server, 'libx264')) process.kill(pid, 'SIGKILL');
    const failed = await until(server, clip.id, ({ state }) => state === 'failed');
    assert.equal(failed.errorCode, 'transcode-failed');
    assert.deepEqual(files(), before);
    assert.deepEqual(children(server, 'libx264'), []);
  });

  test('a clip ends with its session', async () => {
    const before = files();
    const { session, clip } = await running();
    assert.equal((await server.get(`/sessions/${session}`, { method: 'DELETE' })).status, 204);
    assert.deepEqual(files(), before);
    assert.deepEqual(children(server, 'libx264'), []);
    const { body } = await server.json<ClipAnswer>(`/clips/${clip.id}`);
    assert.deepEqual([body.state, body.errorCode], ['cancelled', 'session-not-found']);
  });

  test('who waits for a clip and goes away cancels it', async () => {
    const before = files();
    const session = await server.create({ source: await long() });
    const client = new AbortController();
    const waiting = server.get(`/sessions/${session}/clip`, json({ start: 1, end: 119 }, client.signal));
    const mine = async (): Promise<ClipAnswer | undefined> =>
      (await server.json<ClipAnswer[]>('/clips')).body.find(({ sessionId }) => sessionId === session);
    while ((await mine())?.state !== 'running') await delay(20);
    client.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    while ((await mine())?.state === 'running') await delay(20);
    assert.equal((await mine())?.state, 'cancelled');
    assert.deepEqual(files(), before);
    assert.deepEqual(children(server, 'libx264'), []);
  });

  test('a clip that is cancelled answers who waits for it', async () => {
    const session = await server.create({ source: await long() });
    const waiting = server.json(`/sessions/${session}/clip`, json({ start: 1, end: 119 }));
    const mine = async (): Promise<ClipAnswer | undefined> =>
      (await server.json<ClipAnswer[]>('/clips')).body.find(({ sessionId }) => sessionId === session);
    while ((await mine())?.state !== 'running') await delay(20);
    await server.get(`/clips/${(await mine())?.id}`, { method: 'DELETE' });
    const { status, body } = await waiting;
    assert.deepEqual([status, body.code], [409, 'clip-cancelled']);
  });

  test('the server ends with clips under way and leaves nothing', async () => {
    const own = join(root, 'own');
    let ended: TestServer;
    {
      await using second = await startTestServer({ RAFFI_CLIPS_DIR: own });
      ended = second;
      await running(second);
      assert.equal(readdirSync(own).length, 1);
    }
    assert.deepEqual(readdirSync(own), []);
    assert.deepEqual(children(ended, 'libx264'), []);
  });

  const TIMES: readonly (readonly [body: string, field: string])[] = [
    ['{}', 'start'],
    ['{"start":1}', 'end'],
    ['{"start":null,"end":5}', 'start'],
    ['{"start":"1","end":5}', 'start'],
    ['{"start":-1,"end":5}', 'start'],
    ['{"start":1e999,"end":5}', 'start'],
    ['{"start":1,"end":1e999}', 'end'],
    ['{"start":5,"end":5}', 'end'],
    ['{"start":6,"end":5}', 'end'],
    ['{"start":20.1,"end":25}', 'start'],
    ['{"start":1e300,"end":1e301}', 'start'],
    ['{"start":1,"end":5,"name":7}', 'name'],
    ['{"start":1,"end":5,"outputPath":["x"]}', 'outputPath'],
    ['{"start":1,"end":5,"name":"..."}', 'name'],
    ['{"start":1,"end":5,"outputPath":".."}', 'outputPath'],
  ];
  for (const [body, field] of TIMES) {
    test(`${body} is a 400 that names ${field}`, async () => {
      const id = await server.create({ source: await short() });
      const answer = await server.json(`/sessions/${id}/clip`, { ...json({}), body });
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.match(String(answer.body.detail), new RegExp(`^body/${field}:`));
    });
  }

  test('an end behind the end of the source is its end', async () => {
    const id = await server.create({ source: await short() });
    const { status, body } = await server.json<ClipAnswer>(`/sessions/${id}/clip`, json({ start: 18, end: 500 }));
    assert.equal(status, 200, JSON.stringify(body));
  });

  test('a remote source gives at most 900 s, a local one 3,600', async () => {
    const source = await plainMedia('hours.mp4', [
      ...['-f', 'lavfi', '-i', 'color=size=64x64:rate=1', '-t', '3700', '-c:v', 'libx264', '-g', '10'],
    ]);
    const local = await server.create({ source });
    const ask = (id: string, end: number) =>
      server.json<ClipAnswer & { detail?: string }>(`/sessions/${id}/clip`, json({ start: 10, end }));
    assert.match((await ask(local, 3_611)).body.detail as string, /^body\/end: .* 3600 s/);
    assert.equal((await ask(local, 3_610)).status, 200);
    await using origin = await startOrigin({ file: source });
    const remote = await server.create({ source: origin.url });
    assert.match((await ask(remote, 911)).body.detail as string, /^body\/end: .* 900 s/);
    assert.equal((await ask(remote, 910)).status, 200);
    await server.get(`/sessions/${remote}`, { method: 'DELETE' });
  });

  test('of a remote source only the bytes of the clip are read', async () => {
    const source = await plainMedia('minutes.mkv', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=24,noise=alls=40:allf=t', '-f', 'lavfi', '-i', 'sine=440'],
      ...['-t', '180', '-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '4M', '-maxrate', '4M', '-bufsize', '2M'],
      ...['-g', '72', '-c:a', 'aac', '-f', 'matroska'],
    ]);
    await using origin = await startOrigin({ file: source });
    const id = await server.create({ source: origin.url });
    await server.text(`/sessions/${id}/stream.m3u8`);
    const opened = origin.requests.reduce((sum, { sent }) => sum + sent, 0);
    const { status, body } = await server.json<ClipAnswer>(`/sessions/${id}/clip`, json({ start: 60, end: 70 }));
    assert.equal(status, 200, JSON.stringify(body));
    const read = origin.requests.reduce((sum, { sent }) => sum + sent, 0) - opened;
    const { size } = statSync(source);
    // Ten seconds of 180, a group before and one behind, and what the reader reads ahead.
    assert.ok(read < (size * 10) / 180 + 8 * 1024 * 1024, `${read} of ${size} bytes`);
    await server.get(`/sessions/${id}`, { method: 'DELETE' });
  });

  test('whatever the name, there is a new file in the directory, or a 400', async () => {
    const id = await server.create({ source: await short() });
    writeFileSync(join(root, 'victim.mp4'), 'victim');
    mkdirSync(join(directory, 'folder.mp4'), { recursive: true });
    const wishes = [
      ...['../victim', '../../victim.mp4', join(root, 'victim.mp4'), 'a\0b', '\0', 'CON', 'nul.mp4', 'x'.repeat(300)],
      ...[
        '...',
        '.',
        '..',
        '.hidden',
        'folder',
        'taken',
        'taken',
        'Ünïcödé 日本語 🎬',
        'a\r\nb\u001b[2J',
        'C:\\x\\y',
        '\ud800',
      ],
      ...['%2e%2e%2fvictim', '~/x', '-rf', '$(touch x)', 'a:b', 'trailing. . '],
    ];
    for (const field of ['name', 'outputPath']) {
      for (const wish of wishes) {
        const known = new Set(files());
        const { status, body } = await server.json<ClipAnswer & { detail?: string }>(
          `/sessions/${id}/clip`,
          json({ start: 4, end: 4.2, [field]: wish }),
        );
        const created = files().filter((name) => !known.has(name));
        if (status === 400) {
          assert.match(body.detail as string, new RegExp(`^body/${field}:`));
          assert.deepEqual(created, []);
          continue;
        }
        assert.equal(status, 200, `${JSON.stringify(wish)}: ${JSON.stringify(body)}`);
        assert.deepEqual(
          created.map((name) => join(directory, name)),
          [body.outputPath],
        );
        assert.equal(dirname(realpathSync(body.outputPath as string)), realpathSync(directory));
        count += 1;
      }
    }
    assert.ok(count > 2 * (wishes.length - 6), `${count} files`);
    assert.equal(readFileSync(join(root, 'victim.mp4'), 'utf8'), 'victim');
    assert.ok(files().includes('taken (2).mp4') && files().includes('taken (4).mp4'));
  });

  test('what is no film is a clear error', async () => {
    const path = join(root, 'noise.mp4');
    writeFileSync(path, 'not a film');
    const id = await server.create({ source: path });
    const { status, body } = await server.json(`/sessions/${id}/clip`, json({ start: 1, end: 2 }));
    assert.deepEqual([status, body.code], [502, 'media-unrecognised']);
  });

  test('a web page from elsewhere makes no clips', async () => {
    const id = await server.create({ source: await short() });
    const headers = { origin: 'https://example.org', 'content-type': 'application/json' };
    for (const path of [`/sessions/${id}/clip`, `/sessions/${id}/clip?async=1`]) {
      const answer = await server.get(path, { ...json({ start: 1, end: 2 }), headers });
      assert.equal(answer.status, 403);
    }
    assert.equal((await server.get('/clips', { headers: { origin: 'https://example.org' } })).status, 403);
  });

  test('a directory that cannot be made is a clear error', async () => {
    writeFileSync(join(root, 'plain'), '');
    await using own = await startTestServer({ RAFFI_CLIPS_DIR: join(root, 'plain', 'clips') });
    const id = await own.create({ source: await short() });
    const { status, body } = await own.json(`/sessions/${id}/clip`, json({ start: 1, end: 2 }));
    assert.deepEqual([status, body.code], [500, 'clips-unwritable']);
  });
});

/** Asks for a clip until it is as wanted. */
async function until(server: TestServer, id: string, wanted: (clip: ClipAnswer) => boolean): Promise<ClipAnswer> {
  for (;;) {
    const { status, body } = await server.json<ClipAnswer>(`/clips/${id}`);
    assert.equal(status, 200);
    if (wanted(body)) return body;
    assert.ok(['queued', 'running'].includes(body.state), `the clip ended: ${JSON.stringify(body)}`);
    await delay(20);
  }
}

/** Ids of the server's children with `word` in their command line. */
function children({ pid: server }: TestServer, word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const parent = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1];
        return Number(parent) === server && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word);
      } catch {
        return false;
      }
    })
    .map(Number);
}
