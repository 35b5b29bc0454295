import { AppError } from '../errors.ts';
import { adtsFrames } from '../ffmpeg/adts-frames.ts';
import { AUDIO_RATE, audioArguments, videoArguments } from '../ffmpeg/arguments.ts';
import { fragments } from '../ffmpeg/fragments.ts';
import { transcode } from '../ffmpeg/transcoder.ts';
import type { Timeline, TimelineSegment } from '../hls/timeline.ts';
import { describeCodec } from '../media/codecs/codecs.ts';
import { type CopiedTrack, initSegment } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import type { KeyframeIndex, Packet, Track } from '../media/types.ts';
import { endOf, type Opened, segmentsUntil } from './copied.ts';
import { audioFeed, videoFeed } from './feed.ts';
import { heldSegment, type Picture, type Rendition, type Segment } from './rendition.ts';
import { LOOK_AHEAD, Run, type SegmentMaker } from './run.ts';
import type { RunPool } from './run-pool.ts';
import type { SegmentStore } from './segment-store.ts';

/** What transcoded renditions share. */
export interface Workshop {
  readonly source: Opened;
  /** Identity of the source: part of the keys of stored segments. */
  readonly identity: string;
  readonly index: KeyframeIndex | undefined;
  /** Of transcoded renditions. */
  readonly timeline: Timeline;
  readonly ffmpeg: string;
  readonly pool: RunPool;
  readonly store: SegmentStore;
}

/** Packets of the source before the first one that is kept, so that its decoder has settled, seconds. */
const AUDIO_PREROLL_SECONDS = 0.2;
/** AAC frames before the first one that is kept: the encoder's priming, and what its window and bit reservoir need. */
const AUDIO_PREROLL_FRAMES = 5;
/** FFmpeg that is told to end would first encode what it has looked ahead at, for nobody: it gets this long, milliseconds. */
const GRACE_MS = 100;
const FRAME = 1024;
/** Viewers of one rendition whose next segments are kept from eviction. */
const PLACES = 12;

/**
 * A rendition that runs make. Segments come from the store, else from a run that is about to make them, else from a new run.
 * It owns its runs.
 */
abstract class TranscodedRendition implements Rendition, AsyncDisposable {
  readonly name: string;
  readonly track: Track;
  readonly delivery = 'transcoded';
  abstract readonly codec: string;
  abstract readonly contentType: Rendition['contentType'];
  readonly extension = 'm4s';
  readonly segments: readonly TimelineSegment[];
  protected readonly shop: Workshop;
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

  /** FFmpeg ends with status 0 even where its input broke off. @param made how many segments there are now, from the rendition's first. */
  protected assertWhole(made: number): void {
    const { length } = this.segments;
    if (made < length) throw new AppError('transcode-failed', `FFmpeg ended after segment ${made - 1} of ${length}.`);
  }

  async segment(n: number, signal: AbortSignal): Promise<Segment> {
    this.#protect(n);
    const stored = await this.shop.store.get(this.#key(n), signal);
    if (stored !== undefined) return heldSegment(stored);
    signal.throwIfAborted();
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
    const run: Run = new Run({
      first: n,
      make,
      pool: this.shop.pool,
      deliver: (made, bytes) => this.shop.store.put(this.#key(made), bytes),
      ended: () => this.#runs.delete(run),
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
    return { presentation: this.shop.identity, rendition: this.name, segment: n };
  }
}

export interface VideoQuality {
  readonly width: number;
  readonly height: number;
  readonly maxBitRate: number;
  readonly filters: readonly string[];
  readonly frameRate: number | undefined;
  /** level_idc. */
  readonly level: number;
  /** RFC 6381 of what the encoder makes of it. */
  readonly codec: string;
}

/** H.264 in one quality of the ladder. */
export class TranscodedVideo extends TranscodedRendition {
  readonly contentType = 'video/mp4';
  readonly #quality: VideoQuality;
  /** All runs write the same one. */
  #init: Uint8Array | undefined;

  constructor(name: string, track: Track, quality: VideoQuality, shop: Workshop) {
    super(name, track, shop);
    this.#quality = quality;
  }

  get codec(): string {
    return this.#quality.codec;
  }

  get maxBitRate(): number {
    return this.#quality.maxBitRate;
  }

  get picture(): Picture | undefined {
    const { width, height, frameRate } = this.#quality;
    return { width, height, range: 'SDR', ...(frameRate === undefined ? {} : { frameRate }) };
  }

  /** It comes with the first segment of any run: the one where playing will probably start is made for it. */
  async init(near: number, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#init === undefined) {
      const later = this.segments.findIndex(({ start }) => start > near + 0.001);
      await this.segment(Math.max(0, (later < 0 ? this.segments.length : later) - 1), signal);
    }
    if (this.#init === undefined) await this.segment(0, signal);
    return this.#init as unknown as Uint8Array;
  }

  protected async *make(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { source, index, ffmpeg } = this.shop;
    const { width, height, maxBitRate, filters, level } = this.#quality;
    const boundaries = this.segments.slice(first).map(({ start }) => start);
    const input = videoFeed(source, this.track, index, boundaries[0] as number, signal);
    const args = videoArguments({ boundaries, width, height, maxBitRate, filters, level });
    let n = first;
    for await (const part of fragments(transcode({ ffmpeg, args, input, signal, graceMs: GRACE_MS }))) {
      if ('init' in part) {
        this.#init ??= part.init;
        continue;
      }
      // A fragment belongs to the segment in which it starts; a segment without frames of its own is told as such.
      const at = part.baseMediaDecodeTime / 90_000;
      const end = this.segments[n + 1]?.start ?? Number.POSITIVE_INFINITY;
      if (at > end - 0.003)
        throw new AppError('transcode-failed', `Segment ${n} has no frames: the next one is at ${at.toFixed(3)} s.`);
      yield part.bytes;
      n += 1;
    }
    this.assertWhole(n);
  }
}

/** AAC-LC of one audio track. FFmpeg gives frames; segments are packaged here, on the absolute grid of 1,024 samples. */
export class TranscodedAudio extends TranscodedRendition {
  readonly contentType = 'audio/mp4';
  readonly channels: number;
  readonly maxBitRate: number;
  readonly #out: CopiedTrack;

  constructor(name: string, track: Track, channels: number, shop: Workshop) {
    super(name, track, shop);
    this.channels = channels;
    this.maxBitRate = channels > 2 ? 384_000 : 160_000;
    this.#out = aacTrack(track, channels);
  }

  get codec(): string {
    return this.#out.config.codecString;
  }

  async init(): Promise<Uint8Array> {
    return initSegment(this.#out);
  }

  protected async *make(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { source, ffmpeg } = this.shop;
    const firstFrame = frameAt((this.segments[first] as TimelineSegment).start);
    const encodedFrom = Math.max(0, firstFrame - AUDIO_PREROLL_FRAMES + 1);
    const seconds = (encodedFrom * FRAME) / AUDIO_RATE;
    const input = audioFeed(source, this.track, seconds - AUDIO_PREROLL_SECONDS, signal);
    const args = audioArguments({
      firstSample: encodedFrom * FRAME,
      channels: this.channels,
      bitRate: this.maxBitRate,
    });
    // The first frame that the encoder gives is its priming: it holds the 1,024 samples before the first.
    let frame = encodedFrom - 1;
    let n = first;
    let packets: Packet[] = [];
    for await (const data of adtsFrames(transcode({ ffmpeg, args, input, signal, graceMs: GRACE_MS }))) {
      const end = this.#endFrame(n);
      if (frame >= end) {
        yield this.#package(n, packets);
        packets = [];
        n += 1;
        if (n === this.segments.length) return;
      }
      if (frame >= firstFrame)
        packets.push({ data, pts: (frame * FRAME) / AUDIO_RATE, duration: FRAME / AUDIO_RATE, key: true });
      frame += 1;
    }
    if (packets.length > 0) yield this.#package(n++, packets);
    this.assertWhole(n);
  }

  /** The first frame after segment `n`. */
  #endFrame(n: number): number {
    const next = this.segments[n + 1];
    if (next !== undefined) return frameAt(next.start);
    const last = this.segments[n] as TimelineSegment;
    return frameAt(last.start + last.duration) + 1;
  }

  #package(n: number, packets: readonly Packet[]): Uint8Array {
    const input = { track: this.#out, packets, startTime: 0, sequenceNumber: n + 1 };
    return mediaSegment(input, (length) => new Uint8Array(length));
  }
}

/** The first frame of the absolute grid that starts at or after `time`, presentation seconds. */
function frameAt(time: number): number {
  return Math.ceil((time * AUDIO_RATE) / FRAME - 1e-6);
}

/** AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of AAC-LC at 48 kHz: object type 2, frequency index 3, channels. */
function aacTrack(track: Track, channels: number): CopiedTrack {
  const privateData = Uint8Array.of((2 << 3) | (3 >> 1), ((3 & 1) << 7) | (channels << 3));
  const described = describeCodec({ codec: 'aac', privateData });
  if (!('config' in described)) throw new Error(described.notCopied);
  return { ...track, codec: 'aac', config: described.config };
}
