import assert from 'node:assert/strict';
import { basename, join, posix, win32 } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { clipStem, type NameWish, usualStem } from './clip-name.ts';

const CASES: readonly (readonly [wish: NameWish, stem: string])[] = [
  [{}, 'usual'],
  [{ name: 'A clip' }, 'A clip'],
  [{ name: 'A clip.mp4' }, 'A clip'],
  [{ name: 'A clip.MKV' }, 'A clip'],
  [{ name: 'S01.E02' }, 'S01.E02'],
  [{ name: '../../etc/passwd' }, 'etc-passwd'],
  [{ name: '/etc/passwd' }, 'etc-passwd'],
  [{ name: 'C:\\Windows\\x' }, 'C--Windows-x'],
  [{ name: 'a\0b\u001b[31m\u202ec' }, 'ab[31mc'],
  [{ name: 'a\ud800b' }, 'ab'],
  [{ name: '.hidden' }, 'hidden'],
  [{ name: 'dots... ' }, 'dots'],
  [{ name: 'nul' }, '_nul'],
  [{ name: 'COM1.mp4' }, '_COM1'],
  [{ name: 'con.tar' }, '_con.tar'],
  [{ name: 'COM1 .x' }, '_COM1 .x'],
  [{ name: 'con (2)' }, 'con (2)'],
  [{ name: 'console' }, 'console'],
  [{ name: 'lpt²' }, '_lpt²'],
  [{ name: 'Über  Straße\t日本 🎬' }, 'Über Straße日本 🎬'],
  [{ name: 'e\u0301' }, 'é'],
  [{ name: 'x'.repeat(300) }, 'x'.repeat(200)],
  [{ name: `${'é'.repeat(150)}.mp4` }, 'é'.repeat(100)],
  [{ name: '👨‍👩‍👧‍👦'.repeat(40) }, '👨‍👩‍👧‍👦'.repeat(8)],
  [{ name: 'other', outputPath: '/home/me/out.mp4' }, 'out'],
  [{ outputPath: '../../../out' }, 'out'],
  [{ outputPath: 'C:\\clips\\out.mov' }, 'out'],
];

for (const [wish, stem] of CASES)
  test(`${JSON.stringify(wish).slice(0, 60)} becomes ${stem.slice(0, 30)}`, () =>
    assert.equal(clipStem(wish, 'usual'), stem));

for (const [field, wish] of [
  ['name', { name: '...' }],
  ['name', { name: '\0\u0007' }],
  ['name', { name: '///' }],
  ['outputPath', { outputPath: '..' }],
  ['outputPath', { outputPath: 'folder/' }],
  ['outputPath', { outputPath: '/', name: 'fine' }],
] as const)
  test(`${JSON.stringify(wish)} is refused by name`, () => {
    assert.throws(
      () => clipStem(wish, 'usual'),
      (error) => error instanceof AppError && error.code === 'bad-request' && error.detail.startsWith(`body/${field}:`),
    );
  });

test('whatever is wished, the file lies in the folder, on every system', () => {
  const nasty = fc.constantFrom(
    '..',
    '/',
    '\\',
    '\0',
    '.',
    ' ',
    'CON',
    'nul.',
    ':',
    '\ud800',
    '\u202e',
    '\r\n',
    'é',
    '🎬',
    '.mp4',
    'x'.repeat(150),
    '-',
  );
  const text = fc
    .array(fc.oneof(nasty, fc.string({ unit: 'binary' })), { maxLength: 12 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.boolean(), (wish, isPath) => {
      let stem: string;
      try {
        stem = clipStem(isPath ? { outputPath: wish } : { name: wish }, 'usual');
      } catch (error) {
        assert.ok(error instanceof AppError && error.code === 'bad-request');
        return;
      }
      const file = `${stem} (9999).mp4`;
      assert.ok(Buffer.byteLength(file) <= 255);
      assert.ok(stem.isWellFormed());
      assert.doesNotMatch(stem, /[\p{Cc}<>:"/\\|?*]|^[. -]|[. ]$/u);
      assert.doesNotMatch(stem, /^(con|prn|aux|nul|com\d|lpt\d) *(\.|$)/i);
      for (const path of [posix, win32]) assert.equal(path.basename(path.join(path.sep, 'clips', file)), file);
      assert.equal(basename(join('/clips', file)), file);
    }),
    { numRuns: 2_000 },
  );
});

test('a clip without a name is named after its source and its times', () => {
  assert.equal(usualStem('Film.2026.mkv', 62.5, 3_723), 'Film.2026 0.01.02-1.02.03');
  assert.equal(usualStem('', 0, 5), 'clip 0.00.00-0.00.05');
});
