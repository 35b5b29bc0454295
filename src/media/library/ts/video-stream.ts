/**
 * The video of a transport stream: its access units in byte ranges, where a time begins on the grid, and the scan for key frames.
 * Invariant: a boundary is a function of the file and of the time alone, so that neighbouring cuts meet whoever asks first.
 */
import { AppError } from '../../../errors.ts';
import type { KeyframeIndex } from '../../types.ts';
import { TICKS } from './pes.ts';
import type { StreamEntry, StreamFile, TimedPes } from './stream-file.ts';
import { accessKind } from './video-access.ts';

/**
 * How far after a grid time a key frame is looked for, seconds; after that the cut starts with any frame. The rule speaks of the end of
 * the cut, which a neighbour does not know: the grid's pitch stands for it.
 */
const GRID_REACH = 6;
/** Reordering delays are below this, seconds. */
const REORDERING = 2;
/** Kept of an access unit to tell whether it is a key frame, bytes: parameter sets and supplemental information come first. */
const ACCESS_HEAD = 16 * 1024;
const MAX_BOUNDARIES = 4096;
/** Distance of the points that a scan leaves in the clock maps, bytes. */
const POINT_DISTANCE = 256 * 1024;
/** One cut's video beyond this is refused, bytes of the source. */
const MAX_CUT = 1024 * 1024 * 1024;

export interface Boundary {
  /** Position of the first transport packet of the first frame; Infinity past the last one. */
  readonly position: number;
  /** Lowest presentation time from that frame on, seconds; absent past the last one. */
  readonly start?: number;
}

export interface AccessUnit {
  readonly data: Uint8Array;
  readonly pts: number;
  readonly dts: number;
  readonly key: boolean;
}

interface Head {
  readonly position: number;
  readonly ticks: number;
  readonly decodeTicks: number;
  readonly key: boolean;
}

/** The lowest time of what is decoded from `from` on, as far as the list tells; true once nothing later can be lower. */
function lowestFrom(heads: readonly Head[], from: number): { ticks: number; final: boolean } {
  let ticks = Number.POSITIVE_INFINITY;
  for (let i = from; i < heads.length; i++) {
    if (heads[i]!.decodeTicks >= ticks) return { ticks, final: true };
    ticks = Math.min(ticks, heads[i]!.ticks);
  }
  return { ticks, final: false };
}

export class VideoStream {
  readonly entry: StreamEntry;
  readonly #file: StreamFile;
  /** Of the first key frame; what comes before cannot be decoded and is no part of the presentation. */
  readonly #first: Boundary;
  readonly #boundaries = new Map<number, Boundary>();

  constructor(file: StreamFile, entry: StreamEntry, first: Boundary) {
    this.#file = file;
    this.entry = entry;
    this.#first = first;
  }

  /**
   * Where the cut that starts at `time` (seconds) begins: at the first key frame from there on within GRID_REACH, else with the first
   * frame in decode order that is not shown earlier.
   */
  async boundary(time: number, signal: AbortSignal): Promise<Boundary> {
    if (time === Number.NEGATIVE_INFINITY) return this.#first;
    if (time === Number.POSITIVE_INFINITY) return { position: Number.POSITIVE_INFINITY };
    const known = this.#boundaries.get(time);
    if (known) return known;
    const found = await this.#findBoundary(time * TICKS, signal);
    if (this.#boundaries.size >= MAX_BOUNDARIES) this.#boundaries.clear();
    this.#boundaries.set(time, found);
    return found;
  }

  async #findBoundary(time: number, signal: AbortSignal): Promise<Boundary> {
    const file = this.#file;
    const from = await file.locate(this.entry.pid, time - REORDERING * TICKS, signal);
    const heads: Head[] = [];
    let any = -1;
    let chosen = -1;
    let result: Boundary | undefined;
    const decide = (head: Head): boolean => {
      heads.push(head);
      const index = heads.length - 1;
      if (any < 0 && head.ticks >= time) any = index;
      if (chosen < 0 && any >= 0) {
        if (head.key && head.ticks >= time && head.ticks < time + GRID_REACH * TICKS) chosen = index;
        else if (head.decodeTicks >= time + GRID_REACH * TICKS) chosen = any;
      }
      if (chosen < 0) return false;
      const { ticks, final } = lowestFrom(heads, chosen);
      if (final) result = { position: heads[chosen]!.position, start: ticks / TICKS };
      return final;
    };
    await file.walk({
      from: Math.max(from, this.#first.position),
      to: file.source.size,
      signal,
      pids: [this.entry.pid],
      limit: ACCESS_HEAD,
      flush: true,
      onPes: (pes) => {
        const timed = file.timed(pes);
        return timed && decide(this.#head(timed));
      },
    });
    if (result) return result;
    const index = chosen >= 0 ? chosen : any;
    if (index < 0) return { position: Number.POSITIVE_INFINITY };
    return { position: heads[index]!.position, start: lowestFrom(heads, index).ticks / TICKS };
  }

  #head(pes: TimedPes): Head {
    const key = accessKind(this.entry.kind.codec, pes.data, pes.randomAccess) === 'key';
    return { position: pes.position, ticks: pes.ticks, decodeTicks: pes.decodeTicks, key };
  }

  /**
   * The access units that start in [from, to), positions of boundaries, in decode order. PES packets without a time continue the one before.
   * @throws AppError `media-damaged` when the range is too large to hold, `source-*`; the signal's reason.
   */
  async accessUnits(from: number, to: number, signal: AbortSignal, emit: (unit: AccessUnit) => void): Promise<void> {
    const file = this.#file;
    const end = Math.min(to, file.source.size);
    if (from >= end) return;
    if (end - from > MAX_CUT) {
      throw new AppError('media-damaged', `${file.source.label} has no random access point for ${end - from} bytes.`);
    }
    let pending: { pes: TimedPes; parts: Uint8Array[] } | undefined;
    const give = (): void => {
      if (!pending) return;
      const { pes, parts } = pending;
      pending = undefined;
      const data = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      const key = accessKind(this.entry.kind.codec, data, pes.randomAccess) === 'key';
      emit({ data, pts: pes.ticks / TICKS, dts: pes.decodeTicks / TICKS, key });
    };
    await file.walk({
      from,
      to: end,
      signal,
      pids: [this.entry.pid],
      flush: true,
      onPes: (pes) => {
        const timed = file.timed(pes);
        if (timed) {
          give();
          pending = { pes: timed, parts: [timed.data] };
        } else pending?.parts.push(pes.data);
        return false;
      },
    });
    give();
  }

  /**
   * Reads the whole source for its key frames, and leaves points in the clock maps of all `pids` on the way.
   * @throws AppError `media-damaged` when there is no key frame, `source-*`; the signal's reason.
   */
  async scan(pids: readonly number[], signal: AbortSignal): Promise<KeyframeIndex> {
    const file = this.#file;
    const times: number[] = [];
    const starts: number[] = [];
    const positions: number[] = [];
    const video = (pes: TimedPes): void => {
      const head = this.#head(pes);
      const time = head.ticks / TICKS;
      if (head.key && time > (times.at(-1) ?? Number.NEGATIVE_INFINITY)) {
        times.push(time);
        starts.push(time);
        positions.push(head.position);
      } else if (starts.length > 0 && time < starts.at(-1)!) starts[starts.length - 1] = time;
    };
    await file.walk({
      from: this.#first.position,
      to: file.source.size,
      signal,
      pids,
      limit: ACCESS_HEAD,
      chunk: this.#file.source.latency === 'remote' ? 8 * 1024 * 1024 : 2 * 1024 * 1024,
      flush: true,
      onPes: (pes) => {
        const timed = file.timed(pes);
        if (!timed) return false;
        const clock = file.clock(pes.pid);
        if (!clock.covers(pes.position, POINT_DISTANCE)) clock.add(pes.position, timed.decodeTicks);
        if (pes.pid === this.entry.pid) video(timed);
        return false;
      },
    });
    if (times.length === 0) throw new AppError('media-damaged', `${file.source.label} holds no key frame.`);
    return {
      times: Float64Array.from(times),
      starts: Float64Array.from(starts),
      positions: Float64Array.from(positions),
    };
  }
}
