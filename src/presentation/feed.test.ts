import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { type NumberedMediaOptions, numberedMedia } from '../../test/fixtures/media.ts';
import { FEED_LEAD } from '../ffmpeg/arguments.ts';
import { planTimeline } from '../hls/timeline.ts';
import { Limiter } from '../lib/limiter.ts';
import { openMedia } from '../media/open.ts';
import type { Track } from '../media/types.ts';
import { openFile } from '../source/file.ts';
import { CutPlaces } from './cut-places.ts';
import { videoFeed } from './feed.ts';

const never = new AbortController().signal;

/** Presentation times of what is fed, in order of time, as FFmpeg reads it. */
async function fed(options: NumberedMediaOptions, time: number, until?: number): Promise<number[]> {
  const source = await openFile(await numberedMedia(options), never);
  await using reader = await openMedia(source, never);
  const { info, keyframes } = reader;
  assert.ok(keyframes);
  const starts = keyframes.starts.map((start) => start - info.startTime);
  const timeline = planTimeline({ starts, positions: keyframes.positions }, info.duration);
  const opened = { reader, info, timeline, places: new CutPlaces(new Limiter(1)) };
  const track = info.tracks.find(({ id }) => id === info.videoTrackId) as Track;
  const pieces: Buffer[] = [];
  for await (const piece of videoFeed(opened, { track, index: keyframes, time, until }, never))
    pieces.push(Buffer.from(piece));
  await source[Symbol.asyncDispose]();
  const args = ['-v', 'error', '-show_entries', 'packet=pts_time', '-of', 'csv=p=0', '-f', 'matroska', 'pipe:0'];
  const printed = execFileSync('ffprobe', args, { input: Buffer.concat(pieces), encoding: 'utf8' });
  return printed
    .trim()
    .split('\n')
    .map((time) => Number(time) - FEED_LEAD)
    .sort((a, b) => a - b);
}

/** Frames at 25 per second from `from` (inclusive) to `to` (exclusive), seconds. */
const between = (times: readonly number[], from: number, to: number): number =>
  times.filter((time) => time > from - 0.02 && time < to - 0.02).length;

for (const video of ['h264', 'hevc'] as const) {
  const options: NumberedMediaOptions = { container: 'mkv', video, seconds: 14, bFrames: 2, gop: 50 };
  test(`${video}: from the key frame on, without what nothing refers to before the start`, async () => {
    const times = await fed(options, 5.2);
    assert.ok(Math.abs((times[0] as number) - 4) < 0.002, `it begins at ${times[0]} s`);
    const before = between(times, 4, 5.2);
    assert.ok(before >= 10 && before <= 24, `${before} of 30 frames before the start`);
    assert.equal(between(times, 5.2, 14), 220);
  });

  test(`${video}: ends three frames behind its end`, async () => {
    for (const until of [6, 7.2, 8]) {
      const times = await fed(options, 5.2, until);
      assert.equal(between(times, 5.2, until), Math.round((until - 5.2) * 25));
      const beyond = between(times, until, 14);
      // What precedes in decoding order comes along.
      assert.ok(beyond >= 3 && beyond <= 6, `${beyond} frames beyond ${until} s`);
    }
  });
}
