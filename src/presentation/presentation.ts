import { AppError } from '../errors.ts';
import {
  type MediaPlaylist,
  type MultivariantPlaylist,
  renderMediaPlaylist,
  renderMultivariantPlaylist,
} from '../hls/playlist.ts';
import { gridTimeline, planTimeline, segmentAt, type Timeline, type TimelineSegment } from '../hls/timeline.ts';
import { waitFor, withDeadline } from '../lib/abort.ts';
import { processPool } from '../lib/buffer-pool.ts';
import type { Limiter } from '../lib/limiter.ts';
import { initSegment } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import { packedAudioSegment } from '../media/packed-audio.ts';
import { withSilence } from '../media/silence.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, PacketBatch } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import type { OpenReader } from './open-reader.ts';
import {
  type BitRates,
  bitRates,
  defaultAudio,
  LEFTOVER_SECONDS,
  planRenditions,
  planVariants,
  type Rendition,
} from './renditions.ts';

/** A segment is made within this time or fails: the contract's 20 s, less what the answer itself takes. */
const SEGMENT_DEADLINE_MS = 18_000;

/** How long a playlist waits for an exact index before it is published on a grid. */
const SCAN_GRACE_MS = 3_000;

/** A made segment. Disposing of it gives its memory back, once nothing refers to it any more. */
export interface Segment extends Disposable {
  readonly bytes: Uint8Array;
}

/** What a playlist request chooses. */
export interface PlaylistOptions {
  readonly audioIndex: number | undefined;
  /** First segment of the playlist; 0 for the whole. */
  readonly firstSegment: number;
  /** Seconds from the playlist's beginning at which to start playing. */
  readonly startOffset: number;
  /** Says so even if that is the playlist's beginning. */
  readonly marksStart?: boolean;
  /** From the playlist's own URI to `/sessions/{id}/`. */
  readonly base: string;
}

/**
 * One opened source with its timeline and renditions, shared by all sessions on that source. It owns the source, the reader and the scan. It
 * holds no segments: each is made from the source when asked for, always the same bytes.
 */
export class Presentation implements AsyncDisposable {
  readonly info: MediaInfo;
  readonly timeline: Timeline;
  readonly renditions: readonly Rendition[];
  /** Whether the timeline follows the key frames (`exact`), or is a plain grid because the source has no index. */
  readonly indexKind: 'exact' | 'grid';
  readonly size: number;
  /** The last component of the source's path; may be empty. */
  readonly name: string;
  /** Why nothing of it can be played, if so. */
  readonly unplayable: AppError | undefined;
  readonly #label: string;
  readonly #reader: MediaReader;
  readonly #rates: BitRates;
  readonly #limiter: Limiter;
  readonly #owner: AbortController;
  readonly #resources: AsyncDisposableStack;

  private constructor(parts: OpenedParts, index: KeyframeIndex | undefined) {
    const { reader, source } = parts;
    this.#label = source.label;
    this.#reader = reader;
    this.#limiter = parts.limiter;
    this.#owner = parts.owner;
    this.#resources = parts.resources;
    this.info = reader.info;
    this.size = source.size;
    this.name = source.name;
    this.indexKind = index === undefined ? 'grid' : 'exact';
    this.timeline = index === undefined ? gridTimeline(reader.info.duration) : exactTimeline(reader.info, index);
    this.renditions = planRenditions(reader.info, this.timeline);
    this.unplayable = this.renditions.length > 0 ? undefined : notPlayable(reader.info, source.label);
    this.#rates = bitRates(this.timeline, index, source.size);
  }

  /**
   * Takes over `source`, whatever the outcome.
   * @throws AppError `media-*`, `source-*`; the signal's reason.
   */
  static async open(source: Source, open: OpenReader, limiter: Limiter, signal: AbortSignal): Promise<Presentation> {
    await using resources = new AsyncDisposableStack();
    resources.use(source);
    const reader = resources.use(await open(source, signal));
    const owner = new AbortController();
    resources.defer(() => owner.abort(new AppError('server-closing', 'The source is no longer open.')));
    const parts: OpenedParts = { source, reader, limiter, owner, resources };
    const playable = planRenditions(reader.info, gridTimeline(1)).length > 0;
    const index = playable ? (reader.keyframes ?? (await scanned(parts, signal))) : undefined;
    return new Presentation({ ...parts, resources: resources.move() }, index);
  }

  /** A rendition by its name; `original` is the video, or, where there is none, the default audio. */
  rendition(name: string, audioIndex?: number): Rendition | undefined {
    const found = this.renditions.find((candidate) => candidate.name === name);
    return found ?? (name === 'original' ? defaultAudio(this.renditions, audioIndex) : undefined);
  }

  /** Which audio track comes first when the viewer has chosen `audioIndex`, or nothing; 0 when there is none. */
  defaultAudioIndex(audioIndex: number | undefined): number {
    return defaultAudio(this.renditions, audioIndex)?.track.index ?? 0;
  }

  /** The slice that contains `time` (seconds; clamped): it starts with the segment that does. */
  slice(time: number): { segment: number; startOffset: number } {
    const clamped = Math.min(Math.max(time, 0), this.timeline.duration);
    // What makes the presentation longest may be a track that cannot be played.
    const longest = this.renditions.reduce((most, { segments }) => Math.max(most, segments.length), 1);
    const segment = Math.min(segmentAt(this.timeline, clamped), longest - 1);
    return { segment, startOffset: clamped - this.segmentStart(segment) };
  }

  /** Seconds from the presentation's start to segment `n`, which must exist. */
  segmentStart(n: number): number {
    return (this.timeline.segments[n] as TimelineSegment).start;
  }

  multivariantPlaylist(options: PlaylistOptions): string {
    if (this.unplayable) throw this.unplayable;
    const { audioIndex, firstSegment, base } = options;
    const query = firstSegment > 0 ? `?slice=${firstSegment}` : '';
    // A track that ends before a slice begins has no part in it.
    const renditions = this.renditions.filter(({ segments }) => segments.length > firstSegment);
    const served = (name: string): string => {
      const rendition = this.rendition(name, audioIndex);
      return rendition && renditions.includes(rendition) ? name : (defaultAudio(renditions, audioIndex)?.name ?? name);
    };
    const plan = planVariants({
      renditions,
      rates: this.#rates,
      audioIndex,
      uri: (name) => `${base}${served(name)}/playlist.m3u8${query}`,
    });
    const playlist: MultivariantPlaylist = { ...plan, independent: this.#independent, ...startPoint(options) };
    return renderMultivariantPlaylist(playlist);
  }

  /** @throws AppError `segment-not-found` when the rendition ends before `firstSegment`. */
  mediaPlaylist(rendition: Rendition, options: Pick<PlaylistOptions, 'firstSegment' | 'startOffset'>): string {
    const segments = rendition.segments.slice(options.firstSegment);
    if (segments.length === 0) throw segmentNotFound(rendition, options.firstSegment);
    const playlist: MediaPlaylist = {
      segments: segments.map(({ duration }, n) => ({
        uri: `${options.firstSegment + n}.${rendition.extension}`,
        duration,
      })),
      ...(rendition.packaging === 'cmaf' ? { initUri: 'init.mp4' } : {}),
      mediaSequence: options.firstSegment,
      independent: this.#independent,
      ...startPoint(options),
    };
    return renderMediaPlaylist(playlist);
  }

  initSegment(rendition: Rendition): Buffer {
    return initSegment(rendition.track);
  }

  /**
   * Makes segment `n` of a rendition.
   * @throws AppError `segment-not-found`, `segment-timeout`, `media-damaged`, `source-*`; the signal's reason when the viewer leaves.
   */
  async segment(rendition: Rendition, n: number, viewer: AbortSignal): Promise<Segment> {
    const segment = rendition.segments[n];
    if (segment === undefined) throw segmentNotFound(rendition, n);
    const cut = this.#cut(rendition, n);
    const signal = AbortSignal.any([this.#owner.signal, viewer]);
    const late = (): Error =>
      new AppError(
        'segment-timeout',
        `Segment ${n} could not be read from ${this.#label} within ${SEGMENT_DEADLINE_MS / 1000} s.`,
      );
    return withDeadline(signal, SEGMENT_DEADLINE_MS, late, (deadline) =>
      this.#limiter.run(deadline, async () => {
        using batch = await this.#reader.read(rendition.track.id, cut, deadline);
        const bytes = this.#package(rendition, n, batch);
        return { bytes, [Symbol.dispose]: () => processPool.release(bytes) };
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  get #independent(): boolean {
    return this.indexKind === 'exact';
  }

  #package(rendition: Rendition, n: number, { packets, nextStart }: PacketBatch): Uint8Array {
    const { track, packaging } = rendition;
    const { startTime } = this.info;
    const allocate = (length: number): Uint8Array => processPool.acquire(length);
    const common = { startTime, sequenceNumber: n + 1 };
    if (track.type === 'video') {
      return mediaSegment({ ...common, track, packets, ...(nextStart === undefined ? {} : { nextStart }) }, allocate);
    }
    const { start, duration } = rendition.segments[n] as TimelineSegment;
    const from = start + startTime;
    const sound = withSilence(track.config, packets, from, from + duration);
    if (packaging === 'packed-audio') return packedAudioSegment({ packets: sound, startTime }, allocate);
    return mediaSegment({ ...common, track, packets: sound }, allocate);
  }

  #cut(rendition: Rendition, n: number): Cut {
    const { segments } = this.timeline;
    const { startTime } = this.info;
    const { start, duration, fromKey, toKey } = segments[n] as TimelineSegment;
    const from = n === 0 ? Number.NEGATIVE_INFINITY : start + startTime;
    const last = n === rendition.segments.length - 1;
    // The last segment of a track that ends early takes what little lies past the boundary.
    let to = start + duration + startTime + (last ? LEFTOVER_SECONDS : 0);
    if (n === segments.length - 1) to = Number.POSITIVE_INFINITY;
    if (fromKey !== undefined && toKey !== undefined) return { from, to, fromKey, toKey };
    const next = segments[n + 2];
    const nextTo = next === undefined ? Number.POSITIVE_INFINITY : next.start + startTime;
    return n + 1 < segments.length ? { from, to, nextTo } : { from, to };
  }
}

interface OpenedParts {
  readonly source: Source;
  readonly reader: MediaReader;
  readonly limiter: Limiter;
  readonly owner: AbortController;
  readonly resources: AsyncDisposableStack;
}

/**
 * The index made by reading through the source; undefined when that takes longer than a viewer should wait and the duration is known, so that
 * a grid can be published. A scan that goes on then helps later reads of a local source; a remote one would be downloaded whole for it.
 */
async function scanned(parts: OpenedParts, signal: AbortSignal): Promise<KeyframeIndex | undefined> {
  const { reader, source, owner, resources } = parts;
  const scan = new AbortController();
  const stop = (): void => scan.abort(owner.signal.reason);
  owner.signal.addEventListener('abort', stop, { once: true });
  const result = reader.scan(scan.signal);
  const ended = result.then(
    () => {},
    () => {},
  );
  resources.defer(async () => {
    stop();
    await ended;
  });
  if (!(reader.info.duration > 0)) return waitFor(result, signal);
  const grace = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => grace.resolve(undefined), SCAN_GRACE_MS);
  try {
    const index = await waitFor(Promise.race([result, grace.promise]), signal);
    if (index === undefined && source.latency === 'remote') stop();
    return index;
  } finally {
    clearTimeout(timer);
  }
}

function exactTimeline(info: MediaInfo, index: KeyframeIndex): Timeline {
  const starts = index.starts.map((start) => start - info.startTime);
  return planTimeline({ starts, positions: index.positions }, info.duration);
}

function startPoint(options: Pick<PlaylistOptions, 'startOffset' | 'marksStart'>): { start?: { timeOffset: number } } {
  return options.startOffset > 0 || options.marksStart ? { start: { timeOffset: options.startOffset } } : {};
}

function notPlayable(info: MediaInfo, label: string): AppError {
  const reasons = info.tracks.filter(({ type }) => type !== 'subtitle').map(({ notCopied }) => notCopied);
  const why = [...new Set(reasons.filter((reason) => reason !== undefined))].join('; ') || 'it has no video or audio';
  return new AppError('media-not-playable', `Nothing in ${label} can be played without re-encoding: ${why}.`);
}

function segmentNotFound(rendition: Rendition, n: number): AppError {
  return new AppError(
    'segment-not-found',
    `There is no segment ${n} in ${rendition.name}: it has ${rendition.segments.length}, counted from 0.`,
  );
}
