import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Origin, type OriginBehaviour, startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { AppError } from '../errors.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';
import { defaultTuning, type HttpTuning } from './http-tuning.ts';
import type { Source } from './source.ts';

const MB = 1024 * 1024;
const body = testBytes(9 * MB + 123);

/** The shipped sizes with shorter times. */
const quick: HttpTuning = {
  ...defaultTuning,
  headTimeout: 400,
  stallTimeout: 200,
  patience: 700,
  backoff: 5,
  maxBackoff: 50,
  rateWindow: 2000,
  unknownSizePatience: 400,
};

/** For origins that answer in time: a loaded machine must not look like a slow origin. */
const calm: HttpTuning = { ...quick, headTimeout: 30_000, stallTimeout: 30_000, patience: 60_000, rateWindow: 60_000 };
const ANSWERS_IN_TIME = new Set(['trickle', 'resetEvery', 'limitBody', 'etag', 'latencyMs']);

function tuningFor(behaviour: OriginBehaviour): HttpTuning {
  return Object.keys(behaviour).every((key) => ANSWERS_IN_TIME.has(key)) ? calm : quick;
}

interface Opened extends AsyncDisposable {
  readonly origin: Origin;
  readonly source: Source;
}

async function opened(
  behaviour: OriginBehaviour = {},
  tuning: HttpTuning = tuningFor(behaviour),
  content = body,
): Promise<Opened> {
  const origin = await startOrigin({ body: content, ...behaviour });
  try {
    const source = await openHttp(new URL(origin.url), anyAddress, new AbortController().signal, tuning);
    return {
      origin,
      source,
      async [Symbol.asyncDispose]() {
        await source[Symbol.asyncDispose]();
        await origin.close();
      },
    };
  } catch (error) {
    await origin.close();
    throw error;
  }
}

function assertBytes(actual: Uint8Array, from: number, to: number, content = body): void {
  assert.equal(actual.length, to - from);
  assert.ok(Buffer.from(actual.buffer, actual.byteOffset, actual.length).equals(content.subarray(from, to)));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

const failsWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail, words);
  return true;
};

test('opening is one request, whose bytes serve the first reads', async () => {
  await using it = await opened();
  const { source, origin } = it;
  assert.equal(source.size, body.length);
  assert.equal(source.name, 'video.bin');
  assert.equal(source.label, origin.url);
  assert.equal(source.latency, 'remote');
  assertBytes(await source.read(0, 65_536), 0, 65_536);
  assertBytes(await source.read(100, 200_000), 100, 200_100);
  assert.equal(origin.requests.length, 1);
  assert.equal(origin.requests[0]?.range, 'bytes=0-262143');
  assert.equal(origin.requests[0]?.headers['accept-encoding'], 'identity');
});

test('a large read is exactly one request for exactly its bytes, over a connection that is used again', async () => {
  await using it = await opened();
  const { source, origin } = it;
  await source.read(0, 262_144);
  assertBytes(await source.read(3 * MB + 1, 2 * MB), 3 * MB + 1, 5 * MB + 1);
  assertBytes(await source.read(6 * MB, 2 * MB), 6 * MB, 8 * MB);
  assert.deepEqual(
    origin.requests.map((request) => request.range),
    ['bytes=0-262143', `bytes=${3 * MB + 1}-${5 * MB}`, `bytes=${6 * MB}-${8 * MB - 1}`],
  );
  assert.equal(origin.accepted(), 1);
});

test('reads at and past the end are short or empty and ask for nothing more', async () => {
  await using it = await opened();
  const { source, origin } = it;
  assertBytes(await source.read(body.length - 10, 100), body.length - 10, body.length);
  const asked = origin.requests.length;
  assert.equal((await source.read(body.length, 1)).length, 0);
  assert.equal((await source.read(body.length + 5, 100)).length, 0);
  assert.equal((await source.read(5, 0)).length, 0);
  assert.equal(origin.requests.length, asked);
  await assert.rejects(source.read(-1, 5), RangeError);
  await assert.rejects(source.read(0, 1.5), RangeError);
});

test('small sequential reads grow what is fetched ahead', async () => {
  await using it = await opened();
  const { source, origin } = it;
  for (let at = 0; at + 10_000 < body.length; at += 10_000) assertBytes(await source.read(at, 10_000), at, at + 10_000);
  const lengths = origin.requests.map(({ range }) => {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(range ?? '') ?? [];
    return Number(last) - Number(first) + 1;
  });
  assert.deepEqual(
    lengths.slice(0, 5),
    [256, 512, 1024, 2048, 4096].map((kb) => kb * 1024),
  );
  assert.equal(
    lengths.reduce((a, b) => a + b),
    body.length,
  );
});

test('a read that overlaps what is held fetches the rest only', async () => {
  await using it = await opened();
  const { source, origin } = it;
  await source.read(2 * MB, MB);
  assertBytes(await source.read(2.5 * MB, MB), 2.5 * MB, 3.5 * MB);
  assert.equal(origin.requests.at(-1)?.range, `bytes=${3 * MB}-${3.5 * MB - 1}`);
  assertBytes(await source.read(1.5 * MB, MB), 1.5 * MB, 2.5 * MB);
  assert.equal(origin.requests.at(-1)?.range, `bytes=${1.5 * MB}-${2 * MB - 1}`);
  const asked = origin.requests.length;
  assertBytes(await source.read(1.5 * MB, 2 * MB), 1.5 * MB, 3.5 * MB);
  assert.equal(origin.requests.length, asked);
  await source.read(5 * MB, MB);
  assertBytes(await source.read(3 * MB, 4 * MB), 3 * MB, 7 * MB);
  assert.equal(origin.requests.at(-1)?.range, `bytes=${3.5 * MB}-${7 * MB - 1}`);
});

test('what is held is bounded: the range used longest ago goes first', async () => {
  await using it = await opened({}, { ...quick, cacheBytes: 2.5 * MB });
  const { source, origin } = it;
  await source.read(MB, MB);
  await source.read(3 * MB, MB);
  await source.read(MB, 1000);
  await source.read(5 * MB, MB);
  const asked = origin.requests.length;
  await source.read(MB, MB);
  await source.read(5 * MB, MB);
  assert.equal(origin.requests.length, asked);
  assertBytes(await source.read(3 * MB, MB), 3 * MB, 4 * MB);
  assert.equal(origin.requests.length, asked + 1);
});

test('concurrent reads of one range share its request, and get their bytes as they come', async () => {
  await using it = await opened({ trickle: { bytes: 65_536, everyMs: 5 } });
  const { source, origin } = it;
  const order: string[] = [];
  const whole = source.read(4 * MB, MB).then((bytes) => {
    order.push('whole');
    return bytes;
  });
  const part = source.read(4 * MB + 10, 100_000).then((bytes) => {
    order.push('part');
    return bytes;
  });
  assertBytes(await part, 4 * MB + 10, 4 * MB + 100_010);
  assertBytes(await whole, 4 * MB, 5 * MB);
  assert.deepEqual(order, ['part', 'whole']);
  assert.equal(origin.requests.length, 2);
});

test('a waiter that gives up does not disturb the others', async () => {
  await using it = await opened({ trickle: { bytes: 131_072, everyMs: 5 } });
  const { source, origin } = it;
  const leaver = new AbortController();
  const left = source.read(4 * MB, MB, leaver.signal);
  const stays = source.read(4 * MB, MB);
  await until(() => origin.requests.length === 2);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  assertBytes(await stays, 4 * MB, 5 * MB);
  assert.equal(origin.requests.length, 2);
});

test('a request is aborted when nobody waits any more, and what came is kept', async () => {
  await using it = await opened({ trickle: { bytes: 131_072, everyMs: 10 } });
  const { source, origin } = it;
  const leaver = new AbortController();
  const left = source.read(4 * MB, 4 * MB, leaver.signal);
  await until(() => (origin.requests[1]?.sent ?? 0) >= 400_000);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  await until(() => origin.requests[1]?.aborted === true);
  origin.behaviour = {};
  assertBytes(await source.read(4 * MB, 4 * MB), 4 * MB, 8 * MB);
  const [, first] = /bytes=(\d+)-/.exec(origin.requests[2]?.range ?? '') ?? [];
  assert.ok(Number(first) > 4 * MB, 'the bytes that had come were asked for again');
  assert.equal(origin.requests.length, 3);
});

test('a read that is aborted already asks for nothing', async () => {
  await using it = await opened();
  await assert.rejects(it.source.read(4 * MB, MB, AbortSignal.abort(new Error('gone'))), /gone/);
  assert.equal(it.origin.requests.length, 1);
});

test('an origin that resets every 2 MB is resumed at the byte', async () => {
  await using it = await opened({ resetEvery: 2 * MB });
  const { source, origin } = it;
  assertBytes(await source.read(MB, 7 * MB), MB, 8 * MB);
  assert.deepEqual(
    origin.requests.slice(1).map((request) => request.range),
    [1, 3, 5, 7].map((mb) => `bytes=${mb * MB}-${8 * MB - 1}`),
  );
});

test('an origin that sends less than it is asked for is asked for the rest', async () => {
  await using it = await opened({ limitBody: MB });
  assertBytes(await it.source.read(MB, 3 * MB), MB, 4 * MB);
  assert.equal(it.origin.requests.length, 4);
});

test('a stalled body is resumed at the byte', async () => {
  await using it = await opened({ stallAfter: MB });
  assertBytes(await it.source.read(4 * MB, 2 * MB), 4 * MB, 6 * MB);
  assert.deepEqual(
    it.origin.requests.slice(1).map((request) => request.range),
    [`bytes=${4 * MB}-${6 * MB - 1}`, `bytes=${5 * MB}-${6 * MB - 1}`],
  );
});

test('an origin that falls silent ends in source-stalled', async () => {
  await using it = await opened({}, quick);
  it.origin.behaviour = { stallHead: true };
  await assert.rejects(it.source.read(4 * MB, MB), failsWith('source-stalled', /has sent nothing/));
});

for (const status of [429, 502, 503, 504]) {
  test(`${status} is tried again`, async () => {
    await using it = await opened({ status, statusFirst: 2 });
    assertBytes(await it.source.read(0, 1000), 0, 1000);
    assert.equal(it.origin.requests.length, 3);
  });
}

test('Retry-After beyond our patience ends in the status', async () => {
  await assert.rejects(
    opened({ status: 503, headers: { 'retry-after': '3600' } }),
    failsWith('source-http-status', /503 Service Unavailable and asks to wait 3600 s/),
  );
});

test('Retry-After within our patience is obeyed', async () => {
  const tuning = { ...quick, patience: 5000 };
  await using it = await opened({ status: 429, statusFirst: 1, headers: { 'retry-after': '1' } }, tuning);
  assert.equal(it.origin.requests.length, 2);
});

for (const status of [400, 401, 403, 404, 410, 500]) {
  test(`${status} is told at once`, async () => {
    await using origin = await startOrigin({ status });
    const url = new URL(`${origin.url}?token=secret`);
    url.username = 'user';
    await assert.rejects(openHttp(url, anyAddress, new AbortController().signal, quick), (error: unknown) => {
      assert.ok(error instanceof AppError);
      assert.equal(error.code, 'source-http-status');
      assert.ok(error.detail.startsWith(`${origin.url} answered ${status} `), error.detail);
      return true;
    });
    assert.equal(origin.requests.length, 1);
  });
}

test('a refused connection and an unknown host are told at once', async () => {
  const origin = await startOrigin();
  await origin.close();
  const open = (url: string) => openHttp(new URL(url), anyAddress, new AbortController().signal, quick);
  await assert.rejects(open(origin.url), failsWith('source-unreachable', /nothing listens at 127\.0\.0\.1/));
  // Too long for a label: no resolver is asked.
  const nowhere = `${'a'.repeat(64)}.invalid`;
  await assert.rejects(open(`http://${nowhere}/x`), failsWith('source-unreachable', /no host named aaa/));
  await assert.rejects(open(origin.url.replace('http:', 'https:')), failsWith('source-unreachable', /./));
});

test('a plain HTTP server asked for TLS is a TLS failure', async () => {
  await using origin = await startOrigin({ body });
  const url = new URL(origin.url.replace('http:', 'https:'));
  await assert.rejects(
    openHttp(url, anyAddress, new AbortController().signal, quick),
    failsWith('source-unreachable', /./),
  );
});

test('an origin that trickles plays as fast as it goes', async () => {
  const content = testBytes(50_000);
  await using it = await opened({ trickle: { bytes: 5000, everyMs: 20 } }, quick, content);
  assertBytes(await it.source.read(0, 50_000), 0, 50_000, content);
  assert.equal(it.origin.requests.length, 1);
});

test('an origin slower than the least rate ends in source-stalled', async () => {
  const tuning = { ...quick, rateWindow: 400, minRate: 1024 };
  await using it = await opened({ trickle: { bytes: 2, everyMs: 20 } }, tuning);
  await assert.rejects(it.source.read(0, 10_000), failsWith('source-stalled', /less than 1024 bytes per second/));
});

test('a changed entity tag, date or size ends in source-changed, for good', async () => {
  for (const change of [
    { etag: '"other"' },
    { etag: null, lastModified: 'Tue, 02 Jan 2024 00:00:00 GMT' },
  ] satisfies OriginBehaviour[]) {
    const before = 'lastModified' in change ? { etag: null, lastModified: 'Mon, 01 Jan 2024 00:00:00 GMT' } : {};
    await using it = await opened(before);
    await it.source.read(0, 100);
    it.origin.behaviour = change;
    await assert.rejects(it.source.read(4 * MB, MB), failsWith('source-changed', /has been changed/));
    await assert.rejects(it.source.read(0, 100), failsWith('source-changed', /has been changed/));
  }
  await using it = await opened({ etag: null });
  it.origin.body = testBytes(10 * MB);
  await assert.rejects(it.source.read(4 * MB, MB), failsWith('source-changed', /9437307 bytes then, 10485760 now/));
});

test('identity follows URL, version and size, and hides the URL', async () => {
  const identities = new Set<string>();
  await using origin = await startOrigin({ body });
  const identify = async (url: string) => {
    await using source = await openHttp(new URL(url), anyAddress, new AbortController().signal, quick);
    assert.ok(!source.identity.includes('secret'));
    identities.add(source.identity);
  };
  await identify(`${origin.url}?secret`);
  await identify(`${origin.url}?secret`);
  assert.equal(identities.size, 1);
  await identify(`${origin.url}?secret=2`);
  origin.behaviour = { etag: '"2"' };
  await identify(`${origin.url}?secret`);
  origin.body = body.subarray(1);
  await identify(`${origin.url}?secret`);
  assert.equal(identities.size, 4);
});

test('lengths and ranges that lie', async () => {
  // Longer than declared: what the range says is there.
  await using shorter = await opened({ lieAboutLength: 100 });
  assertBytes(await shorter.source.read(4 * MB, MB), 4 * MB, 5 * MB);
  // Starts earlier than asked for.
  await using early = await opened();
  early.origin.behaviour = { lieAboutStart: 5 };
  await assert.rejects(early.source.read(4 * MB, MB), failsWith('source-no-range', /was asked for byte 4194304/));
});

test('a size that stays hidden is asked for with HEAD, or found at the end', async () => {
  await using asked = await opened({ hideSize: true, headStatus: 200 });
  assert.equal(asked.source.size, body.length);
  assertBytes(await asked.source.read(4 * MB, MB), 4 * MB, 5 * MB);
  assert.deepEqual(
    asked.origin.requests.map((request) => request.method),
    ['GET', 'HEAD', 'GET', 'GET'],
  );
  await using found = await opened({ hideSize: true });
  assert.equal(found.source.size, body.length);
  assertBytes(await found.source.read(4 * MB, MB), 4 * MB, 5 * MB);
});

test('an empty resource is source-empty, whatever the server answers', async () => {
  await using origin = await startOrigin({ body: new Uint8Array(0) });
  const open = () => openHttp(new URL(origin.url), anyAddress, new AbortController().signal, quick);
  await assert.rejects(open(), failsWith('source-empty', /is empty/));
  origin.behaviour = { noRange: true };
  await assert.rejects(open(), failsWith('source-empty', /is empty/));
  origin.behaviour = { noRange: true, chunked: true };
  await assert.rejects(open(), failsWith('source-empty', /is empty/));
});

test('compressed content is refused in words', async () => {
  await assert.rejects(
    opened({ headers: { 'content-encoding': 'gzip' } }),
    failsWith('source-unsupported', /compressed \(gzip\)/),
  );
});

test('dispose ends every read and leaves no connection', async () => {
  const it = await opened({ trickle: { bytes: 1000, everyMs: 10 } });
  const reads = [1, 2, 3, 4, 5, 6, 7, 8].map((mb) => it.source.read(mb * MB, 100_000));
  const results = Promise.allSettled(reads);
  await until(() => it.origin.requests.length >= 6);
  assert.ok(it.origin.connections() <= 6);
  await it.source[Symbol.asyncDispose]();
  for (const result of await results) assert.equal(result.status, 'rejected');
  await until(() => it.origin.connections() === 0);
  await assert.rejects(it.source.read(0, 10), /was closed/);
  await it.source[Symbol.asyncDispose]();
  await it.origin.close();
});

test('a queue of reads longer than the connections is served in order, given up places are skipped', async () => {
  await using it = await opened({ latencyMs: 20 });
  const leaver = new AbortController();
  const reads = Array.from({ length: 16 }, (_, n) => {
    const at = n * 512 * 1024;
    const read = it.source.read(at, 300_000, n % 4 === 3 ? leaver.signal : undefined);
    return n % 4 === 3 ? assert.rejects(read, /gone/) : read.then((bytes) => assertBytes(bytes, at, at + 300_000));
  });
  leaver.abort(new Error('gone'));
  await Promise.all(reads);
  assert.ok(it.origin.accepted() <= 8, `${it.origin.accepted()} connections`);
  assert.ok(it.origin.requests.length <= 14, `${it.origin.requests.length} requests`);
});

test('aborting the opening ends it with the reason and leaves no connection', async () => {
  await using origin = await startOrigin({ stallHead: true });
  const leaver = new AbortController();
  const opening = openHttp(new URL(origin.url), anyAddress, leaver.signal, quick);
  const check = assert.rejects(opening, /gone/);
  await until(() => origin.requests.length === 1);
  leaver.abort(new Error('gone'));
  await check;
  await until(() => origin.connections() === 0);
});
