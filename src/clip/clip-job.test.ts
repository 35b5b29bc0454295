import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import { type ClipInfo, ClipJob, type ClipWork } from './clip-job.ts';

const about = { sessionId: 's', start: 1, end: 2 };
const never = new AbortController().signal;

/** A job and all that was told of it. */
function made(work: ClipWork): { job: ClipJob; told: string[] } {
  const told: string[] = [];
  const job = new ClipJob(about, work, ({ state, progress }: ClipInfo) => told.push(`${state} ${progress}`));
  return { job, told };
}

const result = { outputPath: '/clips/a.mp4', method: 'smart' } as const;

test('a job tells when it is queued, begins, advances and is done', async () => {
  const { job, told } = made(async ({ begun, onProgress }) => {
    begun();
    for (const share of [0.001, 0.5, 0.504, 0.4, 7]) onProgress(share);
    return result;
  });
  assert.deepEqual([job.info.state, job.hasEnded], ['queued', false]);
  const { id, sessionId, createdAt, endedAt, ...info } = await job.finished(never);
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.ok(endedAt && endedAt >= createdAt);
  assert.deepEqual(info, { start: 1, end: 2, state: 'done', progress: 1, ...result });
  assert.deepEqual(told, ['queued 0', 'running 0', 'running 0.5', 'running 0.99', 'done 1']);
});

test('a job that fails keeps why', async () => {
  const { job, told } = made(() => Promise.reject(new AppError('disk-full', 'There is no room.')));
  await assert.rejects(job.finished(never), { code: 'disk-full' });
  assert.equal(job.info.error?.code, 'disk-full');
  assert.equal(told.at(-1), 'failed 0');
});

test('cancelling resolves when the work has ended', async () => {
  let cleaned = false;
  const under = Promise.withResolvers<void>();
  const { job, told } = made(async ({ begun }, signal) => {
    begun();
    under.resolve();
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await new Promise((resolve) => setImmediate(resolve));
    cleaned = true;
    throw signal.reason;
  });
  const waiting = assert.rejects(job.finished(never), { code: 'clip-cancelled' });
  await under.promise;
  await job.cancel(new AppError('clip-cancelled', 'The clip was cancelled.'));
  assert.ok(cleaned);
  await waiting;
  assert.deepEqual(told, ['queued 0', 'running 0', 'cancelled 0']);
  await job.cancel(new AppError('clip-cancelled', 'again'));
});

test('a job that is cancelled at once does nothing', async () => {
  let began = false;
  const { job, told } = made(async () => {
    began = true;
    return result;
  });
  await job.cancel(new AppError('clip-cancelled', 'The clip was cancelled.'));
  assert.deepEqual([began, told], [false, ['queued 0', 'cancelled 0']]);
});

test('a waiter that leaves ends only its own wait', async () => {
  const gate = Promise.withResolvers<typeof result>();
  const { job } = made(() => gate.promise);
  const left = new AbortController();
  const waiting = job.finished(left.signal);
  left.abort(new Error('left'));
  await assert.rejects(waiting, /left/);
  gate.resolve(result);
  assert.equal((await job.finished(never)).state, 'done');
});
