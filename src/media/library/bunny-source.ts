/** mediabunny's view of a Source, and its failures as ours. */
import type { CustomSource, Input } from 'mediabunny';
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';

/** No metadata block or frame of these formats needs more at once, bytes. */
const MAX_READ = 64 * 1024 * 1024;

export type Mediabunny = typeof import('mediabunny');

/**
 * One Input over one Source. Invariant: every read obeys the signal of the phase it happens in (the opening's, then the lifetime's), so
 * that after disposal nothing reads.
 */
export class BunnyInput implements Disposable {
  readonly input: Input<CustomSource>;
  readonly #source: Source;
  readonly #lifetime = new AbortController();
  #phase: AbortSignal;

  /** @param size bytes of the source that the library is shown. */
  constructor(bunny: Mediabunny, source: Source, size: number, opening: AbortSignal) {
    this.#source = source;
    this.#phase = AbortSignal.any([opening, this.#lifetime.signal]);
    this.input = new bunny.Input({
      source: new bunny.CustomSource({
        getSize: () => size,
        read: (start, end) => this.#read(start, end),
        maxCacheSize: 4 * 1024 * 1024,
        prefetchProfile: source.latency === 'remote' ? 'network' : 'fileSystem',
        handleUnhandledError: () => {},
      }),
      formats: [bunny.OGG, bunny.FLAC, bunny.WAVE, bunny.MP3],
    });
  }

  async #read(start: number, end: number): Promise<Uint8Array> {
    const label = this.#source.label;
    if (end - start > MAX_READ) {
      throw new AppError('media-damaged', `${label} has a block of ${end - start} bytes, more than any that is valid.`);
    }
    const bytes = await this.#source.read(start, end - start, this.#phase);
    if (bytes.length !== end - start) {
      throw new AppError('source-truncated', `${label} ends at byte ${start + bytes.length}, short of its size.`);
    }
    return bytes;
  }

  /** Opening is over: from now on only disposal ends reads. */
  opened(): void {
    this.#phase = this.#lifetime.signal;
  }

  /**
   * Waits for the library, no longer than the signal allows.
   * @throws AppError its own failures as `media-damaged`, those of the source as they are; the signal's reason.
   */
  async wait<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#lifetime.signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => {
      aborted.reject(signal.aborted ? signal.reason : this.#lifetime.signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#lifetime.signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([work(), aborted.promise]);
    } catch (error) {
      if (error instanceof AppError) throw error;
      if (signal.aborted) throw signal.reason;
      this.#lifetime.signal.throwIfAborted();
      throw new AppError('media-damaged', `${this.#source.label} is damaged: its audio cannot be read.`, {
        cause: error,
      });
    } finally {
      signal.removeEventListener('abort', abort);
      this.#lifetime.signal.removeEventListener('abort', abort);
    }
  }

  [Symbol.dispose](): void {
    if (this.#lifetime.signal.aborted) return;
    this.#lifetime.abort(new AppError('server-closing', `${this.#source.label} was closed.`));
    this.input.dispose();
  }
}
