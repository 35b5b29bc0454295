import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runFFmpeg } from '../../test/fixtures/media.ts';
import { burnInFilter, escaped } from './burn-in.ts';

describe('burning in', () => {
  test('paths are escaped for the option and for the graph', () => {
    assert.equal(escaped('/tmp/plain/a.mkv', false), '/tmp/plain/a.mkv');
    assert.equal(escaped("/a'b", false), "/a\\\\\\'b");
    assert.equal(escaped('/a:b,c;d[e]', false), '/a\\\\:b\\,c\\;d\\[e\\]');
    assert.equal(escaped('C:\\Users\\me', true), 'C\\\\:/Users/me');
  });

  for (const name of [
    "it's",
    'a:b',
    'a,b;c',
    '[x]',
    'back\\slash',
    'per%cent %{x}',
    'sp ace=eq',
    '#dollar$HOME',
    'ü 字',
  ]) {
    test(`FFmpeg opens a file in ${JSON.stringify(name)}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), `raffi ${name} `));
      try {
        const file = join(folder, `${name}.srt`);
        await writeFile(file, '1\n00:00:00,000 --> 00:00:01,000\nHello\n');
        const job = { kind: 'text', file, fonts: folder } as const;
        const filter = burnInFilter(['null'], ['format=yuv420p'], { width: 64, height: 36 }, job);
        await runFFmpeg(['-f', 'lavfi', '-i', 'color=s=64x36:d=0.1', ...filter, '-f', 'null', '-']);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
});
