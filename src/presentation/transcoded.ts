import { AppError } from '../errors.ts';
import { adtsFrames } from '../ffmpeg/adts-frames.ts';
import { audioArguments, type DirectInput, videoArguments } from '../ffmpeg/arguments.ts';
import type { BurnInJob } from '../ffmpeg/burn-in.ts';
import { fragments } from '../ffmpeg/fragments.ts';
import type { Encoders } from '../ffmpeg/hardware.ts';
import type { PicturePlan } from '../ffmpeg/picture.ts';
import { AUDIO_RATE, type Mix, SOUND_BEFORE, soundInWords } from '../ffmpeg/sound.ts';
import { transcode } from '../ffmpeg/transcoder.ts';
import type { VideoEncoder } from '../ffmpeg/video-encoders.ts';
import type { Timeline, TimelineSegment } from '../hls/timeline.ts';
import { waitFor } from '../lib/abort.ts';
import { describeCodec } from '../media/codecs/codecs.ts';
import { type CopiedTrack, initSegment } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import type { KeyframeIndex, Packet, Track } from '../media/types.ts';
import type { BurnIn } from './burn-in.ts';
import { endOf, type Opened, segmentsUntil } from './copied.ts';
import { audioSpan, type Direct, directInput, directVideo, MOST_BOUNDARIES } from './direct.ts';
import { audioFeed, videoFeed } from './feed.ts';
import type { Journal } from './journal.ts';
import { LoudnessMeter } from './loudness.ts';
import { heldSegment, type Picture, type Rendition, type Segment } from './rendition.ts';
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
    return { presentation: this.shop.identity, rendition: this.storedAs, segment: n };
  }
}

export interface VideoQuality {
  readonly width: number;
  readonly height: number;
  readonly maxBitRate: number;
  /** What is done to the picture before it is encoded. */
  readonly plan: PicturePlan;
  /** level_idc. */
  readonly level: number;
  /** RFC 6381 of what the encoder makes of it. */
  readonly codec: string;
}

/** What one FFmpeg makes of what: segments from `first` (inclusive) to `to` (exclusive). */
interface Stretch {
  readonly first: number;
  readonly to: number;
  /** One segment that somebody waits for, whose input ends behind it (docs/decisions/0013). */
  readonly head: boolean;
  readonly encoder: VideoEncoder;
}

interface Fed {
  readonly input: AsyncIterable<Uint8Array>;
  readonly job?: BurnInJob;
}

/**
 * H.264 in one quality of the ladder.
 * Invariant: while `#encoders` is 1, all runs have written the same initialization segment, `#init`. When one writes another, because hardware failed and software
 * goes on (docs/decisions/0011), `#init` becomes that one, what is stored is forgotten, and from then on every segment has its own in front.
 */
export class TranscodedVideo extends TranscodedRendition {
  readonly contentType = 'video/mp4';
  protected readonly reach = 1;
  readonly #quality: VideoQuality;
  readonly #burnIn: BurnIn | undefined;
  #init: Uint8Array | undefined;
  #encoders = 1;
  #hardware = false;

  constructor(name: string, track: Track, quality: VideoQuality, shop: Workshop, burnIn?: BurnIn) {
    super(name, track, shop);
    this.#quality = quality;
    this.#burnIn = burnIn;
  }

  get codec(): string {
    return this.#quality.codec;
  }

  get maxBitRate(): number {
    return this.#quality.maxBitRate;
  }

  get processing(): readonly string[] {
    return this.#quality.plan.done;
  }

  get picture(): Picture | undefined {
    const { width, height, plan } = this.#quality;
    const { frameRate } = plan;
    return { width, height, range: 'SDR', ...(frameRate === undefined ? {} : { frameRate }) };
  }

  get changing(): boolean {
    return this.#hardware;
  }

  protected override get storedAs(): string {
    const name = this.#burnIn === undefined ? this.name : `${this.name}+${this.#burnIn.name}`;
    return this.#encoders === 1 ? name : `${name}-${this.#encoders}`;
  }

  protected override keeps(bytes: Uint8Array): boolean {
    return this.#encoders === 1 || isSelfContained(bytes);
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
    const { encoders, direct } = this.shop;
    const { length } = this.segments;
    for (let n = first; n < length; ) {
      const encoder = await encoders.current(signal);
      if (encoder.name !== 'software') this.#hardware = true;
      const isFirst = n === first;
      const head = isFirst && n + 1 < length && encoder.name === 'software' && !direct && !this.#burnIn;
      const most = direct ? length : Math.min(length, n + MOST_BOUNDARIES);
      const to = head ? n + 1 : Math.min(most, this.#burnIn?.stretchEnd(this.segments, n, isFirst) ?? length);
      yield* this.#stretch({ first: n, to, head, encoder }, signal);
      n = to;
    }
  }

  /** One FFmpeg. */
  async *#stretch(stretch: Stretch, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { encoders, source, index, direct } = this.shop;
    const { first, to, head, encoder } = stretch;
    const start = { track: this.track, index, time: (this.segments[first] as TimelineSegment).start };
    const until = this.segments[to]?.start ?? this.shop.timeline.duration;
    await using subtitles = await this.#burnIn?.begin(start, until, signal);
    try {
      if (direct) yield* this.#encodeDirectly(direct, first, encoder, signal);
      else {
        const fed = subtitles ?? { input: videoFeed(source, head ? { ...start, until } : start, signal) };
        yield* this.#encode(stretch, fed, signal);
      }
    } catch (error) {
      if (!signal.aborted && error instanceof AppError && error.code === 'transcode-failed')
        encoders.turnOff(encoder, error);
      throw error;
    }
  }

  async *#encode({ first, to, head, encoder }: Stretch, fed: Fed, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { ffmpeg, stallMs } = this.shop;
    const { plan: picture, ...quality } = this.#quality;
    const { input, job } = fed;
    // The one at which it ends too: it takes a key frame to tell the length of what precedes it.
    const boundaries = this.segments.slice(first, to + 1).map(({ start }) => start);
    const args = videoArguments({ ...quality, boundaries, picture, encoder, head, ...(job && { burnIn: job }) });
    let n = first;
    let init: Uint8Array = new Uint8Array(0);
    for await (const part of fragments(transcode({ ffmpeg, args, input, signal, stallMs, graceMs: GRACE_MS }))) {
      if ('init' in part) {
        init = part.init;
        this.#take(init);
        continue;
      }
      // A fragment belongs to the segment in which it starts; a segment without frames of its own is told as such.
      const at = part.baseMediaDecodeTime / 90_000;
      const end = this.segments[n + 1]?.start ?? Number.POSITIVE_INFINITY;
      if (at > end - 0.003)
        throw new AppError('transcode-failed', `Segment ${n} has no frames: the next one is at ${at.toFixed(3)} s.`);
      yield this.#encoders === 1 ? part.bytes : Buffer.concat([init, part.bytes]);
      n += 1;
      if (n === to && to < this.segments.length) return;
    }
    this.assertWhole(n);
  }

  async *#encodeDirectly(
    direct: Direct,
    first: number,
    encoder: VideoEncoder,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { source, ffmpeg, stallMs } = this.shop;
    const { track, segments } = this;
    const { plan: picture, ...quality } = this.#quality;
    const args = (input: DirectInput, boundaries: readonly number[]): string[] =>
      videoArguments({ ...quality, boundaries, picture, encoder, direct: input });
    const options = { ffmpeg, signal, stallMs, graceMs: GRACE_MS };
    let init: Uint8Array = new Uint8Array(0);
    for await (const made of directVideo({ direct, info: source.info, track, segments, args, options }, first)) {
      if ('init' in made) {
        init = made.init;
        this.#take(init);
      } else yield this.#encoders === 1 ? made.bytes : Buffer.concat([init, made.bytes]);
    }
  }

  #take(init: Uint8Array): void {
    if (this.#init !== undefined && Buffer.compare(this.#init, init) !== 0) this.#encoders += 1;
    this.#init = init;
  }
}

/** Whether a segment begins with an initialization segment of its own. */
function isSelfContained(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(4, 8)) === 'ftyp';
}

export interface AudioQuality {
  /** 1, 2 or 6. */
  readonly channels: number;
  /** LUFS that the track's loudness is brought to, by a constant gain (docs/decisions/0012); absent: left as it is. */
  readonly loudness?: number;
}

/** AAC-LC of one audio track. FFmpeg gives frames; segments are packaged here, on the absolute grid of 1,024 samples. */
export class TranscodedAudio extends TranscodedRendition {
  readonly contentType = 'audio/mp4';
  protected readonly reach = 6;
  readonly channels: number;
  readonly maxBitRate: number;
  readonly surround: boolean;
  readonly levelled: boolean;
  readonly processing: readonly string[];
  readonly #mix: Mix;
  readonly #out: CopiedTrack;
  readonly #meter: LoudnessMeter | undefined;

  constructor(name: string, track: Track, { channels, loudness: target }: AudioQuality, shop: Workshop) {
    super(name, track, shop);
    const { source, ffmpeg } = shop;
    const mix = { from: track.audio?.channels ?? 0, to: channels };
    this.channels = channels;
    this.maxBitRate = channels > 2 ? 384_000 : 160_000;
    this.surround = channels > 2;
    this.levelled = target !== undefined;
    this.processing = soundInWords(mix, track.audio?.sampleRate ?? 0, target);
    this.#mix = mix;
    this.#out = aacTrack(track, channels);
    this.#meter = target === undefined ? undefined : new LoudnessMeter({ source, track, mix, ffmpeg, target });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([super[Symbol.asyncDispose](), this.#meter?.[Symbol.asyncDispose]()]);
  }

  get codec(): string {
    return this.#out.config.codecString;
  }

  async init(): Promise<Uint8Array> {
    return initSegment(this.#out);
  }

  protected async *make(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { source, ffmpeg, stallMs, direct } = this.shop;
    const firstFrame = frameAt((this.segments[first] as TimelineSegment).start);
    const encodedFrom = Math.max(0, firstFrame - AUDIO_PREROLL_FRAMES + 1);
    const seconds = (encodedFrom * FRAME) / AUDIO_RATE;
    using loan = direct?.loopback.lend();
    const input = loan ?? audioFeed(source, this.track, seconds - SOUND_BEFORE, signal);
    const where = { info: source.info, track: this.track, span: audioSpan(seconds) };
    const args = audioArguments({
      ...(direct && loan ? { direct: directInput(direct, loan, where) } : {}),
      firstSample: encodedFrom * FRAME,
      mix: this.#mix,
      gain: this.#meter && (await waitFor(this.#meter.gain(), signal)),
      bitRate: this.maxBitRate,
    });
    // The first frame that the encoder gives is its priming: it holds the 1,024 samples before the first.
    let frame = encodedFrom - 1;
    let n = first;
    let packets: Packet[] = [];
    for await (const data of adtsFrames(transcode({ ffmpeg, args, input, signal, stallMs, graceMs: GRACE_MS }))) {
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
export function aacTrack(track: Track, channels: number): CopiedTrack {
  const privateData = Uint8Array.of((2 << 3) | (3 >> 1), ((3 & 1) << 7) | (channels << 3));
  const described = describeCodec({ codec: 'aac', privateData });
  if (!('config' in described)) throw new Error(described.notCopied);
  return { ...track, codec: 'aac', config: described.config };
}
