import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Packet, Track } from '../types.ts';
import { textSubtitleFile } from './text-file.ts';

const track = (codec: string, header = ''): Track => ({
  ...{ id: 1, type: 'subtitle', index: 0, codec, isDefault: false, isForced: false },
  codecPrivate: Buffer.from(header),
});
const packet = (text: string, pts: number, duration: number): Packet => ({
  ...{ data: Buffer.from(text), pts, duration, key: true },
});

/** FFmpeg's view of the file. */
async function packetsOf(bytes: Uint8Array): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'raffi-text-'));
  try {
    const file = join(folder, 'x.mkv');
    await writeFile(file, bytes);
    const args = ['-v', 'error', '-show_entries', 'packet=pts_time,duration_time', '-of', 'csv=p=0', file];
    return (await promisify(execFile)('ffprobe', args)).stdout.trim().split('\n');
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a script: its own sections only, events in its order, numbered anew, times on the presentation', async () => {
  const header = [
    '\ufeff[Script Info]\nPlayResX: 640',
    '[V4+ Styles]\nFormat: Name\nStyle: A',
    '[Fonts]\nfontname: evil.ttf\nAAAA',
    '[Events]\nDialogue: no event of the header',
  ];
  const packets = [
    packet('7,0,A,,0,0,0,,second', 12, 2),
    packet('3,0,A,,0,0,0,,first, with a comma', 12, 2),
    packet('3,0,A,,0,0,0,,first, with a comma', 12, 2),
    packet('7,0,A,,0,0,0,,a line\nDialogue: another', 15.0015, 0.5),
    packet('no event', 13, 1),
    packet('9,0,A,,0,0,0,,over before it starts', 8, 1),
  ];
  const bytes = textSubtitleFile(track('ass', header.join('\n')), packets, 10);
  const text = Buffer.from(bytes).toString('utf8');
  assert.match(text, /PlayResX: 640\r\n\[V4\+ Styles\]\r\nFormat: Name\r\nStyle: A\r\n\[Events\]/);
  assert.doesNotMatch(text, /evil|no event/);
  for (const event of ['0,0,A,,0,0,0,,first, with', '1,0,A,,0,0,0,,second', '2,0,A,,0,0,0,,a line\\NDialogue: another'])
    assert.ok(text.includes(event), event);
  assert.deepEqual(await packetsOf(bytes), ['2.000000,2.000000', '2.000000,2.000000', '5.001500,0.500000']);
});

test('plain text of any coding becomes SubRip', async () => {
  const bytes = textSubtitleFile(track('subrip'), [packet('a <i>b</i> & 1 < 2', 1, 1), packet('{\\an8}top', 3, 1)], 0);
  const text = Buffer.from(bytes).toString('utf8');
  assert.ok(text.includes('a <i>b</i> & 1 < 2'));
  assert.ok(text.includes('{\\an8}top'));
  assert.deepEqual(await packetsOf(bytes), ['1.000000,1.000000', '3.000000,1.000000']);
  assert.ok(textSubtitleFile(track('subrip'), [], 0).length > 0);
});
