/** Damaged timestamps and sizes never make a segment that cannot be written, or one that takes all memory. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CopiedTrack, initSegment } from './fmp4/init-segment.ts';
import { mediaSegment } from './fmp4/media-segment.ts';
import { withSilence } from './silence.ts';
import type { Packet } from './types.ts';

const BASE = { id: 1, index: 0, isDefault: true, isForced: false } as const;
const sound: CopiedTrack = {
  ...BASE,
  type: 'audio',
  codec: 'aac',
  audio: { sampleRate: 48_000, channels: 2 },
  config: {
    codec: 'aac',
    sampleEntry: 'mp4a',
    configBox: new Uint8Array(8),
    codecString: 'mp4a.40.2',
    audio: { sampleRate: 48_000, channels: 2, frameSamples: 1024 },
  },
};
const picture = (displayWidth: number): CopiedTrack => ({
  ...BASE,
  type: 'video',
  codec: 'h264',
  video: { width: 1920, height: 1080, displayWidth, displayHeight: 1080, rotation: 0, hdr: 'sdr' },
  config: {
    codec: 'h264',
    sampleEntry: 'avc1',
    configBox: new Uint8Array(8),
    codecString: 'avc1.640028',
    video: { width: 1920, height: 1080, bitDepth: 8 },
  },
});
const packet = (pts: number): Packet => ({ data: new Uint8Array(4), pts, duration: 0, key: true });
const allocate = (length: number): Uint8Array => new Uint8Array(length);

describe('damaged timestamps', () => {
  it('silence fills gaps of minutes', () => {
    assert.equal(withSilence(sound.config, [packet(0), packet(600)], 0, 600).length, 28_126);
  });

  it('silence does not fill years', () => {
    for (const far of [1e5, 1e9, 1e15, Number.MAX_VALUE]) {
      assert.equal(withSilence(sound.config, [packet(0), packet(far)], 0, far + 1).length < 100, true, `${far}`);
      assert.equal(withSilence(sound.config, [packet(0)], 0, far).length, 1);
    }
  });

  it('silence does not fill many gaps either, together longer', () => {
    const packets = Array.from({ length: 1000 }, (_, n) => packet(n * 500));
    assert.ok(withSilence(sound.config, packets, 0, 500_000).length < 50_000);
  });

  for (const [name, track] of [
    ['video', picture(1920)],
    ['audio', sound],
  ] as const) {
    it(`${name}: a segment with packets years apart is written`, () => {
      for (const far of [3e4, 1e5, 1e9, 1e11]) {
        const times = [0, 0.04, far, far + 0.04];
        const input = { track, packets: times.map(packet), startTime: 0, nextStart: far * 2, sequenceNumber: 1 };
        assert.ok(mediaSegment(input, allocate).length > 16);
      }
    });
  }

  it('an aspect ratio beyond every screen is written', () => {
    for (const width of [65_535, 65_536, 1e9, 1e14]) assert.ok(initSegment(picture(width)).length > 100);
  });
});
