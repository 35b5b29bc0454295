/**
 * MP4 and MOV files whose samples are all listed in the movie box.
 *
 * Invariant: nothing but `#closed` changes after `openProgressive` has returned; reads of the same cut give the same packets, at any time, concurrently.
 * The tables are read where they lie in the window's memory, so never after `#closed`, when that memory belongs to others.
 */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { needsFirstPacket } from '../codecs/codecs.ts';
import type { Chapter, Cut, KeyframeIndex, MediaInfo, MediaReader, PacketBatch, Track } from '../types.ts';
import { BoxError } from './boxes.ts';
import { readChapters } from './chapters.ts';
import type { Window } from './file-layout.ts';
import { gridRule, gridStart } from './grid.ts';
import { indexAudio, indexVideo, summarise, type TrackSummary } from './keyframe-index.ts';
import { listOf, PresentedTrack, type SampleList, type Span } from './presented-track.ts';
import { type ByteRange, extent, readSamples, withinTime } from './sample-reads.ts';
import { SampleTable } from './sample-table.ts';
import type { MovieBox, TrackBox } from './track-box.ts';
import { makeTracks, playedVideo, programme, type TrackInput } from './track-info.ts';

interface OpenTrack {
  readonly box: TrackBox;
  readonly presented: PresentedTrack;
  readonly summary: TrackSummary;
  /** Video only. */
  readonly keyframes?: KeyframeIndex;
  readonly positions?: Uint32Array;
}

/** Key frames larger than this are not read only to describe the codec. */
const MAX_FIRST_PACKET = 4 * 1024 * 1024;
/** A cut's bytes over all tracks are read in one piece unless that reads more than half of them in vain. */
const MAX_WASTE = 1.5;
const FREE_WASTE = 1024 * 1024;
/** Seconds after a grid line in which some frame is expected. */
const NEAR = 2;

/** @throws AppError `media-damaged`, `source-*`. */
export async function openProgressive(
  window: Window,
  movie: MovieBox,
  container: string,
  signal: AbortSignal,
): Promise<MediaReader> {
  const { source } = window;
  const opened: OpenTrack[] = [];
  const inputs: TrackInput[] = [];
  let missing = 0;
  let failure: unknown;
  for (const box of movie.tracks) {
    if (movie.chapterTracks.has(box.id)) continue;
    try {
      const table = new SampleTable(box.stbl, { kind: box.kind, entries: box.entries, fileSize: source.size });
      missing += table.missing;
      const track = openTrack(box, table);
      if (track === undefined) continue;
      opened.push(track);
      inputs.push(await inputOf(window, track));
    } catch (error) {
      if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
      failure ??= error;
    }
  }
  signal.throwIfAborted();
  if (!opened.some(({ box }) => box.kind !== 'subtitle')) {
    if (failure !== undefined) throw failure;
    throw missing > 0
      ? new BoxError('the file ends before its video and audio: the recording or download is incomplete')
      : new BoxError('the file has no video or audio track with any content');
  }
  const tracks = makeTracks(inputs);
  const chapters = await readChapters(window, movie, programme(tracks));
  return new ProgressiveReader(window, container, tracks, opened, chapters);
}

function openTrack(box: TrackBox, table: SampleTable): OpenTrack | undefined {
  const presented = new PresentedTrack(table, box.edits, box.timescale, box.kind);
  if (box.kind === 'video' && presented.count > 0) return { box, presented, ...indexVideo(presented) };
  const summary = summarise(presented);
  return summary && { box, presented, summary };
}

/** The track's description, with its first key frame or packet where the configuration does not tell enough. */
async function inputOf(window: Window, { box, presented, summary }: OpenTrack): Promise<TrackInput> {
  const entry = box.entries[presented.table.descriptionIndex]!;
  let firstPacket: Uint8Array | undefined;
  if (box.kind !== 'subtitle' && !entry.encrypted && needsFirstPacket(entry.codec, entry.privateData)) {
    const first = presented.collect([[0, 1]]);
    const size = first.sizes[0]!;
    if (size <= MAX_FIRST_PACKET) firstPacket = await window.bytes(first.offsets[0]!, size);
  }
  return { box, entry, firstPacket, facts: summary };
}

class ProgressiveReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes: KeyframeIndex;
  readonly #source: Source;
  readonly #window: Window;
  readonly #tracks: ReadonlyMap<number, OpenTrack>;
  readonly #infoOf: ReadonlyMap<number, Track>;
  #closed = false;

  constructor(
    window: Window,
    container: string,
    tracks: readonly Track[],
    opened: readonly OpenTrack[],
    chapters: readonly Chapter[],
  ) {
    this.#source = window.source;
    this.#window = window;
    this.#tracks = new Map(opened.map((track) => [track.box.id, track]));
    this.#infoOf = new Map(tracks.map((track) => [track.id, track]));
    const video = playedVideo(tracks, (id) => this.#tracks.get(id)?.presented.count ?? 0);
    this.info = {
      container,
      ...programme(tracks),
      tracks,
      ...(video && { videoTrackId: video.id }),
      chapters,
      attachments: [],
    };
    this.keyframes = this.#makeIndex(video, opened);
  }

  #makeIndex(video: Track | undefined, opened: readonly OpenTrack[]): KeyframeIndex {
    const index = video && this.#tracks.get(video.id)?.keyframes;
    if (index !== undefined) return index;
    const audio = opened.find(({ box }) => box.kind === 'audio') ?? opened[0]!;
    return indexAudio(audio.presented, audio.summary);
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    signal.throwIfAborted();
    return this.keyframes;
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    signal.throwIfAborted();
    const track = this.#tracks.get(trackId);
    const label = this.#source.label;
    if (track === undefined) throw new AppError('internal', `${label} has no track ${trackId}.`);
    if (this.#closed) throw new AppError('internal', `${label} was closed.`);
    try {
      const spans = this.#spansOf(track, cut);
      if (spans.some((span) => track.presented.changesDescription(span))) {
        throw new BoxError('the codec configuration changes midway, and this server cannot follow it');
      }
      const list = this.#listOf(track, spans, cut);
      const config = this.#infoOf.get(trackId)?.config;
      return await readSamples(this.#source, list, signal, {
        span: config === undefined ? undefined : this.#commonSpan(cut),
        nextStart: this.#nextStart(track, cut, spans),
        audio: track.box.kind === 'audio' ? config : undefined,
      });
    } catch (error) {
      if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
      throw new AppError('media-damaged', `${label}: ${error.message}.`, { cause: error });
    }
  }

  /** Video by decode order, everything else by time. */
  #spansOf(track: OpenTrack, cut: Cut): Span[] {
    if (cut.to <= cut.from) return [];
    const isPlayed = track.box.id === this.info.videoTrackId;
    if (!isPlayed && track.box.kind !== 'video') return track.presented.spansOfTime(cut.from, cut.to);
    if (isPlayed && cut.fromKey !== undefined && cut.toKey !== undefined) {
      const start = this.#positionOfKey(track, cut.fromKey);
      const end = this.#positionOfKey(track, cut.toKey);
      return start < end ? [[start, end]] : [];
    }
    const { startTime, duration } = this.info;
    const rule = gridRule(cut, startTime, startTime + duration);
    const start = this.#gridPosition(track, cut.from, rule.startLimit);
    if (cut.to === Number.POSITIVE_INFINITY) return [[start, track.presented.count]];
    const end = this.#gridPosition(track, cut.to, rule.endLimit);
    return start < end ? [[start, end]] : [];
  }

  #positionOfKey({ positions, presented }: OpenTrack, key: number): number {
    return positions?.[key] ?? presented.count;
  }

  /** The position at which a cut on a grid begins. */
  #gridPosition(track: OpenTrack, from: number, limit: number): number {
    const { presented, positions } = track;
    const first = positions?.[0] ?? 0;
    if (from === Number.NEGATIVE_INFINITY) return first;
    // Where nothing lies near, the first frame that follows at all.
    for (const horizon of [Math.max(limit, from + NEAR), Number.POSITIVE_INFINITY]) {
      let found = presented.count;
      for (const [start, end] of presented.spansOfTime(from, horizon)) {
        const list = presented.collect([[start, end]]);
        const at = gridStart(list, from, limit);
        if (at === list.count) continue;
        if (list.keys[at] === 1) return Math.max(first, start + at);
        if (found === presented.count) found = start + at;
      }
      if (found < presented.count) return Math.max(first, found);
    }
    return presented.count;
  }

  #listOf(track: OpenTrack, spans: readonly Span[], cut: Cut): SampleList {
    if (spans.length === 0) return listOf(0);
    const list = track.presented.collect(spans);
    return track.box.kind === 'video' ? list : withinTime(list, cut.from, cut.to);
  }

  #nextStart(track: OpenTrack, cut: Cut, spans: readonly Span[]): number | undefined {
    if (track.box.kind !== 'video') return undefined;
    if (cut.toKey !== undefined && track.box.id === this.info.videoTrackId) return this.keyframes.starts[cut.toKey];
    const end = spans.at(-1)?.[1] ?? track.presented.count;
    const stop = Math.min(track.presented.count, end + 32);
    if (end >= stop) return undefined;
    const next = track.presented.collect([[end, stop]]);
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < next.count; i++) lowest = Math.min(lowest, next.pts[i]!);
    return lowest;
  }

  /** The bytes of a cut over all tracks that can be copied, when they lie close together. */
  #commonSpan(cut: Cut): ByteRange | undefined {
    let from = Number.POSITIVE_INFINITY;
    let to = 0;
    let bytes = 0;
    for (const track of this.#tracks.values()) {
      if (this.#infoOf.get(track.box.id)?.config === undefined) continue;
      if (track.box.kind === 'video' && track.box.id !== this.info.videoTrackId) continue;
      const list = this.#listOf(track, this.#spansOf(track, cut), cut);
      const part = extent(list);
      if (part.bytes === 0) continue;
      from = Math.min(from, part.from);
      to = Math.max(to, part.to);
      bytes += part.bytes;
    }
    if (bytes === 0 || to - from > MAX_WASTE * bytes + FREE_WASTE) return undefined;
    return { from, to };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#window.recycle();
  }
}
