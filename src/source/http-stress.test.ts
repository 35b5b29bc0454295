import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type OriginBehaviour, startOrigin, testBytes } from '../../test/fixtures/origin.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';
import { defaultTuning } from './http-tuning.ts';

const body = testBytes(3_000_017);
const tuning = {
  ...defaultTuning,
  headTimeout: 2000,
  stallTimeout: 100,
  patience: 20_000,
  backoff: 1,
  maxBackoff: 4,
  headBytes: 50_000,
  minFetch: 10_000,
  maxReadAhead: 200_000,
  largeRead: 60_000,
  cacheBytes: 700_000,
};

/** Numbers in [0, 1), the same in every run (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const behaviours: OriginBehaviour[] = [
  {},
  { resetEvery: 70_001 },
  { limitBody: 33_333 },
  { stallAfter: 300_000 },
  { trickle: { bytes: 40_000, everyMs: 1 } },
  { noRange: true },
  { status: 503, statusEvery: 3 },
];

for (const [seed, behaviour] of behaviours.entries()) {
  test(`readers that come and go: ${JSON.stringify(behaviour)}`, async () => {
    await using origin = await startOrigin({ body, ...behaviour });
    const random = generator(seed + 1);
    await using source = await openHttp(new URL(origin.url), anyAddress, new AbortController().signal, tuning);
    let served = 0;
    let left = 0;
    const reader = async () => {
      let at = Math.floor(random() * body.length);
      for (let count = 0; count < 25; count += 1) {
        const length = Math.floor(random() < 0.7 ? random() * 20_000 : random() * 400_000);
        if (random() < 0.4) at = Math.floor(random() * body.length);
        const leaver = new AbortController();
        const leaves = random() < 0.25;
        const read = source.read(at, length, leaver.signal);
        if (leaves) void (random() < 0.5 ? turn() : sleep(random() * 4)).then(() => leaver.abort(new Error('gone')));
        try {
          const bytes = await read;
          const expected = body.subarray(at, at + length);
          assert.ok(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(expected), `${at}+${length}`);
          served += 1;
        } catch (error) {
          if (!leaves) throw error;
          assert.match(String(error), /gone/);
          left += 1;
        }
        at = Math.min(body.length, at + length);
      }
    };
    await Promise.all(Array.from({ length: 8 }, reader));
    assert.equal(served + left, 200);
  });
}
