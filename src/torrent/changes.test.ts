import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Changes } from './changes.ts';

test('many changes of one turn are told once, at its end', async () => {
  let told = 0;
  using changes = new Changes(() => {
    told += 1;
  });
  changes.made(false);
  changes.made(true);
  changes.made(true);
  assert.equal(told, 0);
  await Promise.resolve();
  assert.equal(told, 1);
  changes.made(true);
  await Promise.resolve();
  assert.equal(told, 2);
  await delay(30);
  assert.equal(told, 2, 'the urgent one has taken the other along');
});

test('what is not urgent is told without another change', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  using changes = new Changes(resolve);
  changes.made(false);
  await promise;
});

test('nothing is told after the end', async () => {
  let told = 0;
  const changes = new Changes(() => {
    told += 1;
  });
  changes.made(false);
  changes.made(true);
  changes[Symbol.dispose]();
  changes.made(true);
  await delay(30);
  assert.equal(told, 0);
});
