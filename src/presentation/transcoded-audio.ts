import { adtsFrames } from '../ffmpeg/adts-frames.ts';
import { audioArguments } from '../ffmpeg/arguments.ts';
import { AUDIO_RATE, type Mix, SOUND_BEFORE, soundInWords } from '../ffmpeg/sound.ts';
import { Spare } from '../ffmpeg/spare.ts';
import { transcode } from '../ffmpeg/transcoder.ts';
import type { TimelineSegment } from '../hls/timeline.ts';
import { waitFor } from '../lib/abort.ts';
import { describeCodec } from '../media/codecs/codecs.ts';
import { type CopiedTrack, initSegment } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import { silentFrame } from '../media/silence.ts';
import type { Packet, Track } from '../media/types.ts';
import { audioSpan, directInput } from './direct.ts';
import { audioFeed, audioPackets } from './feed.ts';
import { LoudnessMeter } from './loudness.ts';
import { GRACE_MS, TranscodedRendition, type Workshop } from './transcoded.ts';

/** AAC frames before the first one that is kept: the encoder's priming, and what its window and bit reservoir need. */
const AUDIO_PREROLL_FRAMES = 5;
const FRAME = 1024;
/** Frames (0.32 s) that are a whole number of milliseconds and of samples at every usual rate: a run's clock begins at a multiple of them. */
const ORIGIN_FRAMES = 15;
/** Seconds within which a packet is near a segment: it may be heard in it. */
const NEAR = 1;

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
  readonly #silent: Uint8Array | undefined;
  readonly #meter: LoudnessMeter | undefined;
  /** For the next seek: there while a run is. */
  readonly #spare = new Spare();

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
    this.#silent = silentFrame(this.#out.config)?.data;
    this.#meter = target === undefined ? undefined : new LoudnessMeter({ source, track, mix, ffmpeg, target });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([super[Symbol.asyncDispose](), this.#meter?.[Symbol.asyncDispose]()]);
    await this.#spare.end();
  }

  protected override rest(): void {
    void this.#spare.end();
  }

  get codec(): string {
    return this.#out.config.codecString;
  }

  async init(): Promise<Uint8Array> {
    return initSegment(this.#out);
  }

  protected async *make(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let n = first;
    // FFmpeg would make up what is missing before a packet all at once when that comes, 0.36 MB for each second.
    for (; await this.#isSilent(n, signal); n++) yield this.#package(n, this.#silence(n));
    yield* this.#encode(n, signal);
  }

  /** Whether the track has no packets in segment `n`, nor near it, and is not over. */
  async #isSilent(n: number, signal: AbortSignal): Promise<boolean> {
    const { source, direct } = this.shop;
    const next = this.segments[n + 1];
    if (direct || next === undefined || this.#silent === undefined) return false;
    const { startTime } = source.info;
    const from = (this.segments[n] as TimelineSegment).start - NEAR;
    const to = next.start + NEAR;
    const begin = this.track.startTime;
    if (begin !== undefined) return begin - startTime >= to;
    for await (const batch of audioPackets(source, this.track, from, to, signal)) {
      using held = batch;
      if (held.packets.length > 0) return false;
    }
    return true;
  }

  #silence(n: number): Packet[] {
    const first = frameAt((this.segments[n] as TimelineSegment).start);
    return Array.from({ length: this.#endFrame(n) - first }, (_, at) =>
      this.#packet(first + at, this.#silent as Uint8Array),
    );
  }

  #packet(frame: number, data: Uint8Array): Packet {
    return { data, pts: (frame * FRAME) / AUDIO_RATE, duration: FRAME / AUDIO_RATE, key: true };
  }

  async *#encode(first: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { source, ffmpeg, stallMs, direct } = this.shop;
    const firstFrame = frameAt((this.segments[first] as TimelineSegment).start);
    const needed = Math.max(0, firstFrame - AUDIO_PREROLL_FRAMES + 1);
    const ownClock = direct === undefined && isWhole(this.track.audio?.sampleRate ?? 0);
    const encodedFrom = ownClock ? originBefore(needed) : needed;
    const seconds = (encodedFrom * FRAME) / AUDIO_RATE;
    using loan = direct?.loopback.lend();
    const fed = { track: this.track, time: seconds - SOUND_BEFORE, origin: ownClock ? seconds : 0 };
    const input = loan ?? audioFeed(source, fed, signal);
    const where = { info: source.info, track: this.track, span: audioSpan(seconds) };
    const args = audioArguments({
      ...(direct && loan ? { direct: directInput(direct, loan, where) } : {}),
      firstSample: ownClock ? 0 : encodedFrom * FRAME,
      mix: this.#mix,
      gain: this.#meter && (await waitFor(this.#meter.gain(), signal)),
      bitRate: this.maxBitRate,
    });
    const spare = ownClock ? this.#spare : undefined;
    // The first frame that the encoder gives is its priming: it holds the 1,024 samples before the first.
    let frame = encodedFrom - 1;
    let n = first;
    let packets: Packet[] = [];
    const output = transcode({ ffmpeg, args, input, signal, stallMs, graceMs: GRACE_MS, spare });
    for await (const data of adtsFrames(output)) {
      const end = this.#endFrame(n);
      if (frame >= end) {
        yield this.#package(n, packets);
        packets = [];
        n += 1;
        if (n === this.segments.length) return;
        spare?.prepare({ ffmpeg, args });
      }
      if (frame >= firstFrame) packets.push(this.#packet(frame, data));
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

/** Whether a run's origin is a whole sample at this rate: FFmpeg rounds times to samples, at other rates differently in each run. */
function isWhole(rate: number): boolean {
  return (ORIGIN_FRAMES * FRAME * rate) % AUDIO_RATE === 0;
}

function originBefore(frame: number): number {
  return Math.floor(frame / ORIGIN_FRAMES) * ORIGIN_FRAMES;
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
