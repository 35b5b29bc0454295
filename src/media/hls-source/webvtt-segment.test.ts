import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webvttContent } from '../subtitles/webvtt-packet.ts';
import { parseWebvttSegment } from './webvtt-segment.ts';

test('cues with identifiers, settings, notes and short times', () => {
  const segment = parseWebvttSegment(
    '\ufeffWEBVTT - a title\r\nX-TIMESTAMP-MAP=LOCAL:00:00:10.000,MPEGTS:900000\r\n\r\nNOTE 00:01 --> none\r\n\r\nSTYLE\r\n::cue {}\r\n\r\n' +
      'first\r\n00:01.000 --> 00:02.500 line:0  align:left\r\none\r\ntwo\r\n\r\n100:00:00.000 --> 100:00:01.000\r\nlate',
  );
  assert.ok(segment);
  assert.equal(segment.mediaOffset, 0);
  assert.deepEqual(
    segment.packets.map(({ pts, duration, data }) => [pts, duration, webvttContent(data)]),
    [
      [1, 1.5, [{ text: 'one\ntwo', settings: 'line:0 align:left' }]],
      [360_000, 1, [{ text: 'late', settings: '' }]],
    ],
  );
});

test('damaged cues are left out, and the ones around them kept', () => {
  const segment = parseWebvttSegment(
    'WEBVTT\n\n00:01.000 --> 00:00.500\nbackwards\n\n00:99.000 --> 00:100.000\nno time\n\n--> \n\n00:03.000 -->\nno end\n\n' +
      'text before\n00:04.000 --> 00:05.000\nkept\n00:06.000 --> 00:07.000\nwithout a blank line between\n',
  );
  assert.deepEqual(
    segment?.packets.map(({ pts, data }) => [pts, webvttContent(data)[0]?.text]),
    [
      [4, 'kept'],
      [6, 'without a blank line between'],
    ],
  );
  assert.equal(segment.mediaOffset, undefined);
});

test('what is no WebVTT', () => {
  for (const text of ['', '1\n00:00:01,000 --> 00:00:02,000\nsubrip', 'WEBVTTX\n\n', '<html>', '\0\0\0\x18ftyp']) {
    assert.equal(parseWebvttSegment(text), undefined, text);
  }
});

test('a map in either order; what is none is not taken for one', () => {
  const offset = (map: string): number | undefined => parseWebvttSegment(`WEBVTT\n${map}\n\n`)?.mediaOffset;
  assert.equal(offset('X-TIMESTAMP-MAP=MPEGTS:180000,LOCAL:00:00:00.500'), 1.5);
  assert.equal(offset('X-TIMESTAMP-MAP=LOCAL:00:00.500, MPEGTS:180000'), 1.5);
  assert.equal(offset('X-TIMESTAMP-MAP=MPEGTS:abc,LOCAL:00:00:00.500'), undefined);
  assert.equal(offset('X-TIMESTAMP-MAP='), undefined);
});
