import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startOrigin } from '../fixtures/origin.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import {
  ffmpegCues,
  LINES,
  pictureSubtitles,
  plainText,
  type SubtitledMedia,
  subtitledMedia,
} from '../fixtures/subtitles.ts';
import { type CheckedCue, checkWebvtt, mappedOffset } from '../fixtures/webvtt.ts';
import { type Info, shuffled, startTestServer, type TestServer } from './harness.ts';

const TOLERANCE_MS = 2;
/** FFmpeg starts its clock at the lowest time of all packets, audio priming among them; where we start is held against the pictures in test/e2e. */
const MAX_SHIFT_MS = 10;

const MEDIA: readonly SubtitledMedia[] = [
  { name: 'srt.mkv', codec: 'subrip' },
  { name: 'ass.mkv', codec: 'ass' },
  { name: 'webvtt.mkv', codec: 'webvtt' },
  { name: 'webvtt.webm', codec: 'webvtt' },
  { name: 'movtext.mp4', codec: 'mov_text' },
  { name: 'fragmented.mp4', codec: 'mov_text', extraArgs: ['-movflags', 'frag_keyframe+empty_moov'] },
  { name: 'compressed-clusters.mkv', codec: 'subrip', extraArgs: ['-cluster_time_limit', '700'] },
  { name: 'late.mkv', codec: 'subrip', extraArgs: ['-output_ts_offset', '7'] },
];

interface Fetched {
  readonly start: number;
  readonly duration: number;
  readonly text: string;
  readonly cues: readonly CheckedCue[];
}

/** All segments of a subtitle rendition, asked for in an order that `seed` determines. */
async function fetchSubtitles(server: TestServer, id: string, seed = 1): Promise<Fetched[]> {
  const base = `/sessions/${id}/subtitles-0/`;
  const playlist = checkMediaPlaylist(await server.text(`${base}playlist.m3u8`));
  const starts: number[] = [];
  playlist.segments.reduce((at, { duration }) => {
    starts.push(at);
    return at + duration;
  }, 0);
  const segments: Fetched[] = new Array(playlist.segments.length);
  for (const n of shuffled(playlist.segments.length, seed)) {
    const { uri, duration } = playlist.segments[n]!;
    const text = await server.text(base + uri);
    assert.equal(mappedOffset(text), 0);
    segments[n] = { start: starts[n]!, duration, text, cues: checkWebvtt(text) };
  }
  return segments;
}

/** Every cue once, by identifier. */
function union(segments: readonly Fetched[]): CheckedCue[] {
  const cues = new Map(segments.flatMap(({ cues }) => cues.map((cue) => [cue.id, cue])));
  return [...cues.values()].sort((a, b) => a.start - b.start || a.end - b.end);
}

function assertSameCues(
  actual: readonly CheckedCue[],
  expected: readonly { start: number; end: number; text: string }[],
): void {
  const sorted = expected.toSorted((a, b) => a.start - b.start || a.end - b.end);
  assert.deepEqual(
    actual.map(({ text }) => plainText(text)),
    sorted.map(({ text }) => text),
  );
  const shift = (sorted[0]?.start ?? 0) - (actual[0]?.start ?? 0);
  assert.ok(Math.abs(shift) <= MAX_SHIFT_MS, `all cues are ${shift} ms off`);
  for (const [i, { start, end, text }] of actual.entries()) {
    const other = sorted[i]!;
    const lasts = other.end > other.start ? Math.abs(end + shift - other.end) : 0;
    const off = Math.max(Math.abs(start + shift - other.start), lasts);
    assert.ok(off <= TOLERANCE_MS, `${text}: ${start}-${end}, FFmpeg ${other.start}-${other.end}`);
  }
}

/** A cue is in the segments in which it is shown, up to `reach` seconds after its start, and in no others. */
function assertPlaced(segments: readonly Fetched[], cues: readonly CheckedCue[], reach = 10): void {
  for (const { start, duration, cues: present } of segments) {
    const [from, to] = [start * 1000, (start + duration) * 1000];
    // To the rounding of one millisecond.
    const needed = cues
      .filter((cue) => cue.start < to - 1 && cue.end > from + 1 && cue.start > from - reach * 1000)
      .map(({ id }) => id);
    const allowed = new Set(cues.filter((cue) => cue.start < to + 1 && cue.end > from - 1).map(({ id }) => id));
    const ids = present.map(({ id }) => id);
    assert.deepEqual(
      needed.filter((id) => !ids.includes(id)),
      [],
      `missing in the segment at ${start}`,
    );
    assert.deepEqual(
      ids.filter((id) => !allowed.has(id)),
      [],
      `not for the segment at ${start}`,
    );
    for (const cue of present) assert.ok(cues.some((other) => JSON.stringify(other) === JSON.stringify(cue)));
  }
}

describe('text subtitles as WebVTT', { timeout: 180_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  for (const media of MEDIA) {
    test(`${media.codec} in ${media.name}: the cues of FFmpeg, in every segment that shows them`, async () => {
      const path = await subtitledMedia(media);
      const id = await server.create({ source: path });
      const segments = await fetchSubtitles(server, id);
      const cues = union(segments);
      assertSameCues(cues, await ffmpegCues(path));
      assert.equal(cues.length, LINES.length);
      assertPlaced(segments, cues);
      const placed = segments.flatMap((segment) => segment.cues.map(({ id }) => id));
      assert.ok(placed.length > cues.length, 'some cue is in two segments');
      // FFmpeg does not write the gaps between subtitles into fragments.
      if (media.name !== 'fragmented.mp4') assert.ok(segments.some((segment) => segment.cues.length === 0));
    });
  }

  test('what is fetched of subtitles says nothing of where the viewer is', async () => {
    const id = await server.create({ source: await subtitledMedia(MEDIA[0] as SubtitledMedia) });
    await fetchSubtitles(server, id);
    const status = async () => (await server.json<Info>(`/sessions/${id}`)).body.status;
    assert.equal(await status(), 'ready');
    await server.bytes(`/sessions/${id}/original/0.m4s`);
    assert.equal(await status(), 'streaming');
  });

  test('style and special characters', async () => {
    const id = await server.create({ source: await subtitledMedia(MEDIA[0]!) });
    const texts = union(await fetchSubtitles(server, id)).map(({ text }) => text);
    assert.ok(texts.includes('<i>from 13.5 to 22.5</i>'));
    assert.ok(texts.includes('fish &amp; chips'));
    assert.ok(texts.includes('two\nlines'));
  });

  test('any order gives the same bytes', async () => {
    const source = await subtitledMedia(MEDIA[0]!);
    const texts = [];
    for (const seed of [1, 2, 3]) {
      await using other = await startTestServer();
      const segments = await fetchSubtitles(other, await other.create({ source }), seed);
      texts.push(segments.map(({ text }) => text));
    }
    assert.deepEqual(texts[1], texts[0]);
    assert.deepEqual(texts[2], texts[0]);
  });

  test('a file without an index', async () => {
    const path = await subtitledMedia({ name: 'live.mkv', codec: 'subrip', extraArgs: ['-live', '1'] });
    const id = await server.create({ source: path });
    const segments = await fetchSubtitles(server, id);
    assertSameCues(union(segments), await ffmpegCues(path));
    assertPlaced(segments, union(segments));
  });

  for (const media of [MEDIA[0]!, MEDIA[4]!]) {
    test(`${media.name} over HTTP`, async () => {
      const file = await subtitledMedia(media);
      await using origin = await startOrigin({ file, path: `/${media.name}` });
      const segments = await fetchSubtitles(server, await server.create({ source: origin.url }));
      assertSameCues(union(segments), await ffmpegCues(file));
      assertPlaced(segments, union(segments), 6);
    });
  }

  test('the playlists offer the track, and its segments are those of the video', async () => {
    const source = await subtitledMedia(MEDIA[0]!);
    const id = await server.create({ source });
    const multivariant = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    const subtitles = multivariant.renditions.filter(({ type }) => type === 'SUBTITLES');
    assert.deepEqual(
      subtitles.map(({ groupId, name, language, autoselect, uri }) => ({ groupId, name, language, autoselect, uri })),
      [
        {
          groupId: 'subtitles',
          name: 'English',
          language: 'eng',
          autoselect: true,
          uri: 'subtitles-0/playlist.m3u8',
        },
      ],
    );
    assert.ok(multivariant.variants.length > 0);
    for (const variant of multivariant.variants) assert.equal(variant.subtitles, 'subtitles');
    const durations = async (rendition: string) =>
      checkMediaPlaylist(await server.text(`/sessions/${id}/${rendition}/playlist.m3u8`)).segments.map(
        ({ duration }) => duration,
      );
    assert.deepEqual(await durations('subtitles-0'), await durations('original'));
    const answer = await server.get(`/sessions/${id}/subtitles-0/0.vtt`);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/vtt\b/);
    const { body } = await server.json<Info>(`/sessions/${id}`);
    const stream = body.availableStreams?.find(({ type }) => type === 'subtitle');
    assert.equal(stream?.delivery, 'converted');
    assert.equal(stream?.reason, undefined);
    assert.equal((await server.get(`/sessions/${id}/subtitles-0/99.vtt`)).status, 404);
    assert.equal((await server.get(`/sessions/${id}/subtitles-0/init.mp4`)).status, 404);
    assert.equal((await server.get(`/sessions/${id}/subtitles-1/0.vtt`)).status, 404);
  });

  test('a slice begins with the segment at its start, with the times of the whole', async () => {
    const id = await server.create({ source: await subtitledMedia(MEDIA[4]!) });
    const root = await server.text(`/sessions/${id}/stream?seek=20`);
    const uri = checkMultivariant(root).renditions.find(({ type }) => type === 'SUBTITLES')?.uri ?? '';
    const playlist = checkMediaPlaylist(await server.text(`/sessions/${id}/${uri}`));
    assert.equal(playlist.segments[0]?.uri, '3.vtt');
    const cues = checkWebvtt(await server.text(`/sessions/${id}/subtitles-0/3.vtt`));
    assert.ok(cues.some(({ start, text }) => start === 18_010 && text === 'fish &amp; chips'));
  });

  test('pictures are left out, with the reason', async () => {
    const id = await server.create({ source: await pictureSubtitles() });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    const pictures = body.availableStreams?.find(({ type }) => type === 'subtitle');
    assert.equal(pictures?.codec, 'hdmv_pgs_subtitle');
    assert.equal(pictures.delivery, 'omitted');
    assert.match(pictures.reason ?? '', /hdmv_pgs_subtitle/);
    const multivariant = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    assert.ok(multivariant.renditions.every(({ type }) => type !== 'SUBTITLES'));
  });
});
