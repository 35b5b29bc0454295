import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MagnetError, parseMagnet, parsePeer } from './magnet.ts';

const HEX = '0123456789abcdef0123456789abcdef01234567';
/** The same 20 bytes in base32 (RFC 4648). */
const BASE32 = 'AERUKZ4JVPG66AJDIVTYTK6N54ASGRLH';

test('hexadecimal and base32 infohashes name the same torrent, bare or in a link', () => {
  for (const text of [HEX, HEX.toUpperCase(), BASE32, BASE32.toLowerCase()]) {
    assert.equal(parseMagnet(text).infoHash, HEX, text);
    assert.equal(parseMagnet(`magnet:?xt=urn:btih:${text}`).infoHash, HEX, text);
    assert.equal(parseMagnet(`MAGNET:?dn=x&xt.1=urn:BTIH:${text}&xl=5`).infoHash, HEX, text);
  }
});

test('name, trackers and peers; what is of no use is left out, what is twice is there once', () => {
  const link = [
    `magnet:?xt=urn:btih:${HEX}&dn=A+Film%20%282020%29%00`,
    'tr=udp%3A%2F%2Ftracker.example%3A6969%2Fannounce&tr=http://t.example/announce?key=1&tr=http://t.example/announce?key=1',
    'tr=wss://w.example&tr=javascript:alert(1)&tr=udp://noport&tr=&tr.7=https://s.example/a',
    'x.pe=10.0.0.1:6881&x.pe=[2001:db8::1]:51413&x.pe=name.example:1&x.pe=1.2.3.4:0&x.pe=1.2.3.4:65536&x.pe=10.0.0.1:6881',
  ].join('&');
  const magnet = parseMagnet(link);
  assert.equal(magnet.name, 'A Film (2020)\ufffd');
  assert.deepEqual(
    magnet.trackers.map(({ kind, url }) => [kind, url]),
    [
      ['udp', 'udp://tracker.example:6969/announce'],
      ['http', 'http://t.example/announce?key=1'],
      ['web-socket', 'wss://w.example/'],
      ['http', 'https://s.example/a'],
    ],
  );
  assert.equal(magnet.trackers[1]?.label, 'http://t.example');
  assert.deepEqual(magnet.peers, [
    { host: '10.0.0.1', port: 6881 },
    { host: '2001:db8::1', port: 51413 },
  ]);
  assert.equal(parsePeer('1.2.3.4'), undefined);
});

test('a link that was copied from the source of a page is whole', () => {
  const link = `magnet:?xt=urn:btih:${HEX}&dn=A%26amp;B&tr=udp://t.example:1/a&x.pe=10.0.0.1:6881&ws=http://w.example/f`;
  const expected = parseMagnet(link);
  assert.equal(expected.name, 'A&amp;B', 'what is escaped belongs to the value');
  assert.deepEqual(parseMagnet(link.replaceAll('&', '&amp;')), expected);
  assert.deepEqual(parseMagnet(link.replaceAll('&', '&amp;amp;')), expected);
  assert.equal(parseMagnet(`magnet:?dn=x&amp;xt=urn:btih:${HEX}`).infoHash, HEX);
});

test('a link that names no torrent says why', () => {
  const cases: [string, RegExp][] = [
    ['magnet:?', /xt=urn:btih is missing/],
    ['magnet:?dn=film', /xt=urn:btih is missing/],
    [`magnet:?xt=urn:sha1:${HEX}`, /missing/],
    ['magnet:?xt=urn:btih:123', /neither 40 hexadecimal digits nor 32/],
    [`magnet:?xt=urn:btih:${HEX}0`, /neither/],
    ['magnet:?xt=urn:btih:', /missing/],
    [`magnet:?xt=urn:btmh:1220${HEX}${HEX}`.slice(0, 90), /v2/],
    ['http://example.com', /neither a magnet link nor an infohash/],
  ];
  for (const [link, reason] of cases) {
    assert.throws(
      () => parseMagnet(link),
      (error: Error) => error instanceof MagnetError && reason.test(error.message),
      link,
    );
  }
});

test('100,000 random links are a torrent or a MagnetError', () => {
  const words = [
    'magnet:?',
    'xt=',
    'urn:btih:',
    HEX,
    BASE32,
    '&',
    '=',
    '%',
    '%00',
    '%F',
    'dn=',
    'tr=',
    'udp://',
    ':99999',
    'x.pe=',
    '[::1]:80',
    '\u{1f3a5}',
    '+',
    '.1',
    '1.2.3.4:5',
  ];
  let state = 99;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let torrents = 0;
  for (let run = 0; run < 100_000; run++) {
    let link = random(4) === 0 ? '' : `magnet:?xt=urn:btih:${HEX}`;
    for (let n = random(12); n > 0; n--) link += words[random(words.length)];
    try {
      assert.match(parseMagnet(link).infoHash, /^[0-9a-f]{40}$/);
      torrents += 1;
    } catch (error) {
      assert.ok(error instanceof MagnetError, `${link}: ${error}`);
    }
  }
  assert.ok(torrents > 100, `${torrents} named a torrent`);
});
