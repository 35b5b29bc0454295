import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boxFont } from '../../test/fixtures/font.ts';
import { fontExtension } from './fonts.ts';

test('sound fonts are known by what is in them, and nothing else is', () => {
  const font = boxFont('Test');
  assert.equal(fontExtension(font), 'ttf');
  assert.equal(fontExtension(font.subarray(0, font.length - 60)), undefined, 'cut off');
  assert.equal(fontExtension(new Uint8Array(1000)), undefined);
  assert.equal(fontExtension(new Uint8Array(0)), undefined);
  const collection = Buffer.concat([Buffer.from('ttcf\0\x01\0\0\0\0\0\x01\0\0\0\x10', 'latin1'), font]);
  assert.equal(fontExtension(collection), 'ttc');
  collection.writeUInt32BE(0xffffff00, 12);
  assert.equal(fontExtension(collection), undefined, 'a member outside the file');
  const huge = new Uint8Array(33 * 1024 * 1024);
  huge.set(font);
  assert.equal(fontExtension(huge), undefined);
});

test('hostile directories are no fonts, and no errors', () => {
  const font = boxFont('Test');
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const bytes = font.slice();
      for (const [at, value] of changes) bytes[at] = value;
      fontExtension(bytes);
    }),
  );
});
