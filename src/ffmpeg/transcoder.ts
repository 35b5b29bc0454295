/**
 * FFmpeg as a transformation of bytes: input on its standard input or from our loopback reader, output from its standard output.
 * Invariant: one generator owns one process, its pipes and the input's iterator from the first `next()` on. Whatever ends the work first (the exit, an
 * error of the input, the signal, silence, an early return) is what the consumer is told, and it is told when the process is gone.
 */
import { AppError } from '../errors.ts';
import { type Child, GRACE_MS, startChild } from './child.ts';
import { Feed, type Supply, type SupplyOpener } from './feed.ts';
import type { Spare } from './spare.ts';
import { StallTimer } from './stall-timer.ts';

/** Milliseconds. */
const STALL_MS = 20_000;
/** Characters of FFmpeg's words that a detail may carry. */
const WORDS_SHOWN = 200;
const LINES_SHOWN = 6;

export interface TranscodeOptions {
  /** Absolute path. */
  readonly ffmpeg: string;
  /** Passed as they are. No `-nostdin`, since the input comes that way; the output goes to `pipe:1`. */
  readonly args: readonly string[];
  /**
   * Bytes for standard input, pulled only as fast as FFmpeg reads (a piece's memory may be used anew when the next one is asked for), or what FFmpeg
   * fetches from an address in `args`.
   */
  readonly input: AsyncIterable<Uint8Array> | SupplyOpener;
  readonly signal: AbortSignal;
  /**
   * Milliseconds without output, counted only while the consumer waits for FFmpeg and FFmpeg does not wait for the input, that are a hang. 20,000 when absent.
   */
  readonly stallMs?: number;
  /**
   * Milliseconds from SIGTERM to SIGKILL when the work is ended early; 1,000 when absent. FFmpeg uses them to encode the frames that it still holds, for nobody.
   */
  readonly graceMs?: number;
  /** Nobody waits in front of a screen: it gets little processor time while others want it. */
  readonly background?: boolean;
  /** Where there may be a process already that was started with these arguments. */
  readonly spare?: Spare | undefined;
}

/** How FFmpeg ended, with its last words in the message: the cause of a `transcode-failed`. */
export class FfmpegFailure extends Error {
  readonly exitCode: number | null;
  readonly exitSignal: NodeJS.Signals | null;
  /** At most 4 KB. */
  readonly stderrTail: string;

  constructor({ exitCode, exitSignal, stderrTail, startFailure }: Child) {
    super(`${howItEnded(exitCode, exitSignal)}\n${stderrTail}`.trim(), { cause: startFailure });
    this.name = 'FfmpegFailure';
    this.exitCode = exitCode;
    this.exitSignal = exitSignal;
    this.stderrTail = stderrTail;
  }
}

function howItEnded(exitCode: number | null, exitSignal: NodeJS.Signals | null): string {
  if (exitSignal) return `FFmpeg was ended by ${exitSignal}`;
  return exitCode === null ? 'FFmpeg could not be started' : `FFmpeg ended with exit code ${exitCode}`;
}

/** The last line of FFmpeg's words, without addresses (they may carry secrets) and control characters, shortened. */
function lastWords(stderrTail: string): string {
  const line =
    stderrTail
      .trim()
      .split(/[\r\n]+/)
      .at(-1) ?? '';
  return plain(line);
}

function plain(line: string): string {
  const words = line
    .replace(/[a-z]+:\/\/\S+/gi, '…')
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  return words.length > WORDS_SHOWN ? `${words.slice(0, WORDS_SHOWN)}…` : words;
}

function failure(child: Child): AppError {
  const cause = new FfmpegFailure(child);
  const words = lastWords(cause.stderrTail);
  const end = howItEnded(cause.exitCode, cause.exitSignal);
  return new AppError('transcode-failed', words ? `${end}: ${words}` : `${end}.`, { cause });
}

/**
 * FFmpeg's standard output, read only as fast as the consumer asks: back-pressure through the pipe is the throttle. Ends when the output ends and the exit
 * status is 0. The process starts with the first `next()`. Returning early, also while a `next()` is pending, ends the process (SIGTERM, after a second
 * SIGKILL) and the input; `return` and every error come when the process is gone.
 * @throws AppError `transcode-failed` when FFmpeg fails or hangs, with a `FfmpegFailure` as its cause; what the input throws; the signal's reason.
 */
export function transcode(options: TranscodeOptions): AsyncGenerator<Uint8Array, void> {
  const left = new AbortController();
  const generator = output(options, left.signal);
  // A generator's own `return` would wait for a pending `next()`, and so for FFmpeg.
  const end = generator.return.bind(generator);
  generator.return = (value) => {
    left.abort();
    return end(value);
  };
  return generator;
}

async function* output(options: TranscodeOptions, left: AbortSignal): AsyncGenerator<Uint8Array, void> {
  if (left.aborted) return;
  const { ffmpeg: command, args, signal, background = false } = options;
  const stdin = 'supply' in options.input ? 'ignore' : 'pipe';
  const spare = await options.spare?.take({ ffmpeg: command, args });
  const child = spare ?? (await startChild({ command, args, stdin, background }, signal));
  const work = new Transcoding(options, child, left);
  try {
    for (;;) {
      const chunk = await work.next();
      if (chunk === undefined) break;
      yield chunk;
    }
  } finally {
    await work.end();
  }
  work.throwIfFailed();
}

/** What ended the work before FFmpeg itself did. */
type Ending = { readonly kind: 'left' | 'stalled' } | { readonly kind: 'error'; readonly error: unknown };

/** One process at work. */
class Transcoding {
  readonly #child: Child;
  readonly #feed: Supply;
  readonly #timer: StallTimer;
  readonly #options: TranscodeOptions;
  readonly #stopListening: () => void;
  #ending: Ending | undefined;
  /** Whether the consumer waits. */
  #asked = false;
  /** The process is gone and all that it wrote was read. */
  #closed = false;
  #wake: () => void = () => {};

  constructor(options: TranscodeOptions, child: Child, left: AbortSignal) {
    this.#options = options;
    this.#child = child;
    this.#timer = new StallTimer(options.stallMs ?? STALL_MS, () => this.#stop({ kind: 'stalled' }));
    const { input } = options;
    const changed = (): void => this.#watch();
    this.#feed = 'supply' in input ? input.supply(changed) : new Feed(input, child.stdin, changed);
    for (const event of ['readable', 'end', 'close']) child.stdout.on(event, () => this.#wake());
    void child.exited.then(() => this.#hasExited());
    void child.closed.then(() => {
      this.#closed = true;
      this.#wake();
    });
    void this.#feed.run().catch((error: unknown) => this.#stop({ kind: 'error', error }));
    const { signal } = options;
    const abort = (): void => this.#stop({ kind: 'error', error: signal.reason });
    signal.addEventListener('abort', abort, { once: true });
    this.#stopListening = () => signal.removeEventListener('abort', abort);
    left.addEventListener('abort', () => this.#stop({ kind: 'left' }), { once: true });
    if (signal.aborted) abort();
    else if (left.aborted) this.#stop({ kind: 'left' });
  }

  /** The next piece of output, undefined when there is no more. */
  async next(): Promise<Uint8Array | undefined> {
    this.#asked = true;
    this.#watch();
    try {
      return await this.#read();
    } finally {
      this.#asked = false;
      this.#watch();
      this.#timer.reset();
    }
  }

  /** Ends what still runs. Settles when the process is gone and its pipes are closed. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#asked = false;
    this.#watch();
    this.#stopListening();
    child.stdin.destroy();
    child.stdout.destroy();
    child.terminate(this.#options.graceMs ?? GRACE_MS);
    await Promise.all([child.exited, this.#feed.stop()]);
    child.closePipes();
    await child.closed;
  }

  /** To be called after `end`. */
  throwIfFailed(): void {
    const child = this.#child;
    const { stallMs = STALL_MS } = this.#options;
    if (this.#ending?.kind === 'left') return;
    if (this.#ending?.kind === 'error') throw this.#ending.error;
    if (this.#ending?.kind === 'stalled') {
      const detail = `FFmpeg was ended: it gave nothing for ${stallMs / 1000} s.`;
      throw new AppError('transcode-failed', detail, { cause: new FfmpegFailure(child) });
    }
    if (child.exitCode !== 0) throw failure(child);
  }

  async #read(): Promise<Uint8Array | undefined> {
    const { stdout } = this.#child;
    while (!this.#ending) {
      const chunk: Buffer | null = stdout.readableEnded ? null : stdout.read();
      if (chunk !== null) return chunk;
      // Closed, not only ended: the last words come through another pipe.
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  #hasExited(): void {
    this.#child.stdin.destroy();
    void this.#feed.stop();
  }

  /** FFmpeg is to blame for silence only while somebody waits for it and it has input to work on. */
  #watch(): void {
    this.#timer.running = this.#asked && !this.#ending && !this.#feed.waitingForInput;
  }

  /** The first cause is the one that is told. */
  #stop(ending: Ending): void {
    if (this.#ending) return;
    this.#ending = ending;
    this.#watch();
    void this.#feed.stop();
    // FFmpeg that writes to nobody ends sooner.
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.terminate(this.#options.graceMs ?? GRACE_MS);
    this.#wake();
  }
}

/** The last lines of FFmpeg's words behind an error, without addresses and control characters; undefined where FFmpeg has no part in it, or said nothing. */
export function ffmpegWords(error: Error): string | undefined {
  const { cause } = error;
  if (!(cause instanceof FfmpegFailure)) return undefined;
  const lines = cause.stderrTail
    .split(/[\r\n]+/)
    .map(plain)
    .filter((line) => line !== '');
  return lines.length === 0 ? undefined : lines.slice(-LINES_SHOWN).join('\n');
}
