import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeDictionary, decodePrefix, encode } from './bencode.ts';

test('what is written is read', () => {
  const bytes = encode({ b: [1, -2, 'drei'], a: Buffer.from([0, 255]), c: { d: {} } });
  assert.equal(bytes.toString('latin1'), 'd1:a2:\0\xff1:bli1ei-2e4:dreie1:cd1:ddeee');
  const map = decodeDictionary(bytes);
  assert.deepEqual([...map.keys()], ['a', 'b', 'c']);
  assert.deepEqual(map.get('b'), [1, -2, Buffer.from('drei')]);
});

test('what follows a value is told', () => {
  assert.deepEqual(decodePrefix(Buffer.from('i7erest')), { value: 7, end: 3 });
});

for (const text of [
  '',
  'i',
  'ie',
  'i1',
  'i1x2e',
  'l',
  'd',
  'd1:a',
  'di1ei2ee',
  '5:abc',
  ':',
  '-1:a',
  'x',
  'i99999999999999999999e',
  '9007199254740993:',
])
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => decodePrefix(Buffer.from(text)), RangeError);
  });

test('what is nested too deeply is refused, not followed', () => {
  assert.throws(() => decodePrefix(Buffer.from('l'.repeat(100_000))), RangeError);
});

test('a dictionary is one dictionary', () => {
  assert.throws(() => decodeDictionary(Buffer.from('dei1e')), RangeError);
  assert.throws(() => decodeDictionary(Buffer.from('le')), RangeError);
});

test('hostile bytes: a value or a RangeError', () => {
  const runs = Number(process.env.FUZZ_RUNS ?? 20_000);
  const alphabet = Buffer.from('dlei0123456789:-ab');
  let state = 99;
  for (let run = 0; run < runs; run += 1) {
    const bytes = Buffer.alloc(24);
    for (let at = 0; at < bytes.length; at += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[at] = alphabet[(state >>> 16) % alphabet.length]!;
    }
    try {
      assert.ok(decodePrefix(bytes).end <= bytes.length);
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }
});
