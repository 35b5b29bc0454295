import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { CodecConfig } from '../types.ts';
import {
  avcConfigFromAnnexB,
  type CodecInput,
  describeCodec,
  hdrKind,
  hevcConfigFromAnnexB,
  needsFirstPacket,
} from './codecs.ts';
import { bytesOf, findBox, MediaFolder, probe } from './test-media.ts';
import { vp9Level } from './vp9.ts';

const media = new MediaFolder();
after(() => media[Symbol.asyncDispose]());

function configOf(input: CodecInput): CodecConfig {
  const result = describeCodec(input);
  assert.ok('config' in result, JSON.stringify(result));
  return result.config;
}

async function made(file: Promise<string>, box: string) {
  const path = await file;
  const { stream, packets } = await probe(path);
  return { path, stream, firstPacket: packets[0]!.data, box: findBox(await bytesOf(path), box) };
}

const x264 = (...args: string[]) => media.video('mp4', '-c:v', 'libx264', '-preset', 'veryfast', ...args);
const x265 = (...args: string[]) =>
  media.video('mp4', '-c:v', 'libx265', '-preset', 'ultrafast', '-tag:v', 'hvc1', '-x265-params', ...args);
const HDR = ['-color_primaries', 'bt2020', '-color_trc', 'smpte2084', '-colorspace', 'bt2020nc'];
const PQ = { primaries: 9, transfer: 16, matrix: 9, fullRange: false };

describe('h264', () => {
  const high = () =>
    x264('-profile:v', 'high', '-coder', '1', '-vf', 'setsar=4/3', '-colorspace', 'bt709', '-color_primaries', 'bt709');

  it('describes avcC as FFmpeg wrote it', async () => {
    const { box, stream } = await made(high(), 'avcC');
    assert.equal(needsFirstPacket('h264', box.subarray(8)), false);
    const config = configOf({ codec: 'h264', privateData: box.subarray(8) });
    assert.deepEqual(config.configBox, box);
    assert.equal(config.sampleEntry, 'avc1');
    assert.equal(config.codecString, `avc1.6400${stream.level.toString(16).toUpperCase().padStart(2, '0')}`);
    assert.deepEqual(config.video, {
      width: 320,
      height: 180,
      bitDepth: 8,
      frameRate: 25,
      reorderFrames: 2,
      colour: { primaries: 1, transfer: 2, matrix: 1, fullRange: false },
      pixelAspect: [4, 3],
    });
  });

  for (const [profile, format, prefix, bitDepth] of [
    ['baseline', 'yuv420p', '42C0', 8],
    ['main', 'yuv420p', '4D40', 8],
    ['high10', 'yuv420p10le', '6E00', 10],
    ['high422', 'yuv422p10le', '7A00', 10],
    ['high444', 'yuv444p', 'F400', 8],
  ] as const) {
    it(`tells the truth of profile ${profile}`, async () => {
      const { box, stream } = await made(x264('-profile:v', profile, '-pix_fmt', format), 'avcC');
      const config = configOf({ codec: 'h264', privateData: box.subarray(8) });
      const level = stream.level.toString(16).toUpperCase().padStart(2, '0');
      assert.equal(config.codecString, `avc1.${prefix}${level}`);
      assert.equal(config.video?.bitDepth, bitDepth);
      assert.deepEqual([config.video?.width, config.video?.height], [320, 180]);
    });
  }

  it('finds the size of interlaced video with scaling matrices', async () => {
    const params = 'interlaced=1:cqm=jvt:8x8dct=1';
    const { box } = await made(x264('-profile:v', 'high', '-x264-params', params), 'avcC');
    const { video } = configOf({ codec: 'h264', privateData: box.subarray(8) });
    assert.deepEqual([video?.width, video?.height, video?.frameRate], [320, 180, 25]);
  });

  it('makes the same avcC from an Annex B stream', async () => {
    for (const profile of ['baseline', 'high10']) {
      const format = profile === 'high10' ? 'yuv420p10le' : 'yuv420p';
      const { path, box } = await made(x264('-profile:v', profile, '-pix_fmt', format), 'avcC');
      const raw = await bytesOf(await media.copy(path, 'h264'));
      assert.deepEqual(avcConfigFromAnnexB(raw), box.slice(8));
      assert.deepEqual(configOf({ codec: 'h264', firstPacket: raw }).configBox, box);
    }
  });

  it('takes parameter sets from the first packet when avcC has none, and keeps its length size', async () => {
    const { box } = await made(high(), 'avcC');
    const body = box.slice(8);
    const spsSize = body[6]! * 256 + body[7]!;
    const sps = body.slice(6, 8 + spsSize);
    const at = 9 + spsSize;
    const pps = body.slice(at, at + 2 + body[at]! * 256 + body[at + 1]!);
    const empty = Uint8Array.of(1, body[1]!, body[2]!, body[3]!, 0xfd, 0xe0, 0);
    assert.equal(needsFirstPacket('h264', empty), true);
    const config = configOf({ codec: 'h264', privateData: empty, firstPacket: Buffer.concat([sps, pps]) });
    const expected = box.slice();
    expected[8 + 4] = 0xfd;
    assert.deepEqual(config.configBox, expected);
    assert.deepEqual(describeCodec({ codec: 'h264', privateData: empty }), {
      notCopied: 'the H.264 video has no parameter sets where they must be',
    });
  });

  it('refuses a damaged record in words', async () => {
    const { box } = await made(high(), 'avcC');
    assert.deepEqual(describeCodec({ codec: 'h264', privateData: box.subarray(8, 20) }), {
      notCopied: 'the H.264 configuration record is damaged',
    });
  });
});

describe('hevc', () => {
  it('describes Main as FFmpeg does', async () => {
    const { box, stream, path } = await made(x265('log-level=none', '-pix_fmt', 'yuv420p'), 'hvcC');
    const config = configOf({ codec: 'hevc', privateData: box.subarray(8) });
    assert.deepEqual(config.configBox, box);
    assert.equal(config.sampleEntry, 'hvc1');
    assert.equal(config.codecString, `hvc1.1.6.L${stream.level}.90`);
    assert.deepEqual(
      [config.video?.width, config.video?.height, config.video?.bitDepth, config.video?.frameRate],
      [320, 180, 8, 25],
    );
    const raw = await bytesOf(await media.copy(path, 'hevc'));
    const made265 = hevcConfigFromAnnexB(raw);
    assert.ok(made265);
    // FFmpeg's own record keeps x265's SEI as a fourth array; the rest is equal.
    assert.deepEqual(made265.slice(0, 22), box.slice(8, 30));
    assert.deepEqual(made265.slice(23), box.slice(8 + 23, 8 + made265.length));
    assert.equal(made265[22], 3);
  });

  it('describes Main 10 with HDR10 colour', async () => {
    const { box, stream } = await made(x265('log-level=none', '-pix_fmt', 'yuv420p10le', ...HDR), 'hvcC');
    const config = configOf({ codec: 'hevc', privateData: box.subarray(8) });
    assert.equal(config.codecString, `hvc1.2.4.L${stream.level}.90`);
    assert.equal(config.video?.bitDepth, 10);
    assert.deepEqual(config.video?.colour, PQ);
    assert.equal(hdrKind(config.video?.colour), 'hdr10');
  });

  it('writes high tier and range extension constraints', async () => {
    const { box } = await made(
      x265('log-level=none:level-idc=4.1:high-tier=1', '-maxrate', '40M', '-bufsize', '40M', '-pix_fmt', 'yuv422p10le'),
      'hvcC',
    );
    const { codecString, video } = configOf({ codec: 'hevc', privateData: box.subarray(8) });
    assert.match(codecString, /^hvc1\.4\.10\.H\d+\.9D\.8$/);
    assert.deepEqual([video?.width, video?.height, video?.bitDepth], [320, 180, 10]);
  });

  it('reads past scaling lists and reference picture sets to the VUI', async () => {
    const params = 'log-level=none:scaling-list=default:temporal-layers=1:bframes=4:ref=4:sar=2';
    const { box } = await made(x265(params, '-pix_fmt', 'yuv420p', '-color_trc', 'arib-std-b67'), 'hvcC');
    const { video } = configOf({ codec: 'hevc', privateData: box.subarray(8) });
    assert.deepEqual(video?.pixelAspect, [12, 11]);
    assert.equal(hdrKind(video?.colour), 'hlg');
    assert.equal(video?.frameRate, 25);
  });

  it('takes parameter sets from the first packet when hvcC has none, and marks its arrays complete', async () => {
    const { box, path } = await made(x265('log-level=none', '-pix_fmt', 'yuv420p'), 'hvcC');
    const empty = box.slice(8, 31);
    empty[22] = 0;
    assert.equal(needsFirstPacket('hevc', empty), true);
    const raw = await bytesOf(await media.copy(path, 'hevc'));
    const config = configOf({ codec: 'hevc', privateData: empty, firstPacket: raw });
    assert.deepEqual(config.configBox.slice(8), hevcConfigFromAnnexB(raw));
    const incomplete = box.slice(8);
    incomplete[0] = 0;
    incomplete[23] = incomplete[23]! & 0x7f;
    assert.equal(needsFirstPacket('hevc', incomplete), false);
    assert.deepEqual(configOf({ codec: 'hevc', privateData: incomplete }).configBox, box);
  });
});

describe('av1', () => {
  it('describes 8 bits as FFmpeg does', async () => {
    const { box, firstPacket } = await made(
      media.video('mp4', '-c:v', 'libsvtav1', '-preset', '12', '-pix_fmt', 'yuv420p'),
      'av1C',
    );
    const body = box.subarray(8);
    assert.equal(needsFirstPacket('av1', body), false);
    const config = configOf({ codec: 'av1', privateData: body });
    assert.deepEqual(config.configBox, box);
    assert.match(config.codecString, /^av01\.0\.00M\.08/);
    assert.deepEqual([config.video?.width, config.video?.height, config.video?.bitDepth], [320, 180, 8]);
    assert.equal(needsFirstPacket('av1', undefined), true);
    assert.equal(configOf({ codec: 'av1', firstPacket }).codecString, config.codecString);
  });

  it('describes 10 bits with HDR10 colour, from av1C and from the packet alone', async () => {
    const { box, firstPacket } = await made(
      media.video(
        'mp4',
        '-c:v',
        'libaom-av1',
        '-cpu-used',
        '8',
        '-usage',
        'realtime',
        '-pix_fmt',
        'yuv420p10le',
        ...HDR,
      ),
      'av1C',
    );
    const config = configOf({ codec: 'av1', privateData: box.subarray(8) });
    assert.match(config.codecString, /^av01\.0\.00M\.10\.0\.11[012]\.09\.16\.09\.0$/);
    assert.deepEqual(config.video?.colour, PQ);
    assert.deepEqual(configOf({ codec: 'av1', firstPacket }).configBox, box);
  });

  it('describes 4:4:4', async () => {
    const { box } = await made(
      media.video('mp4', '-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-pix_fmt', 'yuv444p'),
      'av1C',
    );
    assert.match(configOf({ codec: 'av1', privateData: box.subarray(8) }).codecString, /^av01\.1\.00M\.08\.0\.000\./);
  });
});

describe('vp9', () => {
  const vpx = (...args: string[]) =>
    media.video('mp4', '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', ...args);

  it('describes profile 0 by vpcC and by the key frame', async () => {
    const { box, firstPacket } = await made(vpx('-pix_fmt', 'yuv420p'), 'vpcC');
    const body = box.subarray(12);
    assert.equal(needsFirstPacket('vp9', body), false);
    const known = { width: 320, height: 180, frameRate: 25 };
    const config = configOf({ codec: 'vp9', privateData: body, ...known });
    assert.deepEqual(config.configBox, box);
    assert.equal(needsFirstPacket('vp9', undefined), true);
    const fromFrame = configOf({ codec: 'vp9', firstPacket, frameRate: 25 });
    assert.match(fromFrame.codecString, /^vp09\.00\.11\.08/);
    assert.deepEqual([fromFrame.video?.width, fromFrame.video?.height], [320, 180]);
    // Profile, level, depth: what the frame can tell is what FFmpeg wrote.
    assert.deepEqual(fromFrame.configBox.slice(0, 14), box.slice(0, 14));
  });

  it('describes profile 2 with HDR10 colour of the container', async () => {
    const { box, firstPacket } = await made(vpx('-pix_fmt', 'yuv420p10le', ...HDR), 'vpcC');
    const config = configOf({ codec: 'vp9', firstPacket, frameRate: 25, colour: PQ });
    assert.match(config.codecString, /^vp09\.02\.11\.10\.0[01]\.09\.16\.09\.00$/);
    const same = configOf({ codec: 'vp9', privateData: box.subarray(12), width: 320, height: 180 });
    assert.equal(same.codecString, config.codecString);
  });

  it("reads Matroska's list of features", () => {
    const privateData = Uint8Array.of(1, 1, 2, 2, 1, 31, 3, 1, 10, 4, 1, 1);
    assert.equal(needsFirstPacket('vp9', privateData), false);
    assert.equal(configOf({ codec: 'vp9', privateData, width: 1280, height: 720 }).codecString, 'vp09.02.31.10');
  });

  it('finds levels by rate, size and dimension', () => {
    assert.equal(vp9Level(1920, 1080, 30), 40);
    assert.equal(vp9Level(1920, 1080, 60), 41);
    assert.equal(vp9Level(3840, 2160, 24), 50);
    assert.equal(vp9Level(3840, 2160, 0), 50);
    assert.equal(vp9Level(256, 144, 15), 10);
    assert.equal(vp9Level(1000, 20, 1), 21);
    assert.equal(vp9Level(20_000, 20_000, 60), 62);
  });
});

describe('hdrKind', () => {
  it('goes by the transfer characteristics', () => {
    assert.equal(hdrKind(undefined), 'sdr');
    assert.equal(hdrKind({ ...PQ, transfer: 1 }), 'sdr');
    assert.equal(hdrKind({ ...PQ, transfer: 18 }), 'hlg');
    assert.equal(hdrKind(PQ, { dolbyVision: true }), 'dolby-vision');
  });
});
