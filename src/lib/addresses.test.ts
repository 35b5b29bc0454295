import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import {
  type AddressKind,
  addressKind,
  canonicalAddress,
  clientNetwork,
  isOwnAddress,
  kindsFromHere,
} from './addresses.ts';

const KINDS: Record<AddressKind, readonly string[]> = {
  public: [
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '172.15.255.255',
    '100.63.255.255',
    '100.128.0.0',
    '192.167.255.255',
  ].concat(
    ['9.255.255.255', '11.0.0.0', '126.255.255.255', '128.0.0.0', '223.255.255.255', '169.253.0.1', '198.17.0.1'],
    ['2606:4700::1111', '2001:4860:4860::8888', '::ffff:8.8.8.8', '64:ff9b::808:808', '2002:808:808::1', 'fb00::1'],
  ),
  private: [
    '10.0.0.0',
    '10.255.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '100.64.0.1',
    '100.127.255.255',
  ].concat(
    [
      '198.18.0.1',
      '192.0.2.2',
      '203.0.113.1',
      '2001:db8::1',
      '198.19.255.255',
      'fc00::1',
      'fdff::1',
      'fe80::1',
      'fe80::1%eth0',
      'fec0::1',
      '64:ff9b:1::1',
    ],
    [
      '::ffff:192.168.1.1',
      '::ffff:c0a8:101',
      '::192.168.1.1',
      '64:ff9b::10.0.0.1',
      '2002:c0a8:101::',
      '::ffff:0:10.1.2.3',
    ],
  ),
  loopback: [
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '::1',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::127.0.0.1',
  ].concat(['64:ff9b::7f00:1', '2002:7f00:1::', '0:0:0:0:0:0:0:1', '::ffff:0.0.0.0']),
  metadata: [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.0.23',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
  ].concat(['fd00:ec2::254', 'fd20:ce::254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1']),
  unusable: ['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '0.0.0.1', 'ff02::1'].concat([
    '2001:0:808:808::1',
    '100::1',
    'nonsense',
    '',
    '1.2.3',
    '::ffff:255.255.255.255',
  ]),
};

for (const [kind, addresses] of Object.entries(KINDS)) {
  test(`addresses that are ${kind}`, () => {
    for (const address of addresses) assert.equal(addressKind(address), kind, address);
  });
}

test('each address has one spelling', () => {
  for (const [one, other] of [
    ['::ffff:192.168.1.5', '192.168.1.5'],
    ['FE80::1%eth0', 'fe80:0:0:0:0:0:0:1'],
    ['::1', '0:0::0:1'],
    ['LocalHost', 'localhost'],
  ] as const) {
    assert.equal(canonicalAddress(one), canonicalAddress(other));
  }
  assert.notEqual(canonicalAddress('fe80::1'), canonicalAddress('fe80::2'));
});

test("this machine's own addresses", () => {
  for (const { address } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
    assert.equal(isOwnAddress(address), true, address);
  }
  assert.equal(isOwnAddress('::ffff:127.0.0.1'), true);
  assert.equal(isOwnAddress('203.0.113.7'), false);
});

test('from here, what our interfaces have is this machine, and their networks are private', () => {
  const one = (address: string, cidr: string, more = {}) => ({
    ...{ address, cidr, netmask: '', mac: '', internal: false, scopeid: 0, family: 'IPv4' as const },
    ...more,
  });
  const kind = kindsFromHere({
    eth0: [
      one('8.8.4.4', '8.8.4.4/24'),
      one('192.168.1.5', '192.168.1.5/24'),
      one('2606:4700::5', '2606:4700::5/64'),
      one('169.254.3.4', '169.254.3.4/16'),
    ],
    tun0: [one('9.0.0.1', '9.0.0.1/1')],
    lo: [one('127.0.0.1', '127.0.0.1/8', { internal: true })],
  });
  const expected: Readonly<Record<AddressKind, readonly string[]>> = {
    loopback: ['8.8.4.4', '::ffff:8.8.4.4', '192.168.1.5', '2606:4700:0::5', '9.0.0.1', '127.0.0.1', '0.0.0.0'],
    private: ['8.8.4.5', '::ffff:192.168.1.6', '192.168.1.6', '10.0.0.1', '2606:4700::6'],
    public: ['8.8.5.4', '2606:4700:0:1::5', '1.1.1.1', '9.0.0.2'],
    metadata: ['169.254.169.254', '169.254.3.4'],
    unusable: ['255.255.255.255', 'x'],
  };
  for (const [name, addresses] of Object.entries(expected))
    for (const address of addresses) assert.equal(kind(address), name, address);
});

test('one client is one IPv4 address, or one network of 64 bits', () => {
  assert.equal(clientNetwork('2606:4700:0:1::5'), clientNetwork('2606:4700:0:1:ffff:ffff:ffff:ffff'));
  assert.notEqual(clientNetwork('2606:4700:0:1::5'), clientNetwork('2606:4700:0:2::5'));
  assert.notEqual(clientNetwork('192.168.1.5'), clientNetwork('192.168.1.6'));
  assert.equal(clientNetwork('::ffff:192.168.1.5'), '192.168.1.5');
  assert.notEqual(clientNetwork('::1'), clientNetwork('::2'));
});
