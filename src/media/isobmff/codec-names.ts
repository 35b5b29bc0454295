/** FFmpeg's names for the sample entries of MP4 and QuickTime (mp4ra.org; QuickTime File Format, tables of formats). */

export const VIDEO_CODECS: Readonly<Record<string, string>> = {
  avc1: 'h264',
  avc2: 'h264',
  avc3: 'h264',
  avc4: 'h264',
  dva1: 'h264',
  dvav: 'h264',
  ai12: 'h264',
  hvc1: 'hevc',
  hev1: 'hevc',
  dvh1: 'hevc',
  dvhe: 'hevc',
  av01: 'av1',
  dav1: 'av1',
  vp09: 'vp9',
  vp08: 'vp8',
  vvc1: 'vvc',
  vvi1: 'vvc',
  mp4v: 'mpeg4',
  jpeg: 'mjpeg',
  mjpa: 'mjpeg',
  mjpb: 'mjpegb',
  'png ': 'png',
  apch: 'prores',
  apcn: 'prores',
  apcs: 'prores',
  apco: 'prores',
  ap4h: 'prores',
  ap4x: 'prores',
  AVdn: 'dnxhd',
  AVdh: 'dnxhd',
  CFHD: 'cfhd',
  s263: 'h263',
  h263: 'h263',
  SVQ1: 'svq1',
  SVQ3: 'svq3',
  'rle ': 'qtrle',
  cvid: 'cinepak',
  'raw ': 'rawvideo',
  '2vuy': 'rawvideo',
  yuv2: 'rawvideo',
  v210: 'v210',
  mp2v: 'mpeg2video',
  m2v1: 'mpeg2video',
  mp1v: 'mpeg1video',
  m1v1: 'mpeg1video',
  hdv1: 'mpeg2video',
  hdv2: 'mpeg2video',
  hdv3: 'mpeg2video',
  xdvc: 'mpeg2video',
  'vc-1': 'vc1',
  'dvc ': 'dvvideo',
  dvcp: 'dvvideo',
  dvpp: 'dvvideo',
  FFV1: 'ffv1',
};

const AUDIO_CODECS: Readonly<Record<string, string>> = {
  '.mp3': 'mp3',
  'mp3 ': 'mp3',
  'ac-3': 'ac3',
  sac3: 'ac3',
  'ec-3': 'eac3',
  'ac-4': 'ac4',
  Opus: 'opus',
  fLaC: 'flac',
  alac: 'alac',
  dtsc: 'dts',
  dtsh: 'dts',
  dtsl: 'dts',
  dtse: 'dts',
  dtsx: 'dts',
  mlpa: 'truehd',
  samr: 'amr_nb',
  sawb: 'amr_wb',
  ulaw: 'pcm_mulaw',
  alaw: 'pcm_alaw',
  ima4: 'adpcm_ima_qt',
  MAC3: 'mace3',
  MAC6: 'mace6',
  QDM2: 'qdm2',
  QDMC: 'qdmc',
  agsm: 'gsm',
  sqcp: 'qcelp',
  mha1: 'mpegh_3d_audio',
  mhm1: 'mpegh_3d_audio',
  drms: 'aac',
};

export const SUBTITLE_CODECS: Readonly<Record<string, string>> = {
  tx3g: 'mov_text',
  text: 'mov_text',
  wvtt: 'webvtt',
  stpp: 'ttml',
  dfxp: 'ttml',
  c608: 'eia_608',
  c708: 'eia_708',
  mp4s: 'dvd_subtitle',
};

/** objectTypeIndication of ISO/IEC 14496-1, 7.2.6.6.2, as registered at mp4ra.org. */
export const OBJECT_TYPE_CODECS: Readonly<Record<number, string>> = {
  32: 'mpeg4',
  33: 'h264',
  35: 'hevc',
  64: 'aac',
  96: 'mpeg2video',
  97: 'mpeg2video',
  98: 'mpeg2video',
  99: 'mpeg2video',
  100: 'mpeg2video',
  101: 'mpeg2video',
  102: 'aac',
  103: 'aac',
  104: 'aac',
  105: 'mp3',
  106: 'mpeg1video',
  107: 'mp3',
  108: 'mjpeg',
  109: 'png',
  110: 'jpeg2000',
  163: 'vc1',
  165: 'ac3',
  166: 'eac3',
  169: 'dts',
  170: 'dts',
  171: 'dts',
  172: 'dts',
  173: 'opus',
  177: 'vp9',
  221: 'vorbis',
  224: 'dvd_subtitle',
  225: 'qcelp',
};

export function audioCodec(type: string): string {
  // 'ms' and a big-endian WAVE format tag: 0x55 is MP3, 0x11 IMA ADPCM, 2 Microsoft ADPCM.
  if (type === 'ms\0\x55') return 'mp3';
  if (type === 'ms\0\x11') return 'adpcm_ima_wav';
  if (type === 'ms\0\x02') return 'adpcm_ms';
  return AUDIO_CODECS[type] ?? type.trim().toLowerCase();
}

/**
 * Uncompressed audio: FFmpeg's name and the bits of one sample of one channel.
 * `formatFlags` are those of QuickTime's `lpcm`: 1 float, 2 big-endian, 4 signed.
 */
export function pcmCodec(
  type: string,
  bitDepth: number,
  formatFlags: number,
  littleEndian: boolean,
  pcmC: DataView | undefined,
): { codec: string; bits: number } | undefined {
  const named = (sign: string, bits: number, little: boolean): { codec: string; bits: number } | undefined => {
    if (bits !== 8 && bits !== 16 && bits !== 24 && bits !== 32 && bits !== 64) return undefined;
    return { codec: bits === 8 ? `pcm_${sign}8` : `pcm_${sign}${bits}${little ? 'le' : 'be'}`, bits };
  };
  switch (type) {
    case 'sowt':
      return named('s', bitDepth || 16, true);
    case 'twos':
      return named('s', bitDepth || 16, littleEndian);
    case 'NONE':
    case 'raw ':
      return bitDepth === 16 ? named('s', 16, littleEndian) : named('u', 8, true);
    case 'in24':
      return named('s', 24, littleEndian);
    case 'in32':
      return named('s', 32, littleEndian);
    case 'fl32':
      return named('f', 32, littleEndian);
    case 'fl64':
      return named('f', 64, littleEndian);
    case 'ulaw':
      return { codec: 'pcm_mulaw', bits: 8 };
    case 'alaw':
      return { codec: 'pcm_alaw', bits: 8 };
    case 'lpcm':
      return named(formatFlags & 1 ? 'f' : formatFlags & 4 || bitDepth > 8 ? 's' : 'u', bitDepth, !(formatFlags & 2));
    case 'ipcm':
    case 'fpcm': {
      // PCMConfig (ISO/IEC 23003-5): format_flags (1: little-endian), PCM_sample_size.
      const little = pcmC !== undefined && pcmC.byteLength >= 6 && (pcmC.getUint8(4) & 1) === 1;
      const bits = pcmC !== undefined && pcmC.byteLength >= 6 ? pcmC.getUint8(5) : bitDepth;
      return named(type === 'ipcm' ? 's' : 'f', bits, little);
    }
    default:
      return undefined;
  }
}
