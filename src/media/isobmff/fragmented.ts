/**
 * Fragmented files, once opened. Which fragments a cut needs comes from the walk over the whole file (complete or under way), or from the slots
 * of an index; their moofs are read again for each cut.
 *
 * Invariant: packets are a function of the cut alone: neither the walk's progress nor earlier reads change them.
 */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, PacketBatch, Track } from '../types.ts';
import { BoxError } from './boxes.ts';
import type { TrackFragment } from './fragment.ts';
import { entryOf, type FragmentInfo, type FragmentParser } from './fragment-map.ts';
import type { FragmentSlots } from './fragment-slots.ts';
import type { FragmentWalk } from './fragment-walk.ts';
import { gridRule, gridStart } from './grid.ts';
import { listOf, type SampleList } from './presented-track.ts';
import type { SampleEntry } from './sample-entry.ts';
import { type ByteRange, MAX_SPAN, readSamples, withinTime } from './sample-reads.ts';

/** Seconds past a cut's end that the walk must have seen before the cut is sure to be complete. */
const SPARSE_WAIT = 10;
const REORDER_WAIT = 2;

export interface FragmentedParts {
  readonly source: Source;
  readonly info: MediaInfo;
  readonly parser: FragmentParser;
  readonly walk: FragmentWalk;
  /** The description of each track that its `config` was made from. */
  readonly entries: ReadonlyMap<number, SampleEntry>;
  /** With an index of the file's own, or one that the walk has finished. */
  readonly keyframes?: KeyframeIndex | undefined;
  readonly slots?: FragmentSlots | undefined;
  /** Ended by dispose. */
  readonly lifetime: AbortController;
}

/** Fragments of a cut, and the samples of the track to take of them: all but those before `skip` in the first, those from `stop` on in the last. */
interface Selection {
  readonly fragments: readonly FragmentInfo[];
  readonly skip: number;
  /** undefined: all of the last fragment. */
  readonly stop?: number;
}

export class FragmentedReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes?: KeyframeIndex;
  readonly #parts: FragmentedParts;
  readonly #infoOf: ReadonlyMap<number, Track>;
  /** The track that cuts by key frames count in. */
  readonly #indexed: number | undefined;

  constructor(parts: FragmentedParts) {
    this.#parts = parts;
    this.info = parts.info;
    if (parts.keyframes !== undefined) this.keyframes = parts.keyframes;
    this.#infoOf = new Map(parts.info.tracks.map((track) => [track.id, track]));
    this.#indexed = parts.info.videoTrackId;
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    signal.throwIfAborted();
    if (this.keyframes !== undefined) return this.keyframes;
    const { walk, source } = this.#parts;
    await walk.until(() => false, signal);
    const index = walk.index();
    if (index !== undefined) return index;
    throw new AppError('media-damaged', `${source.label}: no frame of it can be decoded by itself.`);
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    signal.throwIfAborted();
    const { source, parser, lifetime } = this.#parts;
    if (!parser.tracks.has(trackId)) throw new AppError('internal', `${source.label} has no track ${trackId}.`);
    lifetime.signal.throwIfAborted();
    try {
      return await this.#read(trackId, cut, AbortSignal.any([signal, lifetime.signal]));
    } catch (error) {
      if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
      throw new AppError('media-damaged', `${source.label}: ${error.message}.`, { cause: error });
    }
  }

  async #read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const { source, parser } = this.#parts;
    const isVideo = parser.tracks.get(trackId)!.box.kind === 'video';
    let list: SampleList;
    let nextStart: number | undefined;
    let span: ByteRange | undefined;
    if (cut.to <= cut.from) {
      list = listOf(0);
    } else if (isVideo && trackId === this.#indexed && cut.fromKey !== undefined && cut.toKey !== undefined) {
      const selection = await this.#byKeys(cut.fromKey, cut.toKey, signal);
      span = await this.#span(selection.fragments, cut, signal);
      list = await this.#samples(trackId, selection, signal);
      nextStart = this.#index()?.starts[cut.toKey];
    } else if (isVideo) {
      ({ list, nextStart } = await this.#onGrid(trackId, cut, signal));
      span = await this.#span(undefined, cut, signal);
    } else {
      const fragments = await this.#atTime(trackId, cut.from, cut.to, signal);
      span = await this.#span(undefined, cut, signal);
      list = withinTime(await this.#samples(trackId, { fragments, skip: 0 }, signal), cut.from, cut.to);
    }
    const config = this.#infoOf.get(trackId)?.config;
    return readSamples(source, list, signal, {
      span: config === undefined ? undefined : span,
      nextStart,
      audio: this.#infoOf.get(trackId)?.type === 'audio' ? config : undefined,
    });
  }

  /** The index that key frame numbers count in: the file's own or that of the finished walk. */
  #index(): KeyframeIndex | undefined {
    return this.keyframes ?? (this.#parts.walk.done ? this.#parts.walk.index() : undefined);
  }

  async #byKeys(fromKey: number, toKey: number, signal: AbortSignal): Promise<Selection> {
    const { slots, walk } = this.#parts;
    if (slots !== undefined) return { fragments: await slots.inSlots(fromKey, toKey, signal), skip: 0 };
    await walk.until(() => walk.keys.length > toKey, signal);
    const first = walk.keys[fromKey];
    if (first === undefined || fromKey >= toKey) return { fragments: [], skip: 0 };
    const next = walk.keys[toKey];
    if (next === undefined) return { fragments: walk.fragments.slice(first.fragment), skip: first.sample };
    const end = next.sample > 0 ? next.fragment + 1 : next.fragment;
    return {
      fragments: walk.fragments.slice(first.fragment, end),
      skip: first.sample,
      ...(next.sample > 0 && { stop: next.sample }),
    };
  }

  /** Fragments that may hold samples of a track from `from` (inclusive) to `to` (exclusive). */
  async #atTime(trackId: number, from: number, to: number, signal: AbortSignal): Promise<readonly FragmentInfo[]> {
    const { slots, walk } = this.#parts;
    if (slots !== undefined) return slots.atTime(trackId, from, to, signal);
    await walk.until(() => this.#passed(trackId, to), signal);
    const { fragments } = walk;
    const holds = (fragment: FragmentInfo) => {
      const entry = entryOf(fragment, trackId);
      return entry !== undefined && entry.end >= from && entry.start < to;
    };
    const first = fragments.findIndex(holds);
    return first < 0 ? [] : fragments.slice(first, fragments.findLastIndex(holds) + 1);
  }

  /** Whether the walk has seen everything of a track before `time`. */
  #passed(trackId: number, time: number): boolean {
    const { walk } = this.#parts;
    for (let i = walk.fragments.length - 1, seen = 0; i >= 0 && seen < 256; i--, seen++) {
      const fragment = walk.fragments[i]!;
      for (const { trackId: id, start } of fragment.entries) {
        const isSparse = this.#infoOf.get(id)?.type === 'subtitle';
        if (id === trackId && start >= time + REORDER_WAIT) return true;
        if (!isSparse && start >= time + SPARSE_WAIT) return true;
      }
    }
    return false;
  }

  /** Video without an index (types.ts, `Cut`). */
  async #onGrid(
    trackId: number,
    cut: Cut,
    signal: AbortSignal,
  ): Promise<{ list: SampleList; nextStart: number | undefined }> {
    const { startTime, duration } = this.info;
    const rule = gridRule(cut, startTime, startTime + duration);
    const fragments = await this.#atTime(trackId, cut.from, rule.horizon, signal);
    const all = await this.#samples(trackId, { fragments, skip: 0 }, signal);
    const first = gridStart(all, cut.from, rule.startLimit);
    const isLast = cut.to === Number.POSITIVE_INFINITY;
    const end = isLast ? all.count : Math.max(first, gridStart(all, cut.to, rule.endLimit));
    let nextStart = Number.POSITIVE_INFINITY;
    for (let i = end; i < Math.min(all.count, end + 32); i++) nextStart = Math.min(nextStart, all.pts[i]!);
    return { list: sliceList(all, first, end), nextStart: Number.isFinite(nextStart) ? nextStart : undefined };
  }

  /** One range for all tracks of a cut, over a network. */
  async #span(own: readonly FragmentInfo[] | undefined, cut: Cut, signal: AbortSignal): Promise<ByteRange | undefined> {
    const { source, slots } = this.#parts;
    if (source.latency === 'local') return undefined;
    if (slots !== undefined && cut.fromKey !== undefined && cut.toKey !== undefined) {
      const range = slots.range(cut.fromKey, cut.toKey);
      return range.to > range.from && range.to - range.from <= MAX_SPAN ? range : undefined;
    }
    let fragments = own;
    if (fragments === undefined && cut.fromKey !== undefined && cut.toKey !== undefined) {
      ({ fragments } = await this.#byKeys(cut.fromKey, cut.toKey, signal));
    } else if (fragments === undefined && this.#indexed !== undefined) {
      fragments = await this.#atTime(this.#indexed, cut.from, cut.to, signal);
    }
    const kept = (fragments ?? []).filter(({ size }) => size > 0);
    if (kept.length === 0) return undefined;
    const span = { from: kept[0]!.offset, to: kept.reduce((end, { dataEnd }) => Math.max(end, dataEnd), 0) };
    return span.to - span.from <= MAX_SPAN ? span : undefined;
  }

  /** Reads the moofs again and takes the samples of one track. */
  async #samples(trackId: number, selection: Selection, signal: AbortSignal): Promise<SampleList> {
    const { parser } = this.#parts;
    const fragments = selection.fragments.filter((fragment) => entryOf(fragment, trackId) !== undefined);
    const loaded = await this.#load(trackId, fragments, signal);
    const count = loaded.reduce((sum, { sizes }) => sum + sizes.length, 0);
    const list = listOf(count);
    const { entries, timescale, kind } = parser.tracks.get(trackId)!.box;
    const isVideo = kind === 'video';
    const entry = (fragment: TrackFragment) => entries[fragment.descriptionIndex] ?? entries[0];
    let at = 0;
    for (const fragment of loaded) {
      if (entry(fragment) !== this.#entry(trackId, entry(fragment))) {
        throw new BoxError('the codec configuration changes midway, and this server cannot follow it');
      }
      for (let i = 0; i < fragment.sizes.length; i++, at++) {
        list.offsets[at] = fragment.offsets[i]!;
        list.sizes[at] = fragment.sizes[i]!;
        list.pts[at] = parser.pts(fragment, i);
        list.durations[at] = fragment.durations[i]! / timescale;
        list.keys[at] = !isVideo || fragment.keys[i] ? 1 : 0;
      }
    }
    const isFirst = fragments[0] === selection.fragments[0];
    const isLast = fragments.at(-1) === selection.fragments.at(-1);
    const lastCount = loaded.at(-1)?.sizes.length ?? 0;
    const stop = selection.stop !== undefined && isLast ? count - lastCount + selection.stop : count;
    return sliceList(list, isFirst ? Math.min(selection.skip, stop) : 0, stop);
  }

  /** The description that the track was opened with; where it is not known, `other`. */
  #entry(trackId: number, other: SampleEntry | undefined): SampleEntry | undefined {
    return this.#parts.entries.get(trackId) ?? other;
  }

  async #load(trackId: number, fragments: readonly FragmentInfo[], signal: AbortSignal): Promise<TrackFragment[]> {
    const { source, parser } = this.#parts;
    const moofs = listOf(fragments.length);
    for (const [i, { offset, size }] of fragments.entries()) {
      moofs.offsets[i] = offset;
      moofs.sizes[i] = size;
    }
    using batch = await readSamples(source, moofs, signal);
    const found: TrackFragment[] = [];
    let next = 0;
    for (const fragment of fragments) {
      // Without bytes: the samples of the movie box.
      const tracks =
        fragment.size === 0
          ? (parser.tables() ?? [])
          : parser.parse(batch.packets[next++]!.data, fragment.offset, (id) => entryOf(fragment, id)?.baseTime ?? 0);
      const own = tracks.find((track) => track.trackId === trackId);
      if (own !== undefined) found.push(own);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.lifetime.abort(new AppError('internal', `${this.#parts.source.label} was closed.`));
  }
}

/** Frames from `first` (inclusive) to `end` (exclusive). */
function sliceList(list: SampleList, first: number, end: number): SampleList {
  if (first === 0 && end === list.count) return list;
  return {
    count: Math.max(0, end - first),
    offsets: list.offsets.subarray(first, end),
    sizes: list.sizes.subarray(first, end),
    pts: list.pts.subarray(first, end),
    durations: list.durations.subarray(first, end),
    keys: list.keys.subarray(first, end),
  };
}
