import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { segmentDurations } from '../fixtures/boxes.ts';
import { type HlsFiles, hlsFiles, takeApart } from '../fixtures/hls-media.ts';
import {
  beepFrequency,
  frameCount,
  frameRate,
  frameTime,
  type NumberedMediaOptions,
  numberedMedia,
  runFFmpeg,
} from '../fixtures/media.ts';
import { checkMediaPlaylist } from '../fixtures/playlists.ts';
import { type Site, startSite } from '../fixtures/site.ts';
import { decodeAudio, decodeVideo } from '../fixtures/verify.ts';
import { checkWebvtt } from '../fixtures/webvtt.ts';
import {
  type FetchedPresentation,
  fetchPresentation,
  fetchRendition,
  type Info,
  startTestServer,
  type TestServer,
} from './harness.ts';

/** Audio may be this far from the picture, seconds (the issue's limit). */
const AUDIO_TOLERANCE = 0.025;
const FILM: NumberedMediaOptions = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 };

/** Every number of each part once, at its time, in order; `starts` are where the parts begin, seconds. */
async function checkFrames(
  { video }: FetchedPresentation,
  parts: readonly NumberedMediaOptions[] = [FILM],
): Promise<number> {
  assert.ok(video);
  const frames = await decodeVideo(video.init, video.segments);
  const expected: { number: number; time: number }[] = [];
  let start = 0;
  for (const options of parts) {
    for (let n = 0; n < frameCount(options); n++) expected.push({ number: n, time: start + frameTime(n, options) });
    start += options.seconds ?? 10;
  }
  // No deep comparison of long lists: its report would take minutes.
  assert.equal(frames.length, expected.length);
  const wrong = frames.findIndex(({ number }, n) => number !== expected[n]?.number);
  assert.equal(wrong, -1, `picture ${wrong} shows ${frames[wrong]?.number} instead of ${expected[wrong]?.number}`);
  const offset = (frames[0] as { pts: number }).pts;
  assert.ok(offset >= 0 && offset < 0.1, `the first frame is at ${offset} s`);
  for (const [n, { pts }] of frames.entries()) {
    const { time } = expected[n] as { time: number };
    assert.ok(Math.abs(pts - offset - time) < 0.002, `frame ${n} is at ${pts} s instead of ${time + offset} s`);
  }
  return offset;
}

/** A beep at each whole second. @param joins seconds at which sound may be missing a little or be cut. */
async function checkAudio(
  { audio }: FetchedPresentation,
  offset: number,
  index = 0,
  {
    seconds = 20,
    joins = [],
    tolerance = AUDIO_TOLERANCE,
  }: { seconds?: number; joins?: number[]; tolerance?: number } = {},
): Promise<void> {
  const track = audio[index];
  assert.ok(track);
  const { beeps, jumps } = await decodeAudio(track.init, track.segments);
  const odd = jumps.filter(({ time }) => !joins.some((join) => Math.abs(time - offset - join) < 0.1));
  assert.ok(odd.length === 0, `${odd.length} jumps, the first ${JSON.stringify(odd[0])}`);
  const far = (time: number): boolean =>
    time - offset > 0.5 && !joins.some((join) => Math.abs(time - offset - join) < 0.5);
  const heard = beeps.filter(({ time }) => far(time));
  const expected = Array.from({ length: seconds }, (_, n) => n + offset).filter(far);
  assert.equal(heard.length, expected.length, `beeps at ${beeps.map(({ time }) => time.toFixed(3))}`);
  for (const [n, { time, frequency }] of heard.entries()) {
    const when = expected[n] as number;
    assert.ok(Math.abs(time - when) <= tolerance, `the beep of ${when} s is heard at ${time} s`);
    assert.ok(Math.abs(frequency - beepFrequency(index)) < 50, `track ${index} beeps at ${frequency} Hz`);
  }
}

/** Of the lowest time of video in the first segment, seconds on the clock of MPEG-2. */
async function firstVideoTime(files: HlsFiles): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-hls-'));
  try {
    const file = join(folder, 'first.ts');
    await writeFile(file, files.get('/index0.ts') as Uint8Array);
    const args = ['-v', 'error', '-select_streams', 'v', '-show_entries', 'packet=pts', '-of', 'csv=p=0', file];
    const told = execFileSync('ffprobe', args, { encoding: 'utf8' });
    return Math.min(...told.split(/\s+/).flatMap((line) => (line === '' ? [] : [Number.parseInt(line, 10)]))) / 90_000;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** EXTINF tells the truth, and segments join. */
function checkTiming(presentation: FetchedPresentation): void {
  for (const rendition of [presentation.video, ...presentation.audio]) {
    assert.ok(rendition);
    let end: number | undefined;
    for (const [n, bytes] of rendition.segments.entries()) {
      const { baseTime, durationSeconds } = segmentDurations(rendition.init, bytes);
      const declared: number = (rendition.playlist.segments[n] as { duration: number }).duration;
      assert.ok(
        Math.abs(durationSeconds - declared) <= 1 / frameRate(FILM) + 0.01,
        `segment ${n}: ${durationSeconds}, ${declared}`,
      );
      if (end !== undefined) assert.ok(Math.abs(baseTime - end) < 0.0015, `segment ${n}: ${end} to ${baseTime}`);
      end = baseTime + durationSeconds;
    }
  }
}

const same = (a: FetchedPresentation, b: FetchedPresentation): void => {
  const all = ({ video, audio }: FetchedPresentation) => [video, ...audio].flatMap((one) => one?.segments ?? []);
  assert.ok(Buffer.concat(all(a)).equals(Buffer.concat(all(b))));
};

describe('an HLS playlist as a source, without FFmpeg', () => {
  let server: TestServer;
  let film: string;
  before(async () => {
    server = await startTestServer({ PATH: '/nonexistent' });
    film = await numberedMedia(FILM);
  });
  after(() => server[Symbol.asyncDispose]());

  async function opened(url: string): Promise<string> {
    const id = await server.create({ source: url });
    const { body: info } = await server.json<Info>(`/sessions/${id}`);
    assert.equal(info.error, undefined);
    assert.equal(info.index, 'exact');
    assert.equal(info.container, 'hls');
    return id;
  }

  async function plays(site: Site, path = '/index.m3u8'): Promise<FetchedPresentation> {
    const id = await opened(site.url + path);
    const got = await fetchPresentation(server, id, 7);
    const offset = await checkFrames(got);
    await checkAudio(got, offset);
    checkTiming(got);
    same(await fetchPresentation(server, await opened(site.url + path), 99), got);
    return got;
  }

  const CASES: Record<string, string[]> = {
    'transport streams': ['-hls_segment_filename', '{folder}/%d.ts'],
    'fragmented MP4': ['-hls_segment_type', 'fmp4', '-hls_segment_filename', '{folder}/%d.m4s'],
    'byte ranges of a transport stream': ['-hls_flags', 'single_file'],
    'byte ranges of fragmented MP4': ['-hls_segment_type', 'fmp4', '-hls_flags', 'single_file'],
    'a clock that passes 33 bits': ['-output_ts_offset', '95436.3', '-hls_segment_filename', '{folder}/%d.ts'],
    'segments of many groups of pictures': ['-hls_time', '7', '-hls_segment_filename', '{folder}/%d.ts'],
  };
  for (const [name, args] of Object.entries(CASES)) {
    test(`${name}: every frame once, audio in step, shuffled`, async () => {
      await using site = await startSite(await hlsFiles(film, args));
      await plays(site);
    });
  }

  test('a key for all segments, and one with an explicit vector after the first ones', async () => {
    const files = await hlsFiles(film, ['-hls_segment_filename', '{folder}/%d.ts']);
    const index = takeApart(files.get('/index.m3u8') as string);
    const keys = [randomBytes(16), randomBytes(16)] as const;
    const iv = randomBytes(16);
    const segments = index.segments.map((segment, n) => {
      const vector = n < 3 ? Buffer.from(n.toString(16).padStart(32, '0'), 'hex') : iv;
      const cipher = createCipheriv('aes-128-cbc', keys[n < 3 ? 0 : 1], vector);
      const path = `/${n}.ts`;
      files.set(path, Buffer.concat([cipher.update(files.get(path) as Uint8Array), cipher.final()]));
      if (n === 0) return `#EXT-X-KEY:METHOD=AES-128,URI="keys/a.key?user=1"\n${segment}`;
      if (n === 3) return `#EXT-X-KEY:METHOD=AES-128,URI="keys/b.key",IV=0x${iv.toString('hex')}\n${segment}`;
      return segment;
    });
    files.set('/index.m3u8', [index.head, ...segments, index.end].join(''));
    files.set('/keys/a.key', keys[0]);
    files.set('/keys/b.key', keys[1]);
    await using site = await startSite(files);
    await plays(site);
    const asked = site.requests.filter(({ path }) => path.startsWith('/keys/'));
    assert.ok(asked.length <= 4, `${asked.length} requests for two keys in two presentations`);
    files.set('/keys/a.key', randomBytes(16));
    await using wrong = await startSite(files);
    const { body: info } = await server.json<Info>(
      `/sessions/${await server.create({ source: `${wrong.url}/index.m3u8` })}`,
    );
    assert.equal(info.errorCode, 'playlist-damaged');
    assert.match(info.error ?? '', /cannot be decrypted/);
  });

  test('discontinuities: clocks that begin anew, far away and near the end of 33 bits', async () => {
    const parts: NumberedMediaOptions[] = [
      { ...FILM, seconds: 8 },
      { ...FILM, seconds: 6 },
      { ...FILM, seconds: 10 },
    ];
    const starts = ['0', '4000', '95440.7'];
    const files: HlsFiles = new Map();
    let list = '';
    for (const [n, options] of parts.entries()) {
      const args = ['-output_ts_offset', starts[n] as string, '-hls_segment_filename', '{folder}/%d.ts'];
      const made = await hlsFiles(await numberedMedia(options), args, `/${n}`);
      const { head, segments } = takeApart(made.get(`/${n}/index.m3u8`) as string);
      const own = segments.map((segment) => segment.replace(/^(\d+\.ts)/m, `${n}/$1`)).join('');
      list += n === 0 ? head + own : `#EXT-X-DISCONTINUITY\n${own}`;
      for (const [path, bytes] of made) files.set(path, bytes);
    }
    files.set('/index.m3u8', `${list}#EXT-X-ENDLIST\n`);
    await using site = await startSite(files);
    const id = await opened(`${site.url}/index.m3u8`);
    const got = await fetchPresentation(server, id, 5);
    const offset = await checkFrames(got, parts);
    await checkAudio(got, offset, 0, { seconds: 24, joins: [8, 14] });
    same(await fetchPresentation(server, await opened(`${site.url}/index.m3u8`), 31), got);
  });

  test('variants with audio of its own: the best is played, its audio are tracks', async () => {
    const both = await numberedMedia({ ...FILM, audio: ['aac', 'aac'] });
    const small = await numberedMedia({ ...FILM, seconds: 6 });
    const files: HlsFiles = new Map();
    // FFmpeg moves times below 0 (decoding order, priming) upwards, in each file as far as that one needs: away from them.
    const add = async (source: string, args: string[], prefix: string): Promise<void> => {
      const made = await hlsFiles(
        source,
        ['-output_ts_offset', '10', '-muxdelay', '0', '-muxpreload', '0', ...args],
        prefix,
      );
      for (const [path, bytes] of made) files.set(path, bytes);
    };
    const fmp4 = ['-hls_segment_type', 'fmp4', '-hls_segment_filename', '{folder}/%d.m4s'];
    await add(both, ['-map', '-0:a', ...fmp4], '/video');
    await add(both, ['-map', '-0:v', '-map', '-0:a:1', ...fmp4], '/english');
    await add(both, ['-map', '-0:v', '-map', '-0:a:0', '-hls_segment_filename', '{folder}/%d.ts'], '/german');
    await add(small, ['-hls_segment_filename', '{folder}/%d.ts'], '/small');
    files.set(
      '/main.m3u8',
      [
        '#EXTM3U',
        '#EXT-X-INDEPENDENT-SEGMENTS',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="English, stereo",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="english/index.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Deutsch",LANGUAGE="de",AUTOSELECT=YES,URI="german/index.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Missing",LANGUAGE="fr",URI="french/index.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS="avc1.64000d,mp4a.40.2"',
        'small/index.m3u8',
        '#EXT-X-STREAM-INF:BANDWIDTH=9000000,RESOLUTION=1920x1080,CODECS="dvh1.05.06,mp4a.40.2",AUDIO="sound"',
        'dolby/index.m3u8',
        '#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=320x180,CODECS="avc1.64000d,mp4a.40.2",AUDIO="sound"',
        'video/index.m3u8',
        '',
      ].join('\r\n'),
    );
    await using site = await startSite(files);
    const id = await opened(`${site.url}/main.m3u8`);
    assert.equal(site.requests.filter(({ path }) => /dolby|small/.test(path)).length, 0);
    const { body: info } = await server.json<Info>(`/sessions/${id}`);
    const sounds = info.availableStreams?.filter(({ type }) => type === 'audio') ?? [];
    assert.deepEqual(
      sounds.map(({ language, delivery }) => [language, delivery]),
      [
        ['en', 'copied'],
        ['de', 'copied'],
        ['fr', 'omitted'],
      ],
    );
    assert.match(sounds[2]?.reason ?? '', /404/);
    const got = await fetchPresentation(server, id, 3);
    assert.equal(got.audio.length, 2);
    const offset = await checkFrames(got);
    await checkAudio(got, offset, 0);
    await checkAudio(got, offset, 1);
    checkTiming(got);
  });

  test('subtitles of the playlist: on the clock of the media, whole, each once, whoever tells how it counts', async () => {
    // The clock passes 33 bits 7.4 s into the film.
    const begin = 95_436.3;
    const files = await hlsFiles(film, ['-output_ts_offset', `${begin}`, '-muxdelay', '0', '-muxpreload', '0']);
    const stamp = (seconds: number): string => new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23);
    const first = await firstVideoTime(files);
    /** A cue at each odd half second, 0.4 s long, and one from 1 s to 9 s in each text where it is shown. */
    const text = (n: number, origin: number, map: string): string => {
      const cues = [[1, 9, 'long'], ...Array.from({ length: 20 }, (_, k) => [k + 0.5, k + 0.9, `cue ${k}`])] as const;
      const shown = cues.filter(([from, to]) => Number(from) < 4 * n + 4 && Number(to) > 4 * n);
      const blocks = shown.map(
        ([from, to, what]) => `${stamp(Number(from) + origin)} --> ${stamp(Number(to) + origin)}\n${what}\n`,
      );
      return ['WEBVTT', map, '', ...blocks].join('\n').replace('\n\n\n', '\n\n');
    };
    const list = Array.from({ length: 5 }, (_, n) => `#EXTINF:4,\n${n}.vtt\n`).join('');
    const head = '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n';
    for (const name of ['mapped', 'plain']) files.set(`/${name}/index.m3u8`, `${head}${list}#EXT-X-ENDLIST\n`);
    for (let n = 0; n < 5; n++) {
      // Local times that begin at an hour, for what the clock of the media shows at the segment's own beginning.
      const ticks = (Math.round((first + 4 * n) * 90_000) + 2 ** 33) % 2 ** 33;
      const map = `X-TIMESTAMP-MAP=LOCAL:${stamp(3600 + 4 * n)},MPEGTS:${ticks}`;
      files.set(`/mapped/${n}.vtt`, text(n, 3600, map));
      if (n !== 3) files.set(`/plain/${n}.vtt`, text(n, 0, 'X-NOTHING=1'));
    }
    files.set(
      '/main.m3u8',
      '#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="mapped/index.m3u8"\n' +
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Deutsch",LANGUAGE="de",FORCED=YES,URI="plain/index.m3u8"\n' +
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Missing",URI="missing.m3u8"\n' +
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="another",NAME="Not of this variant",URI="plain/index.m3u8"\n' +
        '#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.64000d,mp4a.40.2",SUBTITLES="s"\nindex.m3u8\n',
    );
    await using site = await startSite(files);
    const id = await opened(`${site.url}/main.m3u8`);
    assert.equal(site.requests.filter(({ path }) => /mapped|plain|missing/.test(path)).length, 0);
    const { body: info } = await server.json<Info>(`/sessions/${id}`);
    assert.deepEqual(
      info.availableStreams
        ?.filter(({ type }) => type === 'subtitle')
        .map(({ language, delivery }) => [language, delivery]),
      [
        ['en', 'converted'],
        ['de', 'converted'],
        ['', 'converted'],
      ],
    );
    const { segments } = checkMediaPlaylist(await server.text(`/sessions/${id}/subtitles-0/playlist.m3u8`));
    const cuesOf = async (name: string): Promise<Map<string, number>> => {
      const starts = new Map<string, number>();
      for (const n of segments.keys()) {
        for (const cue of checkWebvtt(await server.text(`/sessions/${id}/${name}/${n}.vtt`))) {
          assert.equal(starts.get(cue.text) ?? cue.start, cue.start);
          starts.set(cue.text, cue.start);
          assert.equal(cue.end - cue.start, cue.text === 'long' ? 8000 : 400);
        }
      }
      return starts;
    };
    const expected = new Map([['long', 1], ...Array.from({ length: 20 }, (_, k) => [`cue ${k}`, k + 0.5] as const)]);
    // Where the picture's first frame is shown.
    const presentation = await fetchPresentation(server, id, 3);
    const shift = await checkFrames(presentation);
    const mapped = await cuesOf('subtitles-0');
    assert.deepEqual([...mapped.keys()].sort(), [...expected.keys()].sort());
    for (const [what, start] of mapped)
      assert.ok(Math.abs(start / 1000 - shift - (expected.get(what) ?? 0)) < 0.002, what);
    const plain = await cuesOf('subtitles-1');
    // Its server has no fourth text.
    for (const k of [12, 13, 14, 15]) assert.equal(plain.has(`cue ${k}`), false);
    assert.equal(plain.size, 17);
    for (const [what, start] of plain)
      assert.ok(Math.abs(start / 1000 - shift - (expected.get(what) ?? 0)) < 0.002, what);
    const missing = await server.get(`/sessions/${id}/subtitles-2/0.vtt`);
    assert.equal(missing.status, 502);
    assert.match(await missing.text(), /missing\.m3u8/);
  });

  // Of fragmented MP4, FFmpeg's muxer makes wrong times after the first segment: two frames at the same one.
  for (const video of ['h264', 'hevc'] as const) {
    test(`${video} with open groups of pictures in transport streams`, async () => {
      const open = await numberedMedia({ ...FILM, video, openGop: true });
      await using site = await startSite(await hlsFiles(open, []));
      const got = await fetchPresentation(server, await opened(`${site.url}/index.m3u8`), 7);
      await checkAudio(got, await checkFrames(got));
    });
  }

  test('packed audio beside video, with times and without', async () => {
    const files = await hlsFiles(film, [
      '-map',
      '-0:a',
      '-output_ts_offset',
      '10',
      '-muxdelay',
      '0',
      '-muxpreload',
      '0',
    ]);
    const frames = await adtsFrames(film);
    const seconds = 1024 / 48_000;
    let list = '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n';
    for (let n = 0; n * 90 < frames.length; n++) {
      const some = frames.slice(n * 90, n * 90 + 90);
      list += `#EXTINF:${(some.length * seconds).toFixed(6)},\n${n}.aac\n`;
      files.set(`/aac/${n}.aac`, Buffer.concat(some));
      // The first frame is priming, as FFmpeg has it.
      files.set(`/timed/${n}.aac`, Buffer.concat([timestamp(10 + (n * 90 - 1) * seconds), ...some]));
    }
    list += '#EXT-X-ENDLIST\n';
    files.set('/aac/index.m3u8', list);
    files.set('/timed/index.m3u8', list);
    files.set(
      '/main.m3u8',
      `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="timed",URI="timed/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="plain",URI="aac/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,AUDIO="a"
index.m3u8
`,
    );
    await using site = await startSite(files);
    const got = await fetchPresentation(server, await opened(`${site.url}/main.m3u8`), 3);
    const offset = await checkFrames(got);
    assert.equal(got.audio.length, 2);
    for (const audio of got.audio) await checkAudio({ audio: [audio] }, offset);
    const alone = await fetchPresentation(server, await opened(`${site.url}/timed/index.m3u8`), 3);
    // One rendition and nothing else needs no group: it is the variant.
    const [sound] = [alone.video, ...alone.audio].filter((one) => one !== undefined);
    assert.ok(sound);
    await checkAudio({ audio: [sound] }, 0);
  });
});

/** The AAC frames of a film, each with its ADTS header. */
async function adtsFrames(film: string): Promise<Uint8Array[]> {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-adts-'));
  try {
    await runFFmpeg(['-i', film, '-map', '0:a:0', '-c', 'copy', join(folder, 'a.aac')]);
    const bytes = await readFile(join(folder, 'a.aac'));
    const frames: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
      frames.push(bytes.subarray(at, at + size));
      at += size;
    }
    return frames;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** An ID3 tag that tells the time of what follows it. RFC 8216 section 3.4. */
function timestamp(seconds: number): Buffer {
  const tag = Buffer.concat([
    Buffer.from('ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0com.apple.streaming.transportStreamTimestamp\0', 'latin1'),
    Buffer.alloc(8),
  ]);
  tag.writeBigUInt64BE(BigInt(Math.round(seconds * 90_000)), tag.length - 8);
  return tag;
}

describe('an HLS playlist as a source, transcoded', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  for (const type of ['mpegts', 'fmp4']) {
    test(`${type}: every frame once in a variant, AC-3 in step as AAC`, async () => {
      const film = await numberedMedia({ ...FILM, seconds: 14, audio: ['ac3'] });
      await using site = await startSite(await hlsFiles(film, ['-hls_segment_type', type]));
      const id = await server.create({ source: `${site.url}/index.m3u8` });
      const { body: info } = await server.json<Info>(`/sessions/${id}`);
      assert.equal(info.error, undefined);
      const video = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 11);
      const offset = await checkFrames({ video, audio: [] }, [{ ...FILM, seconds: 14 }]);
      const name = /audio-0[\w-]*aac[\w-]*/.exec(await server.text(`/sessions/${id}/stream.m3u8`))?.[0];
      assert.ok(name, 'AC-3 is offered as AAC');
      const audio = await fetchRendition(server, `/sessions/${id}/${name}/playlist.m3u8`, 5);
      await checkAudio({ audio: [audio] }, offset, 0, { seconds: 14, tolerance: 0.045 });
    });
  }
});
