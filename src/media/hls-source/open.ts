/** Opens playlists: chooses what is played of them, and learns of the tracks from their first segments. */
import { AppError } from '../../errors.ts';
import { Limiter } from '../../lib/limiter.ts';
import type { Source, Web } from '../../source/source.ts';
import type { KeyframeIndex, MediaInfo, MediaReader, Track } from '../types.ts';
import { Clock, lowestTime } from './clock.ts';
import { type FetchedPlaylist, Fetcher, parsed } from './fetcher.ts';
import type { MediaPlaylist, MultivariantPlaylist, RenditionTag, VariantTag } from './playlist.ts';
import { type Binding, HlsReader } from './reader.ts';
import { SegmentCache } from './segment-cache.ts';
import type { SegmentMedia } from './segment-media.ts';
import { isHole, Sequence } from './sequence.ts';
import { TextRendition } from './text-rendition.ts';
import { audioOf, byPreference, subtitlesOf } from './variants.ts';

const MAX_PLAYLIST = 4 * 1024 * 1024;
/** Segments kept for those who want them next, bytes. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** Variants that are tried, the best first, when a playlist or its first segments are missing. */
const MAX_TRIES = 3;
const MAX_RENDITIONS = 16;
/** Opened at the same time: the first segment of each may be large. */
const PARALLEL_RENDITIONS = 4;
const MAX_SUBTITLES = 64;

interface Opening {
  readonly fetcher: Fetcher;
  readonly cache: SegmentCache<SegmentMedia>;
  readonly signal: AbortSignal;
}

/** A playlist with what its first segment tells. */
interface Opened {
  readonly sequence: Sequence;
  readonly container: string;
  readonly tracks: readonly Track[];
  /** The segment that was looked at. */
  readonly first: number;
  readonly media: SegmentMedia;
}

/** Of a multivariant playlist. */
interface Chosen {
  readonly main: Opened;
  readonly variant?: VariantTag;
  readonly audio: readonly RenditionTag[];
  readonly subtitles: readonly RenditionTag[];
  readonly list: FetchedPlaylist<MultivariantPlaylist> | undefined;
}

/** Whether the first bytes of a source begin a playlist. */
export function isPlaylist(head: Uint8Array): boolean {
  const from = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  return /^#EXTM3U(?:[\r\n \t]|$)/i.test(Buffer.from(head.subarray(from, from + 8)).toString('latin1'));
}

/**
 * Opens a source that `isPlaylist`: with two requests for a playlist of segments, three for one of variants, one more for an initialization section and one for
 * a key, and as many for each audio rendition.
 * @throws AppError `source-unsupported` for what is no playlist by its URL or media type, `source-live`, `playlist-damaged`,
 * `media-not-playable`, `source-*`; the signal's reason.
 */
export async function openHlsSource(source: Source, signal: AbortSignal): Promise<MediaReader> {
  const { web } = source;
  if (!web) {
    throw new AppError(
      'source-unsupported',
      `${source.label} is an HLS playlist: playlists are opened by their URL only.`,
    );
  }
  if (!web.isPlaylist) {
    throw new AppError(
      'source-unsupported',
      `${source.label} is an HLS playlist in disguise: neither its address (.m3u8) nor its media type says so.`,
    );
  }
  if (source.size > MAX_PLAYLIST) {
    throw new AppError(
      'source-unsupported',
      `${source.label} is larger than ${MAX_PLAYLIST} bytes, more than any playlist needs.`,
    );
  }
  const bytes = await source.read(0, source.size, signal);
  const lifetime = new AbortController();
  const cache = new SegmentCache<SegmentMedia>(CACHE_BYTES);
  const opening: Opening = { fetcher: new Fetcher(web, lifetime.signal), cache, signal };
  try {
    const chosen = await choose(parsed(bytes, source.label), source, web, opening);
    return await makeReader(source, chosen, lifetime, opening);
  } catch (error) {
    lifetime.abort(error);
    await cache[Symbol.asyncDispose]();
    throw asPlaylistError(error);
  }
}

/** Other errors say that another reader may be tried, which would only see the text. */
function asPlaylistError(error: unknown): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.code !== 'media-damaged' && error.code !== 'media-unrecognised') return error;
  return new AppError('playlist-damaged', error.detail, { cause: error });
}

async function choose(
  playlist: MediaPlaylist | MultivariantPlaylist,
  { label }: Source,
  { url: base }: Web,
  opening: Opening,
): Promise<Chosen> {
  if (playlist.kind === 'media') {
    return { main: await openSequence({ playlist, base, label }, opening), audio: [], subtitles: [], list: undefined };
  }
  const list = { playlist, base, label };
  let failure: unknown;
  for (const variant of byPreference(playlist).slice(0, MAX_TRIES)) {
    try {
      const media = await opening.fetcher.playlist(variant.uri, list, opening.signal);
      const main = await openSequence(media, opening);
      return { main, variant, audio: audioOf(playlist, variant), subtitles: subtitlesOf(playlist, variant), list };
    } catch (error) {
      if (opening.signal.aborted || !isHole(error)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function openSequence(
  list: FetchedPlaylist<MediaPlaylist>,
  { fetcher, cache, signal }: Opening,
): Promise<Opened> {
  const sequence = new Sequence(list, fetcher, cache);
  if (!(sequence.duration > 0)) throw new AppError('media-damaged', `${list.label} lasts no time at all.`);
  const { described, first, media } = await sequence.describe(signal);
  return { sequence, ...described, first, media };
}

/** What there is to play, track by track, in the order in which they are told. */
class Tracks {
  readonly all: Track[] = [];
  readonly bindings = new Map<number, Binding>();
  readonly texts = new Map<number, TextRendition>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The tracks of a playlist; of a rendition, its first audio. */
  async add(opened: Opened, tag: RenditionTag | undefined, signal: AbortSignal, only?: 'audio'): Promise<void> {
    const { sequence, media, first } = opened;
    const offset = await this.#clock.offsetFor(sequence, first, media, signal);
    const positions = { video: 0, audio: 0 };
    for (const track of opened.tracks) {
      if (track.type === 'subtitle') continue;
      const position = positions[track.type]++;
      if (only !== undefined && (track.type !== only || position > 0)) continue;
      const stream = media.streams.filter(({ type }) => type === track.type)[position];
      const start = stream && stream.packets.length > 0 ? lowestTime(stream.packets) : undefined;
      // The reader of MP4 knows what of it is priming; other clocks are told from elsewhere.
      const told = media.clock === 'plain' ? (track.startTime ?? start) : start;
      const { startTime: _start, endTime: _end, bitrate: _rate, ...kept } = track;
      const id = this.all.length + 1;
      this.all.push({
        ...kept,
        ...(tag && describedBy(tag)),
        id,
        index: this.all.filter(({ type }) => type === track.type).length,
        isDefault: tag ? tag.isDefault : kept.isDefault,
        ...(told !== undefined && first === 0 && { startTime: told + offset }),
        endTime: sequence.duration,
      });
      if (!track.unreadable) this.bindings.set(id, { sequence, type: track.type, position });
    }
  }

  /** Text, which is fetched when it is wanted. */
  addText(tag: RenditionTag, text: TextRendition): void {
    const id = this.all.length + 1;
    this.all.push({
      ...describedBy(tag),
      id,
      type: 'subtitle',
      index: this.texts.size,
      codec: 'webvtt',
      isDefault: tag.isDefault,
      isForced: tag.isForced,
    });
    this.texts.set(id, text);
  }

  /** One that could not be opened. */
  addMissing(tag: RenditionTag, why: string): void {
    this.all.push({
      ...describedBy(tag),
      id: this.all.length + 1,
      type: 'audio',
      index: this.all.filter(({ type }) => type === 'audio').length,
      codec: 'unknown',
      notCopied: why,
      unreadable: true,
      isDefault: false,
      isForced: false,
    });
  }
}

function describedBy({ language, name }: RenditionTag): Pick<Track, 'language' | 'title'> {
  return { ...(language !== undefined && { language }), ...(name !== '' && { title: name }) };
}

async function makeReader(
  source: Source,
  chosen: Chosen,
  lifetime: AbortController,
  opening: Opening,
): Promise<MediaReader> {
  const { signal, cache } = opening;
  const { sequence } = chosen.main;
  const clock = new Clock(sequence);
  const tracks = new Tracks(clock);
  const inside = chosen.audio.filter(({ uri }) => uri === undefined);
  await tracks.add(chosen.main, undefined, signal);
  const own = tracks.all.filter(({ type }) => type === 'audio');
  if (own.length === 1 && inside.length === 1 && own[0] && inside[0]) {
    tracks.all[tracks.all.indexOf(own[0])] = { ...own[0], ...describedBy(inside[0]), isDefault: inside[0].isDefault };
  }
  await addRenditions(tracks, chosen, opening);
  addTexts(tracks, chosen, opening, clock, lifetime.signal);
  const all = withOneDefault(tracks.all);
  const video = all.find(({ type, id }) => type === 'video' && tracks.bindings.get(id)?.sequence === sequence);
  const starts = all.flatMap(({ startTime }) => startTime ?? []);
  const startTime = Math.min(0, ...starts.filter((start) => start > -1));
  const { keyframes, keySegments } = indexOf(sequence, rateOf(chosen));
  const info: MediaInfo = {
    container: 'hls',
    startTime,
    duration: sequence.duration - startTime,
    tracks: all,
    ...(video && { videoTrackId: video.id }),
    chapters: [],
    attachments: [],
  };
  const { bindings, texts } = tracks;
  const size = Math.ceil(sizeOf(sequence, sequence.count, rateOf(chosen)));
  return new HlsReader({
    label: source.label,
    info,
    keyframes,
    keySegments,
    main: sequence,
    bindings,
    texts,
    clock,
    cache,
    lifetime,
    size,
  });
}

/** The audio playlists beside the variant, some at once. One that fails is a track that says why. */
async function addRenditions(tracks: Tracks, { audio, list }: Chosen, opening: Opening): Promise<void> {
  if (list === undefined) return;
  const tags = audio.filter(({ uri }) => uri !== undefined).slice(0, MAX_RENDITIONS);
  const { fetcher, signal } = opening;
  const limiter = new Limiter(PARALLEL_RENDITIONS);
  const opened = await Promise.allSettled(
    tags.map((tag) =>
      limiter.run(signal, async () => openSequence(await fetcher.playlist(tag.uri as string, list, signal), opening)),
    ),
  );
  for (const [i, result] of opened.entries()) {
    const tag = tags[i] as RenditionTag;
    if (result.status === 'fulfilled') await tracks.add(result.value, tag, opening.signal, 'audio');
    else if (opening.signal.aborted || !(result.reason instanceof AppError)) throw result.reason;
    else tracks.addMissing(tag, result.reason.detail);
  }
}

function addTexts(
  tracks: Tracks,
  { subtitles, list }: Chosen,
  { fetcher }: Opening,
  clock: Clock,
  lifetime: AbortSignal,
): void {
  if (list === undefined) return;
  for (const tag of subtitles.slice(0, MAX_SUBTITLES)) {
    const { uri } = tag;
    if (uri === undefined) continue;
    // Looked at before anything is played, as all references are.
    fetcher.resolve(uri, list);
    tracks.addText(tag, new TextRendition({ uri, from: list, fetcher, clock, lifetime }));
  }
}

/** At most one of the audio tracks is the default, and the first of them where none says so. */
function withOneDefault(tracks: readonly Track[]): Track[] {
  const sounds = tracks.filter(({ type, unreadable }) => type === 'audio' && !unreadable);
  const chosen = sounds.findLast(({ isDefault }) => isDefault) ?? sounds[0];
  return tracks.map((track) => (track.type === 'audio' ? { ...track, isDefault: track === chosen } : track));
}

/** Bits per second: what the playlist tells, else half more than the first segment has. */
function rateOf({ main, variant }: Chosen): number {
  const { duration } = main.sequence.segments[main.first] as { duration: number };
  return variant && variant.bandwidth > 0 ? variant.bandwidth : (1.5 * main.media.bytes * 8) / Math.max(1, duration);
}

/** Bytes up to segment `n`: by the ranges of all, where they are told. */
function sizeOf({ segments, starts }: Sequence, n: number, rate: number): number {
  if (segments.every(({ range }) => range !== undefined)) {
    return segments.slice(0, n).reduce((sum, { range }) => sum + (range?.length ?? 0), 0);
  }
  return ((starts[n] as number) * rate) / 8;
}

/** An entry for each segment; those that last no time belong to the one before. */
function indexOf(sequence: Sequence, rate: number): { keyframes: KeyframeIndex; keySegments: number[] } {
  const keySegments: number[] = [];
  for (let n = 0; n < sequence.count; n++) {
    const last = keySegments.at(-1);
    if (last === undefined || (sequence.starts[n] as number) > (sequence.starts[last] as number)) keySegments.push(n);
  }
  const times = Float64Array.from(keySegments, (n) => sequence.starts[n] as number);
  const ranged = sequence.segments.every(({ range }) => range !== undefined);
  let total = 0;
  const sums = ranged ? sequence.segments.map(({ range }) => (total += range?.length ?? 0)) : [];
  const positions = Float64Array.from(keySegments, (n) =>
    ranged ? (sums[n - 1] ?? 0) : ((sequence.starts[n] as number) * rate) / 8,
  );
  keySegments.push(sequence.count);
  return { keyframes: { times, starts: times, positions }, keySegments };
}
