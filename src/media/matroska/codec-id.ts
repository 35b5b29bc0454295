/** Matroska codec mappings (RFC 9559 section 5.1.4.1.21, "Matroska Media Container Codec Specifications") to FFmpeg's names, and back. */

const EXACT: Readonly<Record<string, string>> = {
  'V_MPEG4/ISO/AVC': 'h264',
  'V_MPEGH/ISO/HEVC': 'hevc',
  'V_MPEGI/ISO/VVC': 'vvc',
  V_AV1: 'av1',
  V_VP8: 'vp8',
  V_VP9: 'vp9',
  V_MPEG1: 'mpeg1video',
  V_MPEG2: 'mpeg2video',
  'V_MPEG4/ISO/SP': 'mpeg4',
  'V_MPEG4/ISO/ASP': 'mpeg4',
  'V_MPEG4/ISO/AP': 'mpeg4',
  'V_MPEG4/MS/V3': 'msmpeg4v3',
  V_THEORA: 'theora',
  V_MJPEG: 'mjpeg',
  V_PRORES: 'prores',
  V_FFV1: 'ffv1',
  V_DIRAC: 'dirac',
  V_AVS2: 'avs2',
  V_AVS3: 'avs3',
  V_SNOW: 'snow',
  V_UNCOMPRESSED: 'rawvideo',
  'V_REAL/RV10': 'rv10',
  'V_REAL/RV20': 'rv20',
  'V_REAL/RV30': 'rv30',
  'V_REAL/RV40': 'rv40',
  A_AC3: 'ac3',
  A_EAC3: 'eac3',
  A_OPUS: 'opus',
  A_FLAC: 'flac',
  A_VORBIS: 'vorbis',
  A_TRUEHD: 'truehd',
  A_MLP: 'mlp',
  'A_MPEG/L1': 'mp1',
  'A_MPEG/L2': 'mp2',
  'A_MPEG/L3': 'mp3',
  A_ALAC: 'alac',
  A_TTA1: 'tta',
  A_WAVPACK4: 'wavpack',
  'A_PCM/FLOAT/IEEE': 'pcm_f32le',
  'A_REAL/14_4': 'ra_144',
  'A_REAL/28_8': 'ra_288',
  'A_REAL/COOK': 'cook',
  'A_REAL/SIPR': 'sipr',
  'A_REAL/ATRC': 'atrac3',
  'S_TEXT/UTF8': 'subrip',
  'S_TEXT/ASCII': 'subrip',
  'S_TEXT/ASS': 'ass',
  'S_TEXT/SSA': 'ass',
  S_ASS: 'ass',
  S_SSA: 'ass',
  'S_TEXT/WEBVTT': 'webvtt',
  'D_WEBVTT/SUBTITLES': 'webvtt',
  'D_WEBVTT/CAPTIONS': 'webvtt',
  'S_HDMV/PGS': 'hdmv_pgs_subtitle',
  'S_HDMV/TEXTST': 'hdmv_text_subtitle',
  S_VOBSUB: 'dvd_subtitle',
  S_DVBSUB: 'dvb_subtitle',
  S_ARIBSUB: 'arib_caption',
  S_KATE: 'kate',
};

/** Codec IDs that stand before a slash and details. */
const PREFIX: readonly (readonly [string, string])[] = [
  ['A_AAC', 'aac'],
  ['A_AC3', 'ac3'],
  ['A_EAC3', 'eac3'],
  ['A_DTS', 'dts'],
  ['A_OPUS', 'opus'],
  ['S_VOBSUB', 'dvd_subtitle'],
];

const FOURCC: Readonly<Record<string, string>> = {
  H264: 'h264',
  X264: 'h264',
  AVC1: 'h264',
  HEVC: 'hevc',
  HVC1: 'hevc',
  H265: 'hevc',
  X265: 'hevc',
  AV01: 'av1',
  VP80: 'vp8',
  VP90: 'vp9',
  XVID: 'mpeg4',
  DIVX: 'mpeg4',
  DX50: 'mpeg4',
  MP4V: 'mpeg4',
  FMP4: 'mpeg4',
  DIV3: 'msmpeg4v3',
  MP43: 'msmpeg4v3',
  MP42: 'msmpeg4v2',
  MJPG: 'mjpeg',
  WVC1: 'vc1',
  WMV1: 'wmv1',
  WMV2: 'wmv2',
  WMV3: 'wmv3',
  MPG1: 'mpeg1video',
  MPG2: 'mpeg2video',
  FFV1: 'ffv1',
  HFYU: 'huffyuv',
  THEO: 'theora',
};

/** wFormatTag of WAVEFORMATEX. */
const WAVE: Readonly<Record<number, string>> = {
  1: 'pcm_s16le',
  2: 'adpcm_ms',
  3: 'pcm_f32le',
  6: 'pcm_alaw',
  7: 'pcm_mulaw',
  17: 'adpcm_ima_wav',
  80: 'mp2',
  85: 'mp3',
  255: 'aac',
  352: 'wmav1',
  353: 'wmav2',
  354: 'wmapro',
  355: 'wmalossless',
  8192: 'ac3',
  8193: 'dts',
};

const BITMAPINFOHEADER = 40;
const WAVEFORMATEX = 18;

/** What the rest of the reader needs to know of a Matroska codec ID. */
export interface MappedCodec {
  /** FFmpeg's name, or the codec ID in lower case when it has none here. */
  readonly codec: string;
  /** CodecPrivate as that codec's own configuration: without the Windows structure around it. */
  readonly privateData: Uint8Array | undefined;
}

/**
 * @param privateData CodecPrivate, content encodings undone.
 * @param bitDepth of audio, for PCM.
 */
export function mapCodec(codecId: string, privateData: Uint8Array | undefined, bitDepth: number): MappedCodec {
  if (codecId === 'V_MS/VFW/FOURCC') return videoForWindows(privateData);
  if (codecId === 'A_MS/ACM') return waveFormat(privateData);
  if (codecId === 'V_QUICKTIME') return { codec: fourccName(privateData, 4), privateData };
  if (codecId.startsWith('A_PCM/INT/')) {
    const depth = bitDepth === 8 || bitDepth === 24 || bitDepth === 32 ? bitDepth : 16;
    const order = codecId.endsWith('BIG') ? 'be' : 'le';
    return { codec: depth === 8 ? 'pcm_u8' : `pcm_s${depth}${order}`, privateData };
  }
  if (codecId === 'A_PCM/FLOAT/IEEE' && bitDepth === 64) return { codec: 'pcm_f64le', privateData };
  const exact = Object.hasOwn(EXACT, codecId) ? EXACT[codecId] : undefined;
  if (exact !== undefined) return { codec: exact, privateData };
  for (const [prefix, codec] of PREFIX) {
    if (codecId.startsWith(prefix)) return { codec, privateData };
  }
  return { codec: codecId.toLowerCase() || 'unknown', privateData };
}

function fourccName(bytes: Uint8Array | undefined, at: number): string {
  if (!bytes || bytes.length < at + 4) return 'unknown';
  const fourcc = String.fromCharCode(...bytes.subarray(at, at + 4)).toUpperCase();
  if (Object.hasOwn(FOURCC, fourcc)) return FOURCC[fourcc] ?? 'unknown';
  return /^[\w ]{4}$/.test(fourcc) ? fourcc.trim().toLowerCase() : 'unknown';
}

function videoForWindows(bytes: Uint8Array | undefined): MappedCodec {
  const rest = bytes && bytes.length > BITMAPINFOHEADER ? bytes.subarray(BITMAPINFOHEADER) : undefined;
  return { codec: fourccName(bytes, 16), privateData: rest };
}

function waveFormat(bytes: Uint8Array | undefined): MappedCodec {
  if (!bytes || bytes.length < 2) return { codec: 'unknown', privateData: undefined };
  const tag = (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
  const rest = bytes.length > WAVEFORMATEX ? bytes.subarray(WAVEFORMATEX) : undefined;
  return { codec: WAVE[tag] ?? `wave_${tag}`, privateData: rest };
}

/** A codec ID, and what belongs to it. */
export interface CodecId {
  readonly codecId: string;
  /** Bits of one sample, where the codec ID alone does not tell the codec: PCM. */
  readonly bitDepth?: number;
  /** For A_MS/ACM: wFormatTag. */
  readonly formatTag?: number;
}

const BY_NAME: ReadonlyMap<string, string> = new Map(
  // Where several IDs have one name, the first counts.
  [...Object.entries(EXACT), ...PREFIX].toReversed().map(([codecId, codec]) => [codec, codecId]),
);

const TAG_BY_NAME: ReadonlyMap<string, number> = new Map(
  Object.entries(WAVE).map(([tag, codec]) => [codec, Number(tag)]),
);

/** The codec ID for FFmpeg's name of a codec: what `mapCodec` turns into that name. Undefined when Matroska has none. */
export function codecIdOf(codec: string): CodecId | undefined {
  const pcm = /^pcm_(?:u8|s(?<int>16|24|32)(?<order>le|be)|f(?<float>32|64)le)$/.exec(codec)?.groups;
  if (pcm?.float !== undefined) return { codecId: 'A_PCM/FLOAT/IEEE', bitDepth: Number(pcm.float) };
  if (pcm) return { codecId: `A_PCM/INT/${pcm.order === 'be' ? 'BIG' : 'LIT'}`, bitDepth: Number(pcm.int ?? 8) };
  const codecId = BY_NAME.get(codec);
  if (codecId !== undefined) return { codecId };
  const formatTag = TAG_BY_NAME.get(codec);
  return formatTag === undefined ? undefined : { codecId: 'A_MS/ACM', formatTag };
}
