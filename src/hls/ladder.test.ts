import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subdivide } from './ladder.ts';
import { gridTimeline } from './timeline.ts';

test('segments are divided into parts of two seconds', () => {
  const { segments, duration } = subdivide(gridTimeline(15));
  assert.deepEqual(
    segments.map(({ start, duration: lasts }) => [start, lasts]),
    [0, 2, 4, 6, 8, 10, 12, 13.5].map((start) => [start, start < 12 ? 2 : 1.5]),
  );
  assert.equal(duration, 15);
});

test('a damaged duration does not take all memory: of a segment, of many, of what a grid leaves to its last', () => {
  const days = Array.from({ length: 1000 }, (_, n) => ({ start: n * 86_400, duration: 86_400 }));
  for (const timeline of [
    { segments: [{ start: 0, duration: 4e9 }], duration: 4e9 },
    { segments: days, duration: 86_400_000 },
    gridTimeline(1e12),
  ]) {
    const { segments, duration } = subdivide(timeline);
    assert.ok(segments.length <= 1_000_000, `${segments.length} parts`);
    assert.equal(duration, timeline.duration);
    const last = segments.at(-1)!;
    assert.ok(Math.abs(last.start + last.duration - duration) < 1);
  }
});
