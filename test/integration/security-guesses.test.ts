import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendRaw } from '../fixtures/raw-http.ts';
import { startTestServer } from './harness.ts';

test('the launch token cannot be guessed, nor does guessing shut out anybody else', async () => {
  await using own = await startTestServer({ RAFFI_LAUNCH_TOKEN: 'the-launch-token' });
  const { host: there } = new URL(own.url);
  const get = (...headers: string[]): string =>
    `${['GET /health HTTP/1.1', `Host: ${there}`, 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
  const ask = (token: string, origin = 'null') => sendRaw(own.url, get(`Origin: ${origin}`, `X-Raffi-Token: ${token}`));
  assert.equal((await ask('the-launch-token')).status, 200);
  let last = await ask('guess');
  for (let n = 0; n < 30 && last.status === 403; n++) last = await ask(`guess-${n}`);
  assert.equal(last.status, 429);
  assert.ok(Number(last.headers.get('retry-after')) >= 1);
  assert.equal((await ask('the-launch-token')).status, 429, 'right or wrong is not told any more');
  assert.equal((await ask('guess', 'app://raffi')).status, 200, 'who needs no token');
  assert.equal((await sendRaw(own.url, get())).status, 200);
});
