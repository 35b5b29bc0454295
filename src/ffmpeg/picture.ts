/**
 * What is done to a picture on its way to 8-bit SDR with square pixels, as FFmpeg's filters and in words.
 * Invariant: every filter depends on absolute times and the frames around alone, so that runs that start anywhere make the same pictures.
 */
import type { ColourInfo, Track } from '../media/types.ts';

type Video = NonNullable<Track['video']>;

/** The largest rate that is kept, frames per second: 60 with room for what containers round. */
const MOST_FRAMES = 61;
/** Lines from which pictures that do not tell their colours are taken for BT.709, as every player does. */
const HD_LINES = 720;
/** BT.2408: the luminance of white paper in HDR, cd/m²: it is what SDR calls white. */
const HDR_WHITE = 203;
/** Luminance that is shown as the brightest white, cd/m². Fixed: metadata may be missing where a run starts. */
const HDR_PEAK = 1000;
/** Of the tone curve: what is darker, as a part of HDR_WHITE, keeps its luminance. */
const KNEE = 0.3;
/** ISO/IEC 23091-2. */
const PQ = 16;
const HLG = 18;
const BT2020 = 9;

export interface PicturePlan {
  /** In order; what cannot be known beforehand (which frames are interlaced) is decided by frame. */
  filters(from: number, width: number, height: number): string[];
  /** For the decoder: what holds where the stream itself says nothing. */
  readonly decoderOptions: readonly string[];
  /** Of the result, when known. */
  readonly frameRate: number | undefined;
  /** What is done, in words, a phrase each. */
  readonly done: readonly string[];
}

/** What FFmpeg lacks to do it well: sentences. @param filters those that it has. */
export function lackingForPictures(filters: ReadonlySet<string>): string[] {
  const lacking: string[] = [];
  if (!filters.has('bwdif') && !filters.has('yadif'))
    lacking.push('FFmpeg has neither bwdif nor yadif: interlaced pictures stay so.');
  if (hdrWay(filters) === 'curve')
    lacking.push('FFmpeg lacks zscale or tonemap: HDR becomes SDR by a plain curve, with paler colours.');
  if (hdrWay(filters) === 'none')
    lacking.push('FFmpeg lacks zscale or tonemap, and lutrgb: HDR looks dull in transcoded variants.');
  return lacking;
}

/**
 * The plan for one track.
 * @param start presentation time of the track's first frame, seconds.
 * @param filters those that FFmpeg has.
 */
export function planPicture(
  { video, config, codec }: { readonly video: Video; readonly config?: unknown; readonly codec: string },
  start: number,
  filters: ReadonlySet<string>,
): PicturePlan {
  const divisor = Math.ceil((video.frameRate ?? 0) / MOST_FRAMES) || 1;
  const kept = divisor > 1 ? [everyNth(divisor, video.frameRate as number, start)] : [];
  const deinterlacer = ['bwdif', 'yadif'].find((name) => filters.has(name));
  const whole = [...(deinterlacer ? [`${deinterlacer}=mode=send_frame:deint=interlaced`] : []), ...kept];
  const turned = { 0: [], 90: ['transpose=clock'], 180: ['hflip', 'vflip'], 270: ['transpose=cclock'] }[video.rotation];
  // Where the readers know nothing of a codec's bitstream its decoder may know better. ProRes's overrides what it was told by "unknown".
  const colour = video.colour ?? (config === undefined && codec !== 'prores' ? undefined : UNKNOWN);
  return {
    filters: (from, width, height) => [
      ...whole,
      `trim=start=${from.toFixed(6)}`,
      ...turned,
      ...toSdr(video, colour, width, height, filters),
      'setsar=1',
      'setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709',
    ],
    decoderOptions: colour ? [] : ['-colorspace', usualMatrix(video) === 1 ? 'bt709' : 'smpte170m'],
    frameRate: video.frameRate === undefined ? undefined : video.frameRate / divisor,
    done: inWords(video, divisor, filters),
  };
}

/** Exactly one frame in each cell of `divisor` frames, by the absolute clock; cells begin half a frame before their first. */
function everyNth(divisor: number, frameRate: number, start: number): string {
  const cell = (time: string): string =>
    `(${time}-${start.toFixed(6)})*${(frameRate / divisor).toFixed(9)}+${(0.5 / divisor).toFixed(6)}`;
  const first = `lt(mod(${cell('t')},1),${(1 / divisor).toFixed(6)})`;
  return `select='if(isnan(prev_t),${first},gt(floor(${cell('t')}),floor(${cell('prev_t')})))'`;
}

const UNKNOWN: ColourInfo = { primaries: 2, transfer: 2, matrix: 2, fullRange: false };
/** By matrix coefficients, as FFmpeg's `scale` calls them; others are left to it. */
const MATRICES: Readonly<Record<number, string>> = {
  1: 'bt709',
  4: 'fcc',
  5: 'bt470',
  6: 'smpte170m',
  7: 'smpte240m',
  9: 'bt2020',
  10: 'bt2020',
};

/** Matrix coefficients of pictures that tell none. */
function usualMatrix({ width, height }: Video): 1 | 6 {
  return Math.min(width, height) >= HD_LINES || width >= 1280 ? 1 : 6;
}

function transferOf({ hdr, colour }: Video): typeof PQ | typeof HLG | undefined {
  if (colour?.transfer === PQ || colour?.transfer === HLG) return colour.transfer;
  if (hdr === 'hlg') return HLG;
  return hdr === 'sdr' ? undefined : PQ;
}

function hdrWay(filters: ReadonlySet<string>): 'tonemap' | 'curve' | 'none' {
  if (filters.has('zscale') && filters.has('tonemap')) return 'tonemap';
  return filters.has('lutrgb') ? 'curve' : 'none';
}

/** Scales, and makes limited-range BT.709 of whatever it is. Scaling comes first: mapping tones is expensive. */
function toSdr(
  video: Video,
  colour: ColourInfo | undefined,
  width: number,
  height: number,
  filters: ReadonlySet<string>,
): string[] {
  const transfer = transferOf(video);
  const size = `scale=${width}:${height}`;
  const range = colour?.fullRange ? ':in_range=pc' : '';
  if (transfer !== undefined && hdrWay(filters) === 'tonemap') return [...toneMapped(size, range, transfer)];
  if (transfer !== undefined && hdrWay(filters) === 'curve') {
    const curve = plainCurve(transfer);
    return [
      `${size}:in_color_matrix=bt2020${range}`,
      'format=gbrp10le',
      `lutrgb=r='${curve}':g='${curve}':b='${curve}'`,
      'scale=out_color_matrix=bt709:out_range=tv',
      'format=yuv420p',
    ];
  }
  if (colour?.primaries === BT2020 && filters.has('zscale')) {
    const source = `zscale=pin=2020:tin=709:min=2020_ncl`;
    return [`${size}${range}:out_range=tv`, 'format=yuv420p10le', `${source}:p=709:t=709:m=709`, 'format=yuv420p'];
  }
  const matrix = colour && MATRICES[colour.matrix === 2 ? usualMatrix(video) : colour.matrix];
  const from = matrix ? `:in_color_matrix=${matrix}` : '';
  return [`${size}${from}${range}:out_color_matrix=bt709:out_range=tv`, 'format=yuv420p'];
}

/** In linear light with BT.709 primaries, by the largest of the three components, so that hues stay. */
function toneMapped(size: string, range: string, transfer: number): string[] {
  const tin = transfer === PQ ? 'smpte2084' : 'arib-std-b67';
  return [
    `${size}:in_color_matrix=bt2020:out_color_matrix=bt2020${range}:out_range=tv`,
    'format=yuv420p10le',
    `zscale=pin=2020:tin=${tin}:min=2020_ncl:p=2020:t=linear:m=2020_ncl:npl=${HDR_WHITE}`,
    'format=gbrpf32le',
    'zscale=p=709',
    `tonemap=mobius:param=${KNEE}:desat=0:peak=${(HDR_PEAK / HDR_WHITE).toFixed(4)}`,
    'zscale=t=709:m=709:r=tv',
    'format=yuv420p',
  ];
}

/** The same curve for each component alone, as an expression of `lutrgb`, without the change of primaries. */
function plainCurve(transfer: number): string {
  const peak = HDR_PEAK / HDR_WHITE;
  const squared = KNEE * KNEE;
  const a = (-squared * (peak - 1)) / (squared - 2 * KNEE + peak);
  const b = (squared - 2 * KNEE * peak + peak) / (peak - 1);
  const scale = (b * b + 2 * b * KNEE + squared) / (b - a);
  // SMPTE ST 2084, 5.2; Rec. ITU-R BT.2100, table 5, with the display's gamma of 1.2 for 1,000 cd/m².
  // The table is made for values beyond the largest too.
  const light =
    transfer === PQ
      ? `pow(max(ld(1)-0.8359375,0)/(18.8515625-18.6875*ld(1)),1/0.1593017578125)*${10_000 / HDR_WHITE}`
      : `pow(if(lte(ld(1),0.5),pow(ld(1),2)/3,(exp((ld(1)-0.55991073)/0.17883277)+0.28466892)/12),1.2)*${peak}`;
  const signal = transfer === PQ ? 'pow(min(val/maxval,1),1/78.84375)' : 'min(val/maxval,1)';
  const bent = `if(lte(ld(0),${KNEE}),ld(0),min(1,${scale}*(ld(0)+${a})/(ld(0)+${b})))`;
  return `st(1,${signal});st(0,${light});maxval*pow(${bent},1/2.4)`;
}

const HDR_NAMES = { hdr10: 'HDR10', hlg: 'HLG', 'dolby-vision': 'Dolby Vision' } as const;

function inWords(video: Video, divisor: number, filters: ReadonlySet<string>): string[] {
  const done: string[] = [];
  if (filters.has('bwdif') || filters.has('yadif')) done.push('frames that are interlaced are deinterlaced');
  if (divisor > 1) done.push(`one of ${divisor} frames is kept, of ${Math.round(video.frameRate ?? 0)} a second`);
  if (video.rotation !== 0) done.push(`turned by ${video.rotation} degrees`);
  if (video.hdr !== 'sdr') {
    const how = { tonemap: 'tone-mapped', curve: 'mapped by a plain curve', none: 'cut down without tone mapping' };
    // Profile 5 is coded in a colour space of its own, which only Dolby's metadata undoes.
    const wrong = video.hdr === 'dolby-vision' && ![PQ, HLG].includes(video.colour?.transfer ?? 0);
    done.push(`${HDR_NAMES[video.hdr]} is ${how[hdrWay(filters)]} to SDR${wrong ? ', in wrong colours' : ''}`);
  } else if ((video.bitDepth ?? 8) > 8) done.push(`${video.bitDepth} bits become 8`);
  const upright = Math.abs(video.displayWidth / video.width - video.displayHeight / video.height) < 0.01;
  if (!upright)
    done.push(
      `made square pixels of ${video.width}x${video.height} shown at ${video.displayWidth}x${video.displayHeight}`,
    );
  return done;
}
