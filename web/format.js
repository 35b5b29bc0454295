/**
 * `1:02:03`, or `2:03` below an hour.
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

/**
 * `1 hour 2 minutes 3 seconds`: what a screen reader says.
 * @param {number} seconds
 */
export function spokenTime(seconds) {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  /** @type {[number, string][]} */
  const parts = [
    [Math.floor(whole / 3600), 'hour'],
    [Math.floor((whole % 3600) / 60), 'minute'],
    [whole % 60, 'second'],
  ];
  const said = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`);
  return said.length > 0 ? said.join(' ') : '0 seconds';
}

/**
 * `1.4 GB`, decimal units.
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}

/**
 * `14 ms`, or `1.3 s` from one second on.
 * @param {number} ms
 */
export function milliseconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/**
 * The English name of a BCP 47 or ISO 639-2 tag; the tag itself when the browser does not know it.
 * @param {string | undefined} tag
 * @returns {string | undefined}
 */
export function language(tag) {
  if (tag === undefined || tag === '' || tag === 'und') return undefined;
  try {
    return new Intl.DisplayNames(['en'], { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** @type {Record<string, string>} */
const CODECS = {
  h264: 'H.264',
  hevc: 'HEVC',
  av1: 'AV1',
  vp9: 'VP9',
  vp8: 'VP8',
  mpeg2video: 'MPEG-2',
  mpeg4: 'MPEG-4 Visual',
  vc1: 'VC-1',
  prores: 'ProRes',
  aac: 'AAC',
  ac3: 'Dolby Digital (AC-3)',
  eac3: 'Dolby Digital Plus (E-AC-3)',
  truehd: 'Dolby TrueHD',
  dts: 'DTS',
  opus: 'Opus',
  vorbis: 'Vorbis',
  flac: 'FLAC',
  mp3: 'MP3',
  subrip: 'SubRip',
  ass: 'ASS',
  webvtt: 'WebVTT',
  mov_text: 'Timed text',
  hdmv_pgs_subtitle: 'PGS',
  dvd_subtitle: 'VobSub',
  dvb_subtitle: 'DVB',
};

/**
 * The name people use for a codec that the server names as FFmpeg does.
 * @param {string} codec
 */
export function codecName(codec) {
  return CODECS[codec] ?? codec.toUpperCase().replaceAll('_', ' ');
}

/** @type {Record<string, string>} */
const SAMPLE_ENTRIES = {
  avc1: 'H.264',
  avc3: 'H.264',
  hvc1: 'HEVC',
  hev1: 'HEVC',
  dvh1: 'Dolby Vision',
  dvhe: 'Dolby Vision',
  av01: 'AV1',
  vp09: 'VP9',
  mp4a: 'AAC',
  'ac-3': 'Dolby Digital (AC-3)',
  'ec-3': 'Dolby Digital Plus (E-AC-3)',
  Opus: 'Opus',
  opus: 'Opus',
  fLaC: 'FLAC',
  flac: 'FLAC',
};

/**
 * `HEVC (hvc1.2.4.L153.B0)` for a codec string of RFC 6381.
 * @param {string} codecString
 */
export function codecStringName(codecString) {
  const name = SAMPLE_ENTRIES[codecString.split('.')[0] ?? ''];
  return name === undefined ? codecString : `${name} (${codecString})`;
}

/** @type {Record<string, string>} */
const CONTAINERS = {
  matroska: 'Matroska (MKV)',
  webm: 'WebM',
  mp4: 'MP4',
  mov: 'QuickTime (MOV)',
  mpegts: 'MPEG-TS',
  ogg: 'Ogg',
  flac: 'FLAC',
  mp3: 'MP3',
  wav: 'WAV',
  adts: 'AAC (ADTS)',
  avi: 'AVI',
};

/** @param {string} container */
export function containerName(container) {
  return CONTAINERS[container] ?? container;
}

/**
 * `Mono`, `Stereo`, `5.1`, `7.1`, or a count.
 * @param {number} count
 */
export function channelLayout(count) {
  /** @type {Record<number, string>} */
  const names = { 1: 'Mono', 2: 'Stereo', 6: '5.1', 8: '7.1' };
  return names[count] ?? `${count} channels`;
}

/**
 * A source as a person would name it: the last part of its path, decoded, and where that lies.
 * @param {string} source
 * @returns {{ name: string, place: string }}
 */
export function sourceName(source) {
  if (/^magnet:/i.test(source)) {
    const name = new URLSearchParams(source.slice('magnet:?'.length)).get('dn');
    return { name: name || 'Torrent', place: 'Torrent' };
  }
  let path = source;
  let host = '';
  if (/^(https?|file):\/\//i.test(source)) {
    try {
      const url = new URL(source);
      host = url.protocol === 'file:' ? '' : url.host;
      path = decode(url.pathname);
    } catch {
      return { name: source, place: '' };
    }
  }
  const parts = path.split(/[/\\]/).filter((part) => part !== '');
  const name = parts.at(-1) ?? (host || source);
  const folder = path.slice(0, Math.max(0, path.lastIndexOf(parts.at(-1) ?? '') - 1));
  return { name, place: host || folder };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
