/**
 * The first request to a source, whose answer decides how the source is read.
 *
 * States: `asking` -> `ranged` (a 206 came: its bytes go into a range of the cache), or `spooling` (a 200 came: its bytes go into a
 * temporary file). Whichever it is, the download that asked goes on behind it.
 */
import { AppError } from '../errors.ts';
import { type DownloadSink, download } from './http-download.ts';
import { RangeFetch } from './http-fetch.ts';
import { contentLength, contentRange, type ResponseHead, validators } from './http-headers.ts';
import type { HttpOrigin } from './http-origin.ts';
import { noRange, type Representation } from './http-representation.ts';
import { Spool } from './http-spool.ts';
import type { Flow } from './http-transport.ts';
import type { HttpTuning } from './http-tuning.ts';

export interface Opened {
  readonly known: Representation;
  /** The answer's. */
  readonly head: ResponseHead;
  readonly bytes: { readonly head: RangeFetch; readonly download: Promise<void> } | { readonly spool: Spool };
}

/** A 206 that keeps the total size to itself (`bytes 0-99/*`). */
class SizeUnknown extends Error {}

export class Opening {
  readonly #origin: HttpOrigin;
  readonly #tuning: HttpTuning;

  constructor(origin: HttpOrigin, tuning: HttpTuning) {
    this.#origin = origin;
    this.#tuning = tuning;
  }

  /** @param life ends what is left under way when this returns. */
  async run(life: AbortSignal): Promise<Opened> {
    try {
      return await this.#get(life, undefined, true);
    } catch (error) {
      if (!(error instanceof AppError && error.cause instanceof SizeUnknown)) throw error;
    }
    const size = await this.#askSize(life);
    return this.#get(life, size, size !== undefined);
  }

  async #get(life: AbortSignal, size: number | undefined, ranged: boolean): Promise<Opened> {
    const sink = new FirstSink(this.#origin.label, this.#tuning, size, ranged);
    const progress = download(this.#origin, sink, this.#tuning, life, true);
    try {
      await Promise.race([sink.decided, progress]);
      const { head, fetch, spool } = sink;
      if (head !== undefined && fetch !== undefined) {
        return { known: fetch.known, head, bytes: { head: fetch, download: progress } };
      }
      if (head === undefined || spool === undefined) {
        throw new AppError('internal', `${this.#origin.label} gave no answer.`);
      }
      return { ...(await this.#spooled(spool, progress)), head };
    } catch (error) {
      await sink.spool?.dispose(error);
      throw error;
    }
  }

  async #spooled(spool: Spool, progress: Promise<void>): Promise<Pick<Opened, 'known' | 'bytes'>> {
    progress.catch((error: unknown) => spool.fail(error));
    if (spool.size === undefined) await this.#patiently(progress);
    const size = spool.size;
    if (size === undefined || size === 0) throw empty(this.#origin.label);
    return { known: { label: this.#origin.label, size, validators: spool.validators }, bytes: { spool } };
  }

  /** A live stream never ends: whoever waits for its size must give up. */
  async #patiently(progress: Promise<void>): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(noRange(this.#origin.label, 'says neither how large it is nor can it send a part of itself'));
    }, this.#tuning.unknownSizePatience);
    try {
      await Promise.race([progress, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askSize(signal: AbortSignal): Promise<number | undefined> {
    let size: number | undefined;
    try {
      await this.#origin.request(
        { method: 'HEAD', range: undefined, headTimeout: this.#tuning.headTimeout },
        (head) => {
          if (head.status === 200) size = contentLength(head);
          return undefined;
        },
        signal,
      );
    } catch {
      // A server may refuse HEAD: then the whole content tells its size.
      signal.throwIfAborted();
    }
    return size;
  }
}

/** Hands every call on to the range or the spool, once it is known which of them it is. */
class FirstSink implements DownloadSink {
  readonly decided: Promise<void>;
  head: ResponseHead | undefined;
  fetch: RangeFetch | undefined;
  spool: Spool | undefined;
  readonly #decide: () => void;
  readonly #label: string;
  readonly #tuning: HttpTuning;
  readonly #size: number | undefined;
  readonly #ranged: boolean;

  /** @param size when it is known already. @param ranged whether to ask for a range. */
  constructor(label: string, tuning: HttpTuning, size: number | undefined, ranged: boolean) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.decided = promise;
    this.#decide = resolve;
    this.#label = label;
    this.#tuning = tuning;
    this.#size = size;
    this.#ranged = ranged;
  }

  get #sink(): RangeFetch | Spool | undefined {
    return this.fetch ?? this.spool;
  }

  get position(): number {
    return this.#sink?.position ?? 0;
  }

  wanted(): { start: number; end: number } | undefined {
    if (this.#sink !== undefined) return this.#sink.wanted();
    return this.#ranged ? { start: 0, end: this.#tuning.headBytes } : undefined;
  }

  accept(head: ResponseHead, flow: Flow): number {
    if (this.#sink === undefined) {
      if (head.status === 206) this.fetch = this.#rangeOf(head);
      else if (head.status === 200) this.spool = this.#spoolOf(head);
      else throw this.#unsatisfiable(head);
      this.head = head;
      this.#decide();
    }
    return this.#sink?.accept(head, flow) ?? 0;
  }

  write(chunk: Uint8Array): boolean {
    return this.#sink?.write(chunk) ?? false;
  }

  ended(): void {
    this.#sink?.ended();
  }

  get satisfied(): boolean {
    return this.#sink?.satisfied ?? false;
  }

  #rangeOf(head: ResponseHead): RangeFetch {
    const range = contentRange(head);
    if (range?.first === undefined) throw noRange(this.#label, 'does not say which part of the file it sends');
    const size = range.total ?? this.#size;
    if (size === undefined) {
      throw new AppError('source-no-range', `${this.#label} does not say how large it is.`, {
        cause: new SizeUnknown(),
      });
    }
    if (size === 0) throw empty(this.#label);
    const known = { label: this.#label, size, validators: validators(head) };
    return new RangeFetch(known, 0, Math.min(this.#tuning.headBytes, size));
  }

  #spoolOf(head: ResponseHead): Spool {
    if (contentLength(head) === 0) throw empty(this.#label);
    return new Spool(this.#label, head, this.#tuning);
  }

  /** 416 to a request for the first bytes: there are none, or the server is confused. */
  #unsatisfiable(head: ResponseHead): AppError {
    const total = contentRange(head)?.total;
    if (total === 0 || total === undefined) return empty(this.#label);
    return noRange(this.#label, 'refuses to send the first part of the file');
  }
}

function empty(label: string): AppError {
  return new AppError('source-empty', `${label} is empty.`);
}
