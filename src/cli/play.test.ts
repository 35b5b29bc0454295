import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localUrl, pageAddress } from './play.ts';

test('the address of the page holds the source whole', () => {
  const source = 'https://a.example/x?y=1&t=5#z ä';
  const address = new URL(pageAddress('http://127.0.0.1:6969', { source, at: 90 }));
  const words = new URLSearchParams(address.hash.slice(1));
  assert.deepEqual([words.get('source'), words.get('t')], [source, '90']);
  assert.equal(pageAddress('http://[::1]:1', { source: '/a', at: 0 }), 'http://[::1]:1/#source=%2Fa');
});

test('a server on all interfaces is opened at this machine', () => {
  assert.equal(localUrl('http://[::]:6969'), 'http://127.0.0.1:6969');
  assert.equal(localUrl('http://0.0.0.0:1'), 'http://127.0.0.1:1');
  for (const url of ['http://192.168.1.2:1', 'http://[::1]:1']) assert.equal(localUrl(url), url);
});
