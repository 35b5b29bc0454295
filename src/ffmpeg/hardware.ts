/**
 * Which encoder makes H.264: a graphics processor's that has proved itself, else libx264.
 * Invariant: until the trials have ended nobody is told an encoder; then `#current` is hardware that encoded a second of video just now, or libx264. The first
 * failure in a run turns hardware off for the rest of the process; nothing turns it on again.
 */
import { AppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import { fragmentedOutput } from './arguments.ts';
import type { Capabilities } from './capabilities.ts';
import { fragments } from './fragments.ts';
import { transcode } from './transcoder.ts';
import { HARDWARE, type HardwareName, SOFTWARE, type VideoEncoder } from './video-encoders.ts';

/** Milliseconds that a trial may take. */
const TRIAL_MS = 5_000;
/** A second of video. */
const TRIAL = { width: 640, height: 360, rate: 25, level: 30, maxBitRate: 1_500_000 };
/** Seconds at which its segments start. */
const BOUNDARIES = [0, 0.48];

/** What came of one encoder. */
export interface Trial {
  readonly name: HardwareName;
  /** As FFmpeg calls it. */
  readonly encoder: string;
  /** Why it is not used, a sentence's worth without the full stop; absent when it worked. */
  readonly failure?: string;
}

export interface EncoderReport {
  /** The one that the next run uses, as FFmpeg calls it. */
  readonly encoder: string;
  /** In order of preference; empty when none was tried. */
  readonly trials: readonly Trial[];
}

export class Encoders {
  readonly #tell: (level: 'info' | 'warn', sentence: string) => void;
  readonly #trials: Promise<readonly Trial[]>;
  #current: VideoEncoder = SOFTWARE;
  /** Those that worked and then failed in a run. */
  readonly #failed = new Map<HardwareName, string>();

  /**
   * Begins the trials. @param choice `auto`: the best that works; `none`: no trial.
   * @param tell is called once with what came of them, and once for each encoder that fails later.
   * @param signal ends the trials: then libx264 is left.
   */
  constructor(
    choice: 'auto' | 'none' | HardwareName,
    capabilities: Promise<Capabilities>,
    tell: (level: 'info' | 'warn', sentence: string) => void,
    signal: AbortSignal,
  ) {
    this.#tell = tell;
    this.#trials = this.#try(choice, capabilities, signal);
  }

  /** What the next run should use, once the trials have ended. @throws the signal's reason. */
  async current(signal: AbortSignal): Promise<VideoEncoder> {
    await waitFor(this.#trials, signal);
    return this.#current;
  }

  async report(): Promise<EncoderReport> {
    const trials = await this.#trials;
    const now = trials.map((trial): Trial => {
      const failure = this.#failed.get(trial.name);
      return failure === undefined ? trial : { ...trial, failure };
    });
    return { encoder: this.#current.encoder, trials: now };
  }

  /** Told of an encoder that failed in a run; of libx264, and again, it is of no consequence. */
  turnOff({ name, encoder }: VideoEncoder, error: AppError): void {
    if (name === 'software' || this.#failed.has(name)) return;
    this.#failed.set(name, error.detail.replace(/\.$/, ''));
    this.#current = SOFTWARE;
    this.#tell('warn', `${encoder} failed and is off until the server starts again; libx264 goes on. ${error.detail}`);
  }

  async #try(
    choice: 'auto' | 'none' | HardwareName,
    capabilities: Promise<Capabilities>,
    signal: AbortSignal,
  ): Promise<readonly Trial[]> {
    const found = await capabilities.catch(() => undefined); // who asked for it reports it
    const { ffmpeg, encoders, canTranscodeVideo } = found ?? {};
    if (choice === 'none' || !ffmpeg || !encoders || !canTranscodeVideo) return [];
    const asked = HARDWARE.filter(({ name, encoder }) => (choice === 'auto' ? encoders.has(encoder) : name === choice));
    const trials = await Promise.all(
      asked.map(async ({ name, encoder, ...rest }): Promise<Trial> => {
        if (!encoders.has(encoder)) return { name, encoder, failure: 'this FFmpeg does not have it' };
        const failure = await tryOut(ffmpeg.path, { name, encoder, ...rest }, signal);
        return failure === undefined ? { name, encoder } : { name, encoder, failure };
      }),
    );
    if (!signal.aborted) this.#choose(choice, trials);
    return trials;
  }

  #choose(choice: 'auto' | HardwareName, trials: readonly Trial[]): void {
    const best = trials.find(({ failure }) => failure === undefined);
    const reasons = trials.map(({ encoder, failure }) => `${encoder}: ${failure}`).join('; ');
    if (best) {
      this.#current = HARDWARE.find(({ name }) => name === best.name) as VideoEncoder;
      this.#tell('info', `Video is encoded by ${best.encoder}.`);
    } else if (choice !== 'auto') {
      this.#tell('warn', `RAFFI_HWACCEL=${choice} does not work here, so libx264 is used. ${reasons}.`);
    } else if (trials.length > 0) {
      this.#tell('info', `No graphics processor encodes video here, so libx264 is used. ${reasons}.`);
    }
  }
}

/** Encodes a second of video as a run does. @returns why the encoder can't be used, undefined when it can. */
async function tryOut(ffmpeg: string, encoder: VideoEncoder, signal: AbortSignal): Promise<string | undefined> {
  const { width, height, rate } = TRIAL;
  const args = [
    ...['-hide_banner', '-loglevel', 'warning', ...encoder.device],
    ...['-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', `${width}x${height}`, '-r', String(rate), '-i', 'pipe:0'],
    ...['-vf', ['format=yuv420p', ...encoder.upload].join(',')],
    ...fragmentedOutput(encoder, TRIAL, BOUNDARIES),
  ];
  const late = AbortSignal.timeout(TRIAL_MS);
  const starts: number[] = [];
  try {
    const output = transcode({ ffmpeg, args, input: greys(), signal: AbortSignal.any([signal, late]), graceMs: 100 });
    for await (const part of fragments(output)) if (!('init' in part)) starts.push(part.baseMediaDecodeTime / 90_000);
  } catch (error) {
    if (late.aborted) return `it did not encode a second of video within ${TRIAL_MS / 1000} s`;
    return error instanceof AppError ? error.detail.replace(/\.$/, '') : 'the trial was broken off';
  }
  const exact = starts.length === BOUNDARIES.length && starts.every((at, n) => Math.abs(at - BOUNDARIES[n]!) < 0.02);
  return exact ? undefined : `its key frames stand at ${starts.map((at) => at.toFixed(2)).join(', ')} s`;
}

/** Frames of the trial, each of another grey. */
async function* greys(): AsyncGenerator<Uint8Array> {
  for (let frame = 0; frame < TRIAL.rate; frame++) {
    yield new Uint8Array((TRIAL.width * TRIAL.height * 3) / 2)
      .fill(128, TRIAL.width * TRIAL.height)
      .fill(16 + 8 * frame, 0, TRIAL.width * TRIAL.height);
  }
}
