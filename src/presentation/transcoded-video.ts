import { AppError } from '../errors.ts';
import { type DirectInput, MOST_BOUNDARIES, videoArguments } from '../ffmpeg/arguments.ts';
import type { BurnInJob } from '../ffmpeg/burn-in.ts';
import { fragments } from '../ffmpeg/fragments.ts';
import type { PicturePlan } from '../ffmpeg/picture.ts';
import { transcode } from '../ffmpeg/transcoder.ts';
import type { VideoEncoder } from '../ffmpeg/video-encoders.ts';
import type { TimelineSegment } from '../hls/timeline.ts';
import type { Track } from '../media/types.ts';
import type { BurnIn } from './burn-in.ts';
import { type Direct, directVideo } from './direct.ts';
import { videoFeed } from './feed.ts';
import type { Picture } from './rendition.ts';
import { GRACE_MS, TranscodedRendition, type Workshop } from './transcoded.ts';

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
