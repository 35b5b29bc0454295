import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CodecConfig } from '../types.ts';
import { unreferencedTest } from './unreferenced.ts';

/** With the record's bytes that matter set: where they stand, their value. */
function config(codec: 'h264' | 'hevc', at: number, value: number): CodecConfig {
  const configBox = new Uint8Array(64);
  configBox[8 + at] = value;
  return { codec, sampleEntry: '', configBox, codecString: '' };
}

/** NAL units with four-byte lengths. */
const packet = (...units: readonly number[][]): Uint8Array =>
  Uint8Array.from(units.flatMap((unit) => [0, 0, 0, unit.length, ...unit]));

const FILLER = [1, 2, 3];

test('H.264: a picture is unreferenced when none of its slices has a nal_ref_idc', () => {
  const says = unreferencedTest(config('h264', 4, 0xff)) as (data: Uint8Array) => boolean;
  const slice = (refIdc: number, type = 1): number[] => [(refIdc << 5) | type, ...FILLER];
  assert.equal(says(packet(slice(0))), true);
  assert.equal(says(packet([6, ...FILLER], slice(0), slice(0))), true, 'with SEI, in two slices');
  assert.equal(says(packet(slice(1))), false);
  assert.equal(says(packet(slice(3, 5))), false, 'IDR');
  assert.equal(says(packet(slice(2), slice(0))), false, 'the second field only');
  assert.equal(says(packet([6, ...FILLER])), false, 'no picture at all');
  assert.equal(says(new Uint8Array(0)), false);
  assert.equal(says(Uint8Array.of(0, 0, 0, 200, 1)), false, 'damaged');
});

test('HEVC: only sub-layer non-reference pictures of the highest sub-layer', () => {
  const unit = (type: number, temporalId: number): number[] => [type << 1, temporalId + 1, ...FILLER];
  const one = unreferencedTest(config('hevc', 21, (1 << 3) | 3)) as (data: Uint8Array) => boolean;
  assert.equal(one(packet(unit(0, 0))), true, 'TRAIL_N');
  assert.equal(one(packet([39 << 1, 1, 9], unit(8, 0))), true, 'RASL_N behind an SEI message');
  for (const type of [1, 9, 16, 19, 20, 21]) assert.equal(one(packet(unit(type, 0))), false, `type ${type}`);
  const three = unreferencedTest(config('hevc', 21, (3 << 3) | 3)) as (data: Uint8Array) => boolean;
  assert.equal(three(packet(unit(0, 2))), true);
  assert.equal(three(packet(unit(0, 1))), false, 'the sub-layer above may refer to it');
  assert.equal(unreferencedTest(config('hevc', 21, 3)), undefined, 'the sub-layers are not known');
});

test('other codecs do not tell', () => {
  assert.equal(unreferencedTest(undefined), undefined);
  assert.equal(unreferencedTest({ ...config('h264', 4, 0xff), codec: 'vp9' }), undefined);
});
