/** From a TrackEntry and its first packets to what the rest of the server knows of a track. */
import { type CodecInput, describeCodec, hdrKind } from '../codecs/codecs.ts';
import type { CodecConfig, Track, TrackType } from '../types.ts';
import { framesAreStored } from './encodings.ts';
import type { OpenTrack } from './file.ts';
import type { FirstSeen } from './first-packets.ts';
import type { Layout } from './layout.ts';
import { parseTagCount, parseTagDuration } from './metadata.ts';
import { type TrackEntry, TYPE_AUDIO, TYPE_SUBTITLE, TYPE_VIDEO, type VideoEntry } from './track-entry.ts';

/** MPEG-4 audio sampling frequencies by index (ISO/IEC 14496-3, table 1.18). */
const AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/**
 * Samples in a packet of codecs that aren't copied, so that a decoder hears them without the container's jitter. A packet of DTS has a
 * multiple of 512 in all but the rarest cases (ETSI TS 102 114, 5.3.1), and what does not fit the grid stays as it is.
 */
const FOREIGN_FRAMES: Readonly<Record<string, number>> = { dts: 512, mp2: 1152, mp1: 384 };

export function trackType(entry: TrackEntry): TrackType | undefined {
  if (entry.type === TYPE_VIDEO) return 'video';
  if (entry.type === TYPE_AUDIO) return 'audio';
  if (entry.type === TYPE_SUBTITLE || entry.codecId.startsWith('D_WEBVTT/')) return 'subtitle';
  return undefined;
}

/** @param index position among the tracks of its type. */
export function describeTrack(seen: FirstSeen, type: TrackType, index: number, layout: Layout): OpenTrack {
  const { entry, timing } = seen;
  const described = type === 'subtitle' ? undefined : describe(seen);
  const config = described !== undefined && 'config' in described ? described.config : undefined;
  const frameDuration = durationOfFrame(entry, config, seen);
  const first = lowestTime(seen);
  if (type === 'audio' && first !== undefined) timing.setGrid(first, gridFrame(seen, config));
  // The codec's delay is priming: what is heard starts behind it.
  const startTime = first === undefined ? undefined : type === 'audio' ? first + entry.codecDelay / 1e9 : first;
  const track: Track = {
    id: entry.number,
    type,
    index,
    codec: seen.codec,
    ...(config && { config }),
    ...(described && 'notCopied' in described && { notCopied: described.notCopied }),
    ...(entry.language !== undefined && { language: entry.language }),
    ...(entry.name !== undefined && { title: entry.name }),
    isDefault: entry.isDefault,
    isForced: entry.isForced,
    ...(startTime !== undefined && { startTime }),
    ...fromTags(entry, layout, startTime),
    ...(type === 'video' && entry.video && { video: describeVideo(entry, entry.video, config, frameDuration) }),
    ...(type === 'audio' && { audio: describeAudio(entry, config) }),
    ...(config === undefined && seen.privateData && { codecPrivate: seen.privateData }),
    ...(entry.encodings.unreadable !== undefined && { unreadable: true as const }),
    ...(config === undefined && {
      matroska: { codecId: entry.codecId, ...(seen.wholePrivate && { codecPrivate: seen.wholePrivate }) },
    }),
  };
  return { entry, track, timing, ...(config && { config }), stored: framesAreStored(entry.encodings), frameDuration };
}

/** Seconds; 0 when packets differ in length. */
function gridFrame({ entry, codec }: FirstSeen, config: CodecConfig | undefined): number {
  if (config) return config.audio?.frameSamples ? config.audio.frameSamples / config.audio.sampleRate : 0;
  const samples = Object.hasOwn(FOREIGN_FRAMES, codec) ? FOREIGN_FRAMES[codec] : undefined;
  const rate = entry.audio?.sampleRate ?? 0;
  return samples !== undefined && rate > 0 ? samples / rate : 0;
}

function describe(seen: FirstSeen): { config: CodecConfig } | { notCopied: string } {
  const { entry } = seen;
  if (entry.encodings.unreadable !== undefined) return { notCopied: entry.encodings.unreadable };
  const { video, audio } = entry;
  const rate = containerRate(entry, seen);
  const bitDepth = video?.bitDepth ?? (audio?.bitDepth || undefined);
  const privateData = seen.privateData ?? (seen.codec === 'aac' ? oldAacConfig(entry) : undefined);
  const input: CodecInput = {
    codec: seen.codec,
    ...(privateData && { privateData }),
    ...(seen.packet && { firstPacket: seen.packet }),
    ...(video && video.width > 0 && { width: video.width, height: video.height }),
    ...(video && rate !== undefined && { frameRate: rate }),
    ...(audio && { sampleRate: audio.sampleRate, channels: audio.channels }),
    ...(video?.colour && { colour: video.colour }),
    ...(bitDepth !== undefined && { bitDepth }),
  };
  return describeCodec(input);
}

/** `A_AAC/MPEG4/LC` and its like of old writers carry the configuration in the name. */
function oldAacConfig(entry: TrackEntry): Uint8Array | undefined {
  const profile = /^A_AAC\/MPEG[24]\/(MAIN|LC|SSR|LTP)/.exec(entry.codecId)?.[1];
  const frequency = AAC_RATES.indexOf(entry.audio?.sampleRate ?? 0);
  if (profile === undefined || frequency < 0) return undefined;
  const objectType = ['MAIN', 'LC', 'SSR', 'LTP'].indexOf(profile) + 1;
  const channels = Math.min(entry.audio?.channels ?? 2, 7);
  return Uint8Array.of((objectType << 3) | (frequency >> 1), ((frequency & 1) << 7) | (channels << 3));
}

function describeVideo(
  entry: TrackEntry,
  video: VideoEntry,
  config: CodecConfig | undefined,
  frameDuration: number,
): NonNullable<Track['video']> {
  const colour = config?.video?.colour ?? video.colour;
  const bitDepth = config?.video?.bitDepth ?? video.bitDepth;
  const width = video.width || config?.video?.width || 0;
  const height = video.height || config?.video?.height || 0;
  return {
    width,
    height,
    displayWidth: video.displayWidth || width,
    displayHeight: video.displayHeight || height,
    rotation: video.rotation,
    ...(frameDuration > 0 && { frameRate: niceRate(1 / frameDuration) }),
    ...(bitDepth !== undefined && { bitDepth }),
    hdr: hdrKind(colour, { dolbyVision: entry.dolbyVision }),
    ...(colour && { colour }),
  };
}

function describeAudio(entry: TrackEntry, config: CodecConfig | undefined): { sampleRate: number; channels: number } {
  return {
    sampleRate: entry.audio?.sampleRate ?? config?.audio?.sampleRate ?? 0,
    channels: config?.audio?.channels ?? entry.audio?.channels ?? 0,
  };
}

function lowestTime(seen: FirstSeen): number | undefined {
  return seen.times.length === 0 ? undefined : seen.times.reduce((a, b) => Math.min(a, b));
}

/** Seconds; 0 when unknown. The container's word, then the bitstream's, then what the first frames show. */
function durationOfFrame(entry: TrackEntry, config: CodecConfig | undefined, seen: FirstSeen): number {
  if (entry.type === TYPE_AUDIO) {
    const audio = config?.audio;
    if (audio?.frameSamples) return audio.frameSamples / audio.sampleRate;
    return entry.defaultDuration === undefined ? 0 : entry.defaultDuration / 1e9;
  }
  if (entry.type !== TYPE_VIDEO) return 0;
  const rate = containerRate(entry, undefined) ?? config?.video?.frameRate ?? containerRate(entry, seen);
  return rate === undefined ? 0 : 1 / rate;
}

/** Frames per second by DefaultDuration, or by the first frames' times. */
function containerRate(entry: TrackEntry, seen: FirstSeen | undefined): number | undefined {
  if (entry.defaultDuration !== undefined) {
    const rate = 1e9 / entry.defaultDuration;
    return rate >= 0.1 && rate <= 1000 ? niceRate(rate) : undefined;
  }
  if (seen === undefined || seen.times.length < 3) return undefined;
  const times = seen.times.toSorted((a, b) => a - b);
  const steps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  const median = steps.toSorted((a, b) => a - b)[steps.length >> 1] ?? 0;
  // Reordering leaves holes at the end: only steps like the median count.
  const like = steps.filter((step) => step > median * 0.8 && step < median * 1.2);
  const mean = like.reduce((a, b) => a + b, 0) / like.length;
  return mean > 0.001 && mean < 10 ? niceRate(1 / mean, 0.01) : undefined;
}

/** A rate that is next to a usual one is that one: ticks and nanoseconds round. */
function niceRate(rate: number, tolerance = 0.0005): number {
  const whole = Math.round(rate);
  const ntsc = (Math.round(rate * 1.001) * 1000) / 1001;
  const nice = Math.abs(whole - rate) <= Math.abs(ntsc - rate) ? whole : ntsc;
  return nice > 0 && Math.abs(nice - rate) < rate * tolerance ? nice : rate;
}

/** Statistics tags: mkvmerge's DURATION is a length, ffmpeg's the end on the file's clock. */
function fromTags(
  entry: TrackEntry,
  layout: Layout,
  startTime: number | undefined,
): { endTime?: number; bitrate?: number } {
  const tags = entry.uid === '' ? undefined : layout.tags.get(entry.uid);
  if (tags === undefined) return {};
  const told = parseTagDuration(tags.get('DURATION'));
  const absolute = writesAbsoluteTimes(layout);
  const endTime = told === undefined || told <= 0 ? undefined : absolute ? told : (startTime ?? 0) + told;
  const length = endTime === undefined ? 0 : endTime - (startTime ?? 0);
  const bytes = parseTagCount(tags.get('NUMBER_OF_BYTES'));
  const bitrate =
    parseTagCount(tags.get('BPS')) ??
    (bytes !== undefined && length > 0 ? Math.round((bytes * 8) / length) : undefined);
  const sane = endTime !== undefined && endTime > (startTime ?? 0);
  return { ...(sane && { endTime }), ...(bitrate !== undefined && { bitrate }) };
}

/** libavformat counts durations from time 0, all others from the first frame. */
export function writesAbsoluteTimes(layout: Layout): boolean {
  return layout.info.muxingApp.startsWith('Lavf');
}
