/** What is remembered of each fragment once it was seen, and how samples of fragments get their presentation times. */
import { type Box, boxes, viewOf } from './boxes.ts';
import { parseFragment, type TrackFragment, tableFragment } from './fragment.ts';
import type { SampleTable } from './sample-table.ts';
import type { TrackBox, TrackExtends } from './track-box.ts';

export interface FragmentEntry {
  readonly trackId: number;
  /** Decode time of its first sample, ticks: for fragments that do not say it. */
  readonly baseTime: number;
  /** Seconds: lowest presentation time, and highest presentation end. */
  readonly start: number;
  readonly end: number;
}

export interface FragmentInfo {
  /** Byte position of the moof. */
  readonly offset: number;
  /** Bytes of the moof with its header; 0 for the samples that the movie box lists. */
  readonly size: number;
  /** Byte position after its last sample. */
  readonly dataEnd: number;
  readonly entries: readonly FragmentEntry[];
}

/** A track of a fragmented file. */
export interface FragmentedTrack {
  readonly box: TrackBox;
  /** Seconds = ticks / timescale + shift: the first edit. Further edits have no meaning in a file that is written as it goes. */
  readonly shift: number;
  /** Samples in the movie box itself. */
  readonly table: SampleTable;
}

export class FragmentParser {
  readonly tracks: ReadonlyMap<number, FragmentedTrack>;
  readonly #defaults: ReadonlyMap<number, TrackExtends>;
  readonly #fileSize: number;

  constructor(
    tracks: ReadonlyMap<number, FragmentedTrack>,
    defaults: ReadonlyMap<number, TrackExtends>,
    fileSize: number,
  ) {
    this.tracks = tracks;
    this.#defaults = defaults;
    this.#fileSize = fileSize;
  }

  /**
   * The samples of a moof, given with its header.
   * @throws BoxError, RangeError when it is damaged.
   */
  parse(moof: Uint8Array, offset: number, nextTime: (trackId: number) => number): TrackFragment[] {
    const box: Box | undefined = boxes(viewOf(moof)).next().value;
    if (box === undefined) return [];
    const found = parseFragment(box.view, { offset, fileSize: this.#fileSize, defaults: this.#defaults, nextTime });
    return found.filter(({ trackId }) => this.tracks.has(trackId));
  }

  /** The samples of the movie box, as a first fragment; undefined when it has none. */
  tables(): TrackFragment[] | undefined {
    const found: TrackFragment[] = [];
    for (const [id, { table }] of this.tracks) if (table.count > 0) found.push(tableFragment(id, table));
    return found.length > 0 ? found : undefined;
  }

  pts(track: TrackFragment, i: number): number {
    const { box, shift } = this.tracks.get(track.trackId)!;
    return (track.decode[i]! + track.composition[i]!) / box.timescale + shift;
  }

  describe(offset: number, size: number, fragments: readonly TrackFragment[]): FragmentInfo {
    let dataEnd = offset + size;
    const entries = fragments.map((fragment): FragmentEntry => {
      const { timescale } = this.tracks.get(fragment.trackId)!.box;
      let start = Number.POSITIVE_INFINITY;
      let end = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < fragment.sizes.length; i++) {
        const pts = this.pts(fragment, i);
        if (pts < start) start = pts;
        const stop = pts + fragment.durations[i]! / timescale;
        if (stop > end) end = stop;
        const after = fragment.offsets[i]! + fragment.sizes[i]!;
        if (after > dataEnd) dataEnd = after;
      }
      return { trackId: fragment.trackId, baseTime: fragment.baseTime, start, end };
    });
    return { offset, size, dataEnd, entries };
  }
}

export function entryOf(fragment: FragmentInfo, trackId: number): FragmentEntry | undefined {
  for (const entry of fragment.entries) if (entry.trackId === trackId) return entry;
  return undefined;
}
