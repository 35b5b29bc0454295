/**
 * The segments of one media playlist: where each lies on the playlist's own line of time, and what is in it.
 *
 * Invariant: what `load` gives for a segment is a function of its bytes; the cache only saves fetching them again.
 */
import { AppError } from '../../errors.ts';
import type { CodecConfig } from '../types.ts';
import { describeSegment, readSegmentMedia } from './containers.ts';
import { assertPlain, type FetchedPlaylist, type Fetcher, labelOf } from './fetcher.ts';
import type { MediaPlaylist, PlaylistSegment } from './playlist.ts';
import type { SegmentCache } from './segment-cache.ts';
import type { Described, SegmentMedia } from './segment-media.ts';

/** Segments at the beginning that are tried for a look at the tracks. */
const FIRST_TRIES = 3;

/** Segments that follow each other on one clock: first inclusive, end exclusive. */
export interface Region {
  /** Discontinuity Sequence Number: renditions of one presentation count alike. */
  readonly sequence: number;
  readonly first: number;
  readonly end: number;
}

export class Sequence {
  readonly label: string;
  readonly segments: readonly PlaylistSegment[];
  /** Seconds from the playlist's beginning: where each segment starts by the durations before it, and the end of the last. */
  readonly starts: Float64Array;
  readonly regions: readonly Region[];
  readonly #list: FetchedPlaylist<MediaPlaylist>;
  readonly #fetcher: Fetcher;
  readonly #cache: SegmentCache<SegmentMedia>;
  /** By type and place: what the tracks were described from. */
  #configs: readonly { readonly type: string; readonly config: CodecConfig | undefined }[] = [];
  #first: SegmentMedia | undefined;

  /** @throws AppError `source-unsupported`, `source-forbidden`, `media-*` when it names what must not or cannot be played. */
  constructor(list: FetchedPlaylist<MediaPlaylist>, fetcher: Fetcher, cache: SegmentCache<SegmentMedia>) {
    this.label = list.label;
    this.segments = list.playlist.segments;
    this.#list = list;
    this.#fetcher = fetcher;
    this.#cache = cache;
    this.starts = new Float64Array(this.segments.length + 1);
    const regions: Region[] = [];
    const seen = new Set<unknown>();
    for (const [n, segment] of this.segments.entries()) {
      this.starts[n + 1] = (this.starts[n] as number) + segment.duration;
      const last = regions.at(-1);
      if (last?.sequence === segment.region) regions[regions.length - 1] = { ...last, end: n + 1 };
      else regions.push({ sequence: segment.region, first: n, end: n + 1 });
      this.#check(segment, seen);
    }
    this.regions = regions;
  }

  get count(): number {
    return this.segments.length;
  }

  /** Seconds. */
  get duration(): number {
    return this.starts[this.count] as number;
  }

  regionOf(n: number): Region {
    return this.regions.find(({ end }) => n < end) as Region;
  }

  /** The segment in which a time on the playlist's line lies, the first or the last beyond its ends. */
  at(time: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.starts[middle] as number) <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * What tracks there are, from the first segment that is there.
   * @throws AppError `source-*`, `media-*`; the signal's reason.
   */
  async describe(signal: AbortSignal): Promise<{ described: Described; first: number; media: SegmentMedia }> {
    const candidates = this.segments.flatMap(({ gap }, n) => (gap ? [] : [n])).slice(0, FIRST_TRIES);
    let failure: unknown = new AppError(
      'source-not-found',
      `${this.label} lists no segment that is there (EXT-X-GAP).`,
    );
    for (const n of candidates) {
      try {
        return await this.#describe(n, signal);
      } catch (error) {
        if (signal.aborted || !isHole(error)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  /** @throws AppError `source-*`, `media-*`; the signal's reason. */
  load(n: number, signal: AbortSignal): Promise<SegmentMedia> {
    const segment = this.segments[n] as PlaylistSegment;
    return this.#cache.get(
      this.#nameOf(n),
      async (unwanted) => this.#read(await this.#fetcher.segment(segment, this.#list, unwanted), n, unwanted),
      signal,
    );
  }

  /**
   * A segment as it is, after its initialization section.
   * @throws AppError `source-*`, `media-damaged`; `source-unsupported` when it has more bytes than `limit`; the signal's reason.
   */
  bytes(n: number, limit: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#fetcher.segment(this.segments[n] as PlaylistSegment, this.#list, signal, limit);
  }

  async #describe(
    n: number,
    signal: AbortSignal,
  ): Promise<{ described: Described; first: number; media: SegmentMedia }> {
    const segment = this.segments[n] as PlaylistSegment;
    let described: Described | undefined;
    const media = await this.#cache.get(
      this.#nameOf(n),
      async (unwanted) => {
        const bytes = await this.#fetcher.segment(segment, this.#list, unwanted);
        described = await describeSegment(bytes, this.#labelOf(n), unwanted);
        this.#configs = described.tracks.map(({ type, config }) => ({ type, config }));
        return this.#read(bytes, n, unwanted);
      },
      signal,
    );
    if (described === undefined) throw new AppError('internal', `${this.label} was described twice.`);
    this.#first = media;
    return { described, first: n, media };
  }

  async #read(bytes: Uint8Array, n: number, signal: AbortSignal): Promise<SegmentMedia> {
    const label = this.#labelOf(n);
    const configOf = (type: string, index: number): CodecConfig | undefined =>
      this.#configs.filter((one) => one.type === type)[index]?.config;
    const media = await readSegmentMedia(bytes, label, configOf, signal);
    this.#assertSameCodecs(media, label);
    return media;
  }

  /** Initialization sections may change midway; the one initialization segment that we give out may not. */
  #assertSameCodecs(media: SegmentMedia, label: string): void {
    for (const type of ['video', 'audio'] as const) {
      const before = this.#first?.streams.filter((stream) => stream.type === type) ?? [];
      for (const [i, stream] of media.streams.filter((one) => one.type === type).entries()) {
        const known = before[i];
        if (!known) continue;
        const same =
          known.codec === stream.codec &&
          (known.privateData === undefined ||
            stream.privateData === undefined ||
            Buffer.compare(known.privateData, stream.privateData) === 0);
        if (same) continue;
        throw new AppError(
          'media-damaged',
          `${label} changes the codec or its configuration midway, which this server cannot follow.`,
        );
      }
    }
  }

  /** All references are looked at before anything is played: a list that names files is refused as a whole. */
  #check(segment: PlaylistSegment, seen: Set<unknown>): void {
    const { map, key } = segment;
    this.#fetcher.resolve(segment.uri, this.#list);
    for (const tag of [map, key, map?.key]) {
      if (tag === undefined || seen.has(tag)) continue;
      seen.add(tag);
      if ('method' in tag) assertPlain(tag, this.label);
      this.#fetcher.resolve(tag.uri, this.#list);
    }
  }

  #nameOf(n: number): string {
    return `${this.#list.base.href} ${n}`;
  }

  #labelOf(n: number): string {
    return labelOf(this.#fetcher.resolve((this.segments[n] as PlaylistSegment).uri, this.#list));
  }
}

/** A segment that is missing or broken: the others may play. */
export function isHole(error: unknown): boolean {
  if (!(error instanceof AppError)) return false;
  return [
    'source-http-status',
    'source-not-found',
    'source-empty',
    'source-truncated',
    'media-damaged',
    'media-unrecognised',
  ].includes(error.code);
}
