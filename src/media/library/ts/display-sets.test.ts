import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DisplaySets } from './display-sets.ts';
import type { Pes } from './pes.ts';

const segment = (type: number, ...body: number[]): Uint8Array => Uint8Array.of(type, 0, body.length, ...body);

test('segments come together at the time of their composition, whatever their own', () => {
  const given: [number, string][] = [];
  const sets = new DisplaySets((data, { pts }) => given.push([pts, Buffer.from(data).toString('hex')]));
  const push = (pts: number | undefined, data: Uint8Array): void =>
    sets.push({ data, position: 0, ...(pts === undefined ? {} : { pts }) } as Pes);
  push(50, segment(0x15, 9));
  push(100, segment(0x16, 1));
  push(80, segment(0x14, 2));
  push(90, segment(0x15, 3));
  push(95, segment(0x80));
  push(undefined, segment(0x16, 4));
  push(120, segment(0x80));
  push(200, Buffer.concat([segment(0x16, 5), segment(0x80)]));
  assert.deepEqual(given, [
    [100, '160001011400010215000103800000'],
    [200, '16000105800000'],
  ]);
});
