import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOrigin } from '../../test/fixtures/origin.ts';
import { anyAddress } from './guard.ts';
import { HttpTransport } from './http-transport.ts';
import { defaultTuning } from './http-tuning.ts';

test('exchanges are bounded in the whole process, and their places come back', async () => {
  await using origin = await startOrigin({ stallHead: true });
  const transports = [1, 2].map(() => new HttpTransport(anyAddress, { ...defaultTuning, connections: 100 }));
  const leave = new AbortController();
  const limits = { headers: {}, headTimeout: 600_000, stallTimeout: 600_000 } as const;
  const ask = (n: number, signal: AbortSignal) =>
    transports[n % 2]?.exchange({ method: 'GET', url: new URL(origin.url), ...limits }, () => undefined, signal);
  const waiting = Array.from({ length: 128 }, (_, n) => ask(n, leave.signal));
  const impatient = new AbortController();
  const gone = ask(0, impatient.signal);
  impatient.abort(new Error('gone'));
  await assert.rejects(gone as Promise<void>, /gone/);
  await assert.rejects(ask(1, new AbortController().signal) as Promise<void>, { code: 'server-full' });
  leave.abort(new Error('left'));
  await Promise.all(waiting.map((one) => assert.rejects(one as Promise<void>, /left/)));
  origin.behaviour = {};
  for (let n = 0; n < 200; n++) await ask(n, new AbortController().signal);
  for (const transport of transports) await transport.dispose();
});
