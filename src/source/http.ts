/**
 * HTTP(S) sources.
 *
 * Opening is one ranged GET; its answer tells the size, the version and whether the server knows ranges, and its bytes serve the first
 * reads. Invariant: once `#failure` is set (the content changed, or dispose) every read ends with it and nothing is under way.
 */
import { AppError } from '../errors.ts';
import type { AddressGuard } from './guard.ts';
import { RangeCache } from './http-cache.ts';
import { download } from './http-download.ts';
import type { RangeFetch } from './http-fetch.ts';
import { type Opened, Opening } from './http-opening.ts';
import { CodedAnswer, HttpOrigin } from './http-origin.ts';
import { openPlaylist } from './http-playlist.ts';
import type { Representation } from './http-representation.ts';
import type { Spool } from './http-spool.ts';
import { defaultTuning, type HttpTuning } from './http-tuning.ts';
import { HttpWeb, hashOf, isPlaylistType, nameOf, namesPlaylist } from './http-web.ts';
import { checkRange } from './range.ts';
import type { Source, Traffic, Web } from './source.ts';

/**
 * @throws AppError `source-unreachable`, `source-http-status`, `source-empty`, `source-no-range`, `source-stalled`, `source-unsupported`;
 * the signal's reason. The signal ends the opening; what is open ends by dispose.
 */
export async function openHttp(
  url: URL,
  guard: AddressGuard,
  signal: AbortSignal,
  tuning: HttpTuning = defaultTuning,
): Promise<Source> {
  signal.throwIfAborted();
  const origin = new HttpOrigin(url, guard, tuning);
  const life = new AbortController();
  const leave = () => life.abort(signal.reason);
  signal.addEventListener('abort', leave);
  try {
    const playlist = namesPlaylist(url) ? await openPlaylist(origin, life, tuning) : undefined;
    return playlist ?? (await openBytes(origin, life, tuning));
  } catch (error) {
    life.abort(error);
    await origin.dispose();
    throw error;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

async function openBytes(origin: HttpOrigin, life: AbortController, tuning: HttpTuning): Promise<Source> {
  try {
    const opened = await new Opening(origin, tuning).run(life.signal);
    return new HttpSource(origin, opened, life, tuning);
  } catch (error) {
    // Servers that compress whatever is text: of a playlist, that is as good.
    const coded = error instanceof AppError && error.cause instanceof CodedAnswer ? error.cause : undefined;
    if (coded === undefined || !isPlaylistType(coded.head)) throw error;
    const playlist = await openPlaylist(origin, life, tuning);
    if (playlist === undefined) throw error;
    return playlist;
  }
}

class HttpSource implements Source {
  readonly identity: string;
  readonly label: string;
  readonly name: string;
  readonly size: number;
  readonly latency = 'remote';
  readonly traffic: Traffic;
  readonly web: Web;
  readonly #origin: HttpOrigin;
  readonly #life: AbortController;
  readonly #tuning: HttpTuning;
  readonly #spool: Spool | undefined;
  readonly #cache: RangeCache;
  /** Fetches that wait for a free connection, first come first served. */
  readonly #queue: RangeFetch[] = [];
  readonly #running = new Set<Promise<void>>();
  #failure: AppError | undefined;
  #disposal: Promise<void> | undefined;

  constructor(origin: HttpOrigin, opened: Opened, life: AbortController, tuning: HttpTuning) {
    const { known, bytes } = opened;
    this.#origin = origin;
    this.#life = life;
    this.#tuning = tuning;
    this.label = known.label;
    this.name = nameOf(origin.url);
    this.size = known.size;
    this.identity = identityOf(origin.url, known);
    this.traffic = origin.traffic;
    this.web = new HttpWeb(origin, opened.head, life.signal, tuning);
    this.#cache = new RangeCache(known, tuning, (fetch) => {
      this.#queue.push(fetch);
      this.#advance();
    });
    this.#spool = 'spool' in bytes ? bytes.spool : undefined;
    if ('head' in bytes) {
      this.#cache.adopt(bytes.head);
      this.#attend(bytes.head, bytes.download);
    }
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(offset, length);
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return new Uint8Array(0);
    return this.#spool?.read(offset, end, signal) ?? this.#cache.read(offset, end, signal);
  }

  /** What was read may be shared with others: it is left to the collector. */
  recycle(): void {}

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  async #close(): Promise<void> {
    this.#failure ??= new AppError('internal', `${this.label} was closed while it was being read.`);
    this.#queue.length = 0;
    this.#cache.clear(this.#failure);
    this.#life.abort(this.#failure);
    await this.#spool?.dispose(this.#failure);
    await Promise.all(this.#running);
    await this.#origin.dispose();
  }

  #advance(): void {
    while (this.#running.size < this.#tuning.connections) {
      const fetch = this.#queue.shift();
      if (fetch === undefined) return;
      // Given up while it stood in the queue.
      if (!fetch.running) this.#cache.ended(fetch);
      else this.#attend(fetch, download(this.#origin, fetch, this.#tuning, fetch.signal));
    }
  }

  /** Waits for the end of a download and passes it on to those who wait for its bytes. */
  #attend(fetch: RangeFetch, progress: Promise<void>): void {
    const done = progress
      .then(
        () => fetch.finish(),
        (error: unknown) => this.#fail(fetch, error),
      )
      .then(() => {
        this.#cache.ended(fetch);
        this.#running.delete(done);
        this.#advance();
      });
    this.#running.add(done);
  }

  #fail(fetch: RangeFetch, error: unknown): void {
    fetch.finish(error);
    if (!(error instanceof AppError) || error.code !== 'source-changed') return;
    // Bytes of two versions must never meet: nothing of the old one is served any more.
    this.#failure ??= error;
    this.#queue.length = 0;
    this.#cache.clear(error);
  }
}

function identityOf(url: URL, known: Representation): string {
  const { etag, lastModified } = known.validators;
  return `http:${hashOf(url)}:${known.size}:${etag ?? lastModified ?? ''}`;
}
