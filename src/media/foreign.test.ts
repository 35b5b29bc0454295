import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { numberedMedia } from '../../test/fixtures/media.ts';
import { foreignContainer } from './foreign.ts';

test('files of FFmpeg’s muxers are told by their first bytes, and others are not', async () => {
  const samples = [
    ['AVI', { container: 'avi', video: 'mpeg4', audio: ['mp3'] }],
    ['ASF (WMV, WMA)', { container: 'wmv', video: 'wmv2', audio: ['wmav2'] }],
    ['FLV', { container: 'flv', video: 'h264', audio: ['aac'] }],
    ['MPEG programme stream', { container: 'mpg', video: 'mpeg2video', audio: ['mp2'] }],
  ] as const;
  for (const [name, options] of samples) {
    const file = await numberedMedia({ ...options, seconds: 2 });
    assert.equal(foreignContainer((await readFile(file)).subarray(0, 64)), name);
  }
  for (const text of ['', 'RIFF', 'RIFF\0\0\0\0WAVEfmt ', 'root:x:0:0:root:/root:/bin/bash', 'FLV', '\x1aE\xdf\xa3']) {
    assert.equal(foreignContainer(Buffer.from(text, 'latin1')), undefined);
  }
});
