/** In a process of its own: what other tests leave behind for a moment must not count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type OriginBehaviour, startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';
import { defaultTuning } from './http-tuning.ts';

const MB = 1024 * 1024;
const body = testBytes(8 * MB);
const tuning = { ...defaultTuning, stallTimeout: 100, patience: 300, backoff: 5, maxBackoff: 20 };
const { signal } = new AbortController();

/** Sockets, lookups, file operations and timers of this process that are alive. */
const resources = () =>
  process
    .getActiveResourcesInfo()
    .filter((name) => /TCPSocket|TLS|GetAddrInfo|FSReq|Timeout/.test(name))
    .sort();

/** Ends when only `before` is left; the test's time limit is its failure. */
async function settled(before: string[]): Promise<void> {
  while (resources().join() !== before.join()) await turn();
}

const uses: Record<string, OriginBehaviour> = {
  'a good origin': {},
  'one that resets and is busy': { resetEvery: 300_000, status: 503, statusEvery: 4 },
  'one without ranges': { noRange: true },
  'one that is still sending': { stallAfter: 100_000 },
};

for (const [name, behaviour] of Object.entries(uses)) {
  test(`nothing is left of a source after dispose: ${name}`, { timeout: 20_000 }, async () => {
    const before = resources();
    await using origin = await startOrigin({ body, ...behaviour });
    const source = await openHttp(new URL(origin.url.replace('127.0.0.1', 'localhost')), anyAddress, signal, tuning);
    const leaver = new AbortController();
    const left = assert.rejects(source.read(6 * MB, MB, leaver.signal), /gone/);
    leaver.abort(new Error('gone'));
    await left;
    await Promise.allSettled([source.read(2 * MB, MB), source.read(4 * MB, MB), source.read(10, 10)]);
    const late = source.read(7 * MB, 1000);
    await Promise.all([source[Symbol.asyncDispose](), late.catch(() => {})]);
    await settled(before);
    assert.equal(origin.connections(), 0);
  });
}

test('nothing is left of an opening that failed', { timeout: 20_000 }, async () => {
  const before = resources();
  for (const behaviour of [{ status: 404 }, { status: 503 }, { stallHead: true }] satisfies OriginBehaviour[]) {
    await using origin = await startOrigin({ body, ...behaviour });
    await assert.rejects(openHttp(new URL(origin.url), anyAddress, signal, tuning));
    await settled(before);
    assert.equal(origin.connections(), 0);
  }
});
