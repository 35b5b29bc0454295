/**
 * A playlist as a MediaReader: its segments are the groups of pictures of the key-frame index, and a cut is read from the segments that it covers.
 *
 * Invariant: packets are a function of the cut, as long as the servers answer with the same bytes.
 */
import { AppError } from '../../errors.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, Packet, PacketBatch, TrackType } from '../types.ts';
import type { Clock } from './clock.ts';
import type { SegmentCache } from './segment-cache.ts';
import type { SegmentMedia } from './segment-media.ts';
import { isHole, type Sequence } from './sequence.ts';
import type { TextRendition } from './text-rendition.ts';

/** Segments fetched at the same time for one cut. */
const PARALLEL = 6;
/** Audio may lie in segments this far from its own time, seconds. */
const INTERLEAVE = 3;
/** Neighbours that are looked at for that, on each side. */
const MAX_NEIGHBOURS = 3;
/** By which times are rounded, at most. Seconds. */
const TOLERANCE = 0.001;

/** Which stream of which segments a track is. */
export interface Binding {
  readonly sequence: Sequence;
  readonly type: TrackType;
  /** Among the segment's streams of its type. */
  readonly position: number;
}

export interface HlsParts {
  readonly label: string;
  readonly info: MediaInfo;
  readonly keyframes: KeyframeIndex;
  /** The segment of the main playlist at which each entry of the index begins, and their count at the end. */
  readonly keySegments: readonly number[];
  readonly main: Sequence;
  readonly bindings: ReadonlyMap<number, Binding>;
  /** The subtitle tracks. */
  readonly texts: ReadonlyMap<number, TextRendition>;
  readonly clock: Clock;
  readonly cache: SegmentCache<SegmentMedia>;
  /** Ended by dispose. */
  readonly lifetime: AbortController;
  /** Bytes of all segments, as far as that can be told. */
  readonly size: number;
}

export class HlsReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes: KeyframeIndex;
  readonly size: number;
  readonly #parts: HlsParts;

  constructor(parts: HlsParts) {
    this.info = parts.info;
    this.keyframes = parts.keyframes;
    this.size = parts.size;
    this.#parts = parts;
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    signal.throwIfAborted();
    return this.keyframes;
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const { bindings, texts, label, lifetime, main } = this.#parts;
    const alive = AbortSignal.any([signal, lifetime.signal]);
    alive.throwIfAborted();
    const text = texts.get(trackId);
    if (text) return batchOf(await text.read(cut, alive));
    const binding = bindings.get(trackId);
    if (!binding) throw new AppError('media-not-playable', `${label} has a track ${trackId} that cannot be read.`);
    const { fromKey, toKey } = cut;
    if (binding.type !== 'video' || binding.sequence !== main || fromKey === undefined || toKey === undefined) {
      return batchOf(await this.#byTime(binding, cut.from, cut.to, alive));
    }
    return this.#byKeys(binding, fromKey, toKey, alive);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.lifetime.abort(new AppError('server-closing', `${this.#parts.label} was closed.`));
    await Promise.all([...this.#parts.texts.values()].map((text) => text[Symbol.asyncDispose]()));
    await this.#parts.cache[Symbol.asyncDispose]();
  }

  async #byKeys(binding: Binding, fromKey: number, toKey: number, signal: AbortSignal): Promise<PacketBatch> {
    const { keySegments, keyframes, main } = this.#parts;
    const from = keySegments[fromKey] ?? main.count;
    const to = keySegments[toKey] ?? main.count;
    const parts = await this.#segments(binding, from, to, signal);
    const packets = parts.flat();
    if (packets.length === 0) throw new AppError('media-damaged', `Segment ${from} of ${main.label} has no video.`);
    const next = keyframes.starts[toKey];
    return batchOf(packets, next !== undefined && follows(packets, next) ? next : undefined);
  }

  /** Packets that begin from `from` (inclusive) to `to` (exclusive), which may lie in the neighbours of the segments that cover that time. */
  async #byTime(binding: Binding, from: number, to: number, signal: AbortSignal): Promise<Packet[]> {
    const { sequence } = binding;
    if (from >= sequence.duration + INTERLEAVE || to <= from) return [];
    let first = from === Number.NEGATIVE_INFINITY ? 0 : sequence.at(from);
    let end = to === Number.POSITIVE_INFINITY ? sequence.count : sequence.at(to) + 1;
    // `to` is exclusive.
    if (end - 1 > first && sequence.starts[end - 1] === to) end -= 1;
    const parts = await this.#segments(binding, first, end, signal);
    for (let i = 0; i < MAX_NEIGHBOURS && first > 0; i++) {
      const begin = parts.find((packets) => packets.length > 0)?.[0]?.pts;
      if (begin !== undefined && begin <= from) break;
      if (from - (sequence.starts[first] as number) > INTERLEAVE) break;
      first -= 1;
      parts.unshift(await this.#neighbour(binding, first, signal));
    }
    for (let i = 0; i < MAX_NEIGHBOURS && end < sequence.count; i++) {
      const last = parts.findLast((packets) => packets.length > 0)?.at(-1);
      // Times are rounded: the next packet may begin a little before this one ends.
      if (last !== undefined && (last.pts >= to || last.pts + last.duration >= to + TOLERANCE)) break;
      if ((sequence.starts[end] as number) > to + INTERLEAVE) break;
      parts.push(await this.#neighbour(binding, end, signal));
      end += 1;
    }
    return parts.flat().filter(({ pts }) => pts >= from && pts < to);
  }

  /** One that is missing takes nothing from its neighbours but what lies in it. */
  async #neighbour(binding: Binding, n: number, signal: AbortSignal): Promise<Packet[]> {
    try {
      return await this.#packets(binding, n, signal);
    } catch (error) {
      if (signal.aborted || !isHole(error)) throw error;
      return [];
    }
  }

  async #segments(binding: Binding, from: number, to: number, signal: AbortSignal): Promise<Packet[][]> {
    const parts: Packet[][] = [];
    for (let n = from; n < to; n += PARALLEL) {
      const some = Array.from({ length: Math.min(PARALLEL, to - n) }, (_, i) => this.#packets(binding, n + i, signal));
      parts.push(...(await Promise.all(some)));
    }
    return parts;
  }

  /** The track's packets of one segment, on the presentation's clock. */
  async #packets({ sequence, type, position }: Binding, n: number, signal: AbortSignal): Promise<Packet[]> {
    const media = await sequence.load(n, signal);
    const stream = media.streams.filter((one) => one.type === type)[position];
    if (!stream || stream.packets.length === 0) return [];
    const offset = await this.#parts.clock.offsetFor(sequence, n, media, signal);
    const moved = stream.packets.map((packet) => ({ ...packet, pts: packet.pts + offset }));
    if (type === 'video') return moved;
    // What hangs over the end of a region would sound at the same time as the next one's beginning.
    const region = sequence.regionOf(n);
    const from = region.first === 0 ? Number.NEGATIVE_INFINITY : (sequence.starts[region.first] as number);
    const to = region.end === sequence.count ? Number.POSITIVE_INFINITY : (sequence.starts[region.end] as number);
    return moved.filter(({ pts }) => pts >= from - TOLERANCE && pts < to - TOLERANCE);
  }
}

/** Whether what is shown last reaches to about `next`: durations in playlists are rounded, and some far. */
function follows(packets: readonly Packet[], next: number): boolean {
  const last = packets.reduce<Packet | undefined>((late, one) => (late && late.pts >= one.pts ? late : one), undefined);
  if (!last) return false;
  const gap = next - (last.pts + last.duration);
  return next > last.pts && Math.abs(gap) < Math.max(0.01, last.duration / 2);
}

function batchOf(packets: readonly Packet[], nextStart?: number): PacketBatch {
  return { packets, ...(nextStart !== undefined && { nextStart }), [Symbol.dispose]: () => {} };
}
