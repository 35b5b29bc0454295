/** That the readers give subtitle packets in the cuts of the video: all of them, once, out of the bytes that the video's cut needs anyway. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openMatroska } from '../matroska/reader.ts';
import { ffmpeg, keyCuts, load, memorySource } from '../matroska/testing.ts';

const { signal } = new AbortController();
const SECONDS = 24;

/** Start times in milliseconds: around each key frame, which come every 2 s, and in between. */
const STARTS = Array.from({ length: SECONDS / 2 - 1 }, (_, n) => 2000 * (n + 1)).flatMap((key) =>
  [-130, -81, -41, -1, 0, 1, 39, 700].map((off) => key + off),
);

function stamp(ms: number): string {
  return `00:00:${String(Math.floor(ms / 1000)).padStart(2, '0')},${String(ms % 1000).padStart(3, '0')}`;
}

describe('subtitle packets of Matroska', () => {
  let folder = '';
  let bytes: Uint8Array;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'subtitles-'));
    const lines = STARTS.map((at, n) => `${n + 1}\n${stamp(at)} --> ${stamp(at + 30)}\nline ${n}\n`);
    await writeFile(join(folder, 'lines.srt'), lines.join('\n'));
    // Key frames of some hundred kilobytes, behind which a subtitle of the cut before may stand.
    const path = join(folder, 'film.mkv');
    await ffmpeg(
      `-f lavfi -i testsrc2=s=1280x720:r=25:d=${SECONDS},noise=alls=60 -i ${join(folder, 'lines.srt')} -map 0 -map 1 -c:v libx264 -preset ultrafast -bf 3 -g 50 -crf 20 -c:s srt ${path}`,
    );
    bytes = await load(path);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const latency of ['local', 'remote'] as const) {
    test(`every one once, ${latency}`, async () => {
      await using reader = await openMatroska(memorySource(bytes, latency), signal);
      const [, track] = reader.info.tracks;
      assert.equal(track?.codec, 'subrip');
      for (const group of [1, 3]) {
        const texts: string[] = [];
        for (const cut of keyCuts(reader, group)) {
          using batch = await reader.read(track.id, cut, signal);
          for (const { data, pts, duration } of batch.packets) {
            assert.ok(pts >= cut.from && pts < cut.to);
            assert.ok(Math.abs(duration - 0.03) < 0.0011, `${duration}`);
            texts.push(Buffer.from(data).toString());
          }
        }
        assert.deepEqual(texts.toSorted(), STARTS.map((_, n) => `line ${n}`).toSorted());
      }
    });
  }

  test('over a network a cut’s subtitles cost no read of their own', async () => {
    const source = memorySource(bytes, 'remote');
    await using reader = await openMatroska(source, signal);
    const [video, subtitles] = reader.info.tracks;
    for (const cut of keyCuts(reader, 3)) {
      const asked: [number, number][][] = [];
      // As the presentation asks: a little longer, for what stands early.
      for (const [id, to] of [
        [video!.id, cut.to],
        [subtitles!.id, cut.to + 1],
      ] as const) {
        source.reads.length = 0;
        using _batch = await reader.read(id, { ...cut, to }, signal);
        asked.push([...source.reads]);
      }
      assert.equal(asked[0]?.length, 1);
      assert.deepEqual(asked[1], asked[0]);
    }
  });
});
