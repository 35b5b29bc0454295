import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withQuery } from './query.ts';

test('every URI of a playlist gets the parameter, and nothing else does', () => {
  const playlist = [
    '#EXTM3U',
    '#EXT-X-START:TIME-OFFSET=1.000,PRECISE=YES',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x,URI=y",DEFAULT=YES,URI="audio-0/playlist.m3u8?slice=2"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,URI="subtitles-0/playlist.m3u8",NAME=",URI="',
    '#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1,mp4a",AUDIO="a"',
    '../original/playlist.m3u8?slice=2',
    '#EXT-X-MAP:URI="init.mp4",BYTERANGE="1@0"',
    '#EXT-X-KEY:METHOD=NONE',
    '#EXTINF:6.000000,',
    '0.m4s',
    '# a comment with URI="nothing"',
    '#EXT-X-ENDLIST',
    '',
  ].join('\n');
  assert.equal(
    withQuery(playlist, 'cast_token', 'T-_'),
    playlist
      .replace('playlist.m3u8?slice=2"', 'playlist.m3u8?slice=2&cast_token=T-_"')
      .replace('subtitles-0/playlist.m3u8"', 'subtitles-0/playlist.m3u8?cast_token=T-_"')
      .replace('original/playlist.m3u8?slice=2\n', 'original/playlist.m3u8?slice=2&cast_token=T-_\n')
      .replace('"init.mp4"', '"init.mp4?cast_token=T-_"')
      .replace('\n0.m4s\n', '\n0.m4s?cast_token=T-_\n'),
  );
});
