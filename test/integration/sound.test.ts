import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { folder, script } from '../../src/ffmpeg/test-processes.ts';
import { numberedMedia, plainMedia } from '../fixtures/media.ts';
import { decibels, decodePcm, measure, type Pcm, rms, toneFrequency } from '../fixtures/pcm.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { decodeAudio } from '../fixtures/verify.ts';
import { fetchRendition, startTestServer, type TestServer } from './harness.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

interface Stream {
  readonly type: string;
  readonly delivery: string;
  readonly renditions: readonly string[];
  readonly processing?: readonly string[];
}

async function opened(
  source: string,
  body: Record<string, unknown> = {},
  on = server,
): Promise<{ id: string; audio: Stream }> {
  const id = await on.create({ source, ...body });
  const { body: info } = await on.json<{ error?: string; availableStreams: Stream[] }>(`/sessions/${id}`);
  assert.equal(info.error, undefined);
  return { id, audio: info.availableStreams.find(({ type }) => type === 'audio') as Stream };
}

/** Some seconds of a tone in each channel, as expressions of `aevalsrc`. */
// FLAC's frames are whole milliseconds long, as Matroska's times are: no jitter.
const tones = (layout: string, channels: readonly string[], seconds = 6, codec = 'pcm_s16le'): Promise<string> =>
  plainMedia('tones.mkv', [
    ...['-f', 'lavfi', '-i', `aevalsrc='${channels.join('|')}':c=${layout}:s=48000:d=${seconds}`],
    ...['-c:a', codec],
  ]);

const sine = (level: number, frequency = 1000): string => `${level}*sin(2*PI*${frequency}*t)`;
/** Sound in one channel only. */
const only = (layout: string, count: number, channel: number, level = 0.25): Promise<string> =>
  tones(
    layout,
    Array.from({ length: count }, (_, n) => (n === channel ? sine(level) : '0')),
  );

async function stereoOf(source: string): Promise<Pcm> {
  const { id } = await opened(source);
  const { init, segments } = await fetchRendition(server, `/sessions/${id}/audio-0-aac/playlist.m3u8`);
  const pcm = await decodePcm(init, segments);
  assert.equal(pcm.channels.length, 2);
  return pcm;
}

/** dB of each channel in the middle, compared with the tone of level 0.25 that went in. */
const levels = ({ channels, rate }: Pcm): number[] =>
  channels.map((samples) => decibels(Math.max(1e-6, rms(samples, rate, 5 * rate) / (0.25 * Math.SQRT1_2))));
const near = (got: number | undefined, wanted: number, slack = 0.3): void =>
  assert.ok(Math.abs((got ?? Number.NaN) - wanted) <= slack, `${got} dB instead of ${wanted} dB`);
const silent = (got: number | undefined): void => assert.ok((got ?? 0) < -50, `${got} dB is no silence`);

describe('a downmix keeps dialogue clear', () => {
  for (const [layout, count] of [
    ['5.1', 6],
    ['7.1', 8],
  ] as const) {
    test(`${layout}: the centre keeps its power and is as loud on each side as the fronts`, async () => {
      const centre = levels(await stereoOf(await only(layout, count, 2)));
      const left = levels(await stereoOf(await only(layout, count, 0)));
      near(centre[0], -3.1);
      near(centre[1], -3.1);
      near(left[0], -3.1);
      silent(left[1]);
    });

    test(`${layout}: surrounds stay behind, low frequencies stay out`, async () => {
      const surround = levels(await stereoOf(await only(layout, count, 4)));
      near(surround[0], -7.5, 1);
      silent(surround[1]);
      for (const side of levels(await stereoOf(await only(layout, count, 3)))) silent(side);
    });

    test(`${layout}: everything at full scale does not clip`, async () => {
      const everything = Array.from({ length: count }, () => sine(1));
      const { channels } = await stereoOf(await tones(layout, everything, 6, 'flac'));
      for (const samples of channels) {
        // What starts and ends at once has an overshoot: not what is looked for.
        const most = samples
          .subarray(4800, 5.9 * 48_000)
          .reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
        assert.ok(most > 0.8 && most < 1, `the highest sample is ${most}`);
      }
    });
  }
});

describe('5.1 is kept beside stereo', () => {
  const source = (): Promise<string> =>
    tones(
      '5.1',
      [200, 300, 400, 60, 600, 700].map((frequency) => sine(0.25, frequency)),
    );

  test('each channel in its place, in a group of its own, stereo first', async () => {
    const { id, audio } = await opened(await source());
    assert.deepEqual(audio.renditions, ['audio-0-aac', 'audio-0-surround']);
    assert.deepEqual(audio.processing, ['5.1 is mixed down to stereo']);
    const { variants, renditions } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    assert.deepEqual(
      variants.map(({ codecs, audio: group }) => [codecs, group]),
      [
        ['mp4a.40.2', 'audio-mp4a-40-2'],
        ['mp4a.40.2', 'audio-mp4a-40-2-surround'],
      ],
    );
    assert.deepEqual(
      renditions.map(({ groupId, channels, isDefault }) => [groupId, channels, isDefault]),
      [
        ['audio-mp4a-40-2', '2', true],
        ['audio-mp4a-40-2-surround', '6', true],
      ],
    );
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/audio-0-surround/playlist.m3u8`, 3);
    const pcm = await decodePcm(init, segments);
    for (const [channel, frequency] of [200, 300, 400, 60, 600, 700].entries()) {
      const got = toneFrequency(pcm, channel);
      assert.ok(Math.abs(got - frequency) < 0.05 * frequency, `channel ${channel} has ${got} Hz`);
      near(levels(pcm)[channel], 0, 0.6);
    }
  });

  test('a file with a track in 5.1 and one in stereo has both in both groups', async () => {
    const path = await plainMedia('two.mkv', [
      ...['-f', 'lavfi', '-i', `aevalsrc='${Array(6).fill(sine(0.1)).join('|')}':c=5.1:d=6`],
      ...['-f', 'lavfi', '-i', `aevalsrc='${sine(0.1)}|${sine(0.1)}':c=stereo:d=6`, '-map', '0', '-map', '1'],
      ...['-c:a:0', 'dca', '-strict', '-2', '-c:a:1', 'libvorbis'],
    ]);
    const { id } = await opened(path);
    const { renditions } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    assert.deepEqual(
      renditions.map(({ groupId, channels, uri }) => [groupId, channels, uri?.split('/')[0]]),
      [
        ['audio-mp4a-40-2', '2', 'audio-0-aac'],
        ['audio-mp4a-40-2', '2', 'audio-1-aac'],
        ['audio-mp4a-40-2-surround', '6', 'audio-0-surround'],
        ['audio-mp4a-40-2-surround', '2', 'audio-1-aac'],
      ],
    );
  });
});

describe('mono and sample rates', () => {
  test('mono stays mono, at its level', async () => {
    const { id } = await opened(await only('mono', 1, 0));
    const { init, segments } = await fetchRendition(server, `/sessions/${id}/audio-0-aac/playlist.m3u8`);
    const pcm = await decodePcm(init, segments);
    assert.equal(pcm.channels.length, 1);
    near(levels(pcm)[0], 0);
    const { renditions } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    assert.deepEqual(
      renditions.map(({ channels }) => channels),
      [],
    );
  });

  for (const sampleRate of [8000, 11_025, 22_050, 44_100, 96_000, 192_000]) {
    test(`${sampleRate} Hz: in step, at its pitch`, async () => {
      const options = { container: 'mkv', audio: ['pcm_s16le'], seconds: 8, sampleRate } as const;
      const { id, audio } = await opened(await numberedMedia(options));
      assert.deepEqual(audio.processing, [`${sampleRate} Hz becomes 48000 Hz`]);
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/audio-0-aac/playlist.m3u8`, 7);
      const { beeps, jumps } = await decodeAudio(init, segments);
      assert.deepEqual(jumps, []);
      // The decoder has nothing to overlap the very first frame with: the first beep's beginning is missing.
      const heard = beeps.filter(({ time }) => time > 0.5);
      assert.equal(heard.length, 7);
      for (const [before, { time, frequency }] of heard.entries()) {
        const n = before + 1;
        assert.ok(Math.abs(time - n) <= 0.01, `beep ${n} is at ${time} s`);
        assert.ok(Math.abs(frequency - 1000) <= 30, `beep ${n} has ${frequency} Hz`);
      }
    });
  }
});

/** Pink noise that swells and fades as speech does, twice a second, and, over a long time, with quiet and loud scenes. */
const noise = (name: string, seconds: number, volume: string, ...codec: string[]): Promise<string> => {
  const scenes = `volume='if(lt(mod(t,40),20),1,0.5)':eval=frame`;
  const graph = `anoisesrc=color=pink:seed=7:r=48000:d=${seconds},tremolo=f=2:d=0.7,${scenes},volume=${volume},aformat=channel_layouts=stereo`;
  return plainMedia(name, ['-f', 'lavfi', '-i', graph, ...codec]);
};

/** In the order of time, so that one run makes them all. */
async function inOrder(on: TestServer, path: string): Promise<{ init: Uint8Array; segments: Uint8Array[] }> {
  const playlist = checkMediaPlaylist(await on.text(path));
  const resolve = (uri: string): string => new URL(uri, new URL(path, on.url)).href;
  const init = await on.bytes(resolve(playlist.map as string));
  const segments: Uint8Array[] = [];
  for (const { uri } of playlist.segments) segments.push(await on.bytes(resolve(uri)));
  return { init, segments };
}

describe('loudness is brought to the target', () => {
  const AAC = ['-c:a', 'aac', '-b:a', '192k'];
  const FLAC = ['-c:a', 'flac'];
  const SOURCES: Record<string, () => Promise<string>> = {
    'quiet FLAC': () => noise('quiet.mkv', 24, '-14dB', ...FLAC),
    'loud AAC': () => noise('loud.mp4', 24, '18dB', ...AAC),
    'quiet, long, with quiet and loud scenes': () => noise('long.mkv', 200, '-12dB', ...FLAC),
  };
  for (const [name, source] of Object.entries(SOURCES)) {
    test(`${name}: within 1.5 LU, peaks below -1 dBTP`, async () => {
      const { id, audio } = await opened(await source(), { loudness: 'on' });
      assert.deepEqual([audio.delivery, audio.renditions], ['transcoded', ['audio-0-levelled']]);
      assert.deepEqual(audio.processing, ['loudness is brought to -16 LUFS']);
      const { init, segments } = await inOrder(server, `/sessions/${id}/audio-0-levelled/playlist.m3u8`);
      const { loudness, peak } = await measure(init, segments);
      assert.ok(Math.abs(loudness - -16) <= 1.5, `${loudness} LUFS`);
      assert.ok(peak < -1, `${peak} dBTP`);
    });
  }

  test('in 5.1 as well, and by the target that is configured', async () => {
    await using other = await startTestServer({ RAFFI_LOUDNESS: '-23' });
    const source = await tones(
      '5.1',
      Array.from({ length: 6 }, (_, n) => sine(0.02, 300 + 100 * n)),
    );
    const { id, audio } = await opened(source, {}, other);
    assert.deepEqual(audio.renditions, ['audio-0-levelled', 'audio-0-levelled-surround']);
    for (const rendition of audio.renditions) {
      const { init, segments } = await inOrder(other, `/sessions/${id}/${rendition}/playlist.m3u8`);
      const { loudness } = await measure(init, segments);
      assert.ok(Math.abs(loudness - -23) <= 1.5, `${rendition}: ${loudness} LUFS`);
    }
    const off = await opened(source, { loudness: 'off' }, other);
    assert.deepEqual(off.audio.renditions, ['audio-0-aac', 'audio-0-surround']);
  });

  test('silence stays silence', async () => {
    const { id } = await opened(await tones('stereo', ['0', '0']), { loudness: 'on' });
    const { init, segments } = await inOrder(server, `/sessions/${id}/audio-0-levelled/playlist.m3u8`);
    for (const level of levels(await decodePcm(init, segments))) silent(level);
  });

  test('nothing is heard where segments of different runs join', async () => {
    // Tones, since noise is coded roughly; so loud at -9 LUFS that the limiter has to work.
    const swell = '(0.55+0.45*sin(2*PI*1.3*t))';
    const source = await tones(
      'stereo',
      Array(2).fill(`${swell}*(${sine(0.2, 220)}+${sine(0.2, 330)}+${sine(0.1, 1250)})`),
      24,
      'flac',
    );
    await using other = await startTestServer({ RAFFI_LOUDNESS: '-9' });
    const whole = await opened(source, {}, other);
    const one = await inOrder(other, `/sessions/${whole.id}/audio-0-levelled/playlist.m3u8`);
    await using again = await startTestServer({ RAFFI_LOUDNESS: '-9' });
    const { id } = await opened(source, {}, again);
    const parts = await fetchRendition(again, `/sessions/${id}/audio-0-levelled/playlist.m3u8`, 5);
    const [expected, got] = [await decodePcm(one.init, one.segments), await decodePcm(parts.init, parts.segments)];
    const [a, b] = [expected.channels[0], got.channels[0]] as [Float32Array, Float32Array];
    assert.equal(b.length, a.length);
    const difference = b.map((sample, n) => sample - a[n]!);
    for (let at = 0.5 * got.rate; at + 1024 < a.length; at += 512) {
      const ratio = decibels(rms(difference, at, at + 1024) / rms(a, at, at + 1024));
      assert.ok(ratio < -30, `at ${(at / got.rate).toFixed(3)} s they differ by ${ratio.toFixed(1)} dB`);
    }
  });

  test('bad values are told', async () => {
    const { status, body } = await server.json<{ detail: string }>('/sessions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: '/film.mkv', loudness: 'loud' }),
    });
    assert.equal(status, 400);
    assert.match(body.detail, /loudness/);
    await assert.rejects(startTestServer({ RAFFI_LOUDNESS: '-50' }), /RAFFI_LOUDNESS/);
  });
});

describe('sound that begins late', () => {
  const scripts = folder();
  /** A film of 60 s whose sound, a tone, begins at 40.3 s. */
  const film = (name: string, codec: string): Promise<string> =>
    plainMedia(name, [
      ...['-f', 'lavfi', '-i', 'testsrc2=s=128x72:r=10:d=60'],
      ...[
        '-itsoffset',
        '40.3',
        '-f',
        'lavfi',
        '-i',
        "aevalsrc='0.5*sin(2*PI*440*t)|0.5*sin(2*PI*440*t)':s=48000:d=19.7",
      ],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '20', '-c:a', codec, '-strict', '-2'],
    ]);

  for (const [name, codec] of [
    ['late.mkv', 'dca'],
    ['late.mp4', 'alac'],
  ] as const) {
    test(`${name}: silence until then, which takes no FFmpeg, whatever the order`, async () => {
      const runs = join(scripts, `${name}.log`);
      const ffmpeg = script(
        join(scripts, `ffmpeg-${name}`),
        `case "$*" in *adts*) echo run >> '${runs}' ;; esac\nexec ffmpeg "$@"`,
      );
      await using counted = await startTestServer({ RAFFI_FFMPEG_BIN: ffmpeg });
      const id = await counted.create({ source: await film(name, codec) });
      const root = `/sessions/${id}/audio-0-aac`;
      // What a run looks ahead at lies before the tone too.
      const early = await counted.bytes(`${root}/1.m4s`);
      await counted.bytes(`${root}/0.m4s`);
      assert.equal(existsSync(runs), false, 'silence was encoded');

      const { init, segments } = await fetchRendition(counted, `${root}/playlist.m3u8`);
      assert.deepEqual(segments[1], early);
      const { rate, channels } = await decodePcm(init, segments);
      const [samples] = channels as [Float32Array];
      assert.ok(Math.abs(samples.length / rate - 60) < 0.1, `${samples.length / rate} s`);
      const begin = samples.findIndex((sample) => Math.abs(sample) > 0.1) / rate;
      assert.ok(Math.abs(begin - 40.3) < 0.025, `it begins at ${begin} s`);
      assert.ok(rms(samples, 0, Math.floor(40.2 * rate)) < 1e-4);
      assert.ok(Math.abs(rms(samples, 41 * rate, 59 * rate) - 0.5 * Math.SQRT1_2) < 0.01);
      assert.ok(existsSync(runs), 'the tone was not encoded');
    });
  }
});
