import { AppError } from '../errors.ts';
import { ffmpegWords } from '../ffmpeg/transcoder.ts';
import { TRANSCODED_TARGET } from '../hls/ladder.ts';
import { renderMediaPlaylist, renderMultivariantPlaylist } from '../hls/playlist.ts';
import {
  gridTimeline,
  planTimeline,
  segmentAt,
  TARGET_DURATION,
  type Timeline,
  type TimelineSegment,
} from '../hls/timeline.ts';
import { withDeadline } from '../lib/abort.ts';
import type { Limiter } from '../lib/limiter.ts';
import type { KeyframeIndex, MediaInfo } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import { BurntIn } from './burnt-in.ts';
import { copiedRenditions, type Opened } from './copied.ts';
import { CutPlaces } from './cut-places.ts';
import type { Direct } from './direct.ts';
import { Journal } from './journal.ts';
import { isUnread, openIndexed } from './open-indexed.ts';
import type { OpenReader } from './open-reader.ts';
import type { Rendition, Segment } from './rendition.ts';
import { audible, type BitRates, bitRates, defaultAudio, planVariants } from './renditions.ts';
import { subtitleRenditions, withSubtitles } from './subtitles.ts';
import { type Transcoding, transcodedRenditions } from './transcoding.ts';

/** A segment is made within this time or fails: the contract's 20 s, less what the answer itself takes. */
const SEGMENT_DEADLINE_MS = 18_000;

/** Seconds that a segment should last where bytes are scarce: the picture after a seek comes with the first whole segment. */
const SCARCE_TARGET = 2;

/** What a playlist request chooses. */
export interface PlaylistOptions {
  readonly audioIndex: number | undefined;
  /** Whether the loudness of audio is brought to the target. */
  readonly loudness: boolean;
  /** Lines of the largest picture to offer; undefined for all, `original` for only what is not re-encoded. */
  readonly quality: number | 'original' | undefined;
  /** Index of the subtitle track that is to be in the picture. */
  readonly subtitle?: number | undefined;
  /** First segment of the playlist, on the source's timeline; 0 for the whole. */
  readonly firstSegment: number;
  /** Seconds from the playlist's beginning at which to start playing. */
  readonly startOffset: number;
  /** Says so even if that is the playlist's beginning. */
  readonly marksStart?: boolean;
  /** From the playlist's own URI to `/sessions/{id}/`. */
  readonly base: string;
}

/** What a presentation is made with. */
export interface PresentationTools {
  readonly openReader: OpenReader;
  /** Bounds how many segments are read at once. */
  readonly limiter: Limiter;
  readonly transcoding: Transcoding;
}

/**
 * One opened source with its timeline and renditions, shared by all sessions on that source. It owns the source, the reader, the scan and the runs of
 * its transcoded renditions.
 */
export class Presentation implements AsyncDisposable {
  readonly info: MediaInfo;
  readonly timeline: Timeline;
  /** The copied ones first, and of the transcoded ones the best first. */
  readonly renditions: readonly Rendition[];
  /** Whether the timeline follows the key frames (`exact`), or is a plain grid because the source has no index. */
  readonly indexKind: 'exact' | 'grid';
  readonly size: number;
  /** The last component of the source's path; may be empty. */
  readonly name: string;
  /** Why nothing of it can be played, if so. */
  readonly unplayable: AppError | undefined;
  /** The renditions with subtitles in the picture. */
  readonly burntIn: BurntIn;
  /** The opened source itself, for who makes something else of it than segments. */
  readonly material: {
    readonly opened: Opened;
    readonly index: KeyframeIndex | undefined;
    /** Where only FFmpeg reads the source. */
    readonly direct: Direct | undefined;
    /** As the source's, which may have none. */
    readonly confine: (start: number, end: number) => Disposable | undefined;
  };
  /** For messages. */
  readonly label: string;
  readonly latency: Source['latency'];
  /** What it remembers of its work. */
  readonly journal: Journal;
  /** How the transfer from elsewhere goes; absent for what is here. */
  readonly traffic: Source['traffic'];
  readonly #rates: BitRates;
  /** Whether every segment of every rendition begins with a key frame. */
  readonly #independent: boolean;
  readonly #owner: AbortController;
  readonly #resources: AsyncDisposableStack;

  private constructor(parts: {
    readonly source: Source;
    readonly journal: Journal;
    readonly opened: Opened;
    readonly index: KeyframeIndex | undefined;
    readonly direct: Direct | undefined;
    readonly rates: BitRates;
    readonly renditions: readonly Rendition[];
    readonly burntIn: BurntIn;
    /** Of FFmpeg, in words. */
    readonly missing: readonly string[];
    readonly owner: AbortController;
    readonly resources: AsyncDisposableStack;
  }) {
    const { source, opened, index, renditions } = parts;
    this.#owner = parts.owner;
    this.#resources = parts.resources;
    this.label = source.label;
    this.latency = source.latency;
    this.journal = parts.journal;
    this.traffic = source.traffic;
    this.material = { opened, index, direct: parts.direct, confine: (start, end) => source.confine?.(start, end) };
    this.info = opened.info;
    this.timeline = opened.timeline;
    this.renditions = renditions;
    this.burntIn = parts.burntIn;
    this.size = opened.reader.size ?? source.size;
    this.name = source.name;
    this.indexKind = index === undefined ? 'grid' : 'exact';
    this.unplayable = renditions.length > 0 ? undefined : notPlayable(opened.info, source.label, parts.missing);
    this.#rates = parts.rates;
    this.#independent = index !== undefined || renditions.every(({ delivery }) => delivery === 'transcoded');
  }

  /**
   * Takes over `source`, whatever the outcome.
   * @throws AppError `media-*`, `source-*`; the signal's reason.
   */
  static async open(source: Source, tools: PresentationTools, signal: AbortSignal): Promise<Presentation> {
    await using resources = new AsyncDisposableStack();
    resources.use(source);
    const journal = new Journal(tools.transcoding.runs);
    const owner = new AbortController();
    resources.defer(() => owner.abort(new AppError('server-closing', 'The source is no longer open.')));
    const { reader, direct, index } = await openIndexed(
      source,
      tools.openReader,
      { owner: owner.signal, resources, marks: journal.opening },
      signal,
    );
    const { info } = reader;
    const timeline = index
      ? exactTimeline(info, index, source.isScarce ? SCARCE_TARGET : TARGET_DURATION)
      : gridTimeline(info.duration, direct && TRANSCODED_TARGET);
    const opened: Opened = { reader, info, timeline, places: new CutPlaces(tools.limiter) };
    const rates = bitRates(timeline, index, reader.size ?? source.size);
    source.expectRate?.(rates.average / 8);
    journal.opening.indexed = performance.now();
    const material = { opened, identity: source.identity, journal, index, direct, peakBitRate: rates.peak };
    const unread = isUnread(reader);
    const transcoded = unread && !direct ? [] : await transcodedRenditions(material, tools.transcoding);
    if (transcoded.length > 0) resources.defer(() => tools.transcoding.store.drop(source.identity));
    for (const rendition of transcoded) resources.use(rendition);
    const burntIn = resources.use(await BurntIn.open(source, material, tools.transcoding));
    const copied = unread ? [] : copiedRenditions(opened);
    const subtitles = unread ? [] : subtitleRenditions(opened, source.latency);
    const played = [...copied, ...transcoded];
    const renditions = played.length === 0 ? [] : [...played, ...subtitles];
    const { missing } = await tools.transcoding.capabilities;
    journal.opening.ready = performance.now();
    return new Presentation({
      source,
      journal,
      opened,
      index,
      direct,
      rates,
      renditions,
      burntIn,
      missing,
      owner,
      resources: resources.move(),
    });
  }

  /**
   * A rendition by its name; `original` is the video, or, where there is none, the default audio.
   * @param subtitle index of the subtitle track that is to be in the picture; without effect on sound and text.
   * @throws AppError `subtitle-not-found`, `burn-in-unavailable`, `bad-request` for a picture that is not re-encoded.
   */
  rendition(name: string, audioIndex?: number, subtitle?: number): Rendition | undefined {
    if (subtitle !== undefined) {
      const burnt = this.burntIn.ladder(subtitle);
      const found = burnt.find((candidate) => candidate.name === name);
      if (found) return found;
      if (name === 'original') throw notReencoded(burnt);
    }
    const found = this.renditions.find((candidate) => candidate.name === name);
    if (found || name !== 'original' || this.renditions.some(({ track }) => track.type === 'video')) return found;
    return defaultAudio(this.renditions, audioIndex);
  }

  /** The renditions that a session's playlists choose from. */
  renditionsFor({ loudness }: Pick<PlaylistOptions, 'loudness'>): readonly Rendition[] {
    return audible(this.renditions, loudness);
  }

  /** Which audio track comes first when the viewer has chosen `audioIndex`, or nothing; 0 when there is none. */
  defaultAudioIndex(audioIndex: number | undefined): number {
    return defaultAudio(this.renditions, audioIndex)?.track.index ?? 0;
  }

  /** The slice that contains `time` (seconds; clamped): it starts with the segment that does. */
  slice(time: number): { segment: number; startOffset: number } {
    const clamped = Math.min(Math.max(time, 0), this.timeline.duration);
    // What makes the presentation longest may be a track that cannot be played.
    const end = Math.max(...this.renditions.map((rendition) => rendition.segments.at(-1)?.start ?? 0));
    const segment = segmentAt(this.timeline, Math.min(clamped, end));
    return { segment, startOffset: clamped - this.segmentStart(segment) };
  }

  /** Seconds from the presentation's start to segment `n`, which must exist. */
  segmentStart(n: number): number {
    return (this.timeline.segments[n] as TimelineSegment).start;
  }

  multivariantPlaylist(options: PlaylistOptions): string {
    if (this.unplayable) throw this.unplayable;
    const { audioIndex, firstSegment, subtitle, base } = options;
    const choice = this.renditionsFor(options);
    const all = subtitle === undefined ? choice : this.#withBurntIn(choice, subtitle);
    // There is no original with subtitles in it: whoever wants nothing else gets the best there is.
    const quality = subtitle !== undefined && options.quality === 'original' ? undefined : options.quality;
    // A track that ends before a slice begins has no part in it.
    const offered = all.filter(
      (rendition) => isOffered(rendition, quality, all) && this.#from(rendition, firstSegment) >= 0,
    );
    const served = (name: string): string => {
      const rendition = all.find((candidate) => candidate.name === name) ?? this.rendition(name, audioIndex);
      return rendition && offered.includes(rendition) ? name : (defaultAudio(offered, audioIndex)?.name ?? name);
    };
    const slice = firstSegment > 0 ? firstSegment : undefined;
    const uri = (name: string): string => {
      const isPicture = all.some((rendition) => rendition.name === name && rendition.picture !== undefined);
      const query = queryOf({ slice, subtitle: isPicture ? subtitle : undefined });
      return `${base}${served(name)}/playlist.m3u8${query}`;
    };
    const plan = planVariants({ renditions: offered, rates: this.#rates, audioIndex, uri });
    const playlist = withSubtitles(plan, offered, uri);
    return renderMultivariantPlaylist({ ...playlist, independent: this.#independent, ...startPoint(options) });
  }

  /**
   * @param options.firstSegment on the source's timeline, whatever the rendition's own.
   * @param options.subtitle as the rendition was asked for: its URIs say it too.
   * @throws AppError `segment-not-found` when the rendition ends before it.
   */
  mediaPlaylist(
    rendition: Rendition,
    options: Pick<PlaylistOptions, 'firstSegment' | 'startOffset' | 'subtitle'>,
  ): string {
    const first = this.#from(rendition, options.firstSegment);
    if (first < 0) throw segmentNotFound(rendition, options.firstSegment);
    const query = queryOf({ subtitle: rendition.picture ? options.subtitle : undefined });
    return renderMediaPlaylist({
      segments: rendition.segments
        .slice(first)
        .map(({ duration }, n) => ({ uri: `${first + n}.${rendition.extension}${query}`, duration })),
      ...(rendition.extension === 'm4s' ? { initUri: `init.mp4${query}` } : {}),
      mediaSequence: first,
      independent: this.indexKind === 'exact' || rendition.delivery === 'transcoded',
      ...startPoint(options),
    });
  }

  /**
   * The initialization segment of a rendition; undefined when it has none.
   * @param near seconds where playing will probably start.
   * @throws as `segment`.
   */
  init(rendition: Rendition, near: number, viewer: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#inTime('The initialization segment', viewer, (signal) => rendition.init(near, signal));
  }

  /**
   * Segment `n` of a rendition.
   * @throws AppError `segment-not-found`, `segment-timeout`, `media-damaged`, `transcode-failed`, `server-busy`, `source-*`; the signal's reason when the viewer leaves.
   */
  async segment(rendition: Rendition, n: number, viewer: AbortSignal): Promise<Segment> {
    if (rendition.segments[n] === undefined) throw segmentNotFound(rendition, n);
    const { copied, troubles } = this.journal;
    const asked = performance.now();
    try {
      const segment = await this.#inTime(`Segment ${n}`, viewer, (signal) => rendition.segment(n, signal));
      if (rendition.delivery === 'copied') {
        copied.segments += 1;
        copied.bytes += segment.bytes.length;
        copied.ms += performance.now() - asked;
      }
      return segment;
    } catch (error) {
      if (!viewer.aborted && !this.#owner.signal.aborted) {
        const words = error instanceof Error ? ffmpegWords(error) : undefined;
        troubles.add(`segment ${n} of ${rendition.name}`, error, words);
      }
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  /** The pictures with a subtitle track in them, and the sound: what else is there to read would be shown twice. */
  #withBurntIn(choice: readonly Rendition[], subtitle: number): readonly Rendition[] {
    const sounds = choice.filter(({ track }) => track.type === 'audio');
    return [...this.burntIn.ladder(subtitle), ...sounds];
  }

  /** The segment of a rendition at which segment `n` of the source's timeline starts; -1 when the rendition ends before. */
  #from(rendition: Rendition, n: number): number {
    const start = this.timeline.segments[n]?.start ?? Number.POSITIVE_INFINITY;
    return rendition.segments.findIndex((segment) => segment.start >= start - 0.0005);
  }

  #inTime<T>(what: string, viewer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = (): Error =>
      new AppError(
        'segment-timeout',
        `${what} of ${this.label} could not be made within ${SEGMENT_DEADLINE_MS / 1000} s.`,
      );
    return withDeadline(AbortSignal.any([this.#owner.signal, viewer]), SEGMENT_DEADLINE_MS, late, work);
  }
}

function exactTimeline(info: MediaInfo, index: KeyframeIndex, target: number): Timeline {
  const starts = index.starts.map((start) => start - info.startTime);
  return planTimeline({ starts, positions: index.positions }, info.duration, target);
}

/** Whether the viewer's cap leaves a rendition in; where it would leave no picture at all, the smallest stays. */
function isOffered(rendition: Rendition, quality: PlaylistOptions['quality'], all: readonly Rendition[]): boolean {
  if (quality === undefined || rendition.picture === undefined) return true;
  const fits = ({ delivery, picture }: Rendition): boolean =>
    picture !== undefined &&
    (quality === 'original' ? delivery === 'copied' : Math.min(picture.width, picture.height) <= quality);
  const videos = all.filter(({ picture }) => picture !== undefined);
  return fits(rendition) || (!videos.some(fits) && rendition === videos.at(-1));
}

/** As it stands behind a URI; empty for nothing. */
function queryOf(parameters: Readonly<Record<string, number | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : `?${given.map(([name, value]) => `${name}=${value}`).join('&')}`;
}

function notReencoded(burnt: readonly Rendition[]): AppError {
  const names = burnt.map(({ name }) => name).join(', ');
  return new AppError(
    'bad-request',
    `subtitle: \`original\` is not re-encoded, so that nothing can be burnt into it; there are: ${names}.`,
  );
}

function startPoint(options: Pick<PlaylistOptions, 'startOffset' | 'marksStart'>): { start?: { timeOffset: number } } {
  return options.startOffset > 0 || options.marksStart ? { start: { timeOffset: options.startOffset } } : {};
}

function notPlayable(info: MediaInfo, label: string, missing: readonly string[]): AppError {
  const reasons = info.tracks.filter(({ type }) => type !== 'subtitle').map(({ notCopied }) => notCopied);
  const why = [...new Set(reasons.filter((reason) => reason !== undefined))].join('; ') || 'it has no video or audio';
  const sentences = [`Nothing in ${label} can be played without re-encoding: ${why}.`, ...missing];
  return new AppError('media-not-playable', sentences.join(' '));
}

function segmentNotFound(rendition: Rendition, n: number): AppError {
  return new AppError(
    'segment-not-found',
    `There is no segment ${n} in ${rendition.name}: it has ${rendition.segments.length}, counted from 0.`,
  );
}
