import { AppError } from '../errors.ts';
import type { Encoders } from '../ffmpeg/hardware.ts';
import type { Timeline, TimelineSegment } from '../hls/timeline.ts';
import type { KeyframeIndex, Track } from '../media/types.ts';
import { endOf, type Opened, segmentsUntil } from './copied.ts';
import type { Direct } from './direct.ts';
import type { Journal } from './journal.ts';
import { heldSegment, type Rendition, type Segment } from './rendition.ts';
import { LOOK_AHEAD, Run, type SegmentMaker } from './run.ts';
import type { RunPool } from './run-pool.ts';
import type { SegmentStore } from './segment-store.ts';

/** What transcoded renditions share. */
export interface Workshop {
  readonly source: Opened;
  /** Identity of the source: part of the keys of stored segments. */
  readonly identity: string;
  readonly journal: Journal;
  readonly index: KeyframeIndex | undefined;
  /** Present where FFmpeg reads the source itself. */
  readonly direct: Direct | undefined;
  /** Of transcoded renditions. */
  readonly timeline: Timeline;
  readonly ffmpeg: string;
  readonly encoders: Encoders;
  readonly pool: RunPool;
  readonly store: SegmentStore;
  /** Milliseconds without output that are a hang. */
  readonly stallMs: number;
}

/** FFmpeg that is told to end would first encode what it has looked ahead at, for nobody: it gets this long, milliseconds. */
export const GRACE_MS = 30;
/** Viewers of one rendition whose next segments are kept from eviction. */
const PLACES = 12;

/**
 * A rendition that runs make. Segments come from the store, else from a run that is about to make them, else from a new run.
 * It owns its runs.
 */
export abstract class TranscodedRendition implements Rendition, AsyncDisposable {
  readonly name: string;
  readonly track: Track;
  readonly delivery = 'transcoded';
  abstract readonly codec: string;
  abstract readonly contentType: Rendition['contentType'];
  readonly extension = 'm4s';
  readonly segments: readonly TimelineSegment[];
  protected readonly shop: Workshop;
  /** Segments that a run makes in the time that a new one takes to begin. */
  protected abstract readonly reach: number;
  readonly #runs = new Set<Run>();
  /** Segments that viewers took last, the newest at the end: what follows them will be wanted next. */
  readonly #places: number[] = [];

  constructor(name: string, track: Track, shop: Workshop) {
    this.name = name;
    this.track = track;
    this.shop = shop;
    this.segments = segmentsUntil(shop.timeline, endOf(track, shop.source.info));
  }

  abstract init(near: number, signal: AbortSignal): Promise<Uint8Array>;
  protected abstract make(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array>;

  /** The name under which segments are stored: segments of one name all go with the same initialization segment. */
  protected get storedAs(): string {
    return this.name;
  }

  /** Whether a segment goes with those that are stored under `storedAs`. */
  protected keeps(_bytes: Uint8Array): boolean {
    return true;
  }

  /** Called when the last of its runs has ended. */
  protected rest(): void {}

  /** FFmpeg ends with status 0 even where its input broke off. @param made how many segments there are now, from the rendition's first. */
  protected assertWhole(made: number): void {
    const { length } = this.segments;
    if (made < length) throw new AppError('transcode-failed', `FFmpeg ended after segment ${made - 1} of ${length}.`);
  }

  async segment(n: number, signal: AbortSignal): Promise<Segment> {
    this.#protect(n);
    const stored = await this.shop.store.get(this.#key(n), signal);
    const { transcoded } = this.shop.journal;
    if (stored !== undefined) {
      transcoded.stored += 1;
      return heldSegment(stored);
    }
    signal.throwIfAborted();
    transcoded.awaited += 1;
    return heldSegment(await this.#runFor(n).wait(n, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new AppError('server-closing', 'The source is no longer open.');
    await Promise.all([...this.#runs].map((run) => run.stop(reason)));
    this.shop.store.unprotect(this);
  }

  #runFor(n: number): Run {
    for (const run of this.#runs) if (run.covers(n)) return run;
    const make: SegmentMaker = (first, signal) => this.make(first, signal);
    const { journal } = this.shop;
    const record = journal.run(this.name, n, (this.segments[n] as TimelineSegment).start);
    const run: Run = new Run({
      first: n,
      reach: this.reach,
      make,
      pool: this.shop.pool,
      // What viewers were given stays as it is.
      deliver: (made, bytes) => {
        record.madeSegment(this.segments[made] as TimelineSegment);
        if (this.keeps(bytes) && !this.shop.store.has(this.#key(made))) this.shop.store.put(this.#key(made), bytes);
      },
      has: (made) => this.shop.store.has(this.#key(made)),
      record,
      broke: (error) => journal.broke(record, error),
      ended: () => {
        this.#runs.delete(run);
        if (this.#runs.size === 0) this.rest();
      },
    });
    this.#runs.add(run);
    this.shop.pool.add(run);
    return run;
  }

  /** Keeps the store from evicting what comes next where viewers are. */
  #protect(n: number): void {
    const before = this.#places.indexOf(n - 1);
    if (before >= 0) this.#places.splice(before, 1);
    this.#places.push(n);
    if (this.#places.length > PLACES) this.#places.shift();
    const keys = this.#places.flatMap((place) =>
      Array.from({ length: LOOK_AHEAD }, (_, step) => this.#key(place + step)),
    );
    this.shop.store.protect(this, keys);
  }

  #key(n: number): { presentation: string; rendition: string; segment: number } {
    return { presentation: this.shop.identity, rendition: this.storedAs, segment: n };
  }
}
