import type { AudioRendition, Variant } from '../hls/playlist.ts';
import { TARGET_DURATION, type Timeline, type TimelineSegment } from '../hls/timeline.ts';
import { type CopiedTrack, isCopied } from '../media/fmp4/init-segment.ts';
import type { KeyframeIndex, MediaInfo, Track } from '../media/types.ts';

/** A stream of segments of one track, cut on the presentation's timeline. */
export interface Rendition {
  /** The path component that names it: `original`, `audio-0`, ... */
  readonly name: string;
  readonly track: CopiedTrack;
  /** How its segments are packaged: CMAF, or packed audio (RFC 8216bis, 3.1.4), which needs no initialization segment. */
  readonly packaging: 'cmaf' | 'packed-audio';
  /** How the names of its segments end. */
  readonly extension: 'm4s' | 'mp3';
  /** Its own segments: those of the timeline in which the track has media; durations end where the track ends. */
  readonly segments: readonly TimelineSegment[];
}

/** What a track has past a boundary counts to the segment before when it is shorter than this: about one audio frame. */
export const LEFTOVER_SECONDS = 0.05;

/** The name of the rendition of an audio track, by its index among the audio tracks. */
function audioRenditionName(index: number): string {
  return `audio-${index}`;
}

/** All renditions of a source that can be copied; `original` is the video, or, without video, the audio itself. */
export function planRenditions(info: MediaInfo, timeline: Timeline): Rendition[] {
  const renditions: Rendition[] = [];
  const video = info.tracks.find((track) => track.id === info.videoTrackId);
  if (video && isCopied(video)) renditions.push(rendition('original', video, info, timeline));
  for (const track of info.tracks) {
    if (track.type === 'audio' && isCopied(track)) {
      renditions.push(rendition(audioRenditionName(track.index), track, info, timeline));
    }
  }
  return renditions;
}

function rendition(name: string, track: CopiedTrack, info: MediaInfo, timeline: Timeline): Rendition {
  const end = Math.min(
    track.endTime === undefined ? timeline.duration : track.endTime - info.startTime,
    timeline.duration,
  );
  const segments = timeline.segments.filter((segment, n) => n === 0 || segment.start < end - LEFTOVER_SECONDS);
  const last = segments.at(-1) as TimelineSegment;
  // No browser's media source extensions take MP3 inside fMP4; all HLS players take it packed.
  const packaging = track.config.codec === 'mp3' ? 'packed-audio' : 'cmaf';
  return {
    name,
    track,
    packaging,
    extension: packaging === 'cmaf' ? 'm4s' : 'mp3',
    segments: [...segments.slice(0, -1), { ...last, duration: Math.max(end - last.start, 0.001) }],
  };
}

/** The default audio track: the one asked for if it can be copied, else the container's default, else the first. */
export function defaultAudio(renditions: readonly Rendition[], audioIndex: number | undefined): Rendition | undefined {
  const audio = renditions.filter((candidate) => candidate.track.type === 'audio');
  return (
    audio.find((candidate) => candidate.track.index === audioIndex) ??
    audio.find((candidate) => candidate.track.isDefault) ??
    audio[0]
  );
}

/** Bits per second of everything in the source's byte ranges: the highest segment and the average. */
export interface BitRates {
  readonly peak: number;
  readonly average: number;
}

/**
 * Bit rates from the index: the bytes between access points hold all tracks, so the peak is an upper bound for any variant, as BANDWIDTH
 * must be. Without an index only the average is known.
 */
export function bitRates(timeline: Timeline, index: KeyframeIndex | undefined, size: number): BitRates {
  const average = (size * 8) / timeline.duration;
  if (index === undefined) return { peak: average * 1.5, average };
  let peak = 0;
  // What lies behind the last access point may be an index as well as media: it tells nothing.
  for (const { fromKey, toKey, duration } of timeline.segments.slice(0, -1)) {
    if (fromKey === undefined || toKey === undefined || duration < 1) continue;
    const bytes = (index.positions[toKey] as number) - (index.positions[fromKey] as number);
    peak = Math.max(peak, (bytes * 8) / duration);
  }
  return { peak: Math.max(peak, average), average };
}

export interface VariantOptions {
  readonly renditions: readonly Rendition[];
  readonly rates: BitRates;
  /** The audio track that the viewer chose. */
  readonly audioIndex: number | undefined;
  /** The URI of a rendition's media playlist, relative to the multivariant playlist. */
  readonly uri: (rendition: string) => string;
}

/**
 * What the multivariant playlist offers: a group for the audio tracks of each codec, with a variant of its own over the same video, the default track's first
 * (docs/decisions/0004). Without audio, or with one audio track and nothing else, there are no groups.
 */
export function planVariants(options: VariantOptions): { variants: Variant[]; audio: AudioRendition[] } {
  const { renditions, rates, uri } = options;
  const chosen = defaultAudio(renditions, options.audioIndex);
  const video = renditions.find(({ track }) => track.type === 'video');
  const sounds = renditions.filter(({ track }) => track.type === 'audio');
  const picture = video ? videoAttributes(video.track) : {};
  if (chosen === undefined || (!video && sounds.length === 1)) {
    const bandwidth = bandwidthOf(rates, renditions);
    return {
      variants: [{ ...picture, ...bandwidth, uri: uri('original'), codecs: renditions.map(codecOf) }],
      audio: [],
    };
  }
  const names = uniqueNames(sounds.map(({ track }) => track));
  const groups = [...Map.groupBy(sounds, codecOf)].map(([codec, members]) => {
    const main = members.includes(chosen) ? chosen : (members[0] as Rendition);
    return { codec, members, main };
  });
  groups.sort((a, b) => Number(b.main === chosen) - Number(a.main === chosen));
  const variants = groups.map(({ codec, main }) => ({
    ...picture,
    ...bandwidthOf(rates, video ? [video, main] : [main]),
    uri: uri((video ?? main).name),
    codecs: [...(video ? [codecOf(video)] : []), codec],
    audioGroupId: groupId(codec),
  }));
  const audio = groups.flatMap(({ codec, members, main }) =>
    members.map(({ name, track }) => ({
      groupId: groupId(codec),
      name: names.get(track) as string,
      ...(track.language === undefined ? {} : { language: track.language }),
      ...(track.config.audio ? { channels: track.config.audio.channels } : {}),
      isDefault: track === main.track,
      autoSelect: true,
      uri: uri(name),
    })),
  );
  return { variants, audio };
}

/** Bytes of a `moof` and an `mdat` without what they say of each sample, and of an entry in `trun`. */
const SEGMENT_OVERHEAD = 128;
const SAMPLE_OVERHEAD = 16;

/** BANDWIDTH and AVERAGE-BANDWIDTH: what the source holds and what packaging adds, which is much where the media is little. */
function bandwidthOf(
  rates: BitRates,
  renditions: readonly Rendition[],
): Pick<Variant, 'bandwidth' | 'averageBandwidth'> {
  const added = (opusPackets: number): number =>
    renditions.reduce((bits, { track, segments }) => {
      const seconds = segments.reduce((sum, { duration }) => sum + duration, 0);
      const segmentRate = Math.max(1 / TARGET_DURATION, segments.length / seconds);
      return bits + 8 * (SAMPLE_OVERHEAD * packetRate(track, opusPackets) + SEGMENT_OVERHEAD * segmentRate);
    }, 0);
  // Opus packets last 2.5 ms at least and 20 ms as a rule.
  return { bandwidth: rates.peak + added(400), averageBandwidth: rates.average + added(50) };
}

/** Packets per second, `unknown` where the codec leaves it open. */
function packetRate({ config, video }: CopiedTrack, unknown: number): number {
  const { audio } = config;
  if (audio) return audio.frameSamples === undefined ? unknown : audio.sampleRate / audio.frameSamples;
  return video?.frameRate ?? config.video?.frameRate ?? 60;
}

/** RFC 6381, as the rendition is packaged: MP3 outside of MP4 is MPEG-4 audio object type 34. */
function codecOf({ track, packaging }: Rendition): string {
  return packaging === 'packed-audio' ? 'mp4a.40.34' : track.config.codecString;
}

function groupId(codec: string): string {
  return `audio-${codec.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}`;
}

function videoAttributes(track: Track): Pick<Variant, 'resolution' | 'frameRate' | 'videoRange'> {
  const { video } = track;
  if (!video) return {};
  const turned = video.rotation === 90 || video.rotation === 270;
  const size: [number, number] = [Math.round(video.displayWidth), Math.round(video.displayHeight)];
  const range = { sdr: 'SDR', hdr10: 'PQ', hlg: 'HLG', 'dolby-vision': 'PQ' } as const;
  return {
    resolution: turned ? [size[1], size[0]] : size,
    ...(video.frameRate === undefined ? {} : { frameRate: video.frameRate }),
    videoRange: range[video.hdr],
  };
}

/** A name for each audio track as people read it, unique among them (4.4.6.1.1). */
function uniqueNames(tracks: readonly Track[]): Map<Track, string> {
  const names = new Map<Track, string>();
  const taken = new Set<string>();
  for (const track of tracks) {
    const plain = track.title ?? languageName(track.language) ?? `Audio ${track.index + 1}`;
    let name = plain;
    for (let n = 2; taken.has(name); n++) name = `${plain} (${n})`;
    taken.add(name);
    names.set(track, name);
  }
  return names;
}

const LANGUAGES = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });

function languageName(code: string | undefined): string | undefined {
  if (code === undefined) return undefined;
  try {
    return LANGUAGES.of(code) ?? code;
  } catch {
    return code; // not a well-formed tag: what the file says is still better than nothing
  }
}
