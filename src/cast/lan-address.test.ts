import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { castOrigin } from './lan-address.ts';

const found = async () => '192.168.1.5';

test('where cast devices reach the server', async () => {
  const url = async (host: string, castHost?: { host: string; port?: number }) =>
    (await castOrigin({ castHost, listen: { host, port: 6969 }, findAddress: found })).url;
  assert.equal(await url('::'), 'http://192.168.1.5:6969');
  assert.equal(await url('0.0.0.0'), 'http://192.168.1.5:6969');
  assert.equal(await url('192.168.1.7'), 'http://192.168.1.7:6969');
  assert.equal(await url('fd00::7'), 'http://[fd00::7]:6969');
  assert.equal(await url('::', { host: 'tv.example' }), 'http://tv.example:6969');
  assert.equal(await url('127.0.0.1', { host: 'fd00::1', port: 80 }), 'http://[fd00::1]:80');
});

test('what other devices will not reach is said', async () => {
  const castHost = undefined;
  for (const host of ['127.0.0.1', '::1', 'localhost']) {
    const { url, warning } = await castOrigin({ castHost, listen: { host, port: 1 }, findAddress: found });
    assert.equal(url, 'http://192.168.1.5:1');
    assert.match(warning ?? '', /RAFFI_SERVER_ADDR/);
  }
  const alone = await castOrigin({ castHost, listen: { host: '::', port: 1 }, findAddress: async () => undefined });
  assert.match(alone.warning ?? '', /RAFFI_CAST_HOST/);
});

test("the system's own answer is an address, where there is any", async () => {
  const { url, warning } = await castOrigin({ castHost: undefined, listen: { host: '0.0.0.0', port: 1 } });
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  assert.ok(isIP(host) !== 0);
  assert.equal(host === '0.0.0.0', warning !== undefined);
});
