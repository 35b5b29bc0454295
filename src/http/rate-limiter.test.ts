import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimiter } from './rate-limiter.ts';

test('a burst, then so many a second, each client for itself', () => {
  let now = 0;
  const limiter = new RateLimiter({ burst: 3, perSecond: 0.5 }, () => now);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limiter.take('a')),
    [0, 0, 0, 2],
  );
  assert.equal(limiter.take('b'), 0);
  now += 1_000;
  assert.equal(limiter.take('a'), 1);
  now += 1_000;
  assert.equal(limiter.wait('a'), 0);
  assert.equal(limiter.take('a'), 0);
  assert.equal(limiter.take('a'), 2);
  now += 3_600_000;
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limiter.take('a')),
    [0, 0, 0, 2],
  );
});

test('an attacker with many addresses takes neither memory nor the limit of others', () => {
  let now = 0;
  const limiter = new RateLimiter({ burst: 1, perSecond: 0.001 }, () => now);
  for (let n = 0; n < 25_000; n++) {
    now += 1;
    assert.equal(limiter.take(`client ${n}`), 0);
  }
  assert.ok(limiter.take('client 24999') > 0);
});
