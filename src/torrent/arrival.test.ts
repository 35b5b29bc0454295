import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { Arrival } from './arrival.ts';
import type { Content } from './content.ts';

const content = {} as Content;
const never = new AbortController().signal;
const late = (): AppError => new AppError('torrent-no-metadata', 'late');

test('who waits gets what comes, who asks later too', async () => {
  using arrival = new Arrival();
  const waiting = arrival.wait(never);
  arrival.resolve(content);
  assert.equal(await waiting, content);
  assert.equal(await arrival.wait(never), content);
});

test('an error ends the wait of all, until something comes after all', async () => {
  using arrival = new Arrival();
  const waiting = arrival.wait(never);
  arrival.expect(5, late);
  await assert.rejects(waiting, /late/);
  await assert.rejects(arrival.wait(never), /late/);
  assert.equal(arrival.failure?.code, 'torrent-no-metadata');
  arrival.resolve(content);
  assert.equal(arrival.failure, undefined);
  assert.equal(await arrival.wait(never), content);
});

test('what has come is not late, and nobody is told of what is disposed of', async () => {
  using arrival = new Arrival();
  arrival.expect(5, late);
  arrival.resolve(content);
  const disposed = new Arrival();
  disposed.expect(5, late);
  disposed[Symbol.dispose]();
  await delay(30);
  assert.equal(arrival.failure, undefined);
  assert.equal(disposed.failure, undefined);
});

test('a waiter who goes ends only its own wait', async () => {
  using arrival = new Arrival();
  const leaving = new AbortController();
  const gone = arrival.wait(leaving.signal);
  const stays = arrival.wait(never);
  leaving.abort(new Error('left'));
  await assert.rejects(gone, /left/);
  arrival.resolve(content);
  assert.equal(await stays, content);
});
