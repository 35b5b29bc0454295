import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from './range.ts';

test('ranges of RFC 9110', () => {
  const size = 10_000_000_000;
  const cases: [string | undefined, ReturnType<typeof parseRange>][] = [
    [undefined, undefined],
    ['bytes=0-0', { first: 0, last: 0 }],
    ['bytes=0-', { first: 0, last: size - 1 }],
    ['Bytes=5-9', { first: 5, last: 9 }],
    ['bytes=9999999999-99999999999', { first: size - 1, last: size - 1 }],
    ['bytes=-500', { first: size - 500, last: size - 1 }],
    ['bytes=-99999999999', { first: 0, last: size - 1 }],
    ['bytes=5-18446744073709551615', { first: 5, last: size - 1 }],
    ['bytes=18446744073709551615-', 'unsatisfiable'],
    ['bytes=-18446744073709551615', { first: 0, last: size - 1 }],
    ['bytes=-0', 'unsatisfiable'],
    [`bytes=${size}-`, 'unsatisfiable'],
    ['bytes=5-4', undefined],
    ['bytes=-', undefined],
    ['bytes=a-b', undefined],
    ['bytes=0-1,5-6', undefined],
    ['items=0-1', undefined],
    [`bytes=${'0-0,'.repeat(7)}0-0`, undefined],
    [`bytes=${'0-0,'.repeat(8)}0-0`, 'too-many'],
    [`bytes=${'0-,'.repeat(5000)}0-`, 'too-many'],
    [`bytes=${'9'.repeat(5000)}-${'9'.repeat(5000)}`, 'unsatisfiable'],
  ];
  for (const [header, expected] of cases) assert.deepEqual(parseRange(header, size), expected, String(header));
});
