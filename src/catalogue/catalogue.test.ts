import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { AppError } from '../errors.ts';
import { anyAddress } from '../source/guard.ts';
import { SourcePolicy } from '../source/policy.ts';
import { AddonCatalogue, type CatalogueOptions } from './catalogue.ts';
import { addon, json, startUpstream, type Upstream } from './testing.ts';

const BOMB = gzipSync(Buffer.alloc(50_000_000, ' '));
const FRESH = 30 * 60_000;
const never = new AbortController().signal;

describe('the catalogue of add-ons', () => {
  let folder: string;
  let first: Upstream;
  let second: Upstream;
  let now: number;
  let logged: { fields: Record<string, unknown>; message: string }[];
  let open: AddonCatalogue[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'raffi-test-addons-'));
    first = await startUpstream(json([addon('a'), addon('b')], '"1"'));
    second = await startUpstream(json([addon('b'), addon('c')]));
    now = Date.now();
    logged = [];
    open = [];
  });
  afterEach(async () => {
    for (const one of open) await one[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const catalogue = (options: Partial<CatalogueOptions> = {}): AddonCatalogue => {
    const log = (fields: object, message: string) =>
      void logged.push({ fields: fields as Record<string, unknown>, message });
    const one = new AddonCatalogue({
      upstreams: [first.url, second.url],
      guardOf: () => anyAddress,
      file: join(folder, 'cache', 'addons.json'),
      log: { info: log, warn: log },
      now: () => now,
      ...options,
    });
    open.push(one);
    return one;
  };
  const names = async (one: AddonCatalogue): Promise<unknown[]> =>
    (JSON.parse((await one.list(never)).body.toString()) as { manifest: { id: string } }[]).map(({ manifest }) =>
      manifest.id.replace('example.', ''),
    );
  const refusal = async (one: AddonCatalogue): Promise<string> => {
    const error = await one.list(never).then(
      () => assert.fail('a list'),
      (failure: unknown) => failure,
    );
    assert.ok(error instanceof AppError && error.code === 'addons-unavailable', String(error));
    return error.detail;
  };

  test('merges what the upstreams list, in their order, and asks each once for all who wait', async () => {
    const one = catalogue();
    const lists = await Promise.all([names(one), names(one), names(one)]);
    assert.deepEqual(lists, [
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ]);
    now += FRESH - 1;
    await names(one);
    assert.deepEqual([first.requests.length, second.requests.length], [1, 1]);
  });

  test('asks all upstreams at the same time', async () => {
    // Each answers only when the other has been asked too.
    const waiting: (() => void)[] = [];
    const both: Upstream['answer'] = (request, response) => {
      waiting.push(() => json([addon('a')])(request, response));
      if (waiting.length === 2) for (const go of waiting) go();
    };
    first.answer = both;
    second.answer = both;
    assert.deepEqual(await names(catalogue()), ['a']);
  });

  test('an upstream that has not changed is asked with its ETag, and its list stays', async () => {
    const one = catalogue();
    const before = await one.list(never);
    now += FRESH;
    const after = await one.list(never);
    assert.deepEqual(after.etag, before.etag);
    assert.deepEqual(
      first.requests.map((headers) => headers['if-none-match']),
      [undefined, '"1"'],
    );
    now += FRESH;
    first.answer = json([addon('z')], '"2"');
    assert.deepEqual(await names(one), ['z', 'b', 'c']);
  });

  test('one that names no ETag is asked with the date of its list', async () => {
    first.answer = (_request, response) =>
      response.writeHead(200, { 'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT' }).end(JSON.stringify([addon('a')]));
    const one = catalogue();
    await names(one);
    now += FRESH;
    await names(one);
    assert.equal(first.requests[1]?.['if-modified-since'], 'Sat, 21 Nov 2026 10:00:00 GMT');
  });

  test('the list outlives the process, and needs no upstream while it is fresh', async () => {
    const one = catalogue();
    await names(one);
    await one[Symbol.asyncDispose]();
    const file = join(folder, 'cache', 'addons.json');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(folder, 'cache')), ['addons.json']);
    assert.deepEqual(await names(catalogue()), ['a', 'b', 'c']);
    assert.equal(first.requests.length, 1);
    now += FRESH;
    assert.deepEqual(await names(catalogue()), ['a', 'b', 'c']);
    assert.equal(first.requests[1]?.['if-none-match'], '"1"');
  });

  test('a stale list is served while the upstreams are down, and they are left alone for a while', async () => {
    const one = catalogue();
    await names(one);
    await first[Symbol.asyncDispose]();
    second.answer = (_request, response) => response.writeHead(500).end('oops');
    now += FRESH;
    assert.deepEqual(await names(one), ['a', 'b', 'c']);
    assert.equal(second.requests.length, 2);
    assert.deepEqual(await names(one), ['a', 'b', 'c']);
    assert.equal(second.requests.length, 2);
    now += 60_000;
    second.answer = json([addon('d')]);
    assert.deepEqual(await names(one), ['a', 'b', 'd']);
    assert.ok(logged.some(({ fields, message }) => message.endsWith('status 500') && fields.hasOlder === true));
  });

  test('when none answers and nothing is kept, it says why of each', async () => {
    await first[Symbol.asyncDispose]();
    second.answer = (_request, response) => response.writeHead(500).end();
    const one = catalogue();
    const detail = await refusal(one);
    assert.match(detail, new RegExp(`${first.url.host} is not there`));
    assert.match(detail, new RegExp(`${second.url.host} answers with status 500`));
    second.answer = json([addon('c')]);
    now += 5_000;
    assert.deepEqual(await names(one), ['c']);
  });

  const useless: [what: string, answer: Upstream['answer'], says: RegExp][] = [
    ['HTML', (_request, response) => response.end('<!doctype html><title>Login</title>'), /a web page instead of JSON/],
    ['an empty body', (_request, response) => response.end(), /what is not JSON/],
    ['half of it', (_request, response) => response.end('[{"transportUrl":'), /what is not JSON/],
    ['an object', json({ error: 'gone' }), /no list of add-ons/],
    ['only entries of the wrong shape', json([1, {}, null]), /nothing that is an add-on \(2 × no object, 1 × no http/],
    ['an error page', (_request, response) => response.writeHead(404).end('[]'), /status 404/],
    ['a 304 that nobody asked for', (_request, response) => response.writeHead(304).end(), /status 304/],
    [
      'redirects without end',
      (_request, response) => response.writeHead(302, { location: '/more' }).end(),
      /redirects more than 5 times/,
    ],
    [
      'a broken compression',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('no'),
      /damaged/,
    ],
    [
      '50 MB packed into 50 kB',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB),
      /larger than 4194304 bytes/,
    ],
  ];
  for (const [what, answer, says] of useless) {
    test(`${what} from one is no list, and the others' is served`, async () => {
      first.answer = answer;
      assert.deepEqual(await names(catalogue()), ['b', 'c']);
      assert.deepEqual(await names(catalogue({ upstreams: [second.url] })), ['b', 'c']);
      assert.match(await refusal(catalogue({ upstreams: [first.url], file: join(folder, 'other') })), says);
    });
  }

  test('50 MB are broken off at 8', async () => {
    const sent = Promise.withResolvers<number>();
    first.answer = (_request, response) => void pour(response, 50_000_000).then(sent.resolve);
    assert.match(await refusal(catalogue({ upstreams: [first.url] })), /more than 8388608 bytes/);
    const bytes = await sent.promise;
    assert.ok(bytes < 40_000_000, `${bytes} bytes taken`);
  });

  test('one that sends a byte now and then has its time, and no more', async () => {
    let dripping: NodeJS.Timeout | undefined;
    first.answer = (_request, response) => {
      dripping = setInterval(() => response.write(' '), 20);
      response.once('close', () => clearInterval(dripping));
    };
    const times = { whole: 300 };
    assert.match(await refusal(catalogue({ upstreams: [first.url], times })), /not answered within 0.3 s/);
  });

  test('one that says nothing at all, too', async () => {
    first.answer = () => {};
    assert.match(await refusal(catalogue({ upstreams: [first.url], times: { head: 200 } })), /sent nothing for 0.2 s/);
  });

  test('nobody waits long for a slow upstream when there is another list; it is there when it comes', async () => {
    const held = Promise.withResolvers<ServerResponse>();
    first.answer = (_request, response) => held.resolve(response);
    const came = Promise.withResolvers<void>();
    const info = (fields: object): void => {
      if ('catalogue' in fields && fields.catalogue === first.url.href) came.resolve();
    };
    const log = { info, warn: () => {} };
    const one = catalogue({ log, times: { patience: 50, whole: 60_000, head: 60_000 } });
    assert.deepEqual(await names(one), ['b', 'c']);
    const response = await held.promise;
    response.end(JSON.stringify([addon('a')]));
    await came.promise;
    assert.deepEqual(await names(one), ['a', 'b', 'c']);
    assert.equal(first.requests.length, 1);
  });

  test('who goes away ends only its own wait', async () => {
    const held = Promise.withResolvers<ServerResponse>();
    first.answer = (_request, response) => held.resolve(response);
    const one = catalogue({ upstreams: [first.url] });
    const leaving = new AbortController();
    const left = assert.rejects(one.list(leaving.signal), /gone/);
    const stays = names(one);
    const response = await held.promise;
    leaving.abort(new Error('gone'));
    await left;
    response.end(JSON.stringify([addon('a')]));
    assert.deepEqual(await stays, ['a']);
    assert.equal(first.requests.length, 1);
  });

  test('closing ends what is under way', async () => {
    const asked = Promise.withResolvers<ServerResponse>();
    first.answer = (_request, response) => asked.resolve(response);
    const one = catalogue({ upstreams: [first.url] });
    const waiting = assert.rejects(one.list(never), { code: 'server-closing' });
    const response = await asked.promise;
    const closed = once(response, 'close');
    await one[Symbol.asyncDispose]();
    await waiting;
    await closed;
  });

  test('what is left out is counted in the log', async () => {
    first.answer = json([addon('a'), 1, {}, {}]);
    await names(catalogue());
    const line = logged.find(({ fields }) => fields.catalogue === first.url.href);
    assert.deepEqual(line?.fields.dropped, { 'no object': 1, 'no http(s) transportUrl': 2 });
  });

  test('the log and the errors keep the secrets of an address', async () => {
    first.answer = (_request, response) => response.writeHead(500).end();
    const secret = new URL(`http://user:hunter2@${first.url.host}/list?key=hunter2`);
    const detail = await refusal(catalogue({ upstreams: [secret] }));
    assert.ok(logged.length > 0);
    assert.doesNotMatch(detail + JSON.stringify(logged), /hunter2/);
  });

  test('a redirect may not lead to another program of this machine', async () => {
    const policy = new SourcePolicy({
      allowPrivate: undefined,
      mediaRoots: [],
      ownPort: () => undefined,
      ownNames: [],
    });
    first.answer = (_request, response) => response.writeHead(302, { location: second.url.href }).end();
    const one = catalogue({ upstreams: [first.url], guardOf: (url) => policy.operatorGuard(url) });
    assert.match(await refusal(one), /only an address that you give yourself may be there/);
    assert.equal(second.requests.length, 0);
  });

  test('a file that is damaged is none, and is replaced', async () => {
    const file = join(folder, 'addons.json');
    const bad = ['', '{', 'null', '{"upstreams":null}', `{"upstreams":{"${first.url.href}":null}}`];
    bad.push(`{"upstreams":{"${first.url.href}":{"said":{"checkedAt":"x"},"addons":[]}}}`);
    for (const text of bad) {
      await writeFile(file, text);
      const one = catalogue({ file });
      assert.deepEqual(await names(one), ['a', 'b', 'c'], text);
      await one[Symbol.asyncDispose]();
      assert.match(await readFile(file, 'utf8'), /example\.a/);
    }
  });

  test('a disk that cannot be written costs nothing but a line in the log', async () => {
    const blocked = join(folder, 'file');
    await writeFile(blocked, '');
    const one = catalogue({ file: join(blocked, 'addons.json') });
    assert.deepEqual(await names(one), ['a', 'b', 'c']);
    await one[Symbol.asyncDispose]();
    assert.ok(logged.some(({ message }) => /could not be kept/.test(message)));
  });
});

/** Sends blanks as fast as they are taken; resolves to how many were written when the connection closes. */
function pour(response: ServerResponse, bytes: number): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024, ' ');
  let written = 0;
  const fill = (): void => {
    while (written < bytes && !response.destroyed) {
      written += chunk.length;
      if (!response.write(chunk)) return;
    }
    response.end();
  };
  response.on('drain', fill);
  fill();
  return new Promise((resolve) => response.once('close', () => resolve(written)));
}
