import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderMediaPlaylist, renderMultivariantPlaylist } from './playlist.ts';

test('a media playlist is complete VOD', () => {
  const text = renderMediaPlaylist({
    segments: [
      { uri: '3.m4s', duration: 6.5 },
      { uri: '4.m4s', duration: 5.25 },
    ],
    initUri: 'init.mp4',
    mediaSequence: 3,
    independent: true,
    start: { timeOffset: 1.25 },
  });
  assert.equal(
    text,
    `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:7
#EXT-X-MEDIA-SEQUENCE:3
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-START:TIME-OFFSET=1.250,PRECISE=YES
#EXT-X-MAP:URI="init.mp4"
#EXTINF:6.500000,
3.m4s
#EXTINF:5.250000,
4.m4s
#EXT-X-ENDLIST
`,
  );
});

test('a multivariant playlist has its attributes in their types', () => {
  const text = renderMultivariantPlaylist({
    variants: [
      {
        uri: 'original/playlist.m3u8',
        bandwidth: 5_000_000.2,
        averageBandwidth: 4_000_000,
        codecs: ['avc1.640028', 'mp4a.40.2'],
        resolution: [1920, 1080],
        frameRate: 24_000 / 1001,
        videoRange: 'SDR',
        audioGroupId: 'a',
      },
    ],
    audio: [
      {
        groupId: 'a',
        name: 'The "director"\n',
        language: 'eng',
        channels: 6,
        isDefault: true,
        autoSelect: true,
        uri: 'audio-0/playlist.m3u8',
      },
    ],
    independent: false,
  });
  assert.equal(
    text,
    `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="The 'director' ",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="6",URI="audio-0/playlist.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=5000001,AVERAGE-BANDWIDTH=4000000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=23.976,VIDEO-RANGE=SDR,AUDIO="a"
original/playlist.m3u8
`,
  );
});

test('subtitles are one group, which the variants name', () => {
  const text = renderMultivariantPlaylist({
    variants: [{ uri: 'v', bandwidth: 2, averageBandwidth: 1, codecs: ['avc1.640028'], subtitlesGroupId: 'subtitles' }],
    audio: [],
    subtitles: [
      {
        groupId: 'subtitles',
        name: 'English "SDH"',
        language: 'eng',
        isDefault: true,
        autoSelect: true,
        forced: false,
        uri: 'subtitles-0/playlist.m3u8',
      },
      { groupId: 'subtitles', name: 'Signs', isDefault: false, autoSelect: true, forced: true, uri: 's' },
    ],
    independent: false,
  });
  assert.equal(
    text,
    `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="English 'SDH'",LANGUAGE="eng",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI="subtitles-0/playlist.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="Signs",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,URI="s"
#EXT-X-STREAM-INF:BANDWIDTH=2,AVERAGE-BANDWIDTH=1,CODECS="avc1.640028",SUBTITLES="subtitles"
v
`,
  );
});
