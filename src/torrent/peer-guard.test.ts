import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { farther, nearnessOf, usablePeers } from './peer-guard.ts';

const OWN = { port: 6969, places: [{ host: '8.8.4.4', port: 8443 }] };
const PEERS = {
  public: ['8.8.8.8', '2606:4700::1', '::ffff:8.8.8.8'],
  private: ['192.168.1.9', '10.0.0.1', 'fd12::1', 'fe80::1', '::ffff:192.168.1.9', '64:ff9b::c0a8:0109'],
  loopback: ['127.0.0.1', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '127.9.9.9', '0.0.0.0', '::', '64:ff9b::7f00:1'],
} as const;
const NEVER = [
  '169.254.169.254',
  'fd00:ec2::254',
  '::ffff:169.254.169.254',
  '100.100.100.200',
  '255.255.255.255',
].concat(['239.1.1.1', 'ff02::1', 'localhost', 'x', '', '127.1', '2130706433']);
const hosts = (peers: readonly string[], from: keyof typeof PEERS, port = 80): string[] =>
  usablePeers(
    peers.map((host) => ({ host, port })),
    from,
    OWN,
  ).map(({ host }) => host);

test('nobody leads nearer than where they are', () => {
  const { public: far, private: near, loopback: here } = PEERS;
  for (const [from, may, not] of [
    ['public', [...far], [...near, ...here]],
    ['private', [...far, ...near], [...here]],
    ['loopback', [...far, ...near, ...here], []],
  ] as const) {
    assert.deepEqual(hosts([...may, ...not, ...NEVER], from), may, from);
  }
});

test("what this machine's interfaces have is this machine", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = own.map(({ address }) => address).filter((address) => !address.startsWith('169.254.'));
  assert.deepEqual(hosts(addresses, 'private'), []);
  assert.deepEqual(hosts(addresses, 'loopback'), addresses);
});

test('this server itself is no peer, whoever says so', () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = [...PEERS.loopback, ...own.map(({ address }) => address)];
  assert.deepEqual(hosts(addresses, 'loopback', 6969), []);
  assert.deepEqual(hosts(['8.8.4.4', '::ffff:8.8.4.4'], 'loopback', 8443), []);
  assert.deepEqual(hosts(['8.8.4.4', '8.8.8.8'], 'public', 6969), ['8.8.4.4', '8.8.8.8']);
});

test('ports that there are not', () => {
  for (const port of [0, -1, 65_536, 1.5, Number.NaN]) assert.deepEqual(hosts(['8.8.8.8'], 'loopback', port), []);
});

test('where somebody is', () => {
  for (const [name, addresses] of Object.entries(PEERS))
    for (const address of addresses) assert.equal(nearnessOf(address), name, address);
  for (const address of ['169.254.169.254', 'a stream', '']) assert.equal(nearnessOf(address), 'public', address);
  assert.equal(farther('loopback', 'public'), 'public');
  assert.equal(farther('private', 'loopback'), 'private');
});
