import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Value } from 'typebox/value';
import { EVENTS } from '../../src/http/event-schemas.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { startTestServer, type TestServer } from './harness.ts';

interface Told {
  readonly id: string | undefined;
  readonly name: string;
  readonly data: Record<string, unknown>;
}

/** One client of `/events`. */
class Listener implements AsyncDisposable {
  readonly told: Told[] = [];
  readonly #controller = new AbortController();
  readonly #reading: Promise<void>;
  #more = Promise.withResolvers<void>();

  private constructor(response: Response, controller: AbortController) {
    this.#controller = controller;
    this.#reading = this.#read(response).catch(() => {});
  }

  static async open(server: TestServer, lastEventId?: string): Promise<Listener> {
    const controller = new AbortController();
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const response = await server.get('/events', { signal: controller.signal, headers });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    return new Listener(response, controller);
  }

  get lastId(): string {
    return this.told.findLast(({ id }) => id !== undefined)?.id as string;
  }

  names(): string[] {
    return this.told.map(({ name }) => name);
  }

  of(name: string): Told['data'][] {
    return this.told.filter((one) => one.name === name).map(({ data }) => data);
  }

  /** Resolves with the first event that is as wanted. */
  async until(wanted: (told: Told) => boolean): Promise<Told> {
    const late = AbortSignal.timeout(60_000);
    for (;;) {
      const found = this.told.find(wanted);
      if (found) return found;
      if (late.aborted) throw new Error(`never told: ${JSON.stringify(this.told)}`);
      this.#more = Promise.withResolvers();
      await Promise.race([this.#more.promise, delay(1_000, undefined, { ref: false })]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#reading;
  }

  async #read(response: Response): Promise<void> {
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        this.#take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  #take(block: string): void {
    if (block.startsWith(':') || block.startsWith('retry: ')) return;
    const [, id, name = '', data = ''] = /^(?:id: (\S+)\n)?event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
    const schema = EVENTS[name as keyof typeof EVENTS];
    assert.ok(schema, block);
    const parsed = JSON.parse(data) as Record<string, unknown>;
    assert.deepEqual(Value.Errors(schema, parsed), [], block);
    assert.deepEqual(
      Object.keys(parsed).filter((key) => !(key in schema.properties)),
      [],
    );
    this.told.push({ id, name, data: parsed });
    this.#more.resolve();
  }
}

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

describe('events', { timeout: 180_000 }, () => {
  const clips = mkdtempSync(join(tmpdir(), 'raffi-events-'));
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ RAFFI_CLIPS_DIR: clips });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(clips, { recursive: true, force: true });
  });
  const film = (): Promise<string> => numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
  const foreign = (): Promise<string> =>
    numberedMedia({ container: 'mkv', video: 'mpeg2video', audio: ['mp2'], seconds: 10 });
  const end = (id: string): Promise<Response> => server.get(`/sessions/${id}`, { method: 'DELETE' });

  test('a session is created, gets ready, plays and ends; a failure says why', async () => {
    await using listener = await Listener.open(server);
    const id = await server.create({ source: await film() });
    await server.bytes(`/sessions/${id}/original/0.m4s`);
    await end(id);
    await listener.until(({ data }) => data.id === id && data.change === 'ended');
    const mine = listener.of('session').filter((data) => data.id === id);
    assert.deepEqual(
      mine.map(({ change, status }) => [change, status]),
      [
        ['created', 'probing'],
        ['status', 'ready'],
        ['status', 'streaming'],
        ['ended', 'closed'],
      ],
    );
    const lost = await server.create({ source: '/nowhere/at/all.mkv' });
    const { data } = await listener.until(({ data }) => data.id === lost && data.status === 'error');
    assert.deepEqual([data.errorCode, typeof data.error], ['source-not-found', 'string']);
    await end(lost);
    assert.deepEqual(listener.told[0]?.name, 'hello');
    const ids = listener.told.flatMap(({ id: one }) => one ?? []).map((one) => Number(one.split('-')[1]));
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(ids).size, ids.length);
  });

  test('runs start and end, with the reason and for whom', async () => {
    await using listener = await Listener.open(server);
    const id = await server.create({ source: await foreign() });
    await server.bytes(`/sessions/${id}/360p/3.m4s`);
    const started = await listener.until(({ name }) => name === 'run');
    assert.deepEqual([started.data.change, started.data.rendition, started.data.firstSegment], ['started', '360p', 3]);
    assert.deepEqual(started.data.sessions, [id]);
    const complete = await listener.until(({ name, data }) => name === 'run' && data.change === 'ended');
    assert.deepEqual([complete.data.id, complete.data.reason], [started.data.id, 'complete']);
    assert.equal(complete.data.segmentsMade, 2);
    // One that is at work, or waits for more, when its source is closed.
    await server.bytes(`/sessions/${id}/360p/0.m4s`);
    await end(id);
    const closed = await listener.until(({ name, data }) => name === 'run' && data.reason === 'closed');
    assert.deepEqual(closed.data.sessions, [id]);
  });

  test('clips tell their progress', async () => {
    await using listener = await Listener.open(server);
    const id = await server.create({ source: await foreign() });
    const { body: job } = await server.json<{ id: string }>(`/sessions/${id}/clip?async=1`, json({ start: 1, end: 9 }));
    const done = await listener.until(({ name, data }) => name === 'clip' && data.state === 'done');
    assert.deepEqual([done.data.id, done.data.progress], [job.id, 1]);
    const mine = listener.of('clip').filter((data) => data.id === job.id);
    const states = mine.map(({ state }) => state).filter((state, n, all) => state !== all[n - 1]);
    assert.deepEqual(states, ['queued', 'running', 'done']);
    const progress = mine.map((data) => data.progress as number);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
    assert.ok(progress.some((share) => share > 0 && share < 1));
    await end(id);
  });

  test('who comes back gets what it missed, once; somebody new gets the state of everything', async () => {
    const stays = await server.create({ source: await film() });
    await server.text(`/sessions/${stays}/stream.m3u8`);
    let last: string;
    {
      await using listener = await Listener.open(server);
      const session = await listener.until(({ name, data }) => name === 'session' && data.id === stays);
      assert.deepEqual([session.data.status, session.id], ['ready', undefined], 'the state that there is');
      assert.equal(listener.of('hello')[0]?.resumed, false);
      last = listener.lastId;
    }
    const missed = await server.create({ source: await film() });
    await server.text(`/sessions/${missed}/stream.m3u8`);
    await end(missed);
    await using back = await Listener.open(server, last);
    await back.until(({ data }) => data.id === missed && data.change === 'ended');
    const later = await server.create({ source: '/nowhere.mkv' });
    await back.until(({ data }) => data.id === later && data.status === 'error');
    assert.equal(back.of('hello')[0]?.resumed, true);
    assert.deepEqual(
      back.of('session').map(({ id, change, status }) => [id, change, status]),
      [
        [missed, 'created', 'probing'],
        [missed, 'status', 'ready'],
        [missed, 'ended', 'closed'],
        [later, 'created', 'probing'],
        [later, 'status', 'error'],
      ],
    );
    assert.ok(!back.names().includes('gap'));
    await using lost = await Listener.open(server, 'otherlife-17');
    await lost.until(({ name, data }) => name === 'session' && data.id === stays);
    assert.deepEqual(lost.names().slice(0, 2), ['hello', 'gap']);
    assert.equal(lost.of('gap')[0]?.lastEventId, 'otherlife-17');
    for (const id of [stays, later]) await end(id);
  });

  test('listeners are bounded, and only for who may control', async () => {
    assert.equal((await server.get('/events', { headers: { origin: 'https://example.org' } })).status, 403);
    // The first round would fill the place of the second if those who go away were not forgotten.
    for (let round = 0; round < 2; round++) {
      const open: Listener[] = [];
      const late = AbortSignal.timeout(60_000);
      while (open.length < 256) {
        assert.ok(!late.aborted, `${open.length} listeners have a place`);
        const one = await Listener.open(server).catch(() => undefined);
        if (one) open.push(one);
      }
      const refused = await server.json('/events');
      assert.deepEqual([refused.status, refused.body.code], [503, 'server-full']);
      for (const listener of open) await listener[Symbol.asyncDispose]();
    }
  });

  test('the server ends with listeners', async () => {
    let listener: Listener;
    {
      await using own = await startTestServer();
      listener = await Listener.open(own);
      await listener.until(({ name }) => name === 'hello');
    }
    await listener[Symbol.asyncDispose]();
  });
});
