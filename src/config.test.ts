import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from './config.ts';

test('listens on 127.0.0.1:6969 unless told otherwise', () => {
  const cases: [Record<string, string>, string, number][] = [
    [{}, '127.0.0.1', 6969],
    [{ RAFFI_SERVER_ADDR: '' }, '127.0.0.1', 6969],
    [{ PORT: '7000' }, '127.0.0.1', 7000],
    [{ PORT: '7000', RAFFI_SERVER_ADDR: 'localhost:1' }, 'localhost', 1],
    [{ RAFFI_SERVER_ADDR: ':0' }, '::', 0],
    [{ RAFFI_SERVER_ADDR: '0.0.0.0:6969' }, '0.0.0.0', 6969],
    [{ RAFFI_SERVER_ADDR: '[::1]:6969' }, '::1', 6969],
  ];
  for (const [env, host, port] of cases) assert.deepEqual(readConfig(env).listen, { host, port }, JSON.stringify(env));
});

test('reads durations and flags', () => {
  assert.equal(readConfig({}).sessionIdleMs, 1_800_000);
  assert.equal(readConfig({ RAFFI_SESSION_IDLE: '90' }).sessionIdleMs, 90_000);
  assert.equal(readConfig({ RAFFI_SESSION_IDLE: '0.5s' }).sessionIdleMs, 500);
  assert.equal(readConfig({ RAFFI_SESSION_IDLE: '2h' }).sessionIdleMs, 7_200_000);
  assert.equal(readConfig({ DEBUG: 'True' }).debug, true);
});

test('reads sizes', () => {
  assert.equal(readConfig({}).cacheBytes, undefined);
  const cases: [string, number][] = [
    ['0', 0],
    ['1000000', 1_000_000],
    ['512M', 512 * 1024 ** 2],
    ['4g', 4 * 1024 ** 3],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['2KB', 2048],
  ];
  for (const [value, size] of cases) assert.equal(readConfig({ RAFFI_CACHE_BYTES: value }).cacheBytes, size, value);
});

test('reads the encoder and the loudness', () => {
  assert.equal(readConfig({}).hwaccel, 'auto');
  assert.equal(readConfig({ RAFFI_HWACCEL: 'VAAPI' }).hwaccel, 'vaapi');
  assert.deepEqual(readConfig({}).loudness, { isOn: false, target: -16 });
  assert.deepEqual(readConfig({ RAFFI_LOUDNESS: 'on' }).loudness, { isOn: true, target: -16 });
  assert.deepEqual(readConfig({ RAFFI_LOUDNESS: '-23' }).loudness, { isOn: true, target: -23 });
  for (const bad of [{ RAFFI_HWACCEL: 'cuda' }, { RAFFI_LOUDNESS: '16' }, { RAFFI_LOUDNESS: 'loud' }])
    assert.throws(() => readConfig(bad), new RegExp(Object.keys(bad)[0] as string));
});

test('a variable that makes no sense is named', () => {
  const bad: Record<string, string>[] = [
    { RAFFI_SERVER_ADDR: 'nonsense' },
    { RAFFI_SERVER_ADDR: 'host:70000' },
    { RAFFI_SERVER_ADDR: '::1:80' },
    { PORT: 'http' },
    { PORT: '-1' },
    { RAFFI_SESSION_IDLE: 'soon' },
    { RAFFI_SESSION_IDLE: '0' },
    { RAFFI_CACHE_BYTES: 'lots' },
    { RAFFI_CACHE_BYTES: '-1' },
    { RAFFI_CACHE_BYTES: '4X' },
    { RAFFI_CACHE_BYTES: '999999999T' },
    { DEBUG: 'maybe' },
  ];
  for (const env of bad) {
    const name = Object.keys(env)[0] as string;
    assert.throws(
      () => readConfig(env),
      (error: Error) => error instanceof ConfigError && error.message.startsWith(name),
    );
  }
});
