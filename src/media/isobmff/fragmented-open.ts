/** Opens fragmented files: finds or makes their index, and learns of the tracks from the first fragments. */
import { AppError } from '../../errors.ts';
import { needsFirstPacket } from '../codecs/codecs.ts';
import type { KeyframeIndex, MediaInfo, MediaReader } from '../types.ts';
import { BoxError } from './boxes.ts';
import { readChapters } from './chapters.ts';
import type { FileLayout, Window } from './file-layout.ts';
import type { TrackFragment } from './fragment.ts';
import { type FragmentIndex, lastFragments, readRandomAccess, readSegmentIndex } from './fragment-index.ts';
import { entryOf, type FragmentedTrack, FragmentParser } from './fragment-map.ts';
import { FragmentSlots } from './fragment-slots.ts';
import { FragmentWalk, Hopper } from './fragment-walk.ts';
import { FragmentedReader } from './fragmented.ts';
import { openProgressive } from './progressive.ts';
import { SampleTable } from './sample-table.ts';
import { type MovieBox, movieExtendsDuration, parseTrackExtends, type TrackBox } from './track-box.ts';
import { makeTracks, playedVideo, programme, type TrackFacts, type TrackInput } from './track-info.ts';

export interface FragmentedOptions {
  /** Top-level boxes of a local file that are walked over at once, which makes the index of all but the longest; 0 leaves it to `scan`. */
  readonly eagerHops?: number;
}

/** Samples of one track that the movie box of a fragmented file may list itself. */
const MAX_LISTED = 200_000;
const EAGER_HOPS = 10_000;
/** A slow disk ends it earlier. */
const EAGER_MILLISECONDS = 400;
/** Boxes at the start that are looked at to learn of the tracks. */
const PROBE_HOPS = 64;
/** An index with more entries than this per second does not list key frames but fragments. */
const MAX_KEYS_PER_SECOND = 4;
/** Entries of an index that are compared with the fragments themselves, where that is cheap. */
const CHECKS = 8;
/** Seconds by which its times may differ from theirs, apart from what all of them differ by. */
const INDEX_TOLERANCE = 0.002;
const MAX_FIRST_PACKET = 4 * 1024 * 1024;
const TAIL = 1024 * 1024;

interface Opening {
  readonly window: Window;
  readonly movie: MovieBox;
  readonly mvex: DataView;
  readonly parser: FragmentParser;
  readonly walk: FragmentWalk;
  readonly indexed: FragmentedTrack;
  readonly moovEnd: number;
  readonly signal: AbortSignal;
}

/** An index of the file's own that was found to be true. */
interface TrueIndex {
  readonly keyframes: KeyframeIndex;
  readonly slots: FragmentSlots;
  /** Seconds. */
  readonly endTime: number | undefined;
}

/** @throws AppError `media-damaged`, `source-*`. */
export async function openFragmented(
  window: Window,
  movie: MovieBox,
  layout: FileLayout,
  signal: AbortSignal,
  { eagerHops = EAGER_HOPS }: FragmentedOptions = {},
): Promise<MediaReader> {
  const { source } = window;
  const mvex = movie.mvex!;
  const tracks = fragmentedTracks(movie, source.size);
  // A movie box that lists that much is the whole film, whatever follows it.
  if ([...tracks.values()].some(({ table }) => table.count > MAX_LISTED)) {
    return openProgressive(window, movie, layout.container, signal);
  }
  const indexed = indexedTrack([...tracks.values()]);
  const parser = new FragmentParser(tracks, parseTrackExtends(mvex), source.size);
  const lifetime = new AbortController();
  const walk = new FragmentWalk(window, parser, indexed.box.id, layout.moovEnd, lifetime.signal);
  const opening: Opening = { window, movie, mvex, parser, walk, indexed, moovEnd: layout.moovEnd, signal };
  const own = await ownIndex(opening, eagerHops);
  await probe(opening);
  walk.release();
  const facts = await factsOf(opening, own);
  if (walk.done && facts.size > 0 && !facts.has(indexed.box.id)) {
    // Declared, but never written: the other tracks are the programme.
    const others = movie.tracks.filter(({ id }) => id !== indexed.box.id);
    return openFragmented(window, { ...movie, tracks: others }, layout, signal, { eagerHops });
  }
  const inputs = await inputsOf(opening, facts);
  const all = makeTracks(inputs);
  const walked = walk.done ? walk.index() : undefined;
  if (walked === undefined && walk.done && own === undefined) throw emptyFile(opening);
  const video = playedVideo(all, () => 2);
  const { startTime, duration } = programme(all);
  const info: MediaInfo = {
    container: layout.container,
    startTime,
    duration,
    tracks: all,
    ...(video && { videoTrackId: video.id }),
    chapters: await readChapters(window, movie, { startTime, duration }),
    attachments: [],
  };
  return new FragmentedReader({
    source,
    info,
    parser,
    walk,
    entries: new Map(inputs.map(({ box, entry }) => [box.id, entry])),
    keyframes: walked ?? own?.keyframes,
    slots: walked === undefined ? own?.slots : undefined,
    lifetime,
  });
}

function emptyFile({ walk, window }: Opening): AppError {
  const why =
    walk.fragments.length === 0
      ? 'the file ends before its first fragment (moof): the recording or download is incomplete'
      : 'no frame of it can be decoded by itself';
  return new AppError('media-damaged', `${window.source.label}: ${why}.`);
}

/** By their number; those that hold chapters are none. */
export function fragmentedTracks(movie: MovieBox, fileSize: number): Map<number, FragmentedTrack> {
  const tracks = new Map<number, FragmentedTrack>();
  for (const box of movie.tracks) {
    if (movie.chapterTracks.has(box.id)) continue;
    const table = new SampleTable(box.stbl, { kind: box.kind, entries: box.entries, fileSize });
    const edit = box.edits[0];
    const shift = edit === undefined ? 0 : edit.start - edit.mediaTime / box.timescale;
    tracks.set(box.id, { box, shift, table });
  }
  return tracks;
}

/** The track whose random access points are the index: as `playedVideo` will choose, else audio. */
function indexedTrack(tracks: readonly FragmentedTrack[]): FragmentedTrack {
  const of = (kind: TrackBox['kind']) => tracks.filter(({ box }) => box.kind === kind);
  const video = of('video');
  const chosen = video.find(({ box }) => box.enabled) ?? video[0] ?? of('audio')[0];
  if (chosen === undefined) throw new BoxError('the file has no video or audio track');
  return chosen;
}

async function ownIndex(opening: Opening, eagerHops: number): Promise<TrueIndex | undefined> {
  const { window, walk, parser, indexed, moovEnd, signal } = opening;
  const isLocal = window.source.latency === 'local';
  // Samples that the movie box lists itself are in no index.
  const isListed = [...parser.tracks.values()].some(({ table }) => table.count > 0);
  if (isListed) {
    if (isLocal) await walk.walkSome(eagerHops, EAGER_MILLISECONDS, signal);
    return undefined;
  }
  const segments = await quietly(() => readSegmentIndex(window, moovEnd, indexed.box.id));
  const bySegments = segments && (await trueIndex(opening, segments));
  if (bySegments !== undefined) return bySegments;
  // One read of the tail serves the index there, and the last fragment when there is none.
  if (!isLocal) await window.bytes(Math.max(0, window.source.size - TAIL), TAIL);
  const points = await quietly(() => readRandomAccess(window, indexed.box.id, indexed.box.timescale));
  const byPoints = points && points.points.length > 1 ? await trueIndex(opening, points) : undefined;
  if (byPoints === undefined && isLocal) await walk.walkSome(eagerHops, EAGER_MILLISECONDS, signal);
  return byPoints;
}

/** A damaged index is none. */
async function quietly<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BoxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Compares an index with fragments that it names; undefined when it does not tell the truth about key frames. */
async function trueIndex(opening: Opening, index: FragmentIndex): Promise<TrueIndex | undefined> {
  const { window, parser } = opening;
  const points: FragmentIndex['points'][number][] = [];
  for (const point of index.points) {
    const last = points.at(-1);
    if (last && (point.offset <= last.offset || point.start <= last.start || point.time <= last.time)) continue;
    if (point.offset < index.end) points.push(point);
  }
  const span = (points.at(-1)?.start ?? 0) - (points[0]?.start ?? 0);
  if (points.length === 0 || points.length > 2 + (MAX_KEYS_PER_SECOND * span) / index.timescale) return undefined;
  const isLocal = window.source.latency === 'local';
  let checks = isLocal ? Math.min(CHECKS, points.length) : 1;
  let shift = 0;
  for (let i = 0; i < checks; i++) {
    const point = points[Math.floor((i * (points.length - 1)) / Math.max(1, checks - 1))]!;
    const first = await firstFragmentAt(opening, point.offset);
    if (first === undefined || !first.keys[0] || !first.hasTime) return undefined;
    // An index without the earliest times (mfra) serves only where nothing is presented before the key frame that it follows.
    const isEarliest = first.decode.every((_, k) => parser.pts(first, k) >= parser.pts(first, 0));
    if (index.endTime === undefined && !isEarliest) return undefined;
    const difference = parser.pts(first, 0) - point.time / index.timescale;
    if (i === 0) shift = difference;
    // What lies before 0 cannot be told in unsigned times, and FFmpeg's mfra calls it 0: a second entry shows whether all are shifted.
    if (i === 0 && point.time === 0 && difference < 0) checks = Math.max(checks, Math.min(2, points.length));
    if (Math.abs(difference - shift) > INDEX_TOLERANCE) return undefined;
  }
  const seconds = (ticks: number) => ticks / index.timescale + shift;
  const starts = Float64Array.from(points, ({ start }) => seconds(start));
  const positions = Float64Array.from(points, ({ offset }) => offset);
  const offsets = Float64Array.from([...positions, index.end]);
  return {
    keyframes: { times: Float64Array.from(points, ({ time }) => seconds(time)), starts, positions },
    slots: new FragmentSlots(window.source, parser, offsets, starts),
    endTime: index.endTime === undefined ? undefined : seconds(index.endTime),
  };
}

/** The indexed track's samples in the first fragment at or shortly after a byte position. */
async function firstFragmentAt(opening: Opening, offset: number): Promise<TrackFragment | undefined> {
  const { window, parser, indexed, signal } = opening;
  const hopper = new Hopper(window.source, window);
  try {
    let at = offset;
    for (let i = 0; i < 16; i++) {
      const box = await hopper.box(at, signal);
      if (box === undefined) return undefined;
      const moof = box.type === 'moof' ? await hopper.moof(box, signal) : undefined;
      const tracks = moof && (await quietly(async () => parser.parse(moof, box.offset, () => 0)));
      const own = tracks?.find(({ trackId }) => trackId === indexed.box.id);
      if (own !== undefined) return own;
      at = box.end;
    }
    return undefined;
  } finally {
    hopper.release();
  }
}

/** Walks on until every audio and video track was seen, or long enough. */
async function probe({ walk, parser, signal }: Opening): Promise<void> {
  const waited = [...parser.tracks.values()].filter(({ box }) => box.kind !== 'subtitle');
  for (let i = 0; i < PROBE_HOPS && !walk.done; i++) {
    if (waited.every(({ box }) => walk.endOf(box.id) !== undefined)) return;
    await walk.walkSome(1, EAGER_MILLISECONDS, signal);
  }
}

/** Starts and ends of the tracks, as well as they are known. */
async function factsOf(opening: Opening, own: TrueIndex | undefined): Promise<Map<number, TrackFacts>> {
  const { walk, parser, indexed } = opening;
  const ends = walk.done ? new Map<number, number>() : await knownEnds(opening, own);
  const facts = new Map<number, TrackFacts>();
  for (const [id, { box }] of parser.tracks) {
    const first = walk.fragments.map((fragment) => entryOf(fragment, id)).find((entry) => entry !== undefined);
    if (first === undefined) continue;
    const edit = box.edits[0]?.start ?? Number.NEGATIVE_INFINITY;
    const startTime = box.kind === 'subtitle' ? first.start : Math.max(first.start, edit);
    const endTime = walk.done ? walk.endOf(id) : (ends.get(id) ?? ends.get(indexed.box.id));
    facts.set(id, {
      startTime,
      ...(endTime !== undefined && endTime > startTime && { endTime }),
      ...(walk.done && { bytes: () => walk.bytesOf(id) }),
    });
  }
  return facts;
}

/** Presentation ends by track, in seconds: from the index, the last fragment, `mehd`, or a guess from the bytes. */
async function knownEnds(opening: Opening, own: TrueIndex | undefined): Promise<Map<number, number>> {
  const { window, parser, indexed, mvex, movie, walk, signal } = opening;
  const ends = new Map<number, number>();
  if (own?.endTime !== undefined) return ends.set(indexed.box.id, own.endTime);
  for await (const { bytes, offset } of lastFragments(window)) {
    const tracks = (await quietly(async () => parser.parse(bytes, offset, () => 0))) ?? [];
    if (!tracks.every(({ hasTime }) => hasTime)) continue;
    for (const { trackId, end } of parser.describe(offset, bytes.length, tracks).entries) {
      if (!ends.has(trackId)) ends.set(trackId, end);
    }
    if (ends.has(indexed.box.id)) return ends;
  }
  // The last slot is where the last fragment must be, however large it is.
  const last = own === undefined ? [] : await own.slots.inSlots(own.slots.count - 1, own.slots.count, signal);
  for (const { entries } of last) {
    for (const { trackId, end } of entries) ends.set(trackId, Math.max(end, ends.get(trackId) ?? end));
  }
  if (ends.has(indexed.box.id)) return ends;
  const told = movieExtendsDuration(mvex, movie.timescale) || movie.duration;
  if (told > 0) return ends.set(indexed.box.id, told);
  const latest = walk.fragments.at(-1);
  const seen = walk.endOf(indexed.box.id);
  if (latest !== undefined && seen !== undefined && seen > 0) {
    ends.set(indexed.box.id, seen * (window.source.size / latest.dataEnd));
  }
  return ends;
}

/** Tracks that are declared but, as the finished walk knows, never written are left out. */
async function inputsOf(opening: Opening, facts: ReadonlyMap<number, TrackFacts>): Promise<TrackInput[]> {
  const inputs: TrackInput[] = [];
  for (const track of opening.parser.tracks.values()) {
    const known = facts.get(track.box.id);
    if (known !== undefined || !opening.walk.done) inputs.push(await inputOf(opening, track, known ?? {}));
  }
  return inputs;
}

async function inputOf(opening: Opening, { box }: FragmentedTrack, facts: TrackFacts): Promise<TrackInput> {
  const { parser, window, walk } = opening;
  const info = walk.fragments.find((fragment) => entryOf(fragment, box.id) !== undefined);
  const loaded =
    info === undefined
      ? undefined
      : info.size === 0
        ? parser.tables()
        : parser.parse(await window.bytes(info.offset, info.size), info.offset, () => 0);
  const first = loaded?.find(({ trackId }) => trackId === box.id);
  const entry = box.entries[first?.descriptionIndex ?? 0] ?? box.entries[0]!;
  const ticks = first?.durations.reduce((sum, duration) => sum + duration, 0) ?? 0;
  const frameRate =
    first && box.kind === 'video' && ticks > 0 ? (first.sizes.length * box.timescale) / ticks : undefined;
  let firstPacket: Uint8Array | undefined;
  if (first && !entry.encrypted && needsFirstPacket(entry.codec, entry.privateData)) {
    const size = first.sizes[0]!;
    if (size <= MAX_FIRST_PACKET) firstPacket = await window.bytes(first.offsets[0]!, size);
  }
  return { box, entry, firstPacket, facts: { ...facts, ...(frameRate !== undefined && { frameRate }) } };
}
