import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorityText, parseAuthority } from './authority.ts';

test('hosts with and without a port, and back', () => {
  for (const [text, host, port] of [
    ['localhost', 'localhost', undefined],
    ['Box.LAN:8080', 'box.lan', 8080],
    ['10.0.0.1:1', '10.0.0.1', 1],
    ['[FD00::1]', 'fd00::1', undefined],
    ['[::1]:65535', '::1', 65535],
    ['my_box', 'my_box', undefined],
  ] as const) {
    const parsed = parseAuthority(text);
    assert.deepEqual(parsed, port === undefined ? { host } : { host, port });
    assert.equal(parsed && authorityText(parsed), text.toLowerCase());
  }
});

test('what is none', () => {
  for (const text of [
    '',
    ':80',
    'a:',
    'a:0',
    'a:65536',
    'a b',
    'a@b',
    'a.',
    '.a',
    '::1',
    '[::1',
    '[::1]x',
    'a/b',
    'a,b',
    'a:80:80',
    'x'.repeat(301),
  ]) {
    assert.equal(parseAuthority(text), undefined, text);
  }
});
