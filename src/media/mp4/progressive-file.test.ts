import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { boxes } from '../../../test/fixtures/boxes.ts';
import { openFile } from '../../source/file.ts';
import { describeCodec } from '../codecs/codecs.ts';
import type { CopiedTrack } from '../fmp4/init-segment.ts';
import { openIsobmff } from '../isobmff/reader.ts';
import type { CodecConfig, Packet } from '../types.ts';
import { ProgressiveFile } from './progressive-file.ts';
import { SampleLog } from './sample-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'raffi-mp4-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const config = (described: ReturnType<typeof describeCodec>): CodecConfig => {
  assert.ok('config' in described);
  return described.config;
};
const audio: CopiedTrack = {
  id: 2,
  type: 'audio',
  index: 0,
  codec: 'aac',
  config: config(describeCodec({ codec: 'aac', privateData: Uint8Array.of(0x11, 0x90) })),
  isDefault: true,
  isForced: false,
  language: 'deu',
  audio: { sampleRate: 48_000, channels: 2 },
};

/** Packets of AAC from `from` seconds on; each has its number in its bytes. */
const packets = (count: number, from: number, size = 100): Packet[] =>
  Array.from({ length: count }, (_, n) => ({
    data: new Uint8Array(size).fill(n),
    pts: from + (n * 1024) / 48_000,
    duration: 1024 / 48_000,
    key: true,
  }));

async function written(name: string, reserved: number, from: number, size?: number): Promise<string> {
  const path = join(folder, name);
  await using handle = await open(path, 'wx+');
  const file = new ProgressiveFile(handle, reserved);
  const log = new SampleLog(48_000);
  const all = packets(50, from, size);
  for (let n = 0; n < 50; n += 7) await file.write(log, all.slice(n, n + 7), 10);
  await file.finish([
    { track: audio, samples: log, end: from - 10 + (50 * 1024) / 48_000 },
    { track: audio, samples: new SampleLog(48_000), end: 1 },
  ]);
  return path;
}

/** Room to spare, none at all, so little that it would not hold a box. */
for (const [what, reserved] of [
  ['plenty', 8_192],
  ['too little', 100],
  ['none', 0],
] as const) {
  test(`with ${what} reserved, moov comes first and the packets are found`, async () => {
    const path = await written(`${what}.mp4`, reserved, 9.97, 100_000);
    const types = boxes(readFileSync(path)).map(({ type }) => type);
    assert.deepEqual(
      types.filter((type) => type !== 'free'),
      ['ftyp', 'moov', 'mdat'],
    );
    const signal = new AbortController().signal;
    await using source = await openFile(path, signal);
    await using reader = await openIsobmff(source, signal);
    assert.equal(reader.info.tracks.length, 1);
    using batch = await reader.read(1, { from: -1, to: 100 }, signal);
    assert.equal(batch.packets.length, 50);
    for (const [n, { data, pts }] of batch.packets.entries()) {
      assert.ok(data.length === 100_000 && data.every((byte) => byte === n), `packet ${n}`);
      assert.ok(Math.abs(pts - (-0.03 + (n * 1024) / 48_000)) < 0.000_03, `packet ${n} at ${pts}`);
    }
  });
}

test('every size of the reserve from too small to too large makes a whole file', async () => {
  const exact = boxes(readFileSync(await written('measure.mp4', 4_000, 10))).find(({ type }) => type === 'moov');
  const size = (exact?.end ?? 0) - (exact?.start ?? 0);
  for (let reserved = size - 12; reserved <= size + 12; reserved++) {
    const path = await written(`reserve-${reserved}.mp4`, reserved, 10);
    const bytes = readFileSync(path);
    const mdat = boxes(bytes).find(({ type }) => type === 'mdat');
    assert.equal(mdat && mdat.end - mdat.content, 5_000);
    assert.equal(bytes.readUInt8((mdat?.content ?? 0) + 100), 1);
    const moov = boxes(bytes).find(({ type }) => type === 'moov');
    const stco = bytes.indexOf('stco', moov?.start);
    assert.equal(bytes.readUInt32BE(stco + 12), mdat?.content);
  }
});

test('a track that begins later than the clip has an empty edit', async () => {
  const bytes = readFileSync(await written('late.mp4', 4_096, 10.5));
  const elst = bytes.indexOf('elst') + 4;
  const words = [8, 12, 20, 24].map((at) => bytes.readInt32BE(elst + at));
  assert.deepEqual(words, [45_000, -1, 96_000, 0]);
});

test('a full disk is the file system’s own error', { skip: !existsSync('/dev/full') }, async () => {
  await using handle = await open('/dev/full', 'r+');
  const file = new ProgressiveFile(handle, 100);
  const log = new SampleLog(48_000);
  await assert.rejects(
    async () => {
      await file.write(log, packets(50, 10, 100_000), 10);
      await file.finish([{ track: audio, samples: log, end: 1 }]);
    },
    { code: 'ENOSPC' },
  );
});
