import assert from 'node:assert/strict';
import { delimiter } from 'node:path';
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

test('reads the catalogues of add-ons', () => {
  assert.equal(readConfig({}).addons.catalogues.length, 2);
  const { addons } = readConfig({
    RAFFI_ADDON_CATALOGUES: 'https://a.example/x, http://b.example',
    RAFFI_CACHE_DIR: '/c',
  });
  assert.deepEqual(addons.catalogues, ['https://a.example/x', 'http://b.example/']);
  assert.equal(addons.file, '/c/raffi-addon-catalogues.json');
  for (const bad of ['a.example', 'file:///etc/passwd'])
    assert.throws(() => readConfig({ RAFFI_ADDON_CATALOGUES: bad }), /RAFFI_ADDON_CATALOGUES.*http/);
});

test('reads what torrents may do', () => {
  const { torrent } = readConfig({});
  assert.deepEqual(torrent.listen, { hosts: ['0.0.0.0', '::'], port: 0 });
  assert.equal(torrent.keep, false);
  assert.equal(torrent.most, 100);
  assert.equal(readConfig({ RAFFI_MAX_TORRENTS: '3' }).torrent.most, 3);
  assert.equal(torrent.uploadRate, 1024 ** 2);
  assert.equal(torrent.encryption, 'allow');
  assert.ok(torrent.dht && torrent.trackers && torrent.localDiscovery && torrent.dhtNodes.length > 1);
  assert.equal(readConfig({ TORRENT_DIR: '/a' }).torrent.directory, '/a');
  assert.equal(readConfig({ TORRENT_DIR: '/a', RAFFI_TORRENT_DIR: '/b' }).torrent.directory, '/b');
  assert.equal(readConfig({ RAFFI_TORRENT_LISTEN: 'off' }).torrent.listen, undefined);
  assert.deepEqual(readConfig({ RAFFI_TORRENT_LISTEN: '[::1]:5' }).torrent.listen, { hosts: ['::1'], port: 5 });
  assert.deepEqual(readConfig({ RAFFI_TORRENT_DHT_NODES: 'none' }).torrent.dhtNodes, []);
  assert.deepEqual(readConfig({ RAFFI_TORRENT_DHT_NODES: 'a:1, b:2' }).torrent.dhtNodes, ['a:1', 'b:2']);
  assert.equal(readConfig({ RAFFI_TORRENT_WEBRTC: '0' }).torrent.webRtc, undefined);
  assert.equal(readConfig({}).torrent.webRtc?.stun.length, 2);
  assert.deepEqual(readConfig({ RAFFI_TORRENT_STUN: 'none' }).torrent.webRtc, { stun: [] });
  assert.deepEqual(readConfig({ RAFFI_TORRENT_STUN: 'a:1, b:2' }).torrent.webRtc, { stun: ['a:1', 'b:2'] });
  assert.equal(readConfig({ RAFFI_TORRENT_ENCRYPTION: 'Require' }).torrent.encryption, 'require');
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
    { RAFFI_CACHE_MEMORY: 'much' },
    { RAFFI_TRANSCODE_STALL: 'never' },
    { RAFFI_CACHE_BYTES: 'lots' },
    { RAFFI_CACHE_BYTES: '-1' },
    { RAFFI_CACHE_BYTES: '4X' },
    { RAFFI_CACHE_BYTES: '999999999T' },
    { DEBUG: 'maybe' },
    { RAFFI_LAN_ACCESS: 'closed' },
    { RAFFI_API_KEY: 'short' },
    { RAFFI_LAUNCH_TOKEN: 'with a space in it' },
    { RAFFI_ALLOWED_ORIGINS: 'https://a.example,*' },
    { RAFFI_ALLOWED_ORIGINS: 'https://*.example' },
    { RAFFI_ALLOWED_ORIGINS: 'https://a.example/path' },
    { RAFFI_ALLOWED_ORIGINS: 'a.example' },
    { RAFFI_ALLOWED_ORIGINS: 'null' },
    { RAFFI_ALLOWED_HOSTS: 'http://a.example' },
    { RAFFI_CAST_HOST: 'user@host' },
    { RAFFI_CAST_HOST: 'host:99999' },
    { RAFFI_MEDIA_ROOTS: 'films' },
    { RAFFI_ALLOW_PRIVATE_SOURCES: 'perhaps' },
    { RAFFI_MAX_SESSIONS: '0' },
    { RAFFI_MAX_TORRENTS: 'many' },
    { RAFFI_TORRENT_LISTEN: 'everywhere' },
    { RAFFI_TORRENT_DHT_NODES: 'router' },
    { RAFFI_TORRENT_STUN: 'stun:stun.example:3478' },
    { RAFFI_TORRENT_WEBRTC: 'yes please' },
    { RAFFI_TORRENT_ENCRYPTION: 'perhaps' },
    { RAFFI_TORRENT_CONNECTIONS: '0' },
    { RAFFI_TORRENT_UPLOAD_RATE: 'fast' },
    { RAFFI_TORRENT_BYTES: '-1' },
    { RAFFI_TORRENT_KEEP: '2' },
  ];
  for (const env of bad) {
    const name = Object.keys(env)[0] as string;
    assert.throws(
      () => readConfig(env),
      (error: Error) => error instanceof ConfigError && error.message.startsWith(name),
    );
  }
});

test('reads who may use the server, and what it may open', () => {
  const none = readConfig({});
  assert.deepEqual(none.access, {
    apiKey: undefined,
    lan: 'guarded',
    launchToken: undefined,
    allowedOrigins: [],
    allowedHosts: [],
    castHost: undefined,
  });
  assert.deepEqual(none.sources, { allowPrivate: undefined, mediaRoots: [] });
  const all = readConfig({
    RAFFI_API_KEY: ' 0123456789abcdef ',
    RAFFI_LAN_ACCESS: 'Open',
    RAFFI_LAUNCH_TOKEN: 'launch-token',
    RAFFI_ALLOWED_ORIGINS: 'https://a.example, http://b.example:8080/,moz-extension://0f',
    RAFFI_ALLOWED_HOSTS: 'Films.example,box.lan:8443',
    RAFFI_CAST_HOST: '[fd00::1]:80',
    RAFFI_ALLOW_PRIVATE_SOURCES: 'off',
    RAFFI_MEDIA_ROOTS: ['/films', '/more films'].join(delimiter),
  });
  assert.deepEqual(all.access, {
    apiKey: '0123456789abcdef',
    lan: 'open',
    launchToken: 'launch-token',
    allowedOrigins: ['https://a.example', 'http://b.example:8080', 'moz-extension://0f'],
    allowedHosts: [{ host: 'films.example' }, { host: 'box.lan', port: 8443 }],
    castHost: { host: 'fd00::1', port: 80 },
  });
  assert.deepEqual(all.sources, { allowPrivate: false, mediaRoots: ['/films', '/more films'] });
});

test('a secret that is refused is not shown', () => {
  assert.throws(
    () => readConfig({ RAFFI_API_KEY: 'öffentlich-geheim' }),
    (error: Error) => !/geheim/.test(error.message),
  );
});

test('reads the processes whose end ends the server', () => {
  assert.deepEqual(readConfig({}).parentPids, []);
  assert.deepEqual(readConfig({ RAFFI_PARENT_PID: '12' }).parentPids, [12]);
  assert.deepEqual(readConfig({ RAFFI_PARENT_PID: '12, 4194304' }).parentPids, [12, 4_194_304]);
  for (const bad of ['0', '-1', '1.5', 'me', '12;13', '2147483648'])
    assert.throws(() => readConfig({ RAFFI_PARENT_PID: bad }), /^ConfigError: RAFFI_PARENT_PID .*"/, bad);
});
