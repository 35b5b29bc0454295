import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timeLine } from './even-times.ts';

const rounded = (round: (ms: number) => number, step: number, count = 60, from = 0): number[] =>
  Array.from({ length: count }, (_, n) => round((from + n * step) * 1000) / 1000);

const near = (actual: number | undefined, expected: number, by = 1e-6): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < by, `${actual} instead of ${expected}`);

test('times that are rounded down lie half a millisecond early, but for the first one', () => {
  const line = timeLine(rounded(Math.floor, 1024 / 44_100), 44_100);
  near(line?.origin, -0.0005, 0.00003);
  near(line?.step, 1024 / 44_100, 1e-9);
});

test('times that are rounded up lie late', () => {
  near(timeLine(rounded(Math.ceil, 2048 / 48_000), 48_000)?.origin, 0.001 / 3);
});

test('a step below the rounding is found', () => {
  // 40 samples: 0, 0.83, 1.67, 2.5, ... become 0, 1, 2, 3, ...
  const line = timeLine(rounded(Math.round, 40 / 48_000, 1000), 48_000);
  near(line?.origin, 0.001 / 12);
  near(line?.step, 40 / 48_000, 1e-9);
});

test('a first one that is rounded otherwise than all others moves onto their line', () => {
  // Opus as FFmpeg muxes it: 6.5 ms before 0, and then every 20 ms.
  near(timeLine([-0.007, ...rounded(Math.round, 0.02, 60, 0.014)], 48_000)?.origin, -0.006);
});

test('exact times are exact, wherever they begin', () => {
  near(
    timeLine(
      rounded((ms) => ms, 1024 / 48_000, 60, 7.3),
      48_000,
    )?.origin,
    7.3,
    1e-9,
  );
});

test('nothing is told of times that are not even, or too few', () => {
  const gap = rounded(Math.floor, 0.0213).map((time, n) => (n > 30 ? time + 0.003 : time));
  assert.equal(timeLine(gap, 48_000), undefined);
  assert.equal(timeLine(rounded(Math.floor, 0.0213, 10), 48_000), undefined);
  assert.equal(timeLine(rounded(Math.floor, 0.0213), 0), undefined);
  assert.equal(timeLine([], 48_000), undefined);
});
