import type { AudioRendition, Variant } from '../hls/playlist.ts';
import { TARGET_DURATION, type Timeline } from '../hls/timeline.ts';
import type { KeyframeIndex, Track } from '../media/types.ts';
import { uniqueNames } from './names.ts';
import type { Rendition } from './rendition.ts';

/** The default audio track: the one asked for if it is delivered, else the container's default, else the first. */
export function defaultAudio(renditions: readonly Rendition[], audioIndex: number | undefined): Rendition | undefined {
  const audio = renditions.filter((candidate) => candidate.track.type === 'audio');
  return (
    audio.find((candidate) => candidate.track.index === audioIndex) ??
    audio.find((candidate) => candidate.track.isDefault) ??
    audio[0]
  );
}

/** What a session gets: of an audio track either what is brought to the target loudness, if it wants so and there is such, or the rest. */
export function audible(renditions: readonly Rendition[], loudness: boolean): Rendition[] {
  const levelled = new Set(renditions.filter((rendition) => rendition.levelled).map(({ track }) => track));
  return renditions.filter(
    ({ track, levelled: own = false }) => track.type !== 'audio' || own === (loudness && levelled.has(track)),
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
  /** Of the copied video. */
  readonly rates: BitRates;
  /** The audio track that the viewer chose. */
  readonly audioIndex: number | undefined;
  /** The URI of a rendition's media playlist, relative to the multivariant playlist. */
  readonly uri: (rendition: string) => string;
}

/** Audio renditions of one codec; those in stereo apart from what is made of them in 5.1. */
interface AudioGroup {
  readonly id: string;
  readonly codec: string;
  readonly members: readonly Rendition[];
  readonly main: Rendition;
}

/**
 * What the multivariant playlist offers: each video, from the best, with each group of audio tracks of one codec, the default track's own first
 * (docs/decisions/0004). Without video, the groups alone; a single audio track and nothing else needs no group.
 */
export function planVariants(options: VariantOptions): { variants: Variant[]; audio: AudioRendition[] } {
  const { renditions, uri } = options;
  const chosen = defaultAudio(renditions, options.audioIndex);
  const videos = renditions.filter(({ track }) => track.type === 'video');
  const sounds = renditions.filter(({ track }) => track.type === 'audio');
  if (videos.length === 0 && sounds.length === 1) {
    const [only] = sounds as [Rendition];
    return {
      variants: [{ ...bandwidth(only, undefined, options.rates), uri: uri('original'), codecs: [only.codec] }],
      audio: [],
    };
  }
  const groups = chosen === undefined ? [] : audioGroups(sounds, chosen);
  const variant = (video: Rendition | undefined, group: AudioGroup | undefined): Variant => ({
    ...bandwidth(video ?? (group as AudioGroup).main, group, options.rates),
    ...pictureAttributes(video),
    uri: uri((video ?? (group as AudioGroup).main).name),
    codecs: [video?.codec, group?.codec].filter((codec) => codec !== undefined),
    ...(group === undefined ? {} : { audioGroupId: group.id }),
  });
  const pairs = (video: Rendition | undefined): Variant[] =>
    groups.length === 0 ? [variant(video, undefined)] : groups.map((group) => variant(video, group));
  const variants = videos.length === 0 ? pairs(undefined) : videos.flatMap((video) => pairs(video));
  return { variants, audio: groups.flatMap((group) => groupTags(group, sounds, chosen, uri)) };
}

function audioGroups(sounds: readonly Rendition[], chosen: Rendition): AudioGroup[] {
  const group = (codec: string, members: readonly Rendition[], suffix: string): AudioGroup => {
    const same = members.find(({ track }) => track === chosen.track);
    const id = `audio-${codec.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}${suffix}`;
    return { id, codec, members, main: same ?? (members[0] as Rendition) };
  };
  const byCodec = Map.groupBy(sounds, ({ codec }) => codec);
  const groups = [...byCodec].flatMap(([codec, all]): AudioGroup[] => {
    const stereo = all.filter(({ surround }) => !surround);
    const wide = new Map(all.filter(({ surround }) => surround).map((rendition) => [rendition.track, rendition]));
    // Every track is in both, so that a viewer can change tracks without leaving a group.
    const both = stereo.map((rendition) => wide.get(rendition.track) ?? rendition);
    return [group(codec, stereo, ''), ...(wide.size > 0 ? [group(codec, both, '-surround')] : [])];
  });
  return groups.sort((a, b) => Number(b.main === chosen) - Number(a.main === chosen));
}

function groupTags(
  { id, members }: AudioGroup,
  sounds: readonly Rendition[],
  chosen: Rendition | undefined,
  uri: (name: string) => string,
): AudioRendition[] {
  const names = uniqueNames([...new Set(sounds.map(({ track }) => track))], 'Audio');
  return members.map(({ name, track, channels }) => ({
    groupId: id,
    name: names.get(track) as string,
    ...(track.language === undefined ? {} : { language: track.language }),
    ...(channels === undefined ? {} : { channels }),
    // In no other group either is another track the default: players take a group by its codec as they like best.
    isDefault: track === chosen?.track,
    autoSelect: true,
    uri: uri(name),
  }));
}

/** The most that copied audio of these codecs usually has where its own rate is not known, bits per second; of the others less. */
const MOST_AUDIO: Readonly<Record<string, number>> = { mp3: 320_000, ac3: 640_000, eac3: 1_024_000 };
const USUAL_AUDIO = 160_000;

/** Bits per second of audio. Where nobody tells them they are at most those of the source, since that holds all tracks. */
function soundRate({ maxBitRate, track }: Rendition, { peak }: BitRates): number {
  if (maxBitRate !== undefined) return maxBitRate;
  if (track.bitrate !== undefined) return track.bitrate;
  const { sampleRate = 48_000, channels = 2, bitDepth } = track.config?.audio ?? {};
  // FLAC of noise is as large as what it codes.
  const most = bitDepth === undefined ? MOST_AUDIO[track.codec] : sampleRate * channels * bitDepth;
  return Math.min(peak, most ?? Math.max(USUAL_AUDIO, 80_000 * channels));
}

/**
 * BANDWIDTH and AVERAGE-BANDWIDTH. A copy has the source's own rates, which count all its tracks, and what packaging adds, which is much where the media is
 * little. A transcoded video has its cap, to which its audio comes.
 */
function bandwidth(
  main: Rendition,
  group: AudioGroup | undefined,
  rates: BitRates,
): Pick<Variant, 'bandwidth' | 'averageBandwidth'> {
  const members = group?.members ?? [];
  if (main.delivery === 'copied') {
    const sound = Math.max(0, ...members.map(({ maxBitRate }) => maxBitRate ?? 0));
    const packaged = group === undefined || group.main === main ? [main] : [main, group.main];
    return {
      bandwidth: rates.peak + sound + packagingRate(packaged, 400),
      averageBandwidth: rates.average + sound + packagingRate(packaged, 50),
    };
  }
  const sound = main.track.type === 'audio' ? 0 : Math.max(0, ...members.map((member) => soundRate(member, rates)));
  const cap = main.maxBitRate ?? 0;
  // The rate control lets a segment of two seconds use one second's worth of buffer beyond the cap.
  return { bandwidth: cap * 1.5 + sound, averageBandwidth: cap + sound };
}

/** Bytes of a `moof` and an `mdat` without what they say of each sample, and of an entry in `trun`. */
const SEGMENT_OVERHEAD = 128;
const SAMPLE_OVERHEAD = 16;

/** Bits per second that packaging adds. @param opusPackets packets per second of Opus: they last 2.5 ms at least and 20 ms as a rule. */
function packagingRate(renditions: readonly Rendition[], opusPackets: number): number {
  return renditions.reduce((bits, { track, segments }) => {
    const seconds = segments.reduce((sum, { duration }) => sum + duration, 0);
    const segmentRate = Math.max(1 / TARGET_DURATION, segments.length / seconds);
    return bits + 8 * (SAMPLE_OVERHEAD * packetRate(track, opusPackets) + SEGMENT_OVERHEAD * segmentRate);
  }, 0);
}

/** Packets per second, `unknown` where the codec leaves it open. */
function packetRate({ config, video }: Track, unknown: number): number {
  const audio = config?.audio;
  if (audio) return audio.frameSamples === undefined ? unknown : audio.sampleRate / audio.frameSamples;
  return video?.frameRate ?? config?.video?.frameRate ?? 60;
}

function pictureAttributes(video: Rendition | undefined): Pick<Variant, 'resolution' | 'frameRate' | 'videoRange'> {
  const picture = video?.picture;
  if (!picture) return {};
  return {
    resolution: [picture.width, picture.height],
    videoRange: picture.range,
    ...(picture.frameRate === undefined ? {} : { frameRate: picture.frameRate }),
  };
}
