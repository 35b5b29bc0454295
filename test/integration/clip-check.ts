/** What a clip must be: exactly the pictures that were asked for, at their times, and their sound. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { boxes } from '../fixtures/boxes.ts';
import { beepFrequency, frameCount, frameTime, type NumberedMediaOptions } from '../fixtures/media.ts';
import { type DecodedAudio, decodeFile, decodeVideo } from '../fixtures/verify.ts';
import type { TestServer } from './harness.ts';

/** Audio may be this far from the picture, seconds (the limit). */
const AUDIO_TOLERANCE = 0.025;

/** Where frame 0 lies on the presentation's clock. */
export async function firstFrameTime(server: TestServer, id: string): Promise<number> {
  const multivariant = await server.text(`/sessions/${id}/stream.m3u8`);
  const variant = multivariant.includes('original/playlist') ? 'original' : '360p';
  const init = await server.bytes(`/sessions/${id}/${variant}/init.mp4`);
  const frames = await decodeVideo(init, [await server.bytes(`/sessions/${id}/${variant}/0.m4s`)]);
  assert.equal(frames[0]?.number, 0);
  return (frames[0] as { pts: number }).pts;
}

/** @param clip `start` and `end` as asked for, `offset` is the time of frame 0; all on the presentation's clock. */
export async function checkClip(
  path: string,
  clip: NumberedMediaOptions & { start: number; end: number; offset: number; audioIndex?: number },
): Promise<void> {
  const { start, end, offset } = clip;
  const order = boxes(readFileSync(path)).map(({ type }) => type);
  assert.deepEqual(
    order.filter((type) => type !== 'free'),
    ['ftyp', 'moov', 'mdat'],
  );
  const { frames, audio } = await decodeFile(path);
  const timeOf = (number: number): number => offset + frameTime(number, clip);
  const expected = Array.from({ length: frameCount(clip) }, (_, n) => n).filter(
    (n) => timeOf(n) > start - 0.0015 && timeOf(n) < end - 0.0015,
  );
  assert.deepEqual(
    frames.map(({ number }) => number),
    expected,
  );
  const zero = timeOf(expected[0] as number);
  for (const { number, pts } of frames) {
    const time = timeOf(number as number) - zero;
    assert.ok(Math.abs(pts - time) < 0.0021, `frame ${number} is at ${pts} s instead of ${time} s`);
  }
  assert.equal(audio !== undefined, clip.audio?.length !== 0);
  if (audio) checkSound(audio, clip, zero);
}

/** Beeps at the whole seconds of the pictures' clock, from the clip's beginning to its end. */
function checkSound(
  { beeps, jumps, start, end }: DecodedAudio,
  clip: NumberedMediaOptions & { start: number; end: number; offset: number; audioIndex?: number },
  zero: number,
): void {
  assert.deepEqual(jumps, []);
  const length = Math.min(clip.end, clip.offset + (clip.seconds ?? 10)) - zero;
  assert.ok(Math.abs(start) < AUDIO_TOLERANCE + 0.022, `the sound begins at ${start} s`);
  assert.ok(end > length - 0.05 && end < length + 0.05, `the sound ends at ${end} of ${length} s`);
  const expected = Array.from({ length: clip.seconds ?? 10 }, (_, second) => second + clip.offset - zero)
    // A beep at either end is heard in part.
    .filter((time) => time > 0.1 && time < length - 0.1);
  const heard = beeps.filter(({ time }) => time > 0.1 && time < length - 0.1);
  assert.ok(expected.length > 0);
  assert.equal(heard.length, expected.length, `beeps at ${beeps.map(({ time }) => time.toFixed(3))}`);
  for (const [n, { time, frequency }] of heard.entries()) {
    const at = expected[n] as number;
    assert.ok(Math.abs(time - at) < AUDIO_TOLERANCE, `a beep at ${time} s instead of ${at} s`);
    assert.ok(Math.abs(frequency - beepFrequency(clip.audioIndex ?? 0)) < 40, `a beep of ${frequency} Hz`);
  }
}
