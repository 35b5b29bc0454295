import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor, withDeadline } from './abort.ts';
import { Limiter } from './limiter.ts';
import { Shared } from './shared.ts';

class Thing implements AsyncDisposable {
  disposed = 0;
  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed += 1;
  }
}

test('Shared makes a value once for all its holders and disposes of it with the last', async () => {
  const shared = new Shared<string, Thing>();
  let made = 0;
  const create = async (): Promise<Thing> => {
    made += 1;
    return new Thing();
  };
  const a = shared.acquire('k', create);
  const b = shared.acquire('k', create);
  const thing = await a.value;
  assert.equal(await b.value, thing);
  assert.equal(made, 1);
  await a.release();
  await a.release();
  assert.equal(thing.disposed, 0);
  await b.release();
  assert.equal(thing.disposed, 1);
  assert.equal(shared.size, 0);
  const c = shared.acquire('k', create);
  assert.notEqual(await c.value, thing);
  await c.release();
});

test('Shared aborts the making when nobody waits any more, and still disposes of what comes out', async () => {
  const shared = new Shared<string, Thing>();
  const thing = new Thing();
  let seen: AbortSignal | undefined;
  const lease = shared.acquire('k', async (signal) => {
    seen = signal;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return thing;
  });
  await lease.release();
  assert.equal(seen?.aborted, true);
  assert.equal(thing.disposed, 1);
});

test('Shared does not share a failure with later callers', async () => {
  const shared = new Shared<string, Thing>();
  const first = shared.acquire('k', async () => {
    throw new Error('no');
  });
  await assert.rejects(first.value, /no/);
  await first.release();
  const second = shared.acquire('k', async () => new Thing());
  await second.value;
  await second.release();
});

test('Limiter never runs more than its limit and serves in order; an aborted waiter leaves the queue', async () => {
  const limiter = new Limiter(2);
  const never = new AbortController().signal;
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const task = (n: number) => async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(n);
    running -= 1;
  };
  const leaver = new AbortController();
  const runs = [0, 1, 2, 3].map((n) => limiter.run(never, task(n)));
  const left = limiter.run(leaver.signal, task(99));
  const last = limiter.run(never, task(4));
  leaver.abort(new Error('left'));
  await assert.rejects(left, /left/);
  await Promise.all([...runs, last]);
  assert.equal(most, 2);
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
});

test('waitFor ends only the wait; withDeadline gives its own error', async () => {
  const controller = new AbortController();
  const work = Promise.withResolvers<number>();
  const wait = waitFor(work.promise, controller.signal);
  controller.abort(new Error('viewer left'));
  await assert.rejects(wait, /viewer left/);
  work.resolve(1);
  assert.equal(await waitFor(work.promise, new AbortController().signal), 1);
  await assert.rejects(
    withDeadline(
      new AbortController().signal,
      5,
      () => new Error('too slow'),
      () => new Promise(() => {}),
    ),
    /too slow/,
  );
});
