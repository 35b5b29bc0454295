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
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(40_000), fc.nat(50))), (steps) => {
      const pool = new BufferPool(64_000);
      const lent: Uint8Array[] = [];
      for (const [take, length, which] of steps) {
        if (take) {
          const bytes = pool.acquire(length);
          if (lent.some((other) => other.buffer === bytes.buffer)) return false;
          lent.push(bytes);
        } else if (lent.length > 0) {
          const [bytes] = lent.splice(which % lent.length, 1);
          if (bytes !== undefined) pool.release(bytes);
        }
        if (pool.keptBytes > 64_000) return false;
      }
      return true;
    }),
  );
});
