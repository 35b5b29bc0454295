import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OriginBehaviour, startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { AppError } from '../errors.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';
import { defaultTuning, type HttpTuning } from './http-tuning.ts';

const MB = 1024 * 1024;
const body = testBytes(12 * MB + 77);
const quick: HttpTuning = {
  ...defaultTuning,
  headTimeout: 400,
  stallTimeout: 200,
  patience: 700,
  backoff: 5,
  maxBackoff: 20,
  unknownSizePatience: 300,
  spareDisk: 0,
};

/** For origins that answer in time: a loaded machine must not look like a slow origin. */
const calm: HttpTuning = { ...quick, headTimeout: 30_000, stallTimeout: 30_000, patience: 60_000 };

async function opened(behaviour: OriginBehaviour, tuning = behaviour.chunked ? quick : calm) {
  const origin = await startOrigin({ body, noRange: true, ...behaviour });
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

function assertBytes(actual: Uint8Array, from: number, to: number): void {
  assert.equal(actual.length, to - from);
  assert.ok(Buffer.from(actual.buffer, actual.byteOffset, actual.length).equals(body.subarray(from, to)));
}

const failsWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail, words);
  return true;
};

/** Spools of this process: those with a name, and those that are open without one. */
function spools(): string[] {
  const prefix = `raffi-spool-${process.pid}-`;
  const named = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix));
  if (!existsSync('/proc/self/fd')) return named;
  const held = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return [...named, ...held.filter((target) => target.includes(prefix))];
}

test('a server without ranges is downloaded once, and every read is served from the copy', async () => {
  await using it = await opened({});
  const { source, origin } = it;
  assert.equal(source.size, body.length);
  const [late, early] = await Promise.all([source.read(11 * MB, 5 * MB), source.read(100, 1000)]);
  assertBytes(late, 11 * MB, body.length);
  assertBytes(early, 100, 1100);
  assertBytes(await source.read(3 * MB, 2 * MB), 3 * MB, 5 * MB);
  assert.equal(origin.requests.length, 1);
});

test('a read waits for its own bytes only', async () => {
  await using it = await opened({ stallAfter: 2 * MB }, { ...quick, stallTimeout: 20_000, patience: 60_000 });
  assertBytes(await it.source.read(MB, 1000), MB, MB + 1000);
  const leaver = new AbortController();
  const late = it.source.read(8 * MB, 1000, leaver.signal);
  leaver.abort(new Error('gone'));
  await assert.rejects(late, /gone/);
  assertBytes(await it.source.read(0, 1000), 0, 1000);
});

test('content of unknown size is opened when its end has come', async () => {
  await using it = await opened({ chunked: true }, { ...calm, unknownSizePatience: 60_000 });
  assert.equal(it.source.size, body.length);
  assertBytes(await it.source.read(12 * MB, MB), 12 * MB, body.length);
});

test('content that never ends, or is too large, ends in source-no-range', async () => {
  await assert.rejects(
    opened({ chunked: true, trickle: { bytes: 5000, everyMs: 10 } }),
    failsWith('source-no-range', /says neither how large it is/),
  );
  await assert.rejects(
    opened({}, { ...quick, maxSpool: MB }),
    failsWith('source-no-range', /12582989 bytes.*too large/),
  );
  await assert.rejects(
    opened({ chunked: true }, { ...quick, maxSpoolUnknown: MB }),
    failsWith('source-no-range', /too large to be copied/),
  );
  await assert.rejects(
    opened({}, { ...quick, spareDisk: Number.MAX_SAFE_INTEGER - 1e9 }).then(async (it) => {
      await using _it = it;
      await it.source.read(11 * MB, 10);
    }),
    failsWith('source-no-range', /too little room/),
  );
  assert.deepEqual(spools(), []);
});

test('a broken download starts again behind what is there', async () => {
  await using it = await opened({ resetEvery: 5 * MB });
  assertBytes(await it.source.read(0, 4 * MB), 0, 4 * MB);
  it.origin.behaviour = { noRange: true };
  assertBytes(await it.source.read(4 * MB, 8 * MB), 4 * MB, 12 * MB);
});

test('a download that breaks at the same byte every time ends', async () => {
  await using it = await opened({ resetEvery: 2 * MB });
  await assert.rejects(it.source.read(4 * MB, MB), failsWith('source-unreachable', /keeps breaking/));
  assert.ok(it.origin.requests.length < 20);
});

test('content that changes between two downloads is source-changed', async () => {
  await using it = await opened({ resetEvery: 5 * MB, changeEtagAfter: 1 });
  await assert.rejects(it.source.read(8 * MB, MB), failsWith('source-changed', /has been changed/));
});

test('dispose ends the download and removes the copy', async () => {
  const it = await opened({ trickle: { bytes: 10_000, everyMs: 10 } });
  assert.ok(spools().length <= 1);
  const late = it.source.read(8 * MB, 10);
  const check = assert.rejects(late, /was closed/);
  await it.source[Symbol.asyncDispose]();
  await check;
  assert.deepEqual(spools(), []);
  while (it.origin.connections() > 0) await sleep(2);
  await it.origin.close();
});
