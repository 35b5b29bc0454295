import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BufferPool } from './buffer-pool.ts';

test('acquire gives exactly the length, and released memory is used again', () => {
  const pool = new BufferPool();
  for (const length of [0, 1, 4095, 4096, 4097, 5000, 65_536, 65_537, 4 * 1024 * 1024 + 1]) {
    const first = pool.acquire(length);
    assert.equal(first.length, length);
    assert.ok(first.buffer.byteLength >= length);
    assert.ok(first.buffer.byteLength <= Math.max(4096, length * 1.25 + 1), `${length} wastes too much`);
    const memory = first.buffer;
    pool.release(first);
    assert.equal(pool.acquire(length).buffer, memory);
  }
});

test('what is kept is lent for up to half as much rather than fresh memory', () => {
  const pool = new BufferPool();
  const bytes = pool.acquire(100_000);
  const { buffer } = bytes;
  pool.release(bytes);
  assert.notEqual(pool.acquire(30_000).buffer, buffer);
  const less = pool.acquire(60_000);
  assert.deepEqual([less.buffer === buffer, less.length], [true, 60_000]);
});

test('memory that nobody has had since it was released is got back as it was, once', () => {
  const pool = new BufferPool(100_000);
  const bytes = pool.acquire(60_000).fill(7);
  assert.equal(pool.reclaim(bytes), undefined, 'it is lent');
  pool.release(bytes);
  const again = pool.reclaim(bytes) as Uint8Array;
  assert.deepEqual([again.buffer === bytes.buffer, again.length], [true, 60_000]);
  assert.ok(again.every((byte) => byte === 7));
  assert.equal(pool.keptBytes, 0);
  assert.equal(pool.reclaim(bytes), undefined, 'it is lent again');
  pool.release(again);
  const other = pool.acquire(60_000);
  assert.equal(pool.reclaim(again), undefined, 'another has it');
  pool.release(other);
  assert.equal(pool.reclaim(again), undefined, 'another has had it');
});

test('foreign, twice released and partial arrays are ignored', () => {
  const pool = new BufferPool();
  pool.release(new Uint8Array(10));
  const bytes = pool.acquire(5000);
  pool.release(bytes.subarray(0, 10));
  assert.equal(pool.keptBytes, 0);
  pool.release(bytes);
  const kept = pool.keptBytes;
  assert.ok(kept > 0);
  pool.release(bytes);
  assert.equal(pool.keptBytes, kept);
  const second = pool.acquire(5000);
  pool.release(bytes); // a stale reference to memory that now belongs to `second`
  assert.notEqual(pool.acquire(5000).buffer, second.buffer);
});

test('what lies idle is bounded, and the class used longest ago goes first', () => {
  const pool = new BufferPool(100_000);
  const small = pool.acquire(4096);
  const large = Array.from({ length: 6 }, () => pool.acquire(32_768));
  pool.release(small);
  for (const bytes of large) pool.release(bytes);
  assert.equal(pool.keptBytes, 3 * 32_768);
  const huge = pool.acquire(200_000);
  pool.release(huge);
  assert.equal(pool.keptBytes, 3 * 32_768);
});

test('transferred memory is not kept', () => {
  const pool = new BufferPool();
  const bytes = pool.acquire(5000);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  pool.release(bytes);
  assert.equal(pool.keptBytes, 0);
});

test('no memory is ever lent twice', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('take', 'give', 'reclaim'), fc.nat(40_000), fc.nat(50))), (steps) => {
      const pool = new BufferPool(64_000);
      const lent: Uint8Array[] = [];
      const given: Uint8Array[] = [];
      for (const [step, length, which] of steps) {
        if (step === 'give') {
          const [bytes] = lent.splice(which % Math.max(1, lent.length), 1);
          if (bytes === undefined) continue;
          pool.release(bytes);
          given.push(bytes);
        } else {
          const old = given[which % Math.max(1, given.length)];
          const bytes = step === 'take' ? pool.acquire(length) : old && pool.reclaim(old);
          if (bytes === undefined) continue;
          if (lent.some((other) => other.buffer === bytes.buffer)) return false;
          lent.push(bytes);
        }
        if (pool.keptBytes > 64_000) return false;
      }
      return true;
    }),
  );
});
