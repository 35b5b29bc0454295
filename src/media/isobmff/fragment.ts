/** Movie fragments: ISO/IEC 14496-12, 8.8. */
import { BoxError, boxes, child, u64 } from './boxes.ts';
import type { SampleTable } from './sample-table.ts';
import type { TrackExtends } from './track-box.ts';

/** The samples of one track in one fragment, in decode order. Times in ticks of the media. */
export interface TrackFragment {
  readonly trackId: number;
  readonly offsets: number[];
  readonly sizes: number[];
  readonly decode: number[];
  readonly composition: number[];
  readonly durations: number[];
  readonly keys: boolean[];
  /** Decode time of the first sample, and the one that follows the last. */
  readonly baseTime: number;
  endTime: number;
  /** Whether `baseTime` comes from a tfdt. */
  readonly hasTime: boolean;
  /** Of the sample description, from 0. */
  readonly descriptionIndex: number;
}

export interface FragmentContext {
  /** Byte position of the moof. */
  readonly offset: number;
  readonly fileSize: number;
  readonly defaults: ReadonlyMap<number, TrackExtends>;
  /** Decode time at which a track goes on where a fragment has no tfdt. */
  readonly nextTime: (trackId: number) => number;
}

/** Samples of a run without any field of their own take no bytes: more than this in one fragment is an attack. */
const MAX_BARE_SAMPLES = 100_000;

const NO_DEFAULTS: TrackExtends = { descriptionIndex: 1, duration: 0, size: 0, flags: 0 };
/** sample_is_non_sync_sample, and sample_depends_on 1. */
const NOT_SYNC = 0x10000 | 0x1000000;

interface TrackFragmentHeader extends TrackExtends {
  readonly trackId: number;
  /** Explicit base-data-offset. */
  readonly base: number | undefined;
  readonly baseIsMoof: boolean;
}

function parseHeader(tfhd: DataView, defaults: ReadonlyMap<number, TrackExtends>): TrackFragmentHeader {
  const flags = tfhd.getUint32(0) & 0xffffff;
  const trackId = tfhd.getUint32(4);
  const own = defaults.get(trackId) ?? NO_DEFAULTS;
  let at = 8;
  const field = (flag: number, fallback: number): number => {
    if ((flags & flag) === 0) return fallback;
    at += 4;
    return tfhd.getUint32(at - 4);
  };
  let base: number | undefined;
  if (flags & 1) {
    base = u64(tfhd, at);
    at += 8;
  }
  const descriptionIndex = field(2, own.descriptionIndex);
  const duration = field(8, own.duration);
  const size = field(0x10, own.size);
  return {
    trackId,
    base,
    baseIsMoof: (flags & 0x20000) !== 0,
    descriptionIndex,
    duration,
    size,
    flags: field(0x20, own.flags),
  };
}

/**
 * The tracks' samples of a `moof` body. Samples that do not lie within the file are left out with all that follow them.
 * @throws BoxError when a run says more samples than it holds.
 */
export function parseFragment(moof: DataView, context: FragmentContext): TrackFragment[] {
  const tracks = new Map<number, TrackFragment>();
  // 8.8.7.1: without a base of its own, the first track fragment counts from the moof, each other from the end of the one before.
  let dataEnd = context.offset;
  for (const { type, view } of boxes(moof)) {
    if (type !== 'traf') continue;
    const tfhd = child(view, 'tfhd');
    if (tfhd === undefined || tfhd.byteLength < 8) throw new BoxError('a fragment has no track header (tfhd)');
    const header = parseHeader(tfhd, context.defaults);
    const track = tracks.get(header.trackId) ?? startTrack(header, child(view, 'tfdt'), context);
    tracks.set(header.trackId, track);
    const base = header.base ?? (header.baseIsMoof ? context.offset : dataEnd);
    let position = base;
    for (const box of boxes(view)) {
      if (box.type === 'trun') position = addRun(track, box.view, header, base, position, context.fileSize);
    }
    dataEnd = position;
  }
  return [...tracks.values()].filter(({ sizes }) => sizes.length > 0);
}

function startTrack(header: TrackFragmentHeader, tfdt: DataView | undefined, context: FragmentContext): TrackFragment {
  const hasTime = tfdt !== undefined && tfdt.byteLength >= (tfdt.getUint8(0) === 1 ? 12 : 8);
  const told = hasTime ? (tfdt.getUint8(0) === 1 ? u64(tfdt, 4) : tfdt.getUint32(4)) : 0;
  const baseTime = hasTime ? told : context.nextTime(header.trackId);
  return {
    trackId: header.trackId,
    offsets: [],
    sizes: [],
    decode: [],
    composition: [],
    durations: [],
    keys: [],
    baseTime,
    endTime: baseTime,
    hasTime,
    descriptionIndex: Math.max(0, header.descriptionIndex - 1),
  };
}

/** Adds the samples of a `trun` (8.8.8); returns the byte position after them. */
function addRun(
  track: TrackFragment,
  trun: DataView,
  header: TrackFragmentHeader,
  base: number,
  previousEnd: number,
  fileSize: number,
): number {
  const flags = trun.getUint32(0) & 0xffffff;
  let count = trun.getUint32(4);
  let at = 8;
  let position = previousEnd;
  if (flags & 1) {
    position = base + trun.getInt32(at);
    at += 4;
  }
  let firstFlags: number | undefined;
  if (flags & 4) {
    firstFlags = trun.getUint32(at);
    at += 4;
  }
  const fields = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length;
  if (at + 4 * fields * count > trun.byteLength)
    throw new BoxError('a fragment (trun) says more samples than it holds');
  if (fields === 0) count = Math.min(count, Math.max(0, MAX_BARE_SAMPLES - track.sizes.length));
  for (let i = 0; i < count; i++) {
    const duration = flags & 0x100 ? trun.getUint32(at) : header.duration;
    if (flags & 0x100) at += 4;
    const size = flags & 0x200 ? trun.getUint32(at) : header.size;
    if (flags & 0x200) at += 4;
    const own = flags & 0x400 ? trun.getUint32(at) : header.flags;
    if (flags & 0x400) at += 4;
    const composition = flags & 0x800 ? trun.getInt32(at) : 0;
    if (flags & 0x800) at += 4;
    if (position < 0 || position + size > fileSize) return fileSize;
    const sampleFlags = i === 0 && firstFlags !== undefined ? firstFlags : own;
    track.offsets.push(position);
    track.sizes.push(size);
    track.decode.push(track.endTime);
    track.composition.push(composition);
    track.durations.push(duration);
    track.keys.push((sampleFlags & NOT_SYNC) === 0);
    track.endTime += duration;
    position += size;
  }
  return position;
}

/** The samples that the movie box lists itself, as if they were a fragment: writers that do not empty it. */
export function tableFragment(trackId: number, table: SampleTable): TrackFragment {
  const { count } = table;
  const offsets = new Float64Array(count);
  const sizes = new Uint32Array(count);
  const decode = new Float64Array(count);
  const composition = new Int32Array(count);
  const durations = new Uint32Array(count);
  table.locate(0, count, offsets, sizes);
  table.times(0, count, decode, composition, durations);
  const sync = table.sync && new Set(table.sync);
  return {
    trackId,
    offsets: [...offsets],
    sizes: [...sizes],
    decode: [...decode],
    composition: [...composition],
    durations: [...durations],
    keys: Array.from({ length: count }, (_, i) => sync === undefined || sync.has(i)),
    baseTime: 0,
    endTime: count > 0 ? decode[count - 1]! + durations[count - 1]! : 0,
    hasTime: true,
    descriptionIndex: table.descriptionIndex,
  };
}
