/** All packets of an initialization section and a media segment (ISO/IEC 23009-1, RFC 8216 section 3.3) that are held in memory, one after the other. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { CodecConfig, Packet } from '../types.ts';
import { BoxError } from './boxes.ts';
import { readLayout, Window } from './file-layout.ts';
import type { TrackFragment } from './fragment.ts';
import { FragmentParser } from './fragment-map.ts';
import { fragmentedTracks } from './fragmented-open.ts';
import { listOf } from './presented-track.ts';
import { readSamples } from './sample-reads.ts';
import { type MovieBox, parseMovieBox, parseTrackExtends, type TrackBox } from './track-box.ts';

export interface SegmentPart {
  readonly type: 'video' | 'audio';
  readonly codec: string;
  readonly packets: readonly Packet[];
  /** What the initialization section says of the codec. */
  readonly privateData: Uint8Array | undefined;
}

/** Boxes of one segment. */
const MAX_BOXES = 100_000;

/**
 * @param source local: its bytes are held by the packets.
 * @param configOf the codec of a stream that is copied, by its type and place among those of its type.
 * @throws AppError `media-damaged`; the signal's reason.
 */
export async function readSegment(
  source: Source,
  configOf: (type: 'video' | 'audio', index: number) => CodecConfig | undefined,
  signal: AbortSignal,
): Promise<SegmentPart[]> {
  try {
    const window = new Window(source, signal);
    const layout = await readLayout(window);
    const movie = parseMovieBox(layout.moov);
    const tracks = fragmentedTracks(movie, source.size);
    const defaults = movie.mvex === undefined ? new Map() : parseTrackExtends(movie.mvex);
    const parser = new FragmentParser(tracks, defaults, source.size);
    const fragments = await readFragments(window, parser, layout.moovEnd);
    const counts = { video: 0, audio: 0 };
    const parts: SegmentPart[] = [];
    for (const box of mediaTracks(movie, parser)) {
      const type = box.kind as 'video' | 'audio';
      const config = configOf(type, counts[type]++);
      const own = fragments.filter(({ trackId }) => trackId === box.id);
      const entry = box.entries[own[0]?.descriptionIndex ?? 0] ?? box.entries[0];
      const packets = await packetsOf(source, parser, box, own, config, signal);
      parts.push({ type, codec: entry?.codec ?? 'unknown', packets, privateData: entry?.privateData });
    }
    return parts;
  } catch (error) {
    if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
    throw new AppError('media-damaged', `${source.label}: ${error.message}.`, { cause: error });
  }
}

function mediaTracks(movie: MovieBox, parser: FragmentParser): TrackBox[] {
  return movie.tracks.filter(({ id, kind }) => kind !== 'subtitle' && parser.tracks.has(id));
}

async function readFragments(window: Window, parser: FragmentParser, from: number): Promise<TrackFragment[]> {
  const found: TrackFragment[] = [];
  const next = new Map<number, number>();
  let offset = from;
  for (let i = 0; i < MAX_BOXES; i++) {
    const box = await window.box(offset);
    if (box === undefined) break;
    if (box.type === 'moof') {
      const bytes = await window.bytes(box.offset, box.end - box.offset);
      for (const fragment of parser.parse(bytes, box.offset, (id) => next.get(id) ?? 0)) {
        next.set(fragment.trackId, fragment.endTime);
        found.push(fragment);
      }
    }
    offset = box.end;
  }
  return found;
}

async function packetsOf(
  source: Source,
  parser: FragmentParser,
  { timescale, kind }: TrackBox,
  fragments: readonly TrackFragment[],
  config: CodecConfig | undefined,
  signal: AbortSignal,
): Promise<readonly Packet[]> {
  const list = listOf(fragments.reduce((sum, { sizes }) => sum + sizes.length, 0));
  let at = 0;
  for (const fragment of fragments) {
    for (let i = 0; i < fragment.sizes.length; i++, at++) {
      list.offsets[at] = fragment.offsets[i]!;
      list.sizes[at] = fragment.sizes[i]!;
      list.pts[at] = parser.pts(fragment, i);
      list.durations[at] = fragment.durations[i]! / timescale;
      list.keys[at] = kind !== 'video' || fragment.keys[i] ? 1 : 0;
    }
  }
  // Nothing of it is handed back: the source is memory.
  const batch = await readSamples(source, list, signal, { audio: kind === 'audio' ? config : undefined });
  return batch.packets;
}
