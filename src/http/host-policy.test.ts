import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import type { Authority } from '../lib/authority.ts';
import { checkHost } from './host-policy.ts';

const OWN = new Set(['192.168.1.5', '127.0.0.1', '::1', 'fd00::5', '127.0.0.2']);

/** What becomes of a request with these Host headers on port 6969: `ok` or the error's code. */
function verdict(
  hosts: readonly string[],
  names: readonly Authority[] = [],
  target = '/',
  localPort = 6969,
  listenHost = '::',
): string {
  const rawHeaders = ['Accept', 'Host', ...hosts.flatMap((host) => ['hOsT', host])];
  try {
    checkHost({ rawHeaders, target, localAddress: '::ffff:192.168.1.4', localPort, listenHost }, names, (host) =>
      OWN.has(host),
    );
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof AppError);
    assert.match(error.detail, /Host/);
    return error.code;
  }
}

test('our addresses with our port', () => {
  for (const host of [
    'localhost:6969',
    'LocalHost:6969',
    '127.0.0.1:6969',
    '[::1]:6969',
    '192.168.1.5:6969',
    '192.168.1.4:6969',
    '[fd00::5]:6969',
  ]) {
    assert.equal(verdict([host]), 'ok', host);
  }
  assert.equal(verdict(['localhost'], [], '/', 80), 'ok');
  assert.equal(verdict(['localhost:80'], [], '/', 80), 'ok');
});

test('addresses of the network only when the server listens there', () => {
  assert.equal(verdict(['192.168.1.5:6969'], [], '/', 6969, '127.0.0.1'), 'misdirected');
  assert.equal(verdict(['127.0.0.1:6969'], [], '/', 6969, '127.0.0.1'), 'ok');
});

test('what the server listens on, with its port', () => {
  for (const [listenHost, host] of [
    ['box.lan', 'Box.lan'],
    ['127.0.0.5', '127.0.0.5'],
  ] as const) {
    assert.equal(verdict([`${host}:6969`], [], '/', 6969, listenHost), 'ok', host);
    assert.equal(verdict([`${host}:6970`], [], '/', 6969, listenHost), 'misdirected', host);
    assert.equal(verdict([`${host}:6969`], [], '/', 6969, 'localhost'), 'misdirected', host);
  }
});

test('no address stands for all of them', () => {
  for (const listenHost of ['::', '0.0.0.0', '127.0.0.1'])
    for (const host of ['[::]', '0.0.0.0', '[0:0::0]', '[::ffff:0.0.0.0]', '[::0.0.0.0]'])
      assert.equal(verdict([`${host}:6969`], [], '/', 6969, listenHost), 'misdirected', `${host} at ${listenHost}`);
});

test('everything else', () => {
  const foreign = [
    'evil.example',
    'evil.example:6969',
    'localhost',
    'localhost:80',
    'localhost:6970',
    '127.0.0.1',
    '192.168.1.6:6969',
  ].concat(
    [
      'localhost.evil.example:6969',
      'evil.example@localhost:6969',
      'localhost:6969@evil.example',
      'user@127.0.0.1:6969',
      '',
    ],
    [
      'localhost.:6969',
      'localhost:06969x',
      'localhost:+6969',
      'localhost: 6969',
      ' localhost :6969',
      'localhost:6969, evil',
      '2130706433:6969',
    ],
    [
      '127.1:6969',
      '0x7f.0.0.1:6969',
      '0.0.0.0:6969',
      '[::ffff:127.0.0.1]:6969',
      '::1:6969',
      '[::1:6969',
      '[::1]',
      'a'.repeat(9000),
    ],
    [
      'localhost:6969/',
      'http://localhost:6969',
      'localhost:6969#',
      'localhost:6969\\',
      'lоcalhost:6969',
      'localhost:',
      'localhost:0',
    ],
  );
  for (const host of foreign) assert.equal(verdict([host]), 'misdirected', host);
});

test('exactly one', () => {
  assert.equal(verdict([]), 'bad-request');
  assert.equal(verdict(['localhost:6969', 'localhost:6969']), 'misdirected');
  assert.equal(verdict(['localhost:6969', 'evil.example']), 'misdirected');
  assert.equal(verdict(['evil.example', 'localhost:6969']), 'misdirected');
});

test('names that the operator allows, with any port or their own', () => {
  const names = [{ host: 'films.example' }, { host: 'box.lan', port: 8443 }];
  for (const host of ['films.example', 'Films.Example:443', 'films.example:6969', 'box.lan:8443']) {
    assert.equal(verdict([host], names), 'ok', host);
  }
  for (const host of ['box.lan', 'box.lan:6969', 'other.films.example', 'films.example.', 'xfilms.example']) {
    assert.equal(verdict([host], names), 'misdirected', host);
  }
});

test('an absolute target must name the same server', () => {
  const cases: [target: string, verdict: string][] = [
    ['http://localhost:6969/health', 'ok'],
    ['HTTP://LOCALHOST:6969', 'ok'],
    ['http://evil.example/health', 'misdirected'],
    ['http://user@localhost:6969/', 'misdirected'],
    ['http://localhost:6969@evil.example/', 'misdirected'],
    ['http://127.0.0.1:6969/', 'misdirected'],
    ['http:///health', 'misdirected'],
    ['ftp://localhost:6969/', 'misdirected'],
    ['localhost:6969', 'misdirected'],
    ['*', 'ok'],
    ['//evil.example/x', 'ok'], // a path
  ];
  for (const [target, expected] of cases) assert.equal(verdict(['localhost:6969'], [], target), expected, target);
});
