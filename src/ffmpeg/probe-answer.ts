/** ffprobe's JSON as MediaInfo. Nothing in it is taken on trust: every field may be absent or of another type. */
import type { Chapter, ColourInfo, HdrKind, MediaInfo, Track, TrackType } from '../media/types.ts';

/** What demuxers that know only raw streams say of anything that has a few bytes as they like them is less. */
const LEAST_SCORE = 25;
const MAX_STREAMS = 200;
const MAX_CHAPTERS = 10_000;

/** FFmpeg's names of demuxers that are not what people call the container. */
const CONTAINERS: Readonly<Record<string, string>> = { mpeg: 'mpegps', mov: 'mp4' };
/** For sentences. */
const NAMES: Readonly<Record<string, string>> = {
  avi: 'AVI',
  asf: 'WMV/ASF',
  flv: 'FLV',
  rm: 'RealMedia',
  mpegps: 'MPEG-PS',
  mpegts: 'MPEG-TS',
  matroska: 'Matroska',
  mp4: 'MP4',
};

/** Those that our own readers read, as long as they are whole. */
const OWN: ReadonlySet<string> = new Set(['matroska', 'mp4', 'mpegts', 'ogg', 'mp3', 'aac', 'flac', 'wav']);

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value.length > 0 ? value : undefined;
}

/** A finite number, also one that is written as a string. */
function number(value: unknown): number | undefined {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return undefined;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** `30000/1001` or `16:9`; undefined when it is no positive ratio. */
function ratio(value: unknown): number | undefined {
  const match = /^(\d+)[/:](\d+)$/.exec(text(value) ?? '');
  if (!match) return undefined;
  const quotient = Number(match[1]) / Number(match[2]);
  return Number.isFinite(quotient) && quotient > 0 ? quotient : undefined;
}

const PRIMARIES: Readonly<Record<string, number>> = { bt709: 1, bt470bg: 5, smpte170m: 6, smpte240m: 7, bt2020: 9 };
const TRANSFERS: Readonly<Record<string, number>> = {
  bt709: 1,
  smpte170m: 6,
  'bt2020-10': 14,
  'bt2020-12': 15,
  smpte2084: 16,
  'arib-std-b67': 18,
};
const MATRICES: Readonly<Record<string, number>> = { bt709: 1, bt470bg: 5, smpte170m: 6, bt2020nc: 9, bt2020c: 10 };
const UNSPECIFIED = 2;

function colourOf(stream: Fields): ColourInfo | undefined {
  const primaries = PRIMARIES[text(stream.color_primaries) ?? ''];
  const transfer = TRANSFERS[text(stream.color_transfer) ?? ''];
  const matrix = MATRICES[text(stream.color_space) ?? ''];
  if (primaries === undefined && transfer === undefined && matrix === undefined) return undefined;
  return {
    primaries: primaries ?? UNSPECIFIED,
    transfer: transfer ?? UNSPECIFIED,
    matrix: matrix ?? UNSPECIFIED,
    fullRange: stream.color_range === 'pc',
  };
}

function hdrOf(colour: ColourInfo | undefined): HdrKind {
  if (colour?.transfer === 16) return 'hdr10';
  return colour?.transfer === 18 ? 'hlg' : 'sdr';
}

function rotationOf(stream: Fields): 0 | 90 | 180 | 270 {
  for (const side of list(stream.side_data_list)) {
    const anticlockwise = number(fields(side).rotation);
    if (anticlockwise === undefined) continue;
    const clockwise = (((Math.round(-anticlockwise / 90) * 90) % 360) + 360) % 360;
    return clockwise === 90 || clockwise === 180 || clockwise === 270 ? clockwise : 0;
  }
  return 0;
}

function videoOf(stream: Fields): Pick<Track, 'video'> {
  const width = number(stream.width) ?? 0;
  const height = number(stream.height) ?? 0;
  const rate = ratio(stream.avg_frame_rate) ?? ratio(stream.r_frame_rate);
  const depth = number(stream.bits_per_raw_sample);
  const colour = colourOf(stream);
  return {
    video: {
      width,
      height,
      displayWidth: Math.max(1, Math.round(width * (ratio(stream.sample_aspect_ratio) ?? 1))),
      displayHeight: height,
      rotation: rotationOf(stream),
      ...(rate === undefined ? {} : { frameRate: rate }),
      ...(depth === undefined || depth <= 0 ? {} : { bitDepth: depth }),
      hdr: hdrOf(colour),
      ...(colour === undefined ? {} : { colour }),
    },
  };
}

function audioOf(stream: Fields): Pick<Track, 'audio'> {
  return { audio: { sampleRate: number(stream.sample_rate) ?? 0, channels: number(stream.channels) ?? 0 } };
}

function trackType(stream: Fields): TrackType | undefined {
  const type = stream.codec_type;
  return type === 'video' || type === 'audio' || type === 'subtitle' ? type : undefined;
}

/** Why a track is not copied, which is why FFmpeg has to read it. */
function notCopied(type: TrackType, container: string): string {
  const name = NAMES[container] ?? container;
  if (OWN.has(container))
    return `only FFmpeg can make something of this ${name} file, which is damaged, and re-encodes it`;
  if (type === 'subtitle') return `subtitles are not read from ${name}, which only FFmpeg reads`;
  return `only FFmpeg reads ${name}: what is in it can't be copied into HLS, only re-encoded`;
}

function trackOf(stream: Fields, type: TrackType, id: number, index: number, container: string): Track {
  const tags = fields(stream.tags);
  const disposition = fields(stream.disposition);
  const start = number(stream.start_time);
  const duration = number(stream.duration);
  const language = text(tags.language);
  const title = text(tags.title);
  const bitrate = number(stream.bit_rate);
  return {
    id,
    type,
    index,
    codec: text(stream.codec_name) ?? 'unknown',
    notCopied: notCopied(type, container),
    ...(language === undefined || language === 'und' ? {} : { language }),
    ...(title === undefined ? {} : { title }),
    isDefault: disposition.default === 1,
    isForced: disposition.forced === 1,
    ...(start === undefined ? {} : { startTime: start }),
    ...(start === undefined || duration === undefined ? {} : { endTime: start + duration }),
    ...(bitrate === undefined ? {} : { bitrate }),
    ...(type === 'video' ? videoOf(stream) : {}),
    ...(type === 'audio' ? audioOf(stream) : {}),
  };
}

function chapterOf(value: unknown): Chapter | undefined {
  const chapter = fields(value);
  const startTime = number(chapter.start_time);
  const endTime = number(chapter.end_time);
  if (startTime === undefined || endTime === undefined) return undefined;
  return { startTime, endTime, title: text(fields(chapter.tags).title) ?? '' };
}

/** Undefined when the answer names no video and no audio, or is not sure of the container. */
export function toMediaInfo(answer: unknown): MediaInfo | undefined {
  const { format, streams, chapters } = fields(answer);
  if ((number(fields(format).probe_score) ?? LEAST_SCORE) < LEAST_SCORE) return undefined;
  const demuxer = (text(fields(format).format_name) ?? 'unknown').split(',')[0]!;
  const container = CONTAINERS[demuxer] ?? demuxer;
  const counts = { video: 0, audio: 0, subtitle: 0 };
  const tracks: Track[] = [];
  for (const [position, value] of list(streams).slice(0, MAX_STREAMS).entries()) {
    const stream = fields(value);
    const type = trackType(stream);
    // Cover art is a picture, no track.
    if (!type || fields(stream.disposition).attached_pic === 1) continue;
    tracks.push(trackOf(stream, type, number(stream.index) ?? position, counts[type]++, container));
  }
  const media = tracks.filter((t) => t.type !== 'subtitle');
  if (media.length === 0) return undefined;
  const starts = media.flatMap((t) => t.startTime ?? []);
  const startTime = starts.length > 0 ? Math.min(...starts) : (number(fields(format).start_time) ?? 0);
  const ends = media.flatMap((t) => t.endTime ?? []);
  const duration = number(fields(format).duration) ?? (ends.length > 0 ? Math.max(...ends) - startTime : 0);
  const video = media.find((t) => t.type === 'video' && t.isDefault) ?? media.find((t) => t.type === 'video');
  return {
    container,
    startTime,
    duration: Math.max(0, duration),
    tracks,
    ...(video === undefined ? {} : { videoTrackId: video.id }),
    chapters: list(chapters)
      .slice(0, MAX_CHAPTERS)
      .flatMap((c) => chapterOf(c) ?? []),
    attachments: [],
  };
}

/**
 * By how much FFmpeg shows the pictures of each stream too late, seconds: AVI has decode times alone, which FFmpeg takes for those of the pictures in the
 * order in which it has them decoded.
 */
export function decodeDelays(answer: unknown): ReadonlyMap<number, number> {
  const { format, streams } = fields(answer);
  if (text(fields(format).format_name) !== 'avi') return new Map();
  return new Map(
    list(streams).flatMap((value): [number, number][] => {
      const { index, has_b_frames: reordered, avg_frame_rate: rate } = fields(value);
      const delay = Math.min(16, number(reordered) ?? 0) / (ratio(rate) ?? Number.POSITIVE_INFINITY);
      return delay > 0 ? [[number(index) ?? -1, delay]] : [];
    }),
  );
}
