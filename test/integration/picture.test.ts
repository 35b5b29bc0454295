import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SHELL } from '../../src/ffmpeg/test-processes.ts';
import { type NumberedMediaOptions, numberedMedia, plainMedia, runFFmpeg } from '../fixtures/media.ts';
import { type CheckedVariant, checkMultivariant } from '../fixtures/playlists.ts';
import { decodePictures, decodeVideo, type Pictures } from '../fixtures/verify.ts';
import { fetchRendition, startTestServer, type TestServer } from './harness.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

interface Shown {
  readonly pictures: Pictures;
  readonly variant: CheckedVariant;
  /** What the session says is done to the video. */
  readonly processing: readonly string[];
}

/** The 360p variant of a file: what its playlist says, and what is seen. */
async function shown(source: string, variant = '360p', on: TestServer = server): Promise<Shown> {
  const id = await on.create({ source });
  const { body } = await on.json<{ error?: string; availableStreams: { type: string; processing?: string[] }[] }>(
    `/sessions/${id}`,
  );
  assert.equal(body.error, undefined);
  const { variants } = checkMultivariant(await on.text(`/sessions/${id}/stream.m3u8`));
  const entry = variants.find(({ uri }) => uri.startsWith(`${variant}/`));
  assert.ok(entry, `there is no ${variant}`);
  const { init, segments } = await fetchRendition(on, `/sessions/${id}/${variant}/playlist.m3u8`, 3);
  const processing = body.availableStreams.find(({ type }) => type === 'video')?.processing ?? [];
  return { pictures: await decodePictures(init, segments), variant: entry, processing };
}

// Of three numbers the first goes into the first field, the second into the second: a number in which a bit always told the field would look like stripes.
const FIELDS = "select='lt(mod(n,3),2)',setpts=N/50/TB";
const TFF = ['-vf', `${FIELDS},tinterlace=interleave_top,fieldorder=tff`, '-flags', '+ildct+ilme'];
const BFF = ['-vf', `${FIELDS},tinterlace=interleave_bottom,fieldorder=bff`, '-flags', '+ildct+ilme'];
const X264 = 'b-adapt=0:scenecut=0';

/** 25 frames a second of two fields each, which show two numbers. */
const INTERLACED: Record<string, NumberedMediaOptions> = {
  'MPEG-2 in MPEG-TS, top field first': { container: 'ts', video: 'mpeg2video', fps: 50, seconds: 6, extraArgs: TFF },
  'MPEG-2 in MPEG-TS, bottom field first': {
    container: 'ts',
    video: 'mpeg2video',
    fps: 50,
    seconds: 6,
    extraArgs: BFF,
  },
  'H.264 MBAFF in MPEG-TS, top field first': {
    container: 'ts',
    video: 'h264',
    fps: 50,
    seconds: 6,
    extraArgs: [...TFF, '-x264-params', `tff=1:${X264}`],
  },
  'H.264 MBAFF in Matroska, bottom field first': {
    container: 'mkv',
    video: 'h264',
    fps: 50,
    seconds: 6,
    extraArgs: [...BFF, '-x264-params', `bff=1:${X264}`],
  },
};

describe('interlaced pictures are deinterlaced', () => {
  for (const [name, options] of Object.entries(INTERLACED)) {
    test(`${name}: no combing, each frame once`, async () => {
      const id = await server.create({ source: await numberedMedia(options) });
      const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 7);
      const frames = await decodeVideo(init, segments);
      assert.deepEqual(
        frames.map(({ number }) => number),
        Array.from({ length: 100 }, (_, n) => 3 * n),
      );
      for (const [n, { pts }] of frames.entries()) {
        const expected = (frames[0] as { pts: number }).pts + n / 25;
        assert.ok(Math.abs(pts - expected) < 0.002, `frame ${n} is at ${pts} s instead of ${expected} s`);
      }
    });
  }
});

describe('high frame rates are divided', () => {
  for (const [fps, kept] of [
    [120, 60],
    [100, 50],
    [240, 60],
    ['120000/1001', 60_000 / 1001],
    [60, 60],
    ['60000/1001', 60_000 / 1001],
  ] as const) {
    for (const container of ['mkv', 'mp4'] as const) {
      test(`${fps} frames a second in ${container} become ${kept.toFixed(2)}`, async () => {
        const options = { container, video: 'h264', fps, seconds: 5, gop: 77 } as const;
        const id = await server.create({ source: await numberedMedia(options) });
        const { init, segments } = await fetchRendition(server, `/sessions/${id}/360p/playlist.m3u8`, 7);
        const frames = await decodeVideo(init, segments);
        const [numerator, denominator] = String(fps).split('/');
        const step = Math.round(Number(numerator) / Number(denominator ?? 1) / kept);
        assert.deepEqual(
          frames.map(({ number }) => number),
          frames.map((_, n) => n * step),
        );
        assert.equal(frames.length, Math.ceil(Math.round((Number(numerator) / Number(denominator ?? 1)) * 5) / step));
        const { variants } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
        const rate = Number(variants.find(({ uri }) => uri.startsWith('360p/'))?.frameRate);
        assert.ok(Math.abs(rate - kept) < 0.1, `FRAME-RATE says ${rate}`);
      });
    }
  }
});

/** Red, green, blue and white quarters: top left, top right, bottom left, bottom right. */
const QUARTERS = (width: number, height: number): string => {
  const [w, h] = [width / 2, height / 2];
  const box = (x: number, y: number, colour: string): string => `drawbox=${x}:${y}:${w}:${h}:${colour}:fill`;
  return `color=white:s=${width}x${height}:r=25:d=2,format=gbrp,${box(0, 0, 'red')},${box(w, 0, 'lime')},${box(0, h, 'blue')}`;
};
type Corner = 'red' | 'lime' | 'blue' | 'white';
const RGB: Record<Corner, readonly [number, number, number]> = {
  red: [255, 0, 0],
  lime: [0, 255, 0],
  blue: [0, 0, 255],
  white: [255, 255, 255],
};

/** The colours in the middles of the quarters, in the first and the last picture. */
function assertQuarters(
  { pictures }: Shown,
  corners: readonly Corner[] = ['red', 'lime', 'blue', 'white'],
  slack = 12,
): void {
  for (const frame of [0, pictures.count - 1]) {
    for (const [n, corner] of corners.entries()) {
      const x = n % 2 === 0 ? 0.25 : 0.75;
      const y = n < 2 ? 0.25 : 0.75;
      const got = pictures.colourAt(frame, x, y);
      for (const [c, value] of RGB[corner].entries())
        assert.ok(
          Math.abs((got[c] as number) - value) <= slack,
          `frame ${frame}, quarter ${n}: ${got} is not ${corner}`,
        );
    }
  }
}

const lavfi = (graph: string): string[] => ['-f', 'lavfi', '-i', graph];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-crf', '10'];
const as601 = 'scale=out_color_matrix=bt601:out_range=tv';
const as709 = 'scale=out_color_matrix=bt709:out_range=tv';
const TAG_601 = ['-colorspace', 'smpte170m', '-color_primaries', 'smpte170m', '-color_trc', 'smpte170m'];
const TAG_709 = ['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709'];
const TAG_2020 = ['-colorspace', 'bt2020nc', '-color_primaries', 'bt709', '-color_trc', 'bt709'];

describe('colours stay, whatever matrix, range and sampling they come in', () => {
  const make = (name: string, graph: string, ...args: string[]): Promise<string> =>
    plainMedia(name, [...lavfi(graph), ...args]);
  const sd = QUARTERS(640, 360);
  const hd = QUARTERS(1280, 720);
  const CASES: Record<string, () => Promise<string>> = {
    'BT.601, tagged': () => make('601.mp4', `${sd},${as601},format=yuv420p`, ...H264, ...TAG_601),
    'BT.601 of 720 lines, tagged': () => make('601.mkv', `${hd},${as601},format=yuv420p`, ...H264, ...TAG_601),
    'BT.709 of 360 lines, tagged': () => make('709.mp4', `${sd},${as709},format=yuv420p`, ...H264, ...TAG_709),
    'BT.601 by its size': () => make('sd.mkv', `${sd},${as601},format=yuv420p,setparams=colorspace=unknown`, ...H264),
    'BT.709 by its size': () => make('hd.mkv', `${hd},${as709},format=yuv420p,setparams=colorspace=unknown`, ...H264),
    'BT.2020 matrix': () =>
      make('2020.mkv', `${sd},scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p`, ...H264, ...TAG_2020),
    'full range': () =>
      make('full.mp4', `${sd},scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p`, ...H264, ...TAG_709),
    '4:2:2, 10 bits': () => make('422.mp4', `${sd},${as709},format=yuv422p10le`, ...H264, ...TAG_709),
    '4:4:4': () => make('444.mkv', `${sd},${as709},format=yuv444p`, ...H264, ...TAG_709),
    '4:2:0, 10 bits': () => make('ten.mkv', `${sd},${as709},format=yuv420p10le`, ...H264, ...TAG_709),
    'HEVC of 720 lines that tells nothing': () =>
      make(
        'hevc.mkv',
        `${hd},${as709},format=yuv420p,setparams=colorspace=unknown`,
        ...['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none:pools=1', '-g', '25'],
      ),
    'MPEG-2 in MPEG-TS': () => make('m2.ts', `${sd},${as601},format=yuv420p`, '-c:v', 'mpeg2video', '-b:v', '4M'),
    'MPEG-2 of 720 lines': () => make('m2hd.mkv', `${hd},${as709},format=yuv420p`, '-c:v', 'mpeg2video', '-b:v', '8M'),
    'MPEG-4 ASP': () => make('asp.mkv', `${sd},${as601},format=yuv420p`, '-c:v', 'mpeg4', '-b:v', '4M', '-bf', '2'),
    VP8: () =>
      make('vp8.webm', `${sd},${as601},format=yuv420p`, '-c:v', 'libvpx', '-b:v', '2M', '-deadline', 'realtime'),
    VP9: () =>
      make(
        'vp9.webm',
        `${sd},${as709},format=yuv420p`,
        '-c:v',
        'libvpx-vp9',
        '-b:v',
        '2M',
        '-deadline',
        'realtime',
        ...TAG_709,
      ),
    'ProRes in MOV': () => make('prores.mov', `${hd},${as709},format=yuv422p10le`, '-c:v', 'prores_ks', ...TAG_709),
    'Theora in Matroska': () => make('theora.mkv', `${sd},${as601},format=yuv420p`, '-c:v', 'libtheora', '-q:v', '9'),
    'Motion JPEG, full range': () =>
      make('mjpeg.mov', `${sd},${as601.replace('tv', 'pc')},format=yuvj420p`, '-c:v', 'mjpeg', '-q:v', '2'),
  };
  for (const [name, source] of Object.entries(CASES)) {
    test(name, async () => {
      const result = await shown(await source());
      assertQuarters(result);
      assert.deepEqual(result.pictures.tags, {
        pixelFormat: 'yuv420p',
        range: 'tv',
        matrix: 'bt709',
        primaries: 'bt709',
        transfer: 'bt709',
      });
      assert.equal(result.variant.videoRange, 'SDR');
    });
  }
});

describe('turned, stretched and odd pictures come out upright, with square pixels', () => {
  const quarters = `${QUARTERS(640, 360)},${as709},format=yuv420p`;
  const TURNS: Record<number, readonly Corner[]> = {
    90: ['blue', 'red', 'white', 'lime'],
    180: ['white', 'blue', 'lime', 'red'],
    270: ['lime', 'white', 'red', 'blue'],
  };
  for (const [degrees, corners] of Object.entries(TURNS)) {
    for (const container of ['mp4', 'mkv', 'mov']) {
      test(`turned by ${degrees} degrees in ${container}`, async () => {
        const upright = await plainMedia('upright.mp4', [...lavfi(quarters), ...H264, ...TAG_709]);
        const source = await turned(upright, Number(degrees), container);
        const result = await shown(source);
        assertQuarters(result, corners);
        const [width, height] = degrees === '180' ? [640, 360] : [360, 640];
        assert.deepEqual([result.pictures.width, result.pictures.height], [width, height]);
        assert.deepEqual(result.variant.resolution, { width, height });
        assert.ok(result.processing.includes(`turned by ${degrees} degrees`), `${result.processing}`);
      });
    }
  }

  const PAL = `${QUARTERS(720, 576)},${as601},format=yuv420p,setsar`;
  const STRETCHED: Record<
    string,
    { graph: string; name: string; args?: string[]; variant: string; size: [number, number] }
  > = {
    'PAL 16:11 in MPEG-TS': {
      graph: `${PAL}=64/45`,
      name: 'pal.ts',
      args: ['-c:v', 'mpeg2video', '-b:v', '6M'],
      variant: '480p',
      size: [854, 480],
    },
    'PAL 12:11 in Matroska': { graph: `${PAL}=16/15`, name: 'pal.mkv', variant: '480p', size: [640, 480] },
    'PAL 16:11 H.264 in MP4': { graph: `${PAL}=64/45`, name: 'pal.mp4', variant: '360p', size: [640, 360] },
    'NTSC 16:9 MPEG-2 in Matroska': {
      graph: `${QUARTERS(720, 480)},${as601},format=yuv420p,setsar=32/27`,
      name: 'ntsc.mkv',
      args: ['-c:v', 'mpeg2video', '-b:v', '6M'],
      variant: '480p',
      size: [854, 480],
    },
    'odd sizes': {
      graph: `${QUARTERS(642, 362)},format=yuv444p,crop=641:361`,
      name: 'odd.mkv',
      variant: '360p',
      size: [640, 360],
    },
  };
  for (const [name, { graph, name: file, args = H264, variant, size }] of Object.entries(STRETCHED)) {
    test(name, async () => {
      const result = await shown(await plainMedia(file, [...lavfi(graph), ...args]), variant);
      assertQuarters(result);
      const { width, height, pixelAspect } = result.pictures;
      assert.deepEqual([width, height], size);
      assert.equal(pixelAspect, '1:1');
      assert.deepEqual(result.variant.resolution, { width, height });
    });
  }
});

/** The file with its first track's matrix turned clockwise, in another container if so. */
async function turned(source: string, degrees: number, container: string): Promise<string> {
  const file = await readFile(source);
  const [a, b] = { 90: [0, 1], 180: [-1, 0], 270: [0, -1] }[degrees] as [number, number];
  // tkhd's matrix stands after its 40 bytes of times and layers (version 0).
  const at = file.indexOf('tkhd') + 4 + 40;
  for (const [n, value] of [a, b, 0, -b, a].entries()) file.writeInt32BE(value * 65_536, at + n * 4);
  const folder = await mkdtemp(join(tmpdir(), 'raffi-turned-'));
  after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, `turned.mp4`);
  await writeFile(path, file);
  if (container === 'mp4') return path;
  const other = join(folder, `turned.${container}`);
  await runFFmpeg(['-i', path, '-c', 'copy', other]);
  if (container === 'mkv') await addProjection(other, -degrees);
  return other;
}

/** Where FFmpeg has written Colour, which the bitstream tells too, a Projection with this ProjectionPoseRoll (RFC 9559), and Void. */
async function addProjection(path: string, roll: number): Promise<void> {
  const file = await readFile(path);
  const at = file.indexOf(Buffer.of(0x55, 0xb0));
  const size = file[at + 2] as number;
  assert.ok(size > 0x80 + 12 && size < 0xff, 'a size of one byte');
  const element = Buffer.of(0x76, 0x70, 0x87, 0x76, 0x75, 0x84, 0, 0, 0, 0, 0xec, size - 9);
  element.writeFloatBE(roll, 6);
  element.copy(file, at);
  await writeFile(path, file);
}

describe('HDR becomes SDR', () => {
  /** Code values (10 bits, limited range) of grey and of white, and what they are in cd/m². */
  const bars = (transfer: string, ...levels: number[]): string => {
    const boxes = levels.map((level, n) => `if(between(X,${n}*W/4,${n}*W/4+W/4-1),${level},`).join('');
    return `color=black:s=640x360:r=25:d=2,format=yuv420p10le,geq=lum='${boxes}64${')'.repeat(levels.length)}':cb=512:cr=512,setparams=color_primaries=bt2020:color_trc=${transfer}:colorspace=bt2020nc:range=tv`;
  };
  const x265 = (transfer: string): string[] => [
    ...['-c:v', 'libx265', '-preset', 'ultrafast', '-g', '25', '-tag:v', 'hvc1', '-x265-params'],
    `log-level=none:pools=1:colorprim=bt2020:transfer=${transfer}:colormatrix=bt2020nc:range=limited`,
  ];
  /** A tenth of them: black, 26 cd/m² (18 % grey), 203 cd/m² (white paper), 1,000 cd/m². */
  const PQ = bars('smpte2084', 64, 397, 573, 723);
  const HLG = bars('arib-std-b67', 64, 397, 721, 940);

  const assertLevels = ({ pictures }: Shown): void => {
    const levels = [0.125, 0.375, 0.625, 0.875].map((x) => pictures.colourAt(pictures.count - 1, x, 0.5));
    for (const level of levels) assert.ok(Math.max(...level) - Math.min(...level) <= 4, `${level} is not grey`);
    const [black, grey, white, peak] = levels.map(([, g]) => g) as [number, number, number, number];
    assert.ok(black <= 4, `black is ${black}`);
    assert.ok(grey >= 90 && grey <= 130, `18 % grey is ${grey}`);
    assert.ok(white >= 195 && white <= 235, `white paper is ${white}`);
    assert.ok(peak > white + 10 && peak >= 240, `the brightest is ${peak}, white paper ${white}`);
  };
  const TAGS = { pixelFormat: 'yuv420p', range: 'tv', matrix: 'bt709', primaries: 'bt709', transfer: 'bt709' };

  for (const [kind, name, graph, transfer, range] of [
    ['HDR10', 'pq.mp4', PQ, 'smpte2084', 'PQ'],
    ['HDR10', 'pq.mkv', PQ, 'smpte2084', 'PQ'],
    ['HLG', 'hlg.mp4', HLG, 'arib-std-b67', 'HLG'],
    ['HLG', 'hlg.mkv', HLG, 'arib-std-b67', 'HLG'],
  ] as const) {
    test(`${kind} in ${name}: tone-mapped and tagged so; the copy stays what it is`, async () => {
      const source = await plainMedia(name, [...lavfi(graph), ...x265(transfer)]);
      const result = await shown(source);
      assertLevels(result);
      assert.deepEqual(result.pictures.tags, TAGS);
      assert.equal(result.variant.videoRange, 'SDR');
      assert.ok(result.processing.includes(`${kind} is tone-mapped to SDR`), `${result.processing}`);
      const id = await server.create({ source });
      const { variants } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
      assert.equal(variants.find(({ uri }) => uri.startsWith('original/'))?.videoRange, range);
    });
  }

  test('saturated colours keep their hue', async () => {
    const graph = `color=black:s=640x360:r=25:d=2,format=gbrpf32le,geq=r='0.5':g='0.1':b='0.1',zscale=tin=linear:pin=709:t=smpte2084:p=2020:m=2020_ncl:r=tv:npl=203,format=yuv420p10le`;
    const { pictures } = await shown(await plainMedia('red.mp4', [...lavfi(graph), ...x265('smpte2084')]));
    // Light of 0.5 and 0.1 of white is 0.75 and 0.38 of the signal on a display of gamma 2.4; brighter than the knee it is bent a little.
    const [r, g, b] = pictures.colourAt(0, 0.5, 0.5);
    assert.ok(r >= 170 && r <= 200 && Math.abs(g - b) <= 4 && g >= 80 && g <= 104, `${[r, g, b]}`);
  });

  test('without zscale and tonemap by a plain curve, which is said', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'raffi-plain-'));
    try {
      const path = join(folder, 'ffmpeg');
      const list = `case "$*" in *-filters*) ffmpeg "$@" | grep -v -e zscale -e ' tonemap ';; *) exec ffmpeg "$@";; esac`;
      await writeFile(path, `${SHELL}${list}\n`, { mode: 0o755 });
      await using plain = await startTestServer({ RAFFI_FFMPEG_BIN: path });
      const { body } = await plain.json<{ missing: string[] }>('/capabilities');
      assert.deepEqual(body.missing, [
        'FFmpeg lacks zscale or tonemap: HDR becomes SDR by a plain curve, with paler colours.',
      ]);
      for (const [name, graph, transfer] of [
        ['pq.mp4', PQ, 'smpte2084'],
        ['hlg.mp4', HLG, 'arib-std-b67'],
      ] as const) {
        const result = await shown(await plainMedia(name, [...lavfi(graph), ...x265(transfer)]), '360p', plain);
        assertLevels(result);
        assert.deepEqual(result.pictures.tags, TAGS);
        assert.ok(result.processing.some((words) => words.endsWith('is mapped by a plain curve to SDR')));
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
