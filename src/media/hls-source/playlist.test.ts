import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untag } from './id3.ts';
import { parsePlaylist } from './parse.ts';
import { type MediaPlaylist, PlaylistError } from './playlist.ts';
import { byPreference } from './variants.ts';

function media(text: string): MediaPlaylist {
  const playlist = parsePlaylist(text);
  assert.ok(playlist.kind === 'media');
  return playlist;
}

const fails = (text: string, kind: PlaylistError['kind'], words: RegExp): void => {
  assert.throws(
    () => parsePlaylist(text),
    (error) => error instanceof PlaylistError && error.kind === kind && words.test(error.message),
    text,
  );
};

const END = '\n#EXT-X-ENDLIST\n';

test('segments: durations, sequence numbers, regions, gaps', () => {
  const { segments } = media(
    `\ufeff#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXT-X-DISCONTINUITY-SEQUENCE:2\r\n# a comment\r\n\r\n` +
      `#EXTINF:4.5,a title, with commas\r\na.ts?x=1\r\n#EXTINF:3\r\n#EXT-X-GAP\r\nb.ts\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:2,\r\nc.ts\r\n#EXT-X-ENDLIST`,
  );
  assert.deepEqual(segments, [
    { uri: 'a.ts?x=1', duration: 4.5, sequence: 7, region: 2, gap: false },
    { uri: 'b.ts', duration: 3, sequence: 8, region: 2, gap: true },
    { uri: 'c.ts', duration: 2, sequence: 9, region: 3, gap: false },
  ]);
});

test('byte ranges follow one another in one resource', () => {
  const { segments } = media(
    `#EXTM3U\n#EXT-X-MAP:URI="i.mp4",BYTERANGE="700@0"\n#EXTINF:1,\n#EXT-X-BYTERANGE:100@700\na\n#EXTINF:1,\n#EXT-X-BYTERANGE:50\na${END}`,
  );
  assert.deepEqual(
    segments.map(({ range }) => range),
    [
      { offset: 700, length: 100 },
      { offset: 800, length: 50 },
    ],
  );
  assert.deepEqual(segments[0]?.map, { uri: 'i.mp4', range: { offset: 0, length: 700 } });
  assert.equal(segments[0]?.map, segments[1]?.map);
  fails(`#EXTM3U\n#EXT-X-VERSION:4\n#EXTINF:1,\n#EXT-X-BYTERANGE:50\na${END}`, 'damaged', /begins nowhere/);
  fails(`#EXTM3U\n#EXT-X-BYTERANGE:9007199254740991@9\n#EXTINF:1,\na${END}`, 'damaged', /is none/);
});

test('keys: from where to where, of several formats the plain one, and none', () => {
  const { segments } = media(
    `#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.apple.streamingkeydelivery"\n` +
      `#EXT-X-KEY:METHOD=AES-128,URI="k, with a comma",IV=0x1F\n#EXTINF:1,\na\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\nb\n` +
      `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.apple.streamingkeydelivery"\n#EXTINF:1,\nc${END}`,
  );
  assert.equal(segments[0]?.key?.uri, 'k, with a comma');
  assert.equal(Buffer.from(segments[0]?.key?.iv ?? []).toString('hex'), `${'0'.repeat(30)}1f`);
  assert.equal(segments[1]?.key, undefined);
  assert.equal(segments[2]?.key?.method, 'SAMPLE-AES');
  fails(`#EXTM3U\n#EXT-X-KEY:METHOD=AES-128\n#EXTINF:1,\na${END}`, 'damaged', /without a URI \(line 2\)/);
});

test('what is not played, and why', () => {
  fails('', 'damaged', /#EXTM3U/);
  fails('#EXTM3U8\n', 'damaged', /#EXTM3U/);
  fails('#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n', 'live', /live/);
  fails('#EXTM3U\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:4,\na.ts\n', 'live', /live/);
  fails(`#EXTM3U\n#EXT-X-TARGETDURATION:4${END}`, 'damaged', /no segment/);
  fails('#EXTM3U\n#EXTINF:-1,A station\nhttp://a/b\n', 'unplayable', /list of links/);
  fails(`#EXTM3U\n#EXT-X-VERSION:4\n#EXTINF:x,\na${END}`, 'damaged', /duration \(EXTINF\) \(line 3\)/);
  fails(`#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="b"\n#EXTINF:1,\n{$a}${END}`, 'unplayable', /variables/);
  fails(`#EXTM3U\n#EXT-X-I-FRAMES-ONLY\n#EXTINF:1,\na${END}`, 'unplayable', /key frames only/);
  fails('#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n', 'damaged', /no variant/);
  fails(`#EXTM3U\n#EXT-X-VERSION:3\n${'#EXTINF:1,\na\n'.repeat(100_001)}${END}`, 'damaged', /more than 100000/);
});

test('variants: what can be copied before what is larger', () => {
  const playlist = parsePlaylist(
    '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",LANGUAGE="en",DEFAULT=YES,URI="x.m3u8"\n' +
      '#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="dvh1.05.06,ec-3"\nd\n#EXT-X-STREAM-INF:BANDWIDTH=5,CODECS="avc1.4d401f , mp4a.40.2",RESOLUTION=640x360,AUDIO="a"\nb\n' +
      '#EXT-X-STREAM-INF:BANDWIDTH=99,CODECS="mp4a.40.2"\ns\n#EXT-X-STREAM-INF:BANDWIDTH=7\nc\n',
  );
  assert.ok(playlist.kind === 'multivariant');
  assert.deepEqual(
    byPreference(playlist).map(({ uri }) => uri),
    ['c', 'b', 'd', 's'],
  );
  assert.deepEqual(playlist.variants[1], {
    uri: 'b',
    bandwidth: 5,
    codecs: ['avc1.4d401f', 'mp4a.40.2'],
    height: 360,
    audioGroup: 'a',
  });
});

test('ID3 timestamps have 33 bits', () => {
  const owner = Buffer.from('com.apple.streaming.transportStreamTimestamp\0');
  const frame = Buffer.concat([
    Buffer.from('PRIV\0\0\0\x35\0\0', 'latin1'),
    owner,
    Buffer.from('00000001fffffffe', 'hex'),
  ]);
  const tag = Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, frame.length]), frame]);
  const { timestamp, data } = untag(Buffer.concat([tag, Buffer.from([1, 2, 3])]));
  assert.equal(timestamp, 2 ** 33 - 2);
  assert.deepEqual([...data], [1, 2, 3]);
  assert.deepEqual(untag(Buffer.from('ID3')), { timestamp: undefined, data: Buffer.from('ID3') });
});

const SEEDS = [
  `#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI="i.mp4",BYTERANGE="700@0"\n#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1F\n#EXTINF:6.006,\n#EXT-X-BYTERANGE:100@700\na.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:5.9,t\n#EXT-X-BYTERANGE:100\na.m4s\n#EXT-X-ENDLIST\n`,
  '#EXTM3U\r\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",LANGUAGE="en",DEFAULT=YES,URI="x.m3u8"\r\n#EXT-X-STREAM-INF:BANDWIDTH=5,CODECS="avc1.4d401f,mp4a.40.2",RESOLUTION=640x360,AUDIO="a"\r\nb.m3u8\r\n',
];

/** A generator of numbers below `limit` that `seed` determines. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test('20,000 mutated playlists: a playlist or a PlaylistError, and numbers in their ranges', () => {
  const pieces = [
    '"',
    ',',
    '=',
    '@',
    '-',
    '9'.repeat(20),
    '0x',
    '\n',
    '\r',
    '#EXT',
    '\0',
    '\u{1f600}',
    'e9',
    '#EXTINF:',
    '.',
    ' ',
  ];
  let parsed = 0;
  for (let seed = 0; seed < 20_000; seed++) {
    const next = generator(seed);
    let text = SEEDS[seed % SEEDS.length] as string;
    for (let i = 0; i <= next(6); i++) {
      const at = next(text.length);
      const length = next(4) === 0 ? next(60) : next(3);
      const kind = next(3);
      const piece =
        kind === 0
          ? ''
          : kind === 1
            ? (pieces[next(pieces.length)] as string)
            : text.slice(next(text.length)).slice(0, 40);
      text = text.slice(0, at) + piece + text.slice(at + length);
    }
    try {
      const playlist = parsePlaylist(text);
      parsed += 1;
      if (playlist.kind === 'multivariant') assert.ok(playlist.variants.length > 0);
      else {
        assert.ok(playlist.segments.length > 0);
        for (const { duration, range, key } of playlist.segments) {
          assert.ok(duration >= 0 && Number.isFinite(duration));
          assert.ok(!range || (range.length > 0 && Number.isSafeInteger(range.offset + range.length)), text);
          assert.ok(!key?.iv || key.iv.length === 16);
        }
      }
    } catch (error) {
      if (!(error instanceof PlaylistError)) throw error;
    }
  }
  assert.ok(parsed > 2000, `${parsed} of them were playlists still`);
});

test('a line of 4 MB is read in linear time', () => {
  const pieces = ['a=', '"', ',', ' ', 'A=",', '#EXTINF:'].map((piece) => piece.repeat((4 << 20) / piece.length));
  const blanks = ' '.repeat(4 << 20);
  for (const text of [...pieces, `A=${blanks}"`, `A="a"${blanks}x`]) {
    try {
      parsePlaylist(`#EXTM3U\n#EXT-X-STREAM-INF:${text}\nx\n`);
      parsePlaylist(`#EXTM3U\n#EXT-X-KEY:${text}\n#EXTINF:${text}\nx${END}`);
    } catch (error) {
      if (!(error instanceof PlaylistError)) throw error;
    }
  }
});
