/**
 * Brings bytes to a walker, in large reads, and owns them.
 *
 * Invariant: every buffer read is either the present one, or kept because packets are views of it, or has been given
 * back to the source. After `release` (or after `take`, by the owner of what it returned) none is held.
 */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { reach } from './far.ts';
import type { BlockWalker } from './walker.ts';

/** So little is asked for to see what comes next, not because all of it is wanted. */
const SMALL_STEP = 64 * 1024;
/** One read never asks for more; longer ranges come in pieces. */
const MAX_READ = 64 * 1024 * 1024;

/** Bytes that the frames of one cut may inflate to. Only subtitles are compressed in practice, and those are small: what needs more is a bomb. */
const MAX_INFLATED = 64 * 1024 * 1024;

const NOTHING = new Uint8Array(0);

export class Feed {
  readonly #source: Source;
  readonly #signal: AbortSignal;
  readonly #kept: Uint8Array[] = [];
  #present: Uint8Array | undefined;
  #presentUsed = false;
  #inflated = 0;
  /** Up to here, absolute, all will be wanted: where one read does not reach, the next ones go on in large pieces. */
  plannedEnd = 0;

  constructor(source: Source, signal: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /** Reads `length` bytes, or what is planned or the walker needs, if that is more, at the walker's position. False when there are none. */
  async fill(walker: BlockWalker, length: number): Promise<boolean> {
    this.#signal.throwIfAborted();
    const need = Math.min(walker.need, walker.end - walker.pos);
    const planned = this.plannedEnd - walker.pos;
    const most = Math.max(need, Math.min(Math.max(length, planned), MAX_READ, walker.end - walker.pos));
    const least = length <= SMALL_STEP ? Math.max(1, need, planned) : most;
    const wanted = reach(this.#source, walker.pos + least, walker.pos + most) - walker.pos;
    this.#dropPresent();
    walker.attach(NOTHING, walker.pos);
    if (wanted <= 0) return false;
    const bytes = await this.#source.read(walker.pos, wanted, this.#signal);
    this.#present = bytes;
    if (bytes.length < need) walker.truncate(walker.pos + bytes.length);
    walker.attach(bytes, walker.pos);
    walker.need = 0;
    return bytes.length > 0;
  }

  /** The present bytes are referred to from now on. */
  keep(): void {
    this.#presentUsed = true;
  }

  /**
   * Counts the bytes of a frame that was not stored as it is.
   * @throws AppError `media-damaged` when a cut has too many.
   */
  spend(bytes: number): void {
    this.#inflated += bytes;
    if (this.#inflated <= MAX_INFLATED) return;
    throw new AppError(
      'media-damaged',
      `${this.#source.label}: its compressed frames take more than ${MAX_INFLATED / 2 ** 20} MB in one segment, which no film's do.`,
    );
  }

  /** All buffers that packets refer to; the caller recycles them. */
  take(): Uint8Array[] {
    this.#dropPresent();
    return this.#kept.splice(0);
  }

  /** Gives everything back. */
  release(): void {
    for (const bytes of this.take()) this.#source.recycle(bytes);
  }

  #dropPresent(): void {
    if (this.#present === undefined) return;
    if (this.#presentUsed) this.#kept.push(this.#present);
    else this.#source.recycle(this.#present);
    this.#present = undefined;
    this.#presentUsed = false;
  }
}
