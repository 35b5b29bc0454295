import type { AudioRendition, Variant } from '../hls/playlist.ts';
import type { Timeline, TimelineSegment } from '../hls/timeline.ts';
import { type CopiedTrack, isCopied } from '../media/fmp4/init-segment.ts';
import type { KeyframeIndex, MediaInfo, Track } from '../media/types.ts';

/** A stream of segments of one track, cut on the presentation's timeline. */
export interface Rendition {
  /** The path component that names it: `original`, `audio-0`, ... */
  readonly name: string;
  readonly track: CopiedTrack;
  /** Its own segments: those of the timeline in which the track has media; durations end where the track ends. */
  readonly segments: readonly TimelineSegment[];
}

/** What a track has past a boundary counts to the segment before when it is shorter than this: about one audio frame. */
export const LEFTOVER_SECONDS = 0.05;

/** The name of the rendition of an audio track, by its index among the audio tracks. */
export function audioRenditionName(index: number): string {
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
  return {
    name,
    track,
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

/** What the multivariant playlist offers: one variant a group of audio tracks of the same codec, the default's first. */
export function planVariants(options: {
  readonly info: MediaInfo;
  readonly renditions: readonly Rendition[];
  readonly rates: BitRates;
  readonly audioIndex: number | undefined;
  /** The URI of a rendition's media playlist, relative to the multivariant playlist. */
  readonly uri: (rendition: string) => string;
}): { variants: Variant[]; audio: AudioRendition[] } {
  const { info, renditions, uri } = options;
  const chosen = defaultAudio(renditions, options.audioIndex);
  const video = renditions.find(({ track }) => track.type === 'video');
  const audio = renditions.filter(({ track }) => track.type === 'audio');
  const groups = Map.groupBy(audio, ({ track }) => track.config.codecString);
  const ordered = [...groups].sort(
    ([, a], [, b]) => Number(b.includes(chosen as Rendition)) - Number(a.includes(chosen as Rendition)),
  );
  const base = { bandwidth: options.rates.peak, averageBandwidth: options.rates.average };
  const videoPart = video ? videoAttributes(video.track) : {};
  const videoCodecs = video ? [video.track.config.codecString] : [];
  if (audio.length === 0)
    return { variants: [{ uri: uri('original'), ...base, ...videoPart, codecs: videoCodecs }], audio: [] };
  const grouped = video !== undefined || audio.length > 1;
  const variants = ordered.map(([codec, members]): Variant => {
    const main = video ?? (members.includes(chosen as Rendition) ? chosen : members[0]);
    const group = grouped ? { audioGroupId: groupId(codec) } : {};
    const name = video || !grouped ? 'original' : (main as Rendition).name;
    return { uri: uri(name), ...base, ...videoPart, codecs: [...videoCodecs, codec], ...group };
  });
  if (!grouped) return { variants, audio: [] };
  const names = uniqueNames(audio.map(({ track }) => track));
  const renditionTags = ordered.flatMap(([codec, members]) =>
    members.map((member): AudioRendition => {
      const { track } = member;
      return {
        groupId: groupId(codec),
        name: names.get(track) as string,
        ...(track.language === undefined ? {} : { language: track.language }),
        ...(track.config.audio ? { channels: track.config.audio.channels } : {}),
        isDefault: member === (members.includes(chosen as Rendition) ? chosen : members[0]),
        autoSelect: true,
        uri: uri(member.name),
      };
    }),
  );
  void info;
  return { variants, audio: renditionTags };
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
export function uniqueNames(tracks: readonly Track[]): Map<Track, string> {
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
