import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { segmentDurations } from '../fixtures/boxes.ts';
import { decodeFilePcm, difference } from '../fixtures/joins.ts';
import { plainMedia } from '../fixtures/media.ts';
import { decodePcm } from '../fixtures/pcm.ts';
import { checkMediaPlaylist } from '../fixtures/playlists.ts';
import { type FetchedRendition, fetchRendition, startTestServer, type TestServer } from './harness.ts';

/**
 * Decibels. Two encodes of the same sound differ where the encoder's choices do, and decoders add noise of their own: measured are 24 to 31 dB at the worst join, and 27 to
 * 32 overall. With the priming left in it is -3 dB.
 */
const HEARD = 18;
/** Decibels: it is the sound of the source, which was coded twice. */
const LIKE = 15;
/** Samples by which sound may be moved as a whole whose container has milliseconds, or does not tell the encoder's delay. */
const MOVED = 1100;
/** Their sound is at its place to the sample. */
const EXACT: readonly string[] = ['AC-3', 'DTS', 'Vorbis in Ogg', 'FLAC'];

/** A chord that sways, some noise, and a click each second: steady enough that a seam would be heard, with what encoders must look ahead for. */
const voice = (pitch: number): string =>
  `0.2*sin(2*PI*${pitch}*t)+0.15*sin(2*PI*${pitch * 2.5}*t+2*sin(3*t))+0.1*sin(2*PI*${pitch * 4}*t)+0.03*(random(0)-0.5)+0.3*lt(mod(t+0.37,1),0.002)`;

const lavfi = (layout: string, pitches: readonly number[], rate = 48_000): string[] => [
  ...['-f', 'lavfi', '-i', `aevalsrc=exprs='${pitches.map(voice).join('|')}':c=${layout}:s=${rate}`],
];

function sound(
  codec: readonly string[],
  layout: string,
  pitches: readonly number[],
  { container = 'mkv', rate }: { container?: string; rate?: number } = {},
): Promise<string> {
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25'];
  const video =
    container === 'mkv' ? ['-c:v', 'libx264', '-preset', 'ultrafast'] : ['-c:v', container === 'flv' ? 'flv' : 'wmv2'];
  return plainMedia(`joins.${container}`, [
    ...lavfi(layout, pitches, rate),
    ...picture,
    ...['-t', '10', ...video, '-g', '50', '-strict', '-2', ...codec],
  ]);
}

const STEREO = [220, 261];
const SOUNDS: Record<string, () => Promise<string>> = {
  'AC-3': () => sound(['-c:a', 'ac3', '-b:a', '384k'], 'stereo', STEREO),
  DTS: () => sound(['-c:a', 'dca', '-b:a', '1509k'], 'stereo', STEREO),
  'Vorbis in Ogg': () =>
    plainMedia('joins.ogg', [...lavfi('stereo', STEREO), '-t', '10', '-c:a', 'libvorbis', '-q:a', '6']),
  FLAC: () => sound(['-c:a', 'flac'], 'stereo', STEREO),
  // 0.32 s are no whole number of samples.
  'FLAC at 5512 Hz': () => sound(['-c:a', 'flac'], 'stereo', STEREO, { rate: 5512 }),
  'FLAC at 22254 Hz': () => sound(['-c:a', 'flac'], 'stereo', STEREO, { rate: 22_254 }),
  Vorbis: () => sound(['-c:a', 'libvorbis', '-q:a', '6'], 'stereo', STEREO),
  'Vorbis at 44.1 kHz': () => sound(['-c:a', 'libvorbis', '-q:a', '6'], 'stereo', STEREO, { rate: 44_100 }),
  'PCM of 16 bits at 44.1 kHz': () => sound(['-c:a', 'pcm_s16le'], 'stereo', STEREO, { rate: 44_100 }),
  'PCM of 24 bits': () => sound(['-c:a', 'pcm_s24le'], 'stereo', STEREO),
  'Opus, 20 ms': () => sound(['-c:a', 'libopus', '-b:a', '256k'], 'stereo', STEREO),
  'Opus, 60 ms': () => sound(['-c:a', 'libopus', '-b:a', '256k', '-frame_duration', '60'], 'stereo', STEREO),
  'Opus, 2.5 ms': () => sound(['-c:a', 'libopus', '-b:a', '320k', '-frame_duration', '2.5'], 'stereo', STEREO),
  TrueHD: () => sound(['-c:a', 'truehd'], 'stereo', STEREO),
  'TrueHD at 44.1 kHz': () => sound(['-c:a', 'truehd'], 'stereo', STEREO, { rate: 44_100 }),
  'MP3 in FLV': () =>
    sound(['-c:a', 'libmp3lame', '-b:a', '256k'], 'stereo', STEREO, { container: 'flv', rate: 44_100 }),
  'AAC in FLV': () => sound(['-c:a', 'aac', '-b:a', '256k'], 'stereo', STEREO, { container: 'flv', rate: 44_100 }),
  'AAC in FLV at 48 kHz': () => sound(['-c:a', 'aac', '-b:a', '256k'], 'stereo', STEREO, { container: 'flv' }),
  // One frame in each packet, whatever its size, and times in milliseconds.
  'PCM in FLV': () => sound(['-c:a', 'pcm_s16le'], 'stereo', STEREO, { container: 'flv', rate: 44_100 }),
  'Nellymoser in FLV': () => sound(['-c:a', 'nellymoser'], 'mono', [220], { container: 'flv', rate: 22_050 }),
  WMA: () => sound(['-c:a', 'wmav2', '-b:a', '256k'], 'stereo', STEREO, { container: 'wmv', rate: 44_100 }),
  'WMA at 48 kHz': () => sound(['-c:a', 'wmav2', '-b:a', '256k'], 'stereo', STEREO, { container: 'wmv' }),
  'E-AC-3 5.1': () => sound(['-c:a', 'eac3', '-b:a', '640k'], '5.1', [220, 261, 330, 55, 392, 440]),
};

/** The first channel. */
async function first(init: Uint8Array, segments: readonly Uint8Array[]): Promise<Float32Array> {
  return (await decodePcm(init, segments)).channels[0] as Float32Array;
}

/** The same rendition in order: one run makes it all. */
async function uninterrupted(server: TestServer, path: string, { segments }: FetchedRendition): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for (const n of segments.keys()) parts.push(await server.bytes(`${path}/${n}.m4s`));
  return parts;
}

describe('nothing is heard where runs join', () => {
  let shuffled: TestServer;
  let ordered: TestServer;
  before(async () => {
    [shuffled, ordered] = await Promise.all([startTestServer(), startTestServer()]);
  });
  after(() => Promise.all([shuffled, ordered].map((server) => server[Symbol.asyncDispose]())));

  /** The sound made by a run for each segment, and by one run. */
  async function bothWays(source: string): Promise<{ whole: Float32Array; pcm: Float32Array; joins: number[] }> {
    const path = async (server: TestServer) => `/sessions/${await server.create({ source })}/audio-0-aac`;
    // Backwards: a run begins at every segment, since none reaches back.
    const backwards = await path(shuffled);
    const count = checkMediaPlaylist(await shuffled.text(`${backwards}/playlist.m3u8`)).segments.length;
    assert.ok(count >= 5);
    for (let n = count - 1; n >= 0; n--) await shuffled.bytes(`${backwards}/${n}.m4s`);
    const joined = await fetchRendition(shuffled, `${backwards}/playlist.m3u8`);
    const whole = await first(joined.init, await uninterrupted(ordered, await path(ordered), joined));
    const pcm = await first(joined.init, joined.segments);
    assert.equal(pcm.length, whole.length);
    const joins = joined.segments
      .slice(1)
      .map((segment) => Math.round(segmentDurations(joined.init, segment).baseTime * 48_000));
    return { whole, pcm, joins };
  }

  for (const [name, make] of Object.entries(SOUNDS)) {
    test(name, async () => {
      const source = await make();
      const { whole, pcm, joins } = await bothWays(source);
      const found = difference(whole, pcm, joins);
      assert.ok(found.worstJoin > HEARD, `${found.worstJoin} dB at a join, ${found.overall} dB overall`);
      // A downmix has no channel to compare with.
      if (!name.endsWith('5.1'))
        assert.ok(
          likeness(await decodeFilePcm(source), pcm, EXACT.includes(name) ? 0 : MOVED) > LIKE,
          'it is the sound of the source',
        );
      // The same with the encoder's priming left in each run would be noticed.
      const faulty = difference(whole, withPriming(pcm, joins), joins);
      assert.ok(faulty.worstJoin < HEARD - 12, `${faulty.worstJoin} dB`);
    });
  }

  test('packets are missing', async () => {
    const lost = "noise=drop='eq(n,101)+between(n,159,161)+between(n,225,234)'";
    const codec = ['-c:a', 'ac3', '-b:a', '384k', '-bsf:a', lost];
    const { whole, pcm, joins } = await bothWays(await sound(codec, 'stereo', STEREO));
    const found = difference(whole, pcm, joins);
    assert.ok(found.worstJoin > HEARD, `${found.worstJoin} dB at a join, ${found.overall} dB overall`);
  });
});

/** Decibels, with the file's sound moved by up to `most` samples to where it fits best. */
function likeness(file: Float32Array, pcm: Float32Array, most: number): number {
  const moved = (by: number, from: number, to: number): number => {
    const part = (sound: Float32Array, at: number): Float32Array =>
      sound.subarray(at + from * 48_000, at + to * 48_000);
    return difference(part(file, Math.max(0, by)), part(pcm, Math.max(0, -by)), [1]).overall;
  };
  const tried = Array.from({ length: 2 * most + 1 }, (_, n) => ({ by: n - most, fits: moved(n - most, 4, 5) }));
  return moved(tried.reduce((a, b) => (a.fits >= b.fits ? a : b)).by, 1, 9);
}

/** Each segment begins with 1,024 samples of nothing, and so is late by them. */
function withPriming(pcm: Float32Array, joins: readonly number[]): Float32Array {
  const faulty = new Float32Array(pcm.length);
  const bounds = [0, ...joins, pcm.length];
  for (const [n, from] of bounds.slice(0, -1).entries()) {
    const to = bounds[n + 1] as number;
    faulty.set(pcm.subarray(from, to - 1024), from + 1024);
  }
  return faulty;
}
