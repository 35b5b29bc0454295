/**
 * A transport stream as a file of byte ranges: what its streams are, and where a time of one of them is found.
 * Invariant: everything here is a fact of the file once opened; only the clock maps grow, by points that are facts too.
 */
import type { Source } from '../../../source/source.ts';
import { AudioFramer, parserFor } from './audio-frames.ts';
import { ClockMap } from './clock-map.ts';
import { DisplaySets } from './display-sets.ts';
import { type Framing, walkPackets } from './framing.ts';
import { type Pes, PesAssembler, TICKS } from './pes.ts';
import type { StreamKind } from './stream-types.ts';
import { isJump, type Timeline } from './timeline.ts';

/** Kept of a PES packet whose payload does not matter, bytes: its header with all extensions. */
const HEADER_ONLY = 64;
/** Passing this many bytes without a packet of the PID ends a probe. */
const PROBE_LIMIT = 8 * 1024 * 1024;
/** A PES packet may lie this far from a video packet of the same time, seconds (the buffer model allows 1). */
const INTERLEAVING = 3;
/** Past this, a cut's audio is not looked for any further, seconds of the reference stream. */
const OVERRUN = 10;
const MAX_PROBES = 64;
/** Places at which the clock is looked at for running backwards. */
const SAMPLES = 24;
/** Read past the place where a cut's audio is known to end, bytes. */
const MARGIN = 128 * 1024;

export interface StreamEntry {
  readonly pid: number;
  readonly kind: StreamKind;
  readonly language?: string;
}

export interface TimedPes extends Pes {
  /** Unwrapped ticks. */
  readonly ticks: number;
  readonly decodeTicks: number;
}

export interface RangeOptions {
  readonly from: number;
  readonly to: number;
  readonly signal: AbortSignal;
  readonly pids: Iterable<number>;
  /** Bytes kept of each PES packet. */
  readonly limit?: number;
  /** Bytes per read; by default what suits the source. */
  readonly chunk?: number;
  /** True ends the walk. */
  readonly onPes: (pes: Pes) => boolean | undefined;
  /** The range ends where a packet starts (or the source does), so that what is pending is complete. */
  readonly flush: boolean;
}

export class StreamFile {
  readonly source: Source;
  readonly framing: Framing;
  readonly timeline: Timeline;
  readonly #clocks = new Map<number, ClockMap>();

  /** @param timeline its clock is the video, else the first audio: it orders the file. */
  constructor(source: Source, framing: Framing, timeline: Timeline) {
    this.source = source;
    this.framing = framing;
    this.timeline = timeline;
  }

  get clockPid(): number {
    return this.timeline.clockPid;
  }

  clock(pid: number): ClockMap {
    let map = this.#clocks.get(pid);
    if (!map) {
      map = new ClockMap();
      this.#clocks.set(pid, map);
    }
    return map;
  }

  /** Undefined for a PES packet without a time. */
  timed(pes: Pes): TimedPes | undefined {
    if (pes.pts === undefined) return undefined;
    const ticks = this.timeline.ticks(pes.pts, pes);
    const decodeTicks = Math.min(ticks, this.timeline.ticks(pes.dts ?? pes.pts, pes));
    return { ...pes, ticks, decodeTicks };
  }

  /**
   * Does the clock run backwards somewhere? Then reads the whole source for the places (a file that was put together from several).
   * Before any time is told. Not for remote sources, where looking costs too much: theirs keep the times as written.
   */
  async findJumps(frame: number, signal: AbortSignal): Promise<void> {
    if (this.source.latency === 'remote') return;
    let previous = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < SAMPLES; i++) {
      const from = this.framing.first + Math.floor(((this.source.size - this.framing.first) * i) / SAMPLES);
      const point = await this.#probe(this.clockPid, from, this.source.size, signal);
      if (typeof point !== 'object') continue;
      if (isJump(Math.min(0, point.ticks - previous))) {
        await this.#readJumps(frame, signal);
        return;
      }
      previous = point.ticks;
    }
  }

  async #readJumps(frame: number, signal: AbortSignal): Promise<void> {
    const take = this.timeline.jumpFinder(frame, this.source.label);
    await this.walk({
      from: this.framing.first,
      to: this.source.size,
      signal,
      pids: [this.clockPid],
      limit: HEADER_ONLY,
      flush: true,
      onPes: (pes) => {
        take(pes);
        return false;
      },
    });
  }

  get chunk(): number {
    return this.source.latency === 'remote' ? 8 * 1024 * 1024 : 1024 * 1024;
  }

  /** PES packets of some PIDs that start in a byte range, in file order. */
  async walk(options: RangeOptions): Promise<void> {
    let ended = false;
    const assembler = new PesAssembler(
      options.pids,
      (pes) => {
        if (!ended && options.onPes(pes)) ended = true;
      },
      options.limit,
    );
    await walkPackets({
      source: this.source,
      framing: this.framing,
      from: options.from,
      to: options.to,
      chunk: options.chunk ?? this.chunk,
      signal: options.signal,
      visit: (bytes, at, position) => {
        assembler.packet(bytes, at, position);
        return ended;
      },
    });
    if (options.flush && !ended) assembler.flush();
  }

  /**
   * A position at or before every packet of the PID whose decode time is >= `ticks`, and close to the first of them.
   * @throws AppError `source-*`; the signal's reason.
   */
  async locate(pid: number, ticks: number, signal: AbortSignal): Promise<number> {
    const found = await this.#search(pid, ticks, signal);
    if (found !== undefined || pid === this.clockPid) return found ?? this.framing.first;
    return (await this.#search(this.clockPid, ticks - INTERLEAVING * TICKS, signal)) ?? this.framing.first;
  }

  /** Undefined when a probe met no packet of the PID for too long. */
  async #search(pid: number, ticks: number, signal: AbortSignal): Promise<number | undefined> {
    const map = this.clock(pid);
    const { before, after } = map.bracket(ticks);
    if (!before) return this.framing.first;
    let low = before;
    let high = after ?? { position: this.source.size, ticks: Number.POSITIVE_INFINITY };
    const near = this.source.latency === 'remote' ? 2 * 1024 * 1024 : 256 * 1024;
    for (let probe = 0; probe < MAX_PROBES && high.position - low.position > near; probe++) {
      const span = high.position - low.position;
      const share = (ticks - low.ticks) / (high.ticks - low.ticks);
      // Interpolation, a little early; every third probe halves, so that an uneven bit rate cannot make it crawl.
      const guess = probe % 3 === 2 || !Number.isFinite(share) ? 0.5 : Math.min(0.95, Math.max(0.05, share - 0.02));
      const target = low.position + Math.max(1, Math.floor(span * guess));
      const point = await this.#probe(pid, target, high.position, signal);
      if (point === undefined) return undefined;
      if (point === 'none') high = { position: target, ticks: high.ticks };
      else {
        map.add(point.position, point.ticks);
        if (point.ticks <= ticks) low = point;
        else high = { position: target, ticks: point.ticks };
      }
    }
    return low.position;
  }

  /** The first packet of the PID in [from, to); 'none' when there is none; undefined when it is too far to tell. */
  async #probe(
    pid: number,
    from: number,
    to: number,
    signal: AbortSignal,
  ): Promise<{ position: number; ticks: number } | 'none' | undefined> {
    const end = Math.min(to, from + PROBE_LIMIT);
    let found: { position: number; ticks: number } | undefined;
    await this.walk({
      from,
      to: end,
      signal,
      pids: [pid],
      limit: HEADER_ONLY,
      chunk: this.source.latency === 'remote' ? 512 * 1024 : 128 * 1024,
      flush: true,
      onPes: (pes) => {
        const timed = this.timed(pes);
        if (timed) found = { position: timed.position, ticks: timed.decodeTicks };
        return found !== undefined;
      },
    });
    return found ?? (end < to ? undefined : 'none');
  }

  /**
   * The frames of an audio stream whose time lies in [from, to) seconds, in file order; PES packets as they are where frames of the
   * codec are not told apart.
   */
  async audioFrames(
    entry: StreamEntry,
    from: number,
    to: number,
    signal: AbortSignal,
    emit: (data: Uint8Array, pts: number, duration: number) => void,
  ): Promise<void> {
    // One second early, so that the framer is in step long before the first frame that counts.
    const start =
      from === Number.NEGATIVE_INFINITY
        ? this.framing.first
        : await this.locate(entry.pid, from * TICKS - TICKS, signal);
    let done = false;
    const give = (data: Uint8Array, ticks: number, duration: number): void => {
      const pts = ticks / TICKS;
      if (pts >= to) done = true;
      else if (pts >= from) emit(data, pts, duration);
    };
    const parse = parserFor(entry.kind.codec);
    const framer = parse && new AudioFramer(parse, this.timeline, (f) => give(f.data, f.ticks, f.duration));
    const isDisplaySets = entry.kind.codec === 'hdmv_pgs_subtitle';
    const sets = isDisplaySets && new DisplaySets((data, pes) => give(data, this.timeline.ticks(pes.pts, pes), 0));
    const assemblers = [
      new PesAssembler([entry.pid], (pes) => {
        if (framer) framer.push(pes);
        else if (sets) sets.push(pes);
        else if (pes.pts !== undefined) give(pes.data, this.timeline.ticks(pes.pts, pes), 0);
      }),
    ];
    if (this.clockPid !== entry.pid) {
      const passed = (pes: Pes): void => {
        const timed = this.timed(pes);
        if (timed && timed.decodeTicks / TICKS > to + OVERRUN) done = true;
      };
      assemblers.push(new PesAssembler([this.clockPid], passed, HEADER_ONLY));
    }
    await walkPackets({
      source: this.source,
      framing: this.framing,
      from: start,
      to: this.source.size,
      chunk: this.#audioChunk(entry.pid, start, to),
      signal,
      visit: (bytes, at, position) => {
        for (const assembler of assemblers) assembler.packet(bytes, at, position);
        return done;
      },
    });
    if (!done) {
      assemblers[0]!.flush();
    }
    framer?.flush();
  }

  /** What one read should take for the audio up to `to` (seconds) when the clock map knows where that is. */
  #audioChunk(pid: number, start: number, to: number): number {
    if (!Number.isFinite(to)) return this.chunk;
    const { after } = this.clock(pid).bracket(to * TICKS + TICKS / 2);
    const span = after === undefined ? this.chunk : after.position - start + MARGIN;
    return Math.max(MARGIN, Math.min(span, this.chunk));
  }
}
