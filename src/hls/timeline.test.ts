import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gridTimeline, planTimeline, segmentAt, TARGET_DURATION } from './timeline.ts';

function points(starts: number[]) {
  return {
    starts: Float64Array.from(starts),
    positions: Float64Array.from(starts, (start) => Math.max(0, start) * 1000),
  };
}

const shape = (starts: number[], duration: number) =>
  planTimeline(points(starts), duration).segments.map(({ start, duration, fromKey, toKey }) => [
    start,
    duration,
    fromKey,
    toKey,
  ]);

test('dense key frames are merged up to the target, long groups of pictures stay whole', () => {
  assert.deepEqual(shape([0, 2, 4, 6, 8, 10], 12), [
    [0, 6, 0, 3],
    [6, 6, 3, 6],
  ]);
  assert.deepEqual(shape([0, 5, 10], 15), [
    [0, 5, 0, 1],
    [5, 5, 1, 2],
    [10, 5, 2, 3],
  ]);
  assert.deepEqual(shape([0, 20, 21], 25), [
    [0, 20, 0, 1],
    [20, 5, 1, 3],
  ]);
  assert.deepEqual(shape([0], 100), [[0, 100, 0, 1]]);
});

test('a late first key frame belongs to a segment from 0; a short tail joins the segment before', () => {
  assert.deepEqual(shape([2, 6], 8), [
    [0, 6, 0, 1],
    [6, 2, 1, 2],
  ]);
  assert.deepEqual(shape([0, 6], 6.2), [[0, 6.2, 0, 2]]);
  assert.deepEqual(shape([0, 6], 6.7).length, 2);
});

test('any index gives contiguous segments that use every access point once and span the duration', () => {
  const gaps = fc.array(fc.double({ min: 0.001, max: 30, noNaN: true }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(gaps, fc.double({ min: 0, max: 10, noNaN: true }), (steps, tail) => {
      const starts: number[] = [];
      let time = 0;
      for (const step of steps) {
        starts.push(time);
        time += step;
      }
      const end = (starts.at(-1) as number) + tail;
      const { segments, duration } = planTimeline(points(starts), end);
      let expectedStart = 0;
      let expectedKey = 0;
      for (const segment of segments) {
        assert.ok(Math.abs(segment.start - expectedStart) < 1e-6);
        assert.equal(segment.fromKey, expectedKey);
        assert.ok((segment.toKey as number) > (segment.fromKey as number));
        assert.ok(segment.duration > 0);
        const groups = (segment.toKey as number) - (segment.fromKey as number);
        if (groups > 1) assert.ok(segment.duration <= TARGET_DURATION + 0.5 + 1e-6);
        expectedStart = segment.start + segment.duration;
        expectedKey = segment.toKey as number;
      }
      assert.equal(expectedKey, starts.length);
      assert.ok(Math.abs(expectedStart - duration) < 1e-6);
    }),
  );
});

test('a grid has equal segments and ends with the duration', () => {
  assert.deepEqual(gridTimeline(13).segments, [
    { start: 0, duration: 6 },
    { start: 6, duration: 6 },
    { start: 12, duration: 1 },
  ]);
  assert.deepEqual(gridTimeline(12.3).segments, [
    { start: 0, duration: 6 },
    { start: 6, duration: 12.3 - 6 },
  ]);
  assert.deepEqual(gridTimeline(0.2).segments, [{ start: 0, duration: 0.2 }]);
});

test('segmentAt finds the segment that contains a time and clamps', () => {
  const timeline = planTimeline(points([0, 6, 12]), 18);
  const cases: [number, number][] = [
    [-5, 0],
    [0, 0],
    [5.999, 0],
    [6, 1],
    [17, 2],
    [18, 2],
    [1e9, 2],
  ];
  for (const [time, n] of cases) assert.equal(segmentAt(timeline, time), n, String(time));
});

test('a grid of an absurd duration has a bounded number of segments and still covers it', () => {
  for (const duration of [1e7, 1e9, 1e12, Number.MAX_VALUE]) {
    const { segments, duration: whole } = gridTimeline(duration);
    assert.ok(segments.length <= 200_000);
    const last = segments.at(-1);
    assert.ok(last);
    assert.equal(whole, duration);
    assert.equal(last.start + last.duration, duration);
  }
});
