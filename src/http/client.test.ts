import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { clientOf } from './client.ts';

const client = (remoteAddress: string, headers: Record<string, string> = {}) =>
  clientOf({ headers, socket: { remoteAddress } } as Pick<IncomingMessage, 'headers' | 'socket'>);

test('programs of this machine are local, others are not', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])
    assert.equal(client(address).loopback, true);
  for (const address of ['192.168.1.9', '::ffff:192.168.1.9', '8.8.8.8', 'fe80::1', '']) {
    assert.equal(client(address).loopback, false, address);
  }
  assert.deepEqual(client('::ffff:192.168.1.9'), { address: '192.168.1.9', loopback: false });
});

test('what a proxy on this machine passes on is not local, and is told apart by what the proxy saw', () => {
  assert.deepEqual(client('127.0.0.1', { 'x-forwarded-for': '127.0.0.1, 203.0.113.9' }), {
    address: '203.0.113.9',
    loopback: false,
  });
  assert.deepEqual(client('::1', { 'x-forwarded-for': '127.0.0.1' }), { address: '127.0.0.1', loopback: false });
  for (const name of ['forwarded', 'via', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-for']) {
    assert.equal(client('127.0.0.1', { [name]: '' }).loopback, false, name);
  }
});

test('a client of another machine cannot name another address', () => {
  assert.equal(client('192.168.1.9', { 'x-forwarded-for': '127.0.0.1' }).address, '192.168.1.9');
});
