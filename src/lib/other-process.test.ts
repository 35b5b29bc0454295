import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { whenGone } from './other-process.ts';

/** A process that does nothing until it is killed. */
function idle() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e9); console.log()'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { child, pid: child.pid as number, started: once(child.stdout, 'data') };
}

test('tells the first of several processes that ends, once', async () => {
  const [first, second] = [idle(), idle()];
  await Promise.all([first.started, second.started]);
  const told: number[] = [];
  const gone = Promise.withResolvers<void>();
  using _watch = whenGone([process.pid, first.pid, second.pid], (pid) => {
    told.push(pid);
    gone.resolve();
  });
  assert.deepEqual(told, []);
  const alive = setInterval(() => {}, 1_000); // as the server does; the watch itself keeps nothing alive
  second.child.kill('SIGKILL');
  await gone.promise;
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  clearInterval(alive);
  assert.deepEqual(told, [second.pid]);
});

test('tells at once of a process that is not there', async () => {
  const { child, pid, started } = idle();
  await started;
  child.kill('SIGKILL');
  await once(child, 'exit');
  const told: number[] = [];
  whenGone([pid], (one) => told.push(one));
  assert.deepEqual(told, [pid]);
});

test('a process that nobody has waited for has ended', {
  skip: process.platform !== 'linux' && 'Linux alone tells',
}, async () => {
  // The shell becomes `sleep`, which never asks how the child that it inherits has ended.
  const parent = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  const told = Promise.withResolvers<number>();
  const alive = setInterval(() => {}, 1_000);
  let isTold = false;
  using _watch = whenGone([pid], (one) => {
    isTold = true;
    told.resolve(one);
  });
  assert.equal(isTold, false);
  process.kill(pid, 'SIGKILL');
  assert.equal(await told.promise, pid);
  assert.doesNotThrow(() => process.kill(pid, 0)); // its id is still taken
  clearInterval(alive);
  parent.kill('SIGKILL');
});

test('without processes nothing is watched', () => {
  using _watch = whenGone([], () => assert.fail());
});
