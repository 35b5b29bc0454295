import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SHELL } from '../../src/ffmpeg/test-processes.ts';
import { type Shown, showsBox, withAss, withPgs, withText, withVobsub } from '../fixtures/bitmap-subtitles.ts';
import { segmentDurations } from '../fixtures/boxes.ts';
import { boxFont } from '../fixtures/font.ts';
import { frameCount, frameRate, type NumberedMediaOptions, numberedMedia, plainMedia } from '../fixtures/media.ts';
import { startOrigin } from '../fixtures/origin.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { type DecodedFrame, decodeVideo } from '../fixtures/verify.ts';
import { fetchRendition, startTestServer, type TestServer } from './harness.ts';

const FILM: NumberedMediaOptions = { container: 'mkv', video: 'h264', audio: ['aac'], seconds: 40, gop: 48 };
/** Across the boundaries of segments, one right after another, over a whole segment, and none for a long while. */
const SHOWN: readonly Shown[] = [
  { start: 1, end: 2.52 },
  { start: 3.04, end: 3.48 },
  { start: 5.2, end: 9.4 },
  { start: 9.4, end: 10 },
  { start: 11.96, end: 13 },
  { start: 33.2, end: 38 },
];
const FONT = { name: 'Box.ttf', mimeType: 'application/x-truetype-font', bytes: boxFont('Raffi Box') };

const M2TS = ['-f', 'mpegts', '-mpegts_m2ts_mode', '1', '-muxdelay', '0', '-muxpreload', '0'];

const DVB = ['-c:s', 'dvb_subtitle', '-f', 'mpegts', '-muxdelay', '0', '-muxpreload', '0'];

const MEDIA: Record<string, () => Promise<string>> = {
  'PGS in Matroska': () => withPgs(FILM, SHOWN, { width: 1920, height: 1080 }),
  'PGS over open groups of pictures': () => withPgs({ ...FILM, openGop: true }, SHOWN, { width: 1280, height: 720 }),
  'PGS with another start': () =>
    withPgs({ ...FILM, startTime: 5 }, SHOWN.map(later(5)), { width: 1920, height: 1080 }),
  'PGS without an index': () => withPgs(FILM, SHOWN, { width: 1920, height: 1080 }, ['-live', '1']),
  // The muxer moves the pictures by the two frames that they are reordered by.
  'PGS in M2TS, a segment a packet': () =>
    withPgs({ ...FILM, container: 'ts', audio: ['ac3'] }, SHOWN.map(later(0.08)), { width: 1920, height: 1080 }, M2TS),
  'VobSub in Matroska': () => withVobsub(FILM, SHOWN, { width: 720, height: 480 }),
  'ASS with its font': () => withAss(FILM, SHOWN, 'Raffi Box', [FONT]),
};

function later(seconds: number): (shown: Shown) => Shown {
  return ({ start, end }) => ({ start: start + seconds, end: end + seconds });
}

interface StreamInfo {
  readonly type: string;
  readonly delivery: string;
  readonly reason?: string;
  readonly subtitles?: readonly string[];
  readonly ignoredFonts?: readonly string[];
}

/** Each frame once, with the box where it must be and nowhere else. */
function assertBurntIn(frames: readonly DecodedFrame[], film: NumberedMediaOptions, shown = SHOWN): void {
  assert.deepEqual(
    frames.map(({ number }) => number),
    Array.from({ length: frameCount(film) }, (_, n) => n),
  );
  const wrong = frames.filter(({ number, picture }) => showsBox(picture) !== isShown(number as number, film, shown));
  assert.deepEqual(
    wrong.map(({ number }) => number),
    [],
    'frames with the box where it must not be, or without it',
  );
}

function isShown(number: number, film: NumberedMediaOptions, shown: readonly Shown[]): boolean {
  const time = number / frameRate(film) + 1e-6;
  return shown.some(({ start, end }) => time >= start && time < end);
}

describe('subtitles burnt in', { timeout: 900_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const streams = async (id: string): Promise<readonly StreamInfo[]> =>
    (await server.json<{ availableStreams: StreamInfo[] }>(`/sessions/${id}`)).body.availableStreams;

  for (const [name, make] of Object.entries(MEDIA)) {
    test(`${name}: on every frame where it must be, each frame once, in whatever order segments are made`, async () => {
      const id = await server.create({ source: await make() });
      const path = `/sessions/${id}/360p/playlist.m3u8?subtitle=0`;
      const shuffled = await fetchRendition(server, path, 11);
      assertBurntIn(await decodeVideo(shuffled.init, shuffled.segments), FILM);
      let end: number | undefined;
      for (const [n, bytes] of shuffled.segments.entries()) {
        const { baseTime, durationSeconds } = segmentDurations(shuffled.init, bytes);
        assert.ok(end === undefined || Math.abs(baseTime - end) < 0.0015, `segment ${n}: ${baseTime} s after ${end} s`);
        end = baseTime + durationSeconds;
      }
    });
  }

  test('DVB in MPEG-TS', async () => {
    const film = { ...FILM, container: 'ts', audio: ['mp2'] } as const;
    const source = await withPgs(film, SHOWN.map(later(0.08)), { width: 720, height: 576 }, DVB);
    const id = await server.create({ source });
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8?subtitle=0`, 7);
    // FFmpeg's encoder clears the screen shortly before the next subtitle, and never gives the last one.
    assertBurntIn(await decodeVideo(init, segments), film, [{ start: 1, end: 33.199 }]);
  });

  test('one run from the beginning to the end', async () => {
    for (const make of [MEDIA['PGS in Matroska'], MEDIA['ASS with its font']]) {
      await using other = await startTestServer();
      const id = await other.create({ source: await (make as () => Promise<string>)() });
      const path = `/sessions/${id}/360p/playlist.m3u8?subtitle=0`;
      const { segments, map } = checkMediaPlaylist(await other.text(path));
      const made = [];
      for (const { uri } of segments) made.push(await other.bytes(new URL(uri, other.url + path).href));
      const init = await other.bytes(new URL(map as string, other.url + path).href);
      assertBurntIn(await decodeVideo(init, made), FILM);
    }
  });

  test('a run that starts while a subtitle is shown', async () => {
    for (const make of [MEDIA['PGS in Matroska'], MEDIA['VobSub in Matroska'], MEDIA['ASS with its font']]) {
      await using other = await startTestServer();
      const id = await other.create({ source: await (make as () => Promise<string>)() });
      const path = `/sessions/${id}/360p/playlist.m3u8?subtitle=0`;
      const { segments, map } = checkMediaPlaylist(await other.text(path));
      const ends = segments.map((_, i) => segments.slice(0, i + 1).reduce((sum, { duration }) => sum + duration, 0));
      const n = ends.findIndex((end) => end > 36.5);
      const bytes = await other.bytes(new URL((segments[n] as { uri: string }).uri, other.url + path).href);
      const frames = await decodeVideo(await other.bytes(new URL(map as string, other.url + path).href), [bytes]);
      assert.ok(frames.length > 20);
      for (const { number, picture } of frames)
        assert.equal(showsBox(picture), isShown(number as number, FILM, SHOWN), `frame ${number}`);
      assert.equal(showsBox((frames[0] as DecodedFrame).picture), true);
    }
  });

  test('over HTTP', async () => {
    const file = await (MEDIA['PGS in Matroska'] as () => Promise<string>)();
    await using origin = await startOrigin({ file, path: '/film.mkv' });
    const id = await server.create({ source: origin.url });
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8?subtitle=0`, 3);
    assertBurntIn(await decodeVideo(init, segments), FILM);
  });

  test('plain text: SubRip in Matroska, timed text in MP4', async () => {
    for (const container of ['mkv', 'mp4'] as const) {
      const film = { ...FILM, container };
      const id = await server.create({ source: await withText(film, SHOWN) });
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8?subtitle=0`, 5);
      const frames = await decodeVideo(init, segments);
      const plain = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 5);
      const without = await decodeVideo(plain.init, plain.segments);
      assert.equal(frames.length, frameCount(film));
      for (const [n, { picture }] of frames.entries()) {
        const changed = differs(picture, (without[n] as DecodedFrame).picture);
        assert.equal(changed, isShown(n, film, SHOWN), `${container}: frame ${n}`);
      }
    }
  });

  test('the font of the file is what draws: without it, the same script shows no box', async () => {
    const id = await server.create({ source: await withAss(FILM, SHOWN, 'Raffi Box', []) });
    const path = `/sessions/${id}/360p/0.m4s?subtitle=0`;
    const frames = await decodeVideo(await server.bytes(`/sessions/${id}/360p/init.mp4?subtitle=0`), [
      await server.bytes(path),
    ]);
    assert.ok(frames.length > 40);
    assert.ok(frames.every(({ picture }) => showsBox(picture) !== true));
  });

  test('hostile attachments are left out, and said; the folder goes with the source', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'raffi-burn-'));
    const odd = join(parent, "it's, a [strange]: fol;der");
    await mkdir(odd);
    const { TMPDIR } = process.env;
    process.env.TMPDIR = odd;
    try {
      await using other = await startTestServer();
      const attachments = [
        { ...FONT, name: '../../../x.ttf' },
        { name: 'no font.ttf', mimeType: 'font/ttf', bytes: new Uint8Array(5000).fill(65) },
        { name: 'huge.otf', mimeType: 'application/vnd.ms-opentype', bytes: new Uint8Array(33 * 1024 * 1024) },
        { name: 'cover.jpg', mimeType: 'image/jpeg', bytes: new Uint8Array(10) },
      ];
      const id = await other.create({ source: await withAss(FILM, SHOWN, 'Raffi Box', attachments) });
      const init = await other.bytes(`/sessions/${id}/360p/init.mp4?subtitle=0`);
      const frames = await decodeVideo(init, [await other.bytes(`/sessions/${id}/360p/0.m4s?subtitle=0`)]);
      assert.ok(frames.some(({ picture }) => showsBox(picture)));
      const [folder = ''] = await readdir(odd);
      assert.deepEqual(await readdir(join(odd, folder, 'fonts')), ['0.ttf']);
      const info = (await other.json<{ availableStreams: StreamInfo[] }>(`/sessions/${id}`)).body.availableStreams;
      assert.deepEqual(info.find(({ type }) => type === 'subtitle')?.ignoredFonts, [
        'The font "huge.otf" is not used: it is larger than 32 MB.',
        'The font "no font.ttf" is not used: it is not a sound TrueType or OpenType font.',
      ]);
      assert.equal((await other.get(`/sessions/${id}`, { method: 'DELETE' })).status, 204);
      assert.deepEqual(await readdir(odd), []);
      assert.deepEqual(await readdir(parent), ["it's, a [strange]: fol;der"]);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
      await rm(parent, { recursive: true });
    }
  });

  test('a client that knows the multivariant address only: every address leads to what is burnt in, in each dialect', async () => {
    const id = await server.create({ source: await (MEDIA['PGS in Matroska'] as () => Promise<string>)() });
    for (const root of [
      `/sessions/${id}/stream.m3u8?subtitle=0`,
      `/stream/${id}/playlist.m3u8?subtitle=0`,
      `/sessions/${id}/stream?seek=20&subtitle=0`,
      `/sessions/${id}/stream/child.m3u8?seek=20&subtitle=0`,
    ]) {
      const multivariant = checkMultivariant(await server.text(root));
      assert.ok(multivariant.variants.length > 0);
      assert.ok(multivariant.renditions.every(({ type }) => type === 'AUDIO'));
      for (const { uri } of multivariant.variants) {
        assert.doesNotMatch(uri, /original/);
        const variant = new URL(uri, server.url + root);
        assert.equal(variant.searchParams.get('subtitle'), '0');
        const playlist = checkMediaPlaylist(await server.text(variant.href));
        for (const { uri: segment } of [...playlist.segments, { uri: playlist.map as string }])
          assert.match(segment, /\?subtitle=0$/);
        assert.equal((await server.get(new URL(playlist.map as string, variant).href)).status, 200);
      }
      const sound = new URL(multivariant.renditions[0]?.uri as string, server.url + root);
      assert.equal((await server.get(sound.href)).status, 200);
    }
    assert.match(await server.text(`/sessions/${id}/stream.m3u8`), /^original\//m);
  });

  test('a picture between the rungs gets one of its own height', async () => {
    const film = { ...FILM, seconds: 4 };
    const plain = await numberedMedia(film);
    assert.ok(plain);
    const source = await withPgs({ ...film, extraArgs: ['-vf', 'scale=704:400'] }, SHOWN.slice(0, 1), {
      width: 1920,
      height: 1080,
    });
    const id = await server.create({ source });
    const offered = async (query: string) =>
      checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8${query}`)).variants.map(
        ({ uri, resolution }) => `${uri.split('/')[0]} ${resolution?.width}x${resolution?.height}`,
      );
    assert.deepEqual(await offered('?subtitle=0'), ['480p 704x400', '360p 634x360']);
    assert.deepEqual(await offered(''), ['original 704x400', '360p 634x360']);
  });

  test('text of which there is none near: the picture alone', async () => {
    const cue = Buffer.from('1\n00:00:01,000 --> 00:00:02,000\nonce\n').toString('base64');
    const picture = ['-f', 'lavfi', '-i', 'color=c=gray:s=320x180:r=5:d=60'];
    const text = ['-f', 'srt', '-i', `data:text/plain;base64,${cue}`];
    const kinds = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-c:s', 'srt'];
    const source = await plainMedia('one-cue.mkv', [...picture, ...text, ...kinds]);
    const id = await server.create({ source });
    const { segments } = checkMediaPlaylist(await server.text(`/sessions/${id}/360p/playlist.m3u8?subtitle=0`));
    await server.bytes(`/sessions/${id}/360p/${segments.at(-2)?.uri}`);
  });

  test('what cannot be burnt in is told', async () => {
    const id = await server.create({ source: await (MEDIA['PGS in Matroska'] as () => Promise<string>)() });
    const problem = async (path: string) => {
      const { status, body } = await server.json<{ code: string; detail: string }>(`/sessions/${id}/${path}`);
      return [status, body.code, body.detail];
    };
    const unknown = [
      404,
      'subtitle-not-found',
      'subtitle: the source has no subtitle track 1: it has 1, counted from 0.',
    ];
    assert.deepEqual(await problem('stream.m3u8?subtitle=1'), unknown);
    assert.deepEqual(await problem('stream?subtitle=1'), unknown);
    assert.deepEqual(await problem('360p/playlist.m3u8?subtitle=1'), unknown);
    assert.deepEqual(await problem('360p/0.m4s?subtitle=1'), unknown);
    for (const value of ['-1', 'eng', '1.5']) {
      const [status, code, detail] = await problem(`stream.m3u8?subtitle=${value}`);
      assert.deepEqual([status, code], [400, 'bad-request']);
      assert.match(String(detail), /subtitle/);
    }
    const [status, code, detail] = await problem('original/playlist.m3u8?subtitle=0');
    assert.deepEqual([status, code], [400, 'bad-request']);
    assert.match(String(detail), /360p/);
    assert.deepEqual((await problem('999p/playlist.m3u8?subtitle=0')).slice(0, 2), [404, 'variant-not-found']);
  });

  test('an FFmpeg that cannot burn in says which part it lacks', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'raffi-lame-'));
    try {
      const lame = join(folder, 'ffmpeg');
      const lists = `case " $* " in *" -filters "*) ffmpeg "$@" | grep -vE ' (subtitles|ass|overlay) ';; *) exec ffmpeg "$@";; esac`;
      await writeFile(lame, `${SHELL}${lists}\n`, { mode: 0o700 });
      await using other = await startTestServer({ RAFFI_FFMPEG_BIN: lame });
      const capabilities = (await other.json<{ burnIn: unknown; missing: string[] }>('/capabilities')).body;
      assert.deepEqual(capabilities.burnIn, { pictures: false, text: false });
      assert.equal(capabilities.missing.length, 1);
      for (const [name, filter] of [
        ['PGS in Matroska', 'overlay'],
        ['ASS with its font', 'subtitles'],
      ] as const) {
        const id = await other.create({ source: await (MEDIA[name] as () => Promise<string>)() });
        const { status, body } = await other.json<{ code: string; detail: string }>(
          `/sessions/${id}/stream.m3u8?subtitle=0`,
        );
        assert.deepEqual([status, body.code], [501, 'burn-in-unavailable']);
        assert.match(body.detail, new RegExp(`track 0 cannot be burnt in: this FFmpeg lacks the filter ${filter}`));
        assert.equal((await other.get(`/sessions/${id}/stream.m3u8`)).status, 200);
        const info = (await other.json<{ availableStreams: StreamInfo[] }>(`/sessions/${id}`)).body.availableStreams;
        const stream = info.find(({ type }) => type === 'subtitle');
        assert.equal(stream?.subtitles?.includes('burn-in'), false);
        if (stream?.delivery === 'omitted') assert.match(stream.reason ?? '', /lacks the filter overlay/);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('the session tells how each subtitle track is offered', async () => {
    const of = async (source: string) => {
      const id = await server.create({ source });
      const { delivery, subtitles } = (await streams(id)).find(({ type }) => type === 'subtitle') as StreamInfo;
      return { delivery, subtitles };
    };
    const [pgs, ass] = await Promise.all(
      [MEDIA['PGS in Matroska'], MEDIA['ASS with its font']].map((make) => make?.()),
    );
    assert.deepEqual(await of(pgs as string), { delivery: 'omitted', subtitles: ['burn-in'] });
    assert.deepEqual(await of(ass as string), { delivery: 'converted', subtitles: ['webvtt', 'burn-in'] });
  });
});

/** Whether pictures differ by more than what coding leaves. */
function differs(a: Uint8Array, b: Uint8Array): boolean {
  let changed = 0;
  for (let i = 0; i < a.length; i++) if (Math.abs((a[i] as number) - (b[i] as number)) > 70) changed += 1;
  return changed > 60;
}
