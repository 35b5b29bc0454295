import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  annexBToLengthPrefixed,
  ascFromAdts,
  avcConfigFromAnnexB,
  describeCodec,
  hevcConfigFromAnnexB,
  needsFirstPacket,
  packetDuration,
  stripAdts,
} from './codecs.ts';

const CODECS = ['h264', 'hevc', 'av1', 'vp9', 'aac', 'ac3', 'eac3', 'opus', 'flac', 'mp3'];
const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** Valid records and packets to mutate, so that parsers are reached to their ends. Made by FFmpeg 5.1. */
const SEEDS: readonly { codec: string; data: Uint8Array }[] = [
  {
    codec: 'h264',
    data: hex(
      '016e000cffe1001e676e000ca6cd941419f9f0e6a12201280000030008000003019078a14cb001000668ebe3cb22c0fdfafa' + '00',
    ),
  },
  {
    codec: 'h264',
    data: hex('00000001676e000ca6cd941419f9f0e6a12201280000030008000003019078a14cb00000000168ebe3cb22c0'),
  },
  {
    codec: 'hevc',
    data: hex(
      '0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003c95' +
        '9809a10001002d42010102200000030090000003000003003ca00a080b9f6d96566924caf016a12201208000000300800000' +
        '0c84a2000100074401c172b46240',
    ),
  },
  {
    codec: 'hevc',
    data: hex(
      '0000000140010c01ffff02200000030090000003000003003c9598090000000142010102200000030090000003000003003c' +
        'a00a080b9f6d96566924caf016a122012080000003008000000c84000000014401c172b46240000000012801af1d62f51b5f' +
        '80',
    ),
  },
  { codec: 'av1', data: hex('81004c000a0e000000043cfeccdaf95091009040') },
  { codec: 'av1', data: hex('0a0e000000043cfeccdaf95091009040') },
  { codec: 'vp9', data: hex('020ba20910090000') },
  { codec: 'vp9', data: hex('924983425009f8059b021c120e0c2c0005387fd9fa3e8fe7') },
  { codec: 'aac', data: hex('11b056e500') },
  { codec: 'ac3', data: hex('103de0') },
  { codec: 'ac3', data: hex('0b77b50b1e40ebf8403eff99ff0841fc') },
  { codec: 'eac3', data: hex('0e00200f00') },
  { codec: 'eac3', data: hex('0b77037f3f87c00020f820000200400004001fcc7e0107e1') },
  { codec: 'opus', data: hex('000601380000bb800000010402000401020305') },
  { codec: 'flac', data: hex('800000221200120000016f00050e0bb80af000005dc0d215efcd155a2149071ac090e0c7fe5d') },
  { codec: 'mp3', data: hex('fffb9464000001ee') },
];

function tryEverything(codec: string, privateData: Uint8Array | undefined, firstPacket: Uint8Array | undefined): void {
  needsFirstPacket(codec, privateData);
  const result = describeCodec({
    codec,
    ...(privateData && { privateData }),
    ...(firstPacket && { firstPacket }),
    width: 640,
    height: 360,
  });
  if ('notCopied' in result) {
    assert.ok(result.notCopied.length > 0);
    return;
  }
  const { config } = result;
  assert.equal(new DataView(config.configBox.buffer).getUint32(0), config.configBox.length);
  assert.ok(config.video === undefined || (config.video.width > 0 && config.video.height > 0));
  assert.ok(config.audio === undefined || (config.audio.sampleRate > 0 && config.audio.channels > 0));
  assert.doesNotMatch(config.codecString, /undefined|NaN|-1/);
  for (const data of [privateData, firstPacket, new Uint8Array(0)]) {
    const seconds = data && packetDuration(config, data);
    assert.ok(seconds === undefined || (seconds > 0 && Number.isFinite(seconds)));
  }
}

const anyBytes = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined });

describe('hostile input', () => {
  it('has seeds that are valid', () => {
    for (const { codec, data } of SEEDS) {
      const isRecord = 'config' in describeCodec({ codec, privateData: data, width: 640, height: 360 });
      assert.ok(isRecord || 'config' in describeCodec({ codec, firstPacket: data }), codec);
    }
  });

  it('never throws on random bytes', () => {
    fc.assert(fc.property(fc.constantFrom(...CODECS, 'dts', '', '__proto__'), anyBytes, anyBytes, tryEverything), {
      numRuns: 3000,
    });
  });

  it('never throws on mutated records and packets', () => {
    const mutation = fc.tuple(fc.nat(4096), fc.nat(255));
    fc.assert(
      fc.property(
        fc.constantFrom(...SEEDS),
        fc.array(mutation, { maxLength: 8 }),
        fc.nat(4096),
        ({ codec, data }, changes, cut) => {
          const mutated = data.slice(0, cut % 4 === 0 ? cut % (data.length + 1) : data.length);
          for (const [at, value] of changes) if (mutated.length > 0) mutated[at % mutated.length] = value;
          tryEverything(codec, mutated, undefined);
          tryEverything(codec, undefined, mutated);
          tryEverything(codec, data, mutated);
        },
      ),
      { numRuns: 6000 },
    );
  });

  it('never throws on Annex B and ADTS', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 0, 1, 0x67, 0x68, 0x42, 0x44, 0x40, 0xff, 0xf1, 3), { maxLength: 80 }),
        (list) => {
          const data = Uint8Array.from(list);
          avcConfigFromAnnexB(data);
          hevcConfigFromAnnexB(data);
          ascFromAdts(data);
          assert.ok(stripAdts(data).length <= data.length);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('stays bounded on packets of millions of units', () => {
    const data = new Uint8Array(8_000_000);
    for (let at = 0; at + 4 <= data.length; at += 4) data.set([0, 0, 1, 0x67], at);
    assert.equal(avcConfigFromAnnexB(data), undefined);
    assert.equal(hevcConfigFromAnnexB(data), undefined);
    assert.equal(annexBToLengthPrefixed(data).length, (data.length / 4) * 5);
    tryEverything('h264', undefined, data);
    tryEverything('hevc', undefined, data);
  });
});

describe('annexBToLengthPrefixed', () => {
  it('keeps every unit, whichever start codes and padding surround them', () => {
    const unit = fc.array(fc.integer({ min: 2, max: 255 }), { minLength: 1, maxLength: 40 });
    const code = fc.constantFrom([0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0, 0, 1]);
    fc.assert(
      fc.property(fc.array(fc.tuple(code, unit), { maxLength: 12 }), (units) => {
        const stream = Uint8Array.from(units.flatMap(([start, body]) => [...start, ...body]));
        const expected = Uint8Array.from(units.flatMap(([, body]) => [0, 0, 0, body.length, ...body]));
        assert.deepEqual(annexBToLengthPrefixed(stream), expected);
      }),
    );
  });

  it('keeps zero bytes and emulation prevention inside a unit', () => {
    const stream = Uint8Array.of(0, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 1, 9, 0, 0, 1, 0x41, 7, 0);
    assert.deepEqual(
      annexBToLengthPrefixed(stream),
      Uint8Array.of(0, 0, 0, 8, 0x65, 0, 0, 3, 1, 0, 1, 9, 0, 0, 0, 2, 0x41, 7),
    );
  });
});

describe('foreign codecs', () => {
  it('are refused in words', () => {
    assert.deepEqual(describeCodec({ codec: 'dts' }), {
      notCopied: 'DTS audio cannot be copied into HLS without re-encoding',
    });
    assert.deepEqual(describeCodec({ codec: 'pcm_s16le' }), {
      notCopied: 'PCM audio cannot be copied into HLS without re-encoding',
    });
    assert.deepEqual(describeCodec({ codec: 'x\u0000y' }), {
      notCopied: 'codec x?y cannot be copied into HLS without re-encoding',
    });
    assert.equal(needsFirstPacket('dts', undefined), false);
  });
});
