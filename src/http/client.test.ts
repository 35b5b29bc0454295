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
  assert.deepEqual(client('::ffff:192.168.1.9'), {
    address: '192.168.1.9',
    network: '192.168.1.9',
    loopback: false,
  });
});

test('what a proxy on this machine passes on is not local, and is told apart by what the proxy saw', () => {
  for (const [forwarded, address] of [
    ['127.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['127.0.0.1', '127.0.0.1'],
    ['203.0.113.9:4711', '203.0.113.9'],
    ['203.0.113.8, 203.0.113.9:4711', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['[::ffff:203.0.113.9]:4711', '203.0.113.9'],
    ['203.0.113.9:', 'behind a proxy'],
    ['nobody', 'behind a proxy'],
    ['[nobody]:1', 'behind a proxy'],
    ['', 'behind a proxy'],
  ] as const) {
    const { address: found, loopback } = client('::1', { 'x-forwarded-for': forwarded });
    assert.deepEqual([found, loopback], [address, false], forwarded);
  }
  for (const name of ['forwarded', 'via', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-for']) {
    assert.equal(client('127.0.0.1', { [name]: '' }).loopback, false, name);
  }
});

test('a client of another machine cannot name another address', () => {
  assert.equal(client('192.168.1.9', { 'x-forwarded-for': '127.0.0.1' }).address, '192.168.1.9');
});

test('limits count all addresses of one network of IPv6 as one client', () => {
  const network = (text: string) => client('127.0.0.1', { 'x-forwarded-for': text }).network;
  assert.equal(network('2001:db8::1'), network('[2001:db8::2]:4711'));
  assert.equal(client('2001:db8::3').network, network('2001:db8::1'));
  assert.notEqual(network('2001:db8:0:1::1'), network('2001:db8::1'));
  assert.notEqual(network('203.0.113.9:1'), network('203.0.113.8:1'));
});
