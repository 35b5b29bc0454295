import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Limiter } from '../lib/limiter.ts';
import { CutPlaces } from './cut-places.ts';

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('tasks of one cut run together, those of others wait for a place', async () => {
  const places = new CutPlaces(new Limiter(1));
  const running = new Set<string>();
  const ends = new Map<string, () => void>();
  const run = (n: number, name: string, signal = never): Promise<void> =>
    places.run(n, signal, async () => {
      running.add(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      running.delete(name);
    });
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await turn();
  };
  const gone = new AbortController();
  const all = [run(1, 'picture 1'), run(2, 'picture 2', gone.signal), run(2, 'sound 2'), run(1, 'sound 1')];
  await turn();
  assert.deepEqual([...running], ['picture 1', 'sound 1']);
  // Who leaves takes nobody's place away.
  gone.abort(new Error('gone'));
  await assert.rejects(all[1] as Promise<void>, /gone/);
  await end('picture 1');
  assert.deepEqual([...running], ['sound 1']);
  await end('sound 1');
  assert.deepEqual([...running], ['sound 2']);
  all.push(run(3, 'picture 3'), run(2, 'picture 2'));
  await turn();
  assert.deepEqual([...running], ['sound 2', 'picture 2']);
  await end('sound 2');
  await end('picture 2');
  assert.deepEqual([...running], ['picture 3']);
  await end('picture 3');
  await Promise.allSettled(all);
});

test('a task that fails gives its place back', async () => {
  const places = new CutPlaces(new Limiter(1));
  const failing = places.run(1, never, () => Promise.reject(new Error('no')));
  await assert.rejects(failing, /no/);
  assert.equal(await places.run(2, never, async () => 'yes'), 'yes');
});
