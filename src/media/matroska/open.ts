/** Puts together what opening reads: layout, first packets, tracks, index, duration. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { MediaInfo, Track, TrackType } from '../types.ts';
import { ClusterMap } from './cluster-map.ts';
import { parseCues } from './cues.ts';
import { describeTrack, trackType, writesAbsoluteTimes } from './describe.ts';
import { copyOf, ElementCursor } from './ebml.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import { type FirstSeen, prepare, readFirstPackets } from './first-packets.ts';
import { type OpenedIndex, publish, withLeads } from './keyframes.ts';
import { type Layout, LayoutReader } from './layout.ts';
import { completeChapters } from './metadata.ts';
import { findEnds } from './tail.ts';
import { clusterTimestamp } from './walker.ts';

/** A programme that goes on for so long after its last key frame may have a wrong duration. */
const DOUBTFUL_SECONDS = 30;

export interface Opened {
  readonly file: MatroskaFile;
  readonly info: MediaInfo;
  readonly index: OpenedIndex | undefined;
}

export async function openFile(source: Source, signal: AbortSignal): Promise<Opened> {
  const reader = new LayoutReader(source, signal);
  const { layout, window } = reader;
  const seen = new Map<number, FirstSeen>();
  let head: Uint8Array | undefined;
  const look = async (): Promise<void> => {
    for (const entry of layout.tracks) seen.set(entry.number, prepare(entry, layout.info.timestampScale));
    await readFirstPackets(source, layout, seen, window.held(), signal);
  };
  try {
    await reader.readHead();
    head = firstClusterHead(layout, window.held());
    reader.beginTargets();
    if (layout.tracks.length > 0) await look();
    await reader.readTargets();
    if (layout.tracks.length > 0 && seen.size === 0) await look();
  } finally {
    window.release();
  }
  if (layout.tracks.length === 0) {
    throw new AppError('media-damaged', `${source.label} is a damaged Matroska file: it has no list of tracks.`);
  }
  return assemble(source, layout, seen, head, signal);
}

/** A copy of the first cluster's first bytes, if they are in memory. */
function firstClusterHead(layout: Layout, held: { bytes: Uint8Array; base: number }): Uint8Array | undefined {
  const at = layout.firstCluster - held.base;
  return at >= 0 && at < held.bytes.length ? copyOf(held.bytes, at, at + 64) : undefined;
}

async function assemble(
  source: Source,
  layout: Layout,
  seen: ReadonlyMap<number, FirstSeen>,
  head: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<Opened> {
  const tracks = openTracks(layout, seen);
  const main = mainTrack(tracks);
  const cues = main && readCues(layout, main, seen.get(main.entry.number), head);
  if (cues === undefined) layout.clustersEnd = layout.end;
  const times = programme(layout, tracks, main, cues);
  let { endTime } = times;
  let all = tracks;
  const doubtful = cues === undefined || (endTime ?? 0) > times.lastCue + likelyRest(cues, tracks);
  if (endTime === undefined || layout.truncated || (doubtful && source.latency === 'local')) {
    const ends = await findEnds(source, layout, tracks, signal);
    if (ends.size > 0) {
      endTime = Math.max(...ends.values());
      all = withEnds(tracks, ends);
    }
  }
  endTime = Math.max(endTime ?? times.lastCue, times.startTime);
  const mainNow = main && all.get(main.entry.number);
  const file: MatroskaFile = {
    source,
    layout,
    tracks: all,
    ...(mainNow && { main: mainNow }),
    startTime: times.startTime,
    endTime,
    clusters: new ClusterMap(),
  };
  const index = cues && (await withLeads(file, cues, signal));
  return { file, info: describeFile(file), index };
}

function openTracks(layout: Layout, seen: ReadonlyMap<number, FirstSeen>): Map<number, OpenTrack> {
  const tracks = new Map<number, OpenTrack>();
  const counts: Record<TrackType, number> = { video: 0, audio: 0, subtitle: 0 };
  for (const entry of layout.tracks) {
    const type = trackType(entry);
    const first = seen.get(entry.number);
    if (type !== undefined && first) tracks.set(entry.number, describeTrack(first, type, counts[type]++, layout));
  }
  return tracks;
}

/** The default or first video track; without video the same of audio. */
function mainTrack(tracks: ReadonlyMap<number, OpenTrack>): OpenTrack | undefined {
  const all = [...tracks.values()];
  for (const type of ['video', 'audio'] as const) {
    const some = all.filter(({ track }) => track.type === type);
    const main = some.find(({ track }) => track.isDefault) ?? some[0];
    if (main !== undefined) return main;
  }
  return undefined;
}

/** The index by Cues, if there are any that can be right. */
function readCues(
  layout: Layout,
  main: OpenTrack,
  seen: FirstSeen | undefined,
  head: Uint8Array | undefined,
): OpenedIndex | undefined {
  if (layout.cues === undefined) return undefined;
  const found = parseCues(new ElementCursor(layout.cues), main.entry.number, layout.base, layout.end);
  delete layout.cues;
  if (found === undefined) return undefined;
  const first = found.clusters[0] ?? 0;
  // All cues count from the same place: if the first misses the first cluster, so do the others.
  if (first < layout.firstCluster) return undefined;
  if (head !== undefined && first === layout.firstCluster && clusterTimestamp(head, 0) === undefined) return undefined;
  const last = found.clusters.at(-1) ?? 0;
  if (layout.clustersEnd <= last) layout.clustersEnd = layout.end;
  const key = seen?.key ?? firstAudio(main, seen, layout);
  if (
    key === undefined ||
    key.cluster > first ||
    key.ticks >= (found.ticks[0] ?? 0) - 2e6 / layout.info.timestampScale
  ) {
    return publish(found, main);
  }
  // Writers leave out the first key frame now and then.
  const prepend = (value: number, rest: Float64Array): Float64Array => {
    const all = new Float64Array(rest.length + 1);
    all[0] = value;
    all.set(rest, 1);
    return all;
  };
  const cues = {
    ticks: prepend(key.ticks, found.ticks),
    clusters: prepend(key.cluster, found.clusters),
    relatives: prepend(0, found.relatives),
  };
  return publish(cues, main);
}

function firstAudio(
  main: OpenTrack,
  seen: FirstSeen | undefined,
  layout: Layout,
): { ticks: number; cluster: number } | undefined {
  const first = seen?.times[0];
  if (main.track.type !== 'audio' || first === undefined) return undefined;
  const ticks = Math.round((first * 1e9 + main.entry.codecDelay) / layout.info.timestampScale);
  return { ticks, cluster: layout.firstCluster };
}

/**
 * Seconds that a programme may well go on after its last key frame. The declared duration is that of the longest track, and subtitles are often longer than what
 * they belong to: where there are any, only a usual group of pictures is believed.
 */
function likelyRest({ cues }: OpenedIndex, tracks: ReadonlyMap<number, OpenTrack>): number {
  if (![...tracks.values()].some(({ track }) => track.type === 'subtitle')) return DOUBTFUL_SECONDS;
  let longest = 1;
  for (let i = 1; i < cues.times.length; i++) longest = Math.max(longest, cues.times[i]! - cues.times[i - 1]!);
  return Math.min(DOUBTFUL_SECONDS, longest + 1);
}

interface Programme {
  readonly startTime: number;
  readonly endTime: number | undefined;
  readonly lastCue: number;
}

/** Start and declared end of the programme. */
function programme(
  layout: Layout,
  tracks: ReadonlyMap<number, OpenTrack>,
  main: OpenTrack | undefined,
  cues: OpenedIndex | undefined,
): Programme {
  const media = [...tracks.values()].map(({ track }) => track).filter((track) => track.type !== 'subtitle');
  const starts = media.flatMap(({ startTime }) => (startTime === undefined ? [] : [startTime]));
  const startTime = starts.length === 0 ? 0 : Math.min(...starts);
  const lastCue = (cues?.cues.times.at(-1) ?? startTime) + (main?.frameDuration ?? 0);
  const { duration, timestampScale } = layout.info;
  if (duration === undefined) return { startTime, endTime: undefined, lastCue };
  const length = (duration * timestampScale) / 1e9;
  const end = writesAbsoluteTimes(layout) ? length : startTime + length;
  return { startTime, endTime: Math.max(end, lastCue), lastCue };
}

/** What was measured replaces what tags told. */
function withEnds(tracks: ReadonlyMap<number, OpenTrack>, ends: ReadonlyMap<number, number>): Map<number, OpenTrack> {
  const all = new Map<number, OpenTrack>();
  for (const [number, open] of tracks) {
    const endTime = ends.get(number);
    all.set(number, endTime === undefined ? open : { ...open, track: { ...open.track, endTime } });
  }
  return all;
}

function describeFile(file: MatroskaFile): MediaInfo {
  const { layout, main } = file;
  const tracks: Track[] = [...file.tracks.values()].map(({ track }) => track);
  return {
    container: layout.container,
    startTime: file.startTime,
    duration: file.endTime - file.startTime,
    tracks,
    ...(main?.track.type === 'video' && { videoTrackId: main.track.id }),
    chapters: completeChapters(layout.chapters, file.endTime),
    attachments: layout.attachments,
  };
}
