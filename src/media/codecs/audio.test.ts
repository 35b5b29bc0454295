import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { CodecConfig } from '../types.ts';
import { BitWriter } from './bits.ts';
import { ascFromAdts, type CodecInput, describeCodec, needsFirstPacket, packetDuration, stripAdts } from './codecs.ts';
import { bytesOf, findBox, MediaFolder, type ProbedPacket, probe } from './test-media.ts';

const media = new MediaFolder();
after(() => media[Symbol.asyncDispose]());

function configOf(input: CodecInput): CodecConfig {
  const result = describeCodec(input);
  assert.ok('config' in result, JSON.stringify(result));
  return result.config;
}

/** Every packet lasts as long as ffprobe says. `tolerance` seconds: half a tick of the file's clock. */
function assertDurations(config: CodecConfig, packets: readonly ProbedPacket[], tolerance: number): void {
  assert.ok(packets.length > 3);
  for (const { data, duration } of packets) {
    assert.ok(Math.abs((packetDuration(config, data) ?? Number.NaN) - duration) <= tolerance);
  }
}

/** esds with ES_ID, buffer size and bit rates at 0: we do not know them, FFmpeg does. */
function withoutRates(esds: Uint8Array): Uint8Array {
  return esds.slice().fill(0, 17, 19).fill(0, 27, 38);
}

describe('aac', () => {
  const asc = (...fields: readonly (readonly [number, number])[]) => {
    const bits = new BitWriter();
    for (const [count, value] of fields) bits.write(count, value);
    return bits.bytes();
  };
  const audioOf = (privateData: Uint8Array) => {
    const { codecString, audio } = configOf({ codec: 'aac', privateData });
    return { codecString, ...audio };
  };

  for (const [rate, channels] of [
    [44_100, 2],
    [48_000, 6],
  ] as const) {
    it(`describes LC at ${rate} Hz, ${channels} channels`, async () => {
      const file = await media.audio('mp4', rate, channels, '-c:a', 'aac');
      const box = findBox(await bytesOf(file), 'esds');
      const size = box[42]!;
      const config = configOf({ codec: 'aac', privateData: box.slice(43, 43 + size) });
      assert.deepEqual(config.configBox, withoutRates(box));
      assert.equal(config.codecString, 'mp4a.40.2');
      assert.deepEqual(config.audio, { sampleRate: rate, channels, frameSamples: 1024 });
      assert.equal(packetDuration(config, new Uint8Array(0)), 1024 / rate);
    });
  }

  it('takes the configuration from ADTS headers and takes them off', async () => {
    const mp4 = await media.audio('mp4', 44_100, 2, '-c:a', 'aac');
    const adts = (await probe(await media.copy(mp4, 'aac'))).packets;
    const raw = (await probe(mp4)).packets;
    assert.deepEqual(
      adts.map(({ data }) => Buffer.from(stripAdts(data))),
      raw.map(({ data }) => Buffer.from(data)),
    );
    assert.deepEqual(ascFromAdts(adts[0]!.data), Uint8Array.of(0x12, 0x10));
    assert.equal(ascFromAdts(raw[0]!.data), undefined);
    assert.equal(stripAdts(raw[0]!.data), raw[0]!.data);
    assert.equal(configOf({ codec: 'aac', firstPacket: adts[0]!.data }).codecString, 'mp4a.40.2');
  });

  it('names SBR and PS and keeps the clock of the core', () => {
    const sbr = asc([5, 5], [4, 7], [4, 2], [4, 4], [5, 2], [3, 0]);
    assert.deepEqual(audioOf(sbr), { codecString: 'mp4a.40.5', sampleRate: 22_050, channels: 2, frameSamples: 1024 });
    const ps = asc([5, 29], [4, 6], [4, 1], [4, 3], [5, 2], [3, 0]);
    assert.deepEqual(audioOf(ps), { codecString: 'mp4a.40.29', sampleRate: 24_000, channels: 2, frameSamples: 1024 });
    const compatible = asc([5, 2], [4, 6], [4, 2], [3, 0], [11, 0x2b7], [5, 5], [1, 1], [4, 3]);
    assert.deepEqual(audioOf(compatible).codecString, 'mp4a.40.5');
    const absent = asc([5, 2], [4, 6], [4, 2], [3, 0], [11, 0x2b7], [5, 5], [1, 0]);
    assert.deepEqual(audioOf(absent).codecString, 'mp4a.40.2');
  });

  it('reads escapes, 960 samples and the channels of a program_config_element', () => {
    const odd = asc([5, 2], [4, 15], [24, 44_099], [4, 7], [1, 1], [2, 0]);
    assert.deepEqual(audioOf(odd), { codecString: 'mp4a.40.2', sampleRate: 44_099, channels: 8, frameSamples: 960 });
    const elements = asc(
      ...([
        [5, 2],
        [4, 3],
        [4, 0],
        [3, 0],
      ] as const),
      // tag, profile, rate; 2 front, 1 side, 1 back, 1 LFE, no associated data, 1 coupling channel; no mixdowns
      ...([
        [4, 0],
        [2, 1],
        [4, 3],
        [4, 2],
        [4, 1],
        [4, 1],
        [2, 1],
        [3, 0],
        [4, 1],
        [3, 0],
      ] as const),
      // front: one single, one pair; side: a pair; back: a pair; LFE; coupling; comment of no bytes after alignment
      ...([
        [5, 0],
        [5, 16],
        [5, 16],
        [5, 16],
        [4, 0],
        [5, 0],
        [16, 0],
      ] as const),
    );
    assert.equal(audioOf(elements).channels, 8);
  });

  it('refuses USAC and damage in words', () => {
    assert.match(
      JSON.stringify(describeCodec({ codec: 'aac', privateData: asc([5, 31], [6, 10], [4, 3], [4, 2]) })),
      /xHE-AAC/,
    );
    assert.deepEqual(describeCodec({ codec: 'aac', privateData: Uint8Array.of(0x12) }), {
      notCopied: 'the AAC configuration record is damaged',
    });
  });
});

describe('ac3 and eac3', () => {
  for (const [codec, box, rate, channels, bitrate] of [
    ['ac3', 'dac3', 48_000, 6, '448k'],
    ['ac3', 'dac3', 44_100, 2, '192k'],
    ['ac3', 'dac3', 32_000, 1, '64k'],
    ['eac3', 'dec3', 48_000, 6, '384k'],
    ['eac3', 'dec3', 44_100, 2, '128k'],
  ] as const) {
    it(`makes the ${box} of FFmpeg from a frame: ${rate} Hz, ${channels} channels, ${bitrate}`, async () => {
      const file = await media.audio('mp4', rate, channels, '-c:a', codec, '-b:a', bitrate);
      const expected = findBox(await bytesOf(file), box);
      const { packets } = await probe(file);
      assert.equal(needsFirstPacket(codec, undefined), true);
      const config = configOf({ codec, firstPacket: packets[0]!.data });
      assert.deepEqual(config.configBox, expected);
      assert.equal(config.codecString, codec === 'ac3' ? 'ac-3' : 'ec-3');
      assert.deepEqual(config.audio, { sampleRate: rate, channels, frameSamples: 1536 });
      assert.equal(needsFirstPacket(codec, expected.subarray(8)), false);
      assert.deepEqual(configOf({ codec, privateData: expected.subarray(8) }), config);
      assertDurations(config, packets, 1e-6);
    });
  }

  /** A frame of E-AC-3 whose header says what is asked; the rest is zeros. */
  const frame = (type: number, size: number, blocksCode: number, acmod: number, chanmap?: number, joc?: number) => {
    const bits = new BitWriter()
      .write(16, 0x0b77)
      .write(2, type)
      .write(3, 0)
      .write(11, size / 2 - 1);
    bits
      .write(2, 0)
      .write(2, blocksCode)
      .write(3, acmod)
      .write(1, type === 0 ? 1 : 0)
      .write(5, 16)
      .write(6, 0);
    if (type === 1) bits.write(1, chanmap === undefined ? 0 : 1);
    if (chanmap !== undefined) bits.write(16, chanmap);
    bits.write(2, 0);
    if (type === 0 && blocksCode !== 3) bits.write(1, 0);
    if (joc !== undefined) bits.write(1, 1).write(6, 1).write(8, 1).write(8, joc);
    const result = new Uint8Array(size);
    result.set(bits.bytes());
    return result;
  };

  it('adds the channels of dependent substreams and object coding', () => {
    // 5.1 and a dependent pair of rear surrounds: 7.1, 600 bytes in 32 ms
    const firstPacket = Buffer.concat([frame(0, 400, 3, 7), frame(1, 200, 3, 2, 0x0200, 16)]);
    const config = configOf({ codec: 'eac3', firstPacket });
    assert.equal(config.audio?.channels, 8);
    const body = new BitWriter()
      .write(13, 150)
      .write(3, 0)
      .write(2, 0)
      .write(5, 16)
      .write(2, 0)
      .write(3, 0)
      .write(3, 7);
    body.write(1, 1).write(3, 0).write(4, 1).write(9, 2).write(8, 1).write(8, 16);
    assert.deepEqual(config.configBox.slice(8), body.bytes());
    assert.equal(configOf({ codec: 'eac3', privateData: body.bytes() }).audio?.channels, 8);
  });

  it('counts the blocks of short frames, and finds E-AC-3 under the name ac3', () => {
    const firstPacket = Buffer.concat([frame(0, 100, 1, 2), frame(0, 100, 1, 2)]);
    const config = configOf({ codec: 'ac3', firstPacket });
    assert.equal(config.codec, 'eac3');
    assert.equal(config.audio?.frameSamples, 1024);
    assert.equal(packetDuration(config, firstPacket.subarray(0, 100)), 512 / 48_000);
  });
});

describe('opus', () => {
  for (const channels of [2, 6]) {
    it(`makes the dOps of FFmpeg from OpusHead, ${channels} channels`, async () => {
      const ogg = await media.audio('ogg', 48_000, channels, '-c:a', 'libopus');
      const page = Buffer.from(await bytesOf(ogg));
      const at = page.indexOf('OpusHead');
      const head = page.subarray(at, at + (channels > 2 ? 21 + channels : 19));
      const mp4 = await media.copy(ogg, 'mp4');
      const expected = findBox(await bytesOf(mp4), 'dOps');
      const config = configOf({ codec: 'opus', privateData: head });
      assert.deepEqual(config.configBox, expected);
      assert.deepEqual(config.audio, { sampleRate: 48_000, channels });
      assert.deepEqual([config.codecString, config.sampleEntry], ['opus', 'Opus']);
      assert.deepEqual(configOf({ codec: 'opus', privateData: head.subarray(8) }), config);
      assert.deepEqual(configOf({ codec: 'opus', privateData: expected.subarray(8) }), config);
    });
  }

  for (const milliseconds of ['2.5', '5', '10', '20', '40', '60']) {
    it(`finds packets of ${milliseconds} ms`, async () => {
      const file = await media.audio('mp4', 48_000, 2, '-c:a', 'libopus', '-frame_duration', milliseconds);
      const { packets } = await probe(file);
      const config = configOf({ codec: 'opus', channels: 2 });
      // The container trims the last one.
      assertDurations(config, packets.slice(0, -1), 1e-6);
    });
  }

  it('reads the frame count of code 3 and refuses what is over 120 ms', () => {
    const config = configOf({ codec: 'opus', channels: 2 });
    assert.equal(packetDuration(config, Uint8Array.of(0xfb, 0x06)), 0.12);
    assert.equal(packetDuration(config, Uint8Array.of(0xfb, 0x07)), undefined);
    assert.equal(packetDuration(config, Uint8Array.of(0xfb)), undefined);
    assert.equal(packetDuration(config, Uint8Array.of(0x1b, 0x02)), 0.12);
  });
});

describe('flac', () => {
  it('makes the dfLa of FFmpeg from all forms of its metadata', async () => {
    for (const [rate, channels, size] of [
      [44_100, 2, '4096'],
      [48_000, 1, '1000'],
      [96_000, 2, '192'],
    ] as const) {
      const flac = await media.audio('flac', rate, channels, '-c:a', 'flac', '-frame_size', size);
      const mp4 = await media.copy(flac, 'mp4', '-strict', '-2');
      const expected = findBox(await bytesOf(mp4), 'dfLa');
      const data = await bytesOf(flac);
      const config = configOf({ codec: 'flac', privateData: data.subarray(0, 300) });
      assert.deepEqual(config.configBox, expected);
      assert.equal(config.codecString, 'fLaC');
      assert.deepEqual(config.audio, { sampleRate: rate, channels, bitDepth: 16, frameSamples: Number(size) });
      assert.deepEqual(configOf({ codec: 'flac', privateData: data.subarray(4, 300) }), config);
      assert.deepEqual(configOf({ codec: 'flac', privateData: data.subarray(8, 42) }), config);
      assertDurations(config, (await probe(mp4)).packets, 1e-6);
    }
  });

  it('refuses metadata without stream information', () => {
    assert.ok('notCopied' in describeCodec({ codec: 'flac' }));
    assert.ok('notCopied' in describeCodec({ codec: 'flac', privateData: new Uint8Array(34) }));
  });
});

describe('mp3', () => {
  for (const [rate, string, samples] of [
    [44_100, 'mp4a.6B', 1152],
    [22_050, 'mp4a.69', 576],
  ] as const) {
    it(`describes ${rate} Hz`, async () => {
      const file = await media.audio('mp4', rate, 2, '-c:a', 'libmp3lame', '-write_xing', '0');
      const { packets } = await probe(file);
      assert.equal(needsFirstPacket('mp3', undefined), true);
      const config = configOf({ codec: 'mp3', firstPacket: packets[0]!.data });
      assert.deepEqual(config.configBox, withoutRates(findBox(await bytesOf(file), 'esds')));
      assert.equal(config.codecString, string);
      assert.deepEqual(config.audio, { sampleRate: rate, channels: 2, frameSamples: samples });
      assertDurations(config, packets.slice(0, -1), 1e-6);
    });
  }

  it('refuses layer II', () => {
    const result = describeCodec({ codec: 'mp3', firstPacket: Uint8Array.of(0xff, 0xfd, 0x84, 0x00) });
    assert.deepEqual(result, { notCopied: 'MPEG audio layer II cannot be copied into HLS without re-encoding' });
  });
});
