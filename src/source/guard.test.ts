import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import { kindsFromHere } from '../lib/addresses.ts';
import { type GuardRules, sourceGuard, systemNetwork } from './guard.ts';

const rules = (typed: string, more: Partial<GuardRules> = {}): GuardRules => ({
  network: systemNetwork,
  typed: new URL(typed),
  allowPrivate: true,
  isOwn: (host, port) => port === 6969 && ['127.0.0.1', '::1', 'tv.example'].includes(host),
  ...more,
});

/** What a guard says to a connection to `url`, whose name leads to `address` (its own, if it is one). */
function verdict(guard: GuardRules, url: string, address?: string): string {
  const { checkUrl, checkAddress } = sourceGuard(guard);
  const target = new URL(url);
  try {
    checkUrl(target);
    checkAddress(new URL(target.origin), address ?? target.hostname.replace(/^\[|\]$/g, ''));
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, 'source-forbidden', error.detail);
    return error.detail;
  }
}

test('public addresses may be anywhere on the way', () => {
  const typed = rules('https://films.example/a.mkv', { allowPrivate: false });
  assert.equal(verdict(typed, 'https://films.example/a.mkv', '8.8.8.8'), 'ok');
  assert.equal(verdict(typed, 'http://cdn.example:8080/a.mkv', '2606:4700::1'), 'ok');
  assert.equal(verdict(typed, 'http://1.1.1.1/a.mkv'), 'ok');
});

test('a public name never leads into this machine or the local network', () => {
  for (const allowPrivate of [true, false]) {
    const typed = rules('https://films.example/a.mkv', { allowPrivate });
    for (const address of [
      '127.0.0.1',
      '10.0.0.1',
      '::1',
      'fd12::1',
      '::ffff:192.168.1.1',
      '64:ff9b::7f00:1',
      '0.0.0.0',
    ]) {
      assert.match(verdict(typed, 'https://films.example/a.mkv', address), /public name/, address);
      assert.match(verdict(typed, 'https://rebind.example/a.mkv', address), /public name/, address);
    }
  }
});

test('a redirect leads to no private address', () => {
  const typed = rules('https://films.example/a.mkv');
  for (const url of [
    'http://127.0.0.1:8080/',
    'http://192.168.1.1/',
    'http://[::1]/',
    'http://[fe80::1]/',
    'http://2130706433/',
  ]) {
    assert.match(verdict(typed, url), /only an address that you give yourself/, url);
  }
  assert.match(verdict(typed, 'http://localhost:80/', '127.0.0.1'), /only an address/);
  assert.match(verdict(typed, 'http://nas.local/', '192.168.1.9'), /only an address/);
});

test('a typed private address is allowed where that is allowed, with its own redirects', () => {
  for (const [typed, address] of [
    ['http://192.168.1.9:8096/a.mkv', undefined],
    ['http://[fd12::9]/a.mkv', undefined],
    ['http://nas.local/a.mkv', '192.168.1.9'],
    ['http://nas/a.mkv', '192.168.1.9'],
    ['http://nas.home.arpa/a.mkv', 'fd12::9'],
    ['http://localhost:8080/a.mkv', '127.0.0.1'],
    ['http://127.0.0.1:8080/a.mkv', undefined],
  ] as const) {
    assert.equal(verdict(rules(typed), typed, address), 'ok', typed);
    assert.match(verdict(rules(typed, { allowPrivate: false }), typed, address), /may not use/, typed);
  }
  assert.equal(verdict(rules('http://192.168.1.9/a'), 'https://192.168.1.9:8443/b'), 'ok');
  assert.match(verdict(rules('http://192.168.1.9/a'), 'http://192.168.1.1/b'), /only an address/);
});

test('on this machine, another port is another program', () => {
  assert.match(verdict(rules('http://127.0.0.1:8080/a'), 'http://127.0.0.1:8081/b'), /only an address/);
  assert.equal(verdict(rules('http://127.0.0.1:8080/a'), 'http://127.0.0.1:8080/b'), 'ok');
  assert.match(verdict(rules('http://127.0.0.1:8080/a'), 'http://localhost:8080/b', '127.0.0.1'), /only an address/);
});

test('metadata addresses, this server itself and addresses of nobody are refused, whoever asks', () => {
  for (const [typed, address, words] of [
    ['http://169.254.169.254/latest/meta-data', undefined, /credentials/],
    ['http://[fd00:ec2::254]/', undefined, /credentials/],
    ['http://[::ffff:a9fe:a9fe]/', undefined, /credentials/],
    ['http://metadata.google.internal/', '169.254.169.254', /credentials/],
    ['http://films.example/', '169.254.169.254', /credentials/],
    ['http://127.0.0.1:6969/sessions', undefined, /this server itself/],
    ['http://localhost:6969/sessions', '::1', /this server itself/],
    ['http://tv.example:6969/sessions', '8.8.8.8', /this server itself/],
    ['http://224.0.0.1/', undefined, /no host/],
    ['http://255.255.255.255/', undefined, /no host/],
  ] as const) {
    assert.match(verdict(rules(typed), typed, address), words, typed);
  }
});

test('other schemes', () => {
  for (const url of ['file:///etc/passwd', 'ftp://films.example/', 'gopher://x/', 'data:,x']) {
    assert.throws(() => sourceGuard(rules('http://a.example')).checkUrl(new URL(url)), { code: 'source-unsupported' });
  }
});

test('a public address of our own is this machine: other programs of it are not for redirects', () => {
  const { lookup } = systemNetwork;
  const eth0 = { address: '8.8.4.4', cidr: '8.8.4.4/24', netmask: '', mac: '', internal: false } as const;
  const network = { lookup, kind: kindsFromHere({ eth0: [{ ...eth0, family: 'IPv4' }] }) };
  const films = rules('https://films.example/a.mkv', { network });
  assert.match(verdict(films, 'http://8.8.4.4:9200/'), /only an address/);
  assert.match(verdict(films, 'https://films.example/', '8.8.4.4'), /public name/);
  assert.match(verdict(films, 'http://8.8.4.5/'), /only an address/, 'a neighbour');
  assert.equal(verdict(films, 'http://8.8.5.5/'), 'ok');
  const typed = rules('http://8.8.4.4:8096/a.mkv', { network });
  assert.equal(verdict(typed, 'http://8.8.4.4:8096/b.mkv'), 'ok', 'typed');
  assert.match(verdict(typed, 'http://8.8.4.4:9200/'), /only an address/, 'another program');
  assert.match(verdict({ ...typed, allowPrivate: false }, 'http://8.8.4.4:8096/a.mkv'), /may not use/);
});

test("all that this machine's interfaces have is this machine to the guard that is used", () => {
  for (const { address } of Object.values(networkInterfaces()).flatMap((list) => list ?? []))
    assert.ok(['loopback', 'metadata'].includes(systemNetwork.kind(address)), address);
});
