import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { type Command, readArguments, UsageError } from './arguments.ts';

test('reads commands', () => {
  const hash = 'a'.repeat(40);
  const cases: [words: string, command: Command][] = [
    ['', { name: 'serve' }],
    ['serve', { name: 'serve' }],
    ['--help', { name: 'help', of: undefined }],
    ['-h', { name: 'help', of: undefined }],
    ['clip --help', { name: 'help', of: 'clip' }],
    ['--version', { name: 'version' }],
    ['probe x.mkv', { name: 'probe', source: resolve('x.mkv'), json: false }],
    ['probe --json -- -x.mkv', { name: 'probe', source: resolve('-x.mkv'), json: true }],
    ['probe https://a.example/x', { name: 'probe', source: 'https://a.example/x', json: false }],
    [`probe ${hash}`, { name: 'probe', source: hash, json: false }],
    ['probe magnet:?xt=urn:btih:x', { name: 'probe', source: 'magnet:?xt=urn:btih:x', json: false }],
    ['play x --at 1:02:03.5', { name: 'play', source: resolve('x'), at: 3723.5, opens: true }],
    ['play --no-open x', { name: 'play', source: resolve('x'), at: 0, opens: false }],
    [
      'clip x --start 1:30 --end 120 -o out/y.mp4 --audio 1',
      { name: 'clip', source: resolve('x'), start: 90, end: 120, output: resolve('out/y.mp4'), audio: 1, json: false },
    ],
  ];
  for (const [words, command] of cases) {
    assert.deepEqual(readArguments(words.split(' ').filter(Boolean)), command, words);
  }
});

test('what makes no sense is a sentence that names the word', () => {
  const cases: [words: string[], says: RegExp][] = [
    [['film.mkv'], /no command "film\.mkv"; there are serve, play, probe, clip/],
    [['serve', 'x'], /"serve" takes no "x"/],
    [['probe'], /"probe" needs a source/],
    [['probe', 'a', 'b'], /one source, but there is "b" too/],
    [['probe', '--yaml', 'a'], /'--yaml'/],
    [['serve', '--json'], /'--json'/],
    [['probe', 'a', '--json=yes'], /--json/],
    [['clip', 'a'], /--start and --end/],
    [['clip', 'a', '--start', '1', '--end', 'x'], /--end must be seconds, m:ss or h:mm:ss, but is "x"/],
    [['clip', 'a', '--start', '1', '--end'], /--end/],
    [['clip', 'a', '--start', '1', '--end', '2', '--audio', '-1'], /--audio/],
    [['clip', 'a', '--start', '-1', '--end', '2'], /^Option '--start' argument is ambiguous\.$/],
    [['play', 'a', '--at', '1:60'], /--at/],
  ];
  for (const [words, says] of cases) {
    assert.throws(
      () => readArguments(words),
      (error) => error instanceof UsageError && says.test(error.message),
      words.join(' '),
    );
  }
});
