import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { BufferPool } from '../lib/buffer-pool.ts';
import { SharedReads } from './shared-reads.ts';

const LENGTH = 100_000;

interface Fill {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly signal: AbortSignal;
  finish(): void;
  fail(error: Error): void;
}

describe('reads of the same range', () => {
  let pool: BufferPool;
  let fills: Fill[];
  let reads: SharedReads;
  let changed: Error | undefined;

  beforeEach(() => {
    pool = new BufferPool();
    fills = [];
    changed = undefined;
    reads = new SharedReads(pool, {
      fill: (bytes, offset, signal) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const finish = (): void => {
          bytes.fill(offset % 251);
          resolve();
        };
        fills.push({ bytes, offset, signal, finish, fail: reject });
        return promise;
      },
      confirm: () => {
        if (changed) throw changed;
      },
    });
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  test('are one read while it is under way and while its bytes are held', async () => {
    const [first, second] = [reads.take(7, LENGTH, undefined), reads.take(7, LENGTH, undefined)];
    fills[0]?.finish();
    const views = [...(await Promise.all([first, second])), await reads.take(7, LENGTH, undefined)];
    assert.equal(fills.length, 1);
    assert.ok(views.every((view) => view.length === LENGTH && view.every((byte) => byte === 7)));
    const other = reads.take(8, LENGTH, undefined);
    fills[1]?.finish();
    assert.ok((await other).every((byte) => byte === 8));
    for (const view of views) {
      assert.equal(pool.keptBytes, 0, 'somebody holds it yet');
      reads.giveBack(view);
      reads.giveBack(view);
    }
    assert.ok(pool.keptBytes >= LENGTH);
  });

  test('that come after it was given back are answered from the memory, unless another has it', async () => {
    const first = reads.take(7, LENGTH, undefined);
    fills[0]?.finish();
    reads.giveBack(await first);
    const again = await reads.take(7, LENGTH, undefined);
    assert.ok(fills.length === 1 && again.every((byte) => byte === 7));
    reads.giveBack(again);
    const others = pool.acquire(LENGTH).fill(1);
    pool.release(others);
    const third = reads.take(7, LENGTH, undefined);
    fills[1]?.finish();
    assert.ok((await third).every((byte) => byte === 7));
  });

  test('are not answered from the memory when the source has changed', async () => {
    const first = reads.take(7, LENGTH, undefined);
    fills[0]?.finish();
    const view = await first;
    changed = new Error('changed');
    assert.throws(() => reads.take(7, LENGTH, undefined), changed);
    reads.giveBack(view);
    assert.throws(() => reads.take(7, LENGTH, undefined), changed);
    assert.ok(pool.keptBytes >= LENGTH, 'nothing is lent');
  });

  test('end for who leaves, and for nobody else; the last one ends the read', async () => {
    const [one, two] = [new AbortController(), new AbortController()];
    const [first, second] = [reads.take(7, LENGTH, one.signal), reads.take(7, LENGTH, two.signal)];
    one.abort(new Error('gone'));
    await assert.rejects(first, /gone/);
    assert.equal(fills[0]?.signal.aborted, false);
    two.abort(new Error('gone too'));
    await assert.rejects(second, /gone too/);
    assert.equal(fills[0]?.signal.aborted, true);
    // The memory is not used again as long as something may write into it.
    assert.equal(pool.keptBytes, 0);
    const third = reads.take(7, LENGTH, undefined);
    assert.equal(fills.length, 2, 'a read that ends is not joined');
    fills[0]?.fail(new Error('aborted'));
    fills[1]?.finish();
    assert.ok((await third).every((byte) => byte === 7));
    assert.ok(pool.keptBytes >= LENGTH);
    reads.giveBack(await third);
    assert.ok(pool.keptBytes >= 2 * LENGTH);
  });

  test('that finish after all have left give their memory back', async () => {
    const leaving = new AbortController();
    const first = reads.take(7, LENGTH, leaving.signal);
    leaving.abort(new Error('gone'));
    await assert.rejects(first, /gone/);
    fills[0]?.finish();
    await turn();
    assert.ok(pool.keptBytes >= LENGTH);
  });

  test('fail for all who wait, and the next one reads anew', async () => {
    const waiting = [reads.take(7, LENGTH, undefined), reads.take(7, LENGTH, undefined)];
    fills[0]?.fail(new Error('broken'));
    for (const wait of waiting) await assert.rejects(wait, /broken/);
    assert.ok(pool.keptBytes >= LENGTH);
    const next = reads.take(7, LENGTH, undefined);
    fills[1]?.finish();
    assert.equal((await next).length, LENGTH);
  });

  test('give nothing back for arrays of others', () => {
    reads.giveBack(new Uint8Array(10));
    assert.equal(pool.keptBytes, 0);
  });
});
