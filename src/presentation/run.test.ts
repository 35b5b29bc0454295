import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import { Run, type SegmentMaker } from './run.ts';
import { RunPool } from './run-pool.ts';
import { RunRecord } from './run-record.ts';

const never = new AbortController().signal;
const tick = () => new Promise((resolve) => setImmediate(resolve));

interface Made {
  readonly run: Run;
  readonly record: RunRecord;
  readonly broken: readonly AppError[];
  readonly delivered: number[];
  readonly ended: Promise<AppError | undefined>;
}

/** A run whose segment n is the one byte n. @param others segments that are there already */
function start(pool: RunPool, first: number, make: SegmentMaker = counting(), others: readonly number[] = []): Made {
  const delivered: number[] = [];
  const broken: AppError[] = [];
  const record = new RunRecord('720p', first, first * 2, () => {});
  const { promise, resolve } = Promise.withResolvers<AppError | undefined>();
  const run = new Run({
    first,
    reach: 6,
    make,
    pool,
    deliver: (n) => delivered.push(n),
    has: (n) => others.includes(n),
    record,
    broke: (error) => broken.push(error),
    ended: resolve,
  });
  pool.add(run);
  return { run, record, broken, delivered, ended: promise };
}

function counting(
  options: { until?: number; failOnceAt?: number; failAlwaysAt?: number; closed?: () => void } = {},
): SegmentMaker {
  let failed = false;
  return async function* (first, signal) {
    try {
      for (let n = first; n < (options.until ?? 100); n++) {
        signal.throwIfAborted();
        if (n === options.failAlwaysAt) throw new AppError('transcode-failed', `cannot make ${n}`);
        if (n === options.failOnceAt && !failed) {
          failed = true;
          throw new AppError('transcode-failed', `cannot make ${n} at first`);
        }
        await tick();
        yield Uint8Array.of(n);
      }
    } finally {
      options.closed?.();
    }
  };
}

test('a run makes what is asked for and a little more, then waits', async () => {
  const { run, delivered } = start(new RunPool(1), 5);
  assert.deepEqual([...(await run.wait(5, never))], [5]);
  for (let n = 0; n < 50; n++) await tick();
  assert.deepEqual(delivered, [5, 6, 7, 8]);
  assert.equal(run.covers(4), false);
  assert.equal(run.covers(8), false);
  assert.ok(run.covers(9));
  assert.ok(!run.covers(100));
  assert.deepEqual([...(await run.wait(11, never))], [11]);
  await run.stop(new AppError('server-closing', 'end of test'));
});

test('waiters of one segment share it; one who leaves ends only its own wait', async () => {
  const { run } = start(new RunPool(1), 0);
  const leaver = new AbortController();
  const left = run.wait(2, leaver.signal);
  const stayed = run.wait(2, never);
  leaver.abort(new Error('left'));
  await assert.rejects(left, /left/);
  assert.deepEqual([...(await stayed)], [2]);
  await run.stop(new AppError('server-closing', 'end of test'));
});

test('what another run has made is not made again for nobody', async () => {
  const { run, delivered } = start(new RunPool(1), 5, counting(), [7]);
  await run.wait(5, never);
  for (let n = 0; n < 50; n++) await tick();
  assert.deepEqual(delivered, [5, 6]);
  assert.deepEqual([...(await run.wait(8, never))], [8]);
  await run.stop(new AppError('server-closing', 'end of test'));
});

test('what nobody waits for any more is not made ahead', async () => {
  const { run, delivered } = start(new RunPool(1), 0);
  await run.wait(0, never);
  for (let n = 0; n < 50; n++) await tick();
  const leaver = new AbortController();
  const left = run.wait(5, leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(left, /left/);
  for (let n = 0; n < 50; n++) await tick();
  assert.deepEqual(delivered, [0, 1, 2, 3, 4], 'the one that was being made, and no more');
  await run.stop(new AppError('server-closing', 'end of test'));
});

test('nothing is made ahead while somebody waits for another run', async () => {
  const pool = new RunPool(2);
  const first = start(pool, 0);
  const gate = Promise.withResolvers<void>();
  const second = start(pool, 50, async function* (from, signal) {
    await gate.promise;
    yield* counting()(from, signal);
  });
  const wanted = second.run.wait(50, never);
  await first.run.wait(0, never);
  for (let n = 0; n < 50; n++) await tick();
  assert.deepEqual(first.delivered, [0]);
  assert.deepEqual([...(await first.run.wait(1, never))], [1], 'what somebody waits for is');
  gate.resolve();
  await wanted;
  for (let n = 0; n < 50; n++) await tick();
  assert.deepEqual(first.delivered, [0, 1, 2, 3, 4]);
  for (const { run } of [first, second]) await run.stop(new AppError('server-closing', 'end of test'));
});

test('a run that breaks goes on once from its last good segment; twice at one place is a failure', async () => {
  const once = start(new RunPool(1), 0, counting({ failOnceAt: 2 }));
  assert.deepEqual([...(await once.run.wait(3, never))], [3]);
  assert.deepEqual(once.delivered.slice(0, 4), [0, 1, 2, 3]);
  await once.run.stop(new AppError('server-closing', 'end of test'));
  const twice = start(new RunPool(1), 0, counting({ failAlwaysAt: 2 }));
  await assert.rejects(twice.run.wait(2, never), /cannot make 2/);
  assert.equal((await twice.ended)?.code, 'transcode-failed');
});

test('the end of the rendition ends the run, and tells those who wait for more', async () => {
  const { run, ended } = start(new RunPool(1), 0, counting({ until: 2 }));
  await assert.rejects(run.wait(4, never), /ended before this segment/);
  assert.equal(await ended, undefined);
});

test('stopping closes the maker, and the pool has room again', async () => {
  const pool = new RunPool(1);
  let closed = 0;
  const { run } = start(
    pool,
    0,
    counting({
      closed: () => {
        closed += 1;
      },
    }),
  );
  await run.wait(0, never);
  await run.stop(new AppError('server-closing', 'end of test'));
  assert.equal(closed, 1);
  assert.equal(pool.size, 0);
});

test('never more runs than the pool allows: one that nobody waits for makes room for one that is needed', async () => {
  const pool = new RunPool(1);
  const first = start(pool, 0);
  await first.run.wait(0, never);
  const second = start(pool, 50);
  assert.deepEqual([...(await second.run.wait(50, never))], [50]);
  assert.equal((await first.ended)?.code, 'server-busy');
  assert.equal(pool.size, 1);
  await second.run.stop(new AppError('server-closing', 'end of test'));
});

test('one that makes room is not waited for: its process may take its time to end', async () => {
  const pool = new RunPool(1);
  const gone = Promise.withResolvers<void>();
  const first = start(pool, 0, async function* (from, signal) {
    try {
      yield* counting()(from, signal);
    } finally {
      await gone.promise;
    }
  });
  await first.run.wait(0, never);
  const second = start(pool, 50);
  assert.deepEqual([...(await second.run.wait(50, never))], [50]);
  assert.equal(pool.size, 1);
  gone.resolve();
  assert.equal((await first.ended)?.code, 'server-busy');
  assert.equal(pool.size, 1);
  await second.run.stop(new AppError('server-closing', 'end of test'));
});

test('a needed run is not ended for another: that one begins when it has made what was asked', async () => {
  const pool = new RunPool(1);
  const first = start(pool, 0);
  const wanted = first.run.wait(6, never);
  const second = start(pool, 50);
  const later = second.run.wait(50, never);
  assert.equal(pool.size, 1);
  assert.deepEqual([...(await wanted)], [6]);
  assert.deepEqual([...(await later)], [50]);
  await second.run.stop(new AppError('server-closing', 'end of test'));
});

test('who asks for one segment after the other does not keep the place for ever', async () => {
  const pool = new RunPool(1);
  const first = start(pool, 0);
  const greedy = (async () => {
    for (let n = 0; first.run.covers(n); n++) await first.run.wait(n, never);
  })();
  await tick();
  const second = start(pool, 50);
  assert.deepEqual([...(await second.run.wait(50, never))], [50]);
  assert.equal((await first.ended)?.code, 'server-busy');
  assert.ok(first.delivered.length < 20, `${first.delivered}`);
  await greedy;
  await second.run.stop(new AppError('server-closing', 'end of test'));
});
