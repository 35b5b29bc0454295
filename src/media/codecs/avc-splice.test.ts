import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberedMedia } from '../../../test/fixtures/media.ts';
import { openFile } from '../../source/file.ts';
import { openMedia } from '../open.ts';
import type { CodecConfig, MediaReader, Packet } from '../types.ts';
import { avcSplice, bringsParameterSet, isIdr, splicedConfig } from './avc-splice.ts';
import { concatBytes } from './bits.ts';

const never = new AbortController().signal;

async function opened(
  options: { bFrames?: number; openGop?: boolean; extraArgs?: string[] },
  use: (config: CodecConfig, packets: readonly Packet[], reader: MediaReader) => void | Promise<void>,
): Promise<void> {
  const path = await numberedMedia({ container: 'mp4', video: 'h264', seconds: 6, ...options });
  await using source = await openFile(path, never);
  await using reader = await openMedia(source, never);
  using batch = await reader.read(1, { from: -1, to: 100 }, never);
  await use(reader.info.tracks[0]?.config as CodecConfig, batch.packets, reader);
}

test('an encoder is told what fits, with the lowest ids that are free', async () => {
  const size = { width: 320, height: 180 };
  await opened({}, (config) => assert.deepEqual(avcSplice(config), { profile: 'high', level: 12, id: 1, ...size }));
  await opened({ extraArgs: ['-x264-params', 'sps-id=3'] }, (config) => assert.equal(avcSplice(config)?.id, 0));
  await opened({ extraArgs: ['-profile:v', 'main'] }, (config) => assert.equal(avcSplice(config)?.profile, 'main'));
  const baseline = ['-profile:v', 'baseline'];
  await opened({ extraArgs: baseline, bFrames: 0 }, (config) => assert.equal(avcSplice(config)?.profile, 'baseline'));
});

test('pictures that libx264 would not match are not spliced', async () => {
  await opened({ extraArgs: ['-pix_fmt', 'yuv444p'] }, (config) => assert.equal(avcSplice(config), undefined));
  await opened({ extraArgs: ['-flags', '+ilme+ildct'] }, (config) => assert.equal(avcSplice(config), undefined));
  await opened({}, (config) => {
    assert.equal(avcSplice({ ...config, codec: 'hevc' }), undefined);
    assert.equal(avcSplice({ ...config, configBox: config.configBox.subarray(0, 20) }), undefined);
  });
});

test('the sample description lists the sets of both', async () => {
  await opened({}, async (ours) => {
    await opened({ extraArgs: ['-x264-params', 'sps-id=1', '-level', '3.1'] }, (theirs) => {
      const both = splicedConfig(ours, theirs.configBox.subarray(8));
      const record = Buffer.from(both.configBox.subarray(8));
      assert.equal((record[5] as number) & 31, 2, 'sequence parameter sets');
      assert.equal(both.codecString, 'avc1.64001F');
      assert.equal(avcSplice(both)?.id, 2);
      for (const { configBox } of [ours, theirs]) {
        const sps = configBox.subarray(16, 16 + ((configBox[14] as number) << 8) + (configBox[15] as number));
        assert.ok(record.includes(sps));
      }
    });
  });
});

test('an IDR picture is told from the key frame of an open group', async () => {
  await opened({ openGop: true }, (_config, packets) => {
    const keys = packets.filter(({ key }) => key);
    assert.deepEqual(
      keys.map(({ data }) => isIdr(data)),
      [true, ...keys.slice(1).map(() => false)],
    );
    assert.ok(keys.length > 2);
  });
  await opened({}, (_config, packets) => {
    assert.ok(packets.every(({ key, data }) => isIdr(data) === key));
  });
});

test('parameter sets inside a packet are noticed', async () => {
  await opened({}, (config, packets) => {
    const first = (packets[0] as Packet).data;
    const length = config.configBox.subarray(14, 16);
    const sps = config.configBox.subarray(16, 16 + ((length[0] as number) << 8) + (length[1] as number));
    const withSet = concatBytes([Uint8Array.of(0, 0), length, sps, first]);
    assert.ok(!bringsParameterSet(first, 0));
    assert.ok(bringsParameterSet(withSet, 0));
    assert.ok(!bringsParameterSet(withSet, 1));
    const broken = concatBytes([Uint8Array.of(0, 0, 0, 2, 0x67, 0x64), first]);
    assert.ok(bringsParameterSet(broken, 9));
  });
});
