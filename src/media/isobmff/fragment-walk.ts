/**
 * Walks from fragment to fragment and makes the index of a file that has none.
 *
 * Invariant: `fragments` holds every fragment before `#position`, in the file's order, and only grows; it is complete when `done`. At most one walk runs;
 * it obeys the lifetime's signal, not that of anyone who waits. After a failure (`#failure`) the next one who waits starts it again where it stopped.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { waitFor } from '../../lib/abort.ts';
import type { Source } from '../../source/source.ts';
import type { KeyframeIndex } from '../types.ts';
import { BoxError } from './boxes.ts';
import { headerOf, type TopLevelBox, type Window } from './file-layout.ts';
import type { TrackFragment } from './fragment.ts';
import { entryOf, type FragmentInfo, type FragmentParser } from './fragment-map.ts';
import { KeyframeCollector } from './keyframe-index.ts';

/** Bytes that are read at each hop: a header and most moofs; over a network many fragments, where they are small. */
const AHEAD = { local: 16 * 1024, remote: 64 * 1024 };
const SMALL_HOP = 512 * 1024;
const AHEAD_OF_SMALL_HOPS = 1024 * 1024;
const MAX_MOOF = 16 * 1024 * 1024;
const MAX_FRAGMENTS = 4_000_000;
/** Over all fragments: runs without fields claim samples for nothing. */
const MAX_SAMPLES = 50_000_000;
/** Milliseconds of work between two turns of the event loop. */
const TURN = 8;
/** Seconds between entry points of a file without video. */
const AUDIO_STEP = 1;

/** Where a key frame stands. */
export interface KeyPlace {
  readonly fragment: number;
  /** Sample of the track in that fragment. */
  readonly sample: number;
}

/** A window that moves forward and hands its memory back. */
export class Hopper {
  readonly #source: Source;
  #window: Pick<Window, 'held'> | undefined;
  #offset = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  /** @param window what was read before; let go by `release` */
  constructor(source: Source, window?: Pick<Window, 'held'>) {
    this.#source = source;
    this.#window = window;
  }

  /** Valid until the next call; shorter than `length` only at the end of the file. */
  async bytes(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const held = this.#window?.held(offset, length);
    if (held !== undefined) return held;
    const end = Math.min(offset + length, this.#source.size);
    if (offset < this.#offset || end > this.#offset + this.#bytes.length) {
      const { latency } = this.#source;
      const isNear = latency === 'remote' && offset > this.#offset && offset - this.#offset < SMALL_HOP;
      const ahead = isNear ? AHEAD_OF_SMALL_HOPS : AHEAD[latency];
      const fresh = await this.#source.read(offset, Math.max(length, ahead), signal);
      this.#source.recycle(this.#bytes);
      this.#bytes = fresh;
      this.#offset = offset;
    }
    const at = offset - this.#offset;
    return this.#bytes.subarray(at, Math.max(at, Math.min(at + length, this.#bytes.length)));
  }

  async box(offset: number, signal: AbortSignal): Promise<TopLevelBox | undefined> {
    return headerOf(await this.bytes(offset, 16, signal), offset, this.#source.size);
  }

  /** A whole moof; undefined when it is cut off or too large for one. */
  async moof(box: TopLevelBox, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const size = box.end - box.offset;
    if (size > MAX_MOOF || box.end > this.#source.size) return undefined;
    const bytes = await this.bytes(box.offset, size, signal);
    return bytes.length === size ? bytes : undefined;
  }

  release(): void {
    this.#window = undefined;
    this.#source.recycle(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }
}

export class FragmentWalk {
  readonly fragments: FragmentInfo[] = [];
  /** Of the indexed track, by key frame. */
  readonly keys: KeyPlace[] = [];
  readonly #source: Source;
  readonly #parser: FragmentParser;
  readonly #indexed: number;
  readonly #isVideo: boolean;
  readonly #lifetime: AbortSignal;
  readonly #hopper: Hopper;
  readonly #collector = new KeyframeCollector();
  /** Decode time at which each track goes on, ticks. */
  readonly #nextTime = new Map<number, number>();
  readonly #bytes = new Map<number, number>();
  readonly #ends = new Map<number, number>();
  #position: number;
  #samples = 0;
  #done = false;
  #running = false;
  #failure: unknown;
  #progress = Promise.withResolvers<void>();

  /**
   * @param indexed id of the track whose key frames are the index
   * @param start byte position of the first box after moov
   */
  constructor(window: Window, parser: FragmentParser, indexed: number, start: number, lifetime: AbortSignal) {
    this.#source = window.source;
    this.#parser = parser;
    this.#indexed = indexed;
    this.#isVideo = parser.tracks.get(indexed)?.box.kind === 'video';
    this.#position = start;
    this.#lifetime = lifetime;
    this.#hopper = new Hopper(window.source, window);
    const listed = parser.tables();
    if (listed !== undefined) this.#add(0, 0, listed);
  }

  get done(): boolean {
    return this.#done;
  }

  /** Bytes of a track's samples so far. */
  bytesOf(trackId: number): number {
    return this.#bytes.get(trackId) ?? 0;
  }

  /** Highest presentation end of a track so far, in seconds. */
  endOf(trackId: number): number | undefined {
    return this.#ends.get(trackId);
  }

  /** Presentation time of the last key frame so far. */
  get lastKeyTime(): number {
    return this.#collector.lastTime;
  }

  /** The index of what was walked over, or undefined while it has no entry. */
  index(): KeyframeIndex | undefined {
    return this.#collector.length > 0 ? this.#collector.finish() : undefined;
  }

  /** Takes up to `hops` boxes at once, on the caller's account. */
  async walkSome(hops: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    const end = performance.now() + milliseconds;
    for (let i = 0; i < hops && !this.#done; i++) {
      await this.#hop(signal);
      if (performance.now() > end) break;
    }
  }

  /** Lets go of what was read so far: to be called when opening has ended. */
  release(): void {
    this.#hopper.release();
  }

  /** Waits until `reached`, or the end of the file. Walks on in the background for as long as the reader lives. */
  async until(reached: () => boolean, signal: AbortSignal): Promise<void> {
    while (!this.#done && !reached()) {
      signal.throwIfAborted();
      this.#start();
      await waitFor(this.#progress.promise, signal);
      if (this.#failure !== undefined) {
        const failure = this.#failure;
        if (!this.#running) throw failure;
      }
    }
  }

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#failure = undefined;
    void this.#run();
  }

  async #run(): Promise<void> {
    try {
      let turn = performance.now();
      while (!this.#done) {
        this.#lifetime.throwIfAborted();
        await this.#hop(this.#lifetime);
        if (performance.now() - turn < TURN) continue;
        this.#tell();
        await nextTurn();
        turn = performance.now();
      }
    } catch (error) {
      this.#failure = error;
    } finally {
      this.#running = false;
      this.#hopper.release();
      this.#tell();
    }
  }

  #tell(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers<void>();
  }

  /** One top-level box. What is no box, or is cut off, ends the file: recordings break off anywhere. */
  async #hop(signal: AbortSignal): Promise<void> {
    const box = await this.#hopper.box(this.#position, signal);
    if (box === undefined || box.offset >= this.#source.size) {
      this.#done = true;
      return;
    }
    if (box.type === 'moof' && !(await this.#takeMoof(box, signal))) {
      this.#done = true;
      return;
    }
    this.#position = box.end;
  }

  async #takeMoof(box: TopLevelBox, signal: AbortSignal): Promise<boolean> {
    if (this.fragments.length >= MAX_FRAGMENTS || this.#samples >= MAX_SAMPLES) return false;
    const moof = await this.#hopper.moof(box, signal);
    if (moof === undefined) return false;
    try {
      const tracks = this.#parser.parse(moof, box.offset, (id) => this.#nextTime.get(id) ?? 0);
      this.#add(box.offset, box.end - box.offset, tracks);
      return true;
    } catch (error) {
      if (error instanceof BoxError || error instanceof RangeError) return true;
      throw error;
    }
  }

  #add(offset: number, size: number, tracks: readonly TrackFragment[]): void {
    const info = this.#parser.describe(offset, size, tracks);
    this.fragments.push(info);
    for (const track of tracks) {
      this.#nextTime.set(track.trackId, track.endTime);
      this.#samples += track.sizes.length;
      let bytes = this.#bytes.get(track.trackId) ?? 0;
      for (const sample of track.sizes) bytes += sample;
      this.#bytes.set(track.trackId, bytes);
      const end = entryOf(info, track.trackId)!.end;
      this.#ends.set(track.trackId, Math.max(end, this.#ends.get(track.trackId) ?? end));
      if (track.trackId === this.#indexed) this.#index(track, offset || track.offsets[0]!);
    }
  }

  #index(track: TrackFragment, byte: number): void {
    const fragment = this.fragments.length - 1;
    for (let i = 0; i < track.sizes.length; i++) {
      const pts = this.#parser.pts(track, i);
      const isPlace = this.#isVideo ? track.keys[i]! : i === 0 && pts >= this.#collector.lastTime + AUDIO_STEP;
      if (isPlace && this.#collector.addKey(pts, byte)) this.keys.push({ fragment, sample: i });
      else if (this.#isVideo) this.#collector.addFrame(pts);
    }
  }
}
