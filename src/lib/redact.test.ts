import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redacted } from './redact.ts';

test('addresses lose what may be secret, and stay readable', () => {
  const hash = 'a'.repeat(40);
  const cases: [line: string, without: string][] = [
    ['GET https://u:p@a.example:8/x.mkv?key=s#f failed', 'GET https://…@a.example:8/x.mkv?… failed'],
    ['"http://a.example/x","b":1', '"http://a.example/x","b":1'],
    ['http://a.example/x#secret', 'http://a.example/x?…'],
    ['http://user@[::1]:80/x', 'http://…@[::1]:80/x'],
    ['udp://t.example:1/announce?passkey=s', 'udp://t.example:1/announce?…'],
    [`magnet:?xt=urn:btih:${hash}&tr=http%3A%2F%2Ft%2FPASS%2Fannounce`, `magnet:?xt=urn:btih:${hash}…`],
    ['magnet:?dn=secret', 'magnet:?…'],
    ['/sessions/1/stream.m3u8?cast_token=abc&x=1', '/sessions/1/stream.m3u8?cast_token=…&x=1'],
    ['authorization: Bearer abc.def', 'authorization: Bearer …'],
    ['{"msg":"http://a/x?k=v"}', '{"msg":"http://a/x?…"}'],
  ];
  for (const [line, without] of cases) assert.equal(redacted(line), without);
});

test('a line of JSON stays one', () => {
  const line = JSON.stringify({ msg: 'http://a/?x="y" \\ http://b/?z', list: ['https://u:p@c/?d'] });
  assert.deepEqual(JSON.parse(redacted(line)), { msg: 'http://a/?…"y" \\ http://b/?…', list: ['https://…@c/?…'] });
});
