import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { Encoders } from '../ffmpeg/hardware.ts';
import { planPicture } from '../ffmpeg/picture.ts';
import { fitPicture, type Rung, rungsFor, subdivide } from '../hls/ladder.ts';
import type { Listeners } from '../lib/listeners.ts';
import { h264Level } from '../media/codecs/h264-level.ts';
import { canFeed } from '../media/feed/feed.ts';
import { isCopied } from '../media/fmp4/init-segment.ts';
import type { KeyframeIndex, Track } from '../media/types.ts';
import type { BurnIn } from './burn-in.ts';
import type { Opened } from './copied.ts';
import type { Direct } from './direct.ts';
import type { Journal, RunChange } from './journal.ts';
import { uprightSize } from './rendition.ts';
import type { RunPool } from './run-pool.ts';
import type { SegmentStore } from './segment-store.ts';
import type { Workshop } from './transcoded.ts';
import { TranscodedAudio } from './transcoded-audio.ts';
import { TranscodedVideo, type VideoQuality } from './transcoded-video.ts';

/** A source to be transcoded. */
export interface Material {
  readonly opened: Opened;
  readonly identity: string;
  readonly journal: Journal;
  readonly index: KeyframeIndex | undefined;
  /** Present where FFmpeg reads the source itself. */
  readonly direct?: Direct | undefined;
  /** Of the whole source, bits per second. */
  readonly peakBitRate: number;
}

/** No picture does with less, bits per second. */
const LEAST_BIT_RATE = 100_000;

/** What transcoding needs of the process: made once, shared by all presentations. */
export interface Transcoding {
  readonly capabilities: Promise<Capabilities>;
  readonly encoders: Encoders;
  /** LUFS to which loudness is brought where a session wants it so. */
  readonly loudness: number;
  readonly pool: RunPool;
  /** Told of runs that begin and end. */
  readonly runs: Listeners<RunChange>;
  readonly store: SegmentStore;
  /** Where temporary folders are made. */
  readonly folder: string;
  /** Milliseconds without output that are a hang. */
  readonly stallMs: number;
}

/** The transcoded renditions of a source: the ladder of its video, and AAC of its audio tracks. */
export async function transcodedRenditions(
  material: Material,
  transcoding: Transcoding,
): Promise<(TranscodedVideo | TranscodedAudio)[]> {
  const capabilities = await transcoding.capabilities;
  const ffmpeg = capabilities.ffmpeg?.path;
  if (ffmpeg === undefined) return [];
  const shop = workshop(material, transcoding, ffmpeg);
  const { direct, opened } = material;
  const { info } = opened;
  const video = transcodableVideo(material, capabilities);
  const videos = video ? ladder({ video, capabilities, shop, peakBitRate: material.peakBitRate }) : [];
  const tracks = capabilities.canTranscodeAudio
    ? info.tracks.filter((track) => track.type === 'audio' && isReadable(material, track))
    : [];
  // Loudness is measured in samples from all over a track, which only our own readers get at.
  const level = direct ? undefined : levelOf(transcoding, capabilities);
  const sounds = tracks.flatMap((track) => audioRenditions(track, shop, level));
  return [...videos, ...sounds];
}

/** Whether FFmpeg gets at a track, and knows what it is. */
export function isReadable({ direct }: Pick<Material, 'direct'>, track: Track): boolean {
  return direct ? canDecode(track) : canFeed(track);
}

/** Whether FFmpeg has found out enough of a track that it reads itself. */
function canDecode({ codec, audio, video }: Track): boolean {
  return (
    codec !== 'unknown' && (video ? video.width > 0 : audio !== undefined && audio.sampleRate > 0 && audio.channels > 0)
  );
}

/** LUFS; undefined where FFmpeg cannot measure. */
function levelOf({ loudness }: Transcoding, { canLevelAudio }: Capabilities): number | undefined {
  return canLevelAudio ? loudness : undefined;
}

/** Channels from which a track is worth more than stereo. */
const SURROUND = 5;

/** Stereo (or mono) and 5.1 of a track that is not AAC already; both again, of any track, with their loudness brought to `target`. */
function audioRenditions(track: Track, shop: Workshop, target: number | undefined): TranscodedAudio[] {
  const channels = track.audio?.channels ?? 2;
  const name = `audio-${track.index}`;
  const isAac = track.config?.codecString.startsWith('mp4a.40.2') ?? false;
  const make = (suffix: string, to: number, loudness?: number): TranscodedAudio =>
    new TranscodedAudio(
      `${name}-${suffix}`,
      track,
      { channels: to, ...(loudness !== undefined && { loudness }) },
      shop,
    );
  const plain = Math.max(1, Math.min(channels, 2));
  const surround = channels >= SURROUND;
  return [
    ...(isAac ? [] : [make('aac', plain)]),
    ...(surround && !isAac ? [make('surround', 6)] : []),
    ...(target === undefined ? [] : [make('levelled', plain, target)]),
    ...(target !== undefined && surround ? [make('levelled-surround', 6, target)] : []),
  ];
}

function workshop(material: Material, { encoders, pool, store, stallMs }: Transcoding, ffmpeg: string): Workshop {
  const { opened: source, identity, journal, index, direct } = material;
  return {
    source,
    identity,
    journal,
    index,
    direct,
    timeline: subdivide(source.timeline),
    ffmpeg,
    encoders,
    pool,
    store,
    stallMs,
  };
}

/** The played video, if it can be transcoded. */
export function transcodableVideo(material: Material, capabilities: Capabilities): Track | undefined {
  const { tracks, videoTrackId } = material.opened.info;
  const video = tracks.find(({ id }) => id === videoTrackId);
  if (!capabilities.ffmpeg || !capabilities.canTranscodeVideo) return undefined;
  return video?.video && isReadable(material, video) ? video : undefined;
}

/** The ladder of a video with subtitles in its picture, from the best; there is no original of it. */
export function burntInLadder(
  material: Material,
  transcoding: Transcoding,
  capabilities: Capabilities,
  burnIn: BurnIn,
): TranscodedVideo[] {
  const video = transcodableVideo(material, capabilities);
  const ffmpeg = capabilities.ffmpeg?.path;
  if (video === undefined || ffmpeg === undefined) return [];
  const shop = workshop(material, transcoding, ffmpeg);
  return ladder({ video, capabilities, shop, peakBitRate: material.peakBitRate, burnIn });
}

/**
 * Most bits per second of one rung. A copy of a picture needs no more than the picture itself, less still where it is smaller: else players
 * would find the re-encoded variant heavier than the original. Codecs newer than H.264 need fewer bits for the same picture.
 */
function rungBitRate(rung: Rung, lines: number, codec: string, peakBitRate: number): number {
  const worth = codec === 'h264' || codec.startsWith('mpeg') ? peakBitRate : peakBitRate * 1.7;
  const share = 0.6 * Math.min(1, rung.lines / lines) ** 1.5;
  return Math.round(Math.min(rung.maxBitRate, Math.max(LEAST_BIT_RATE, worth * share)));
}

interface LadderOptions {
  readonly video: Track;
  readonly capabilities: Capabilities;
  readonly shop: Workshop;
  readonly peakBitRate: number;
  readonly burnIn?: BurnIn;
}

function ladder({ video: track, capabilities, shop, peakBitRate, burnIn }: LadderOptions): TranscodedVideo[] {
  const video = track.video as NonNullable<Track['video']>;
  const [width, height] = uprightSize(video);
  if (!(width > 0 && height > 0)) return [];
  const start = (track.startTime ?? shop.source.info.startTime) - shop.source.info.startTime;
  const plan = planPicture({ ...track, video }, start, capabilities.filters);
  const lines = Math.min(width, height);
  return rungsFor(lines, burnIn !== undefined || !isCopied(track)).map((rung) => {
    const maxBitRate = rungBitRate(rung, lines, track.codec, peakBitRate);
    const size = fitPicture(width, height, rung.lines);
    const level = h264Level(size.width, size.height, plan.frameRate ?? 60, maxBitRate);
    const quality: VideoQuality = {
      ...size,
      level,
      maxBitRate,
      plan,
      codec: `avc1.6400${level.toString(16).padStart(2, '0')}`,
    };
    return new TranscodedVideo(rung.name, track, quality, shop, burnIn);
  });
}
