import { AppError, toAppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { Lease } from '../lib/shared.ts';
import { Troubles } from '../lib/troubles.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Rendition } from '../presentation/rendition.ts';
import type { Source } from '../source/source.ts';
import type { TorrentClaim } from '../torrent/claim.ts';
import { SliceBook } from './slices.ts';
import { Startup } from './startup.ts';

export type SessionStatus = 'created' | 'metadata' | 'probing' | 'ready' | 'streaming' | 'error' | 'closed';

type Quality = 'original' | '1080p' | '720p' | '480p' | '360p' | 'auto';

/** What the viewer asked for. */
export interface SessionRequest {
  /** As the client wrote it. */
  readonly source: string;
  readonly kind: 'http' | 'file' | 'torrent';
  /** Seconds. */
  readonly startTime: number;
  readonly quality: Quality;
  /** Whether the loudness of audio is to be brought to the target. */
  readonly loudness: boolean;
  readonly fileIdx?: number;
}

/** How a session opens its source: as a shared presentation, and as bytes of its own. */
export interface SessionOpeners {
  /** @param opened called when the source itself is open, and is yet to be read. */
  readonly presentation: (signal: AbortSignal, opened: () => void) => Promise<Lease<Presentation>>;
  readonly bytes: (signal: AbortSignal) => Promise<Source>;
  /** The session's state is another one. */
  readonly changed: () => void;
}

/**
 * One viewer's intent to watch one source. It holds at most one lease on a presentation.
 *
 * Invariant: `#opening` is present from the first demand until it fails or the session closes; after a failure `#failure` holds the error
 * and the next demand tries again (the store decides how soon that makes sense).
 */
export class Session implements AsyncDisposable {
  readonly id: string;
  readonly request: SessionRequest;
  /** Its share in a torrent, which it owns. */
  readonly torrent: TorrentClaim | undefined;
  readonly createdAt = new Date();
  readonly slices = new SliceBook();
  readonly startup = new Startup();
  /** Why its source could not be opened, each time. */
  readonly troubles = new Troubles();
  /** Index among the audio tracks that the viewer chose; undefined for the container's default. */
  audioIndex: number | undefined;

  /** Where the viewer is, seconds: what was last asked for. */
  position: number;

  /** Of which rendition the viewer took a segment last, by the type of its track. */
  readonly playing = new Map<'video' | 'audio', Rendition>();

  readonly #openers: SessionOpeners;
  readonly #owner = new AbortController();
  /** What `openBytes` gave and nobody has given back. */
  readonly #bytes = new Set<Source>();
  /** What `during` began and has not ended. */
  readonly #works = new Set<Promise<unknown>>();
  #opening: Promise<Lease<Presentation>> | undefined;
  #presentation: Presentation | undefined;
  #failure: AppError | undefined;
  #streamed = false;
  #closed: Promise<void> | undefined;
  #lastUsed = performance.now();
  #requests = 0;

  constructor(id: string, request: SessionRequest, openers: SessionOpeners, torrent?: TorrentClaim) {
    this.id = id;
    this.torrent = torrent;
    this.request = request;
    this.position = request.startTime;
    this.#openers = openers;
  }

  get status(): SessionStatus {
    if (this.#closed) return 'closed';
    if (this.error) return 'error';
    if (this.#presentation) return this.#streamed ? 'streaming' : 'ready';
    if (this.torrent && this.torrent.current?.content === undefined) return 'metadata';
    return this.#opening ? 'probing' : 'created';
  }

  /** The opened source, once it is there. */
  get opened(): Presentation | undefined {
    return this.#presentation;
  }

  /** Why the source is not open. That nobody told what is in a torrent is over when somebody does. */
  get error(): AppError | undefined {
    const isOver = this.#failure?.code === 'torrent-no-metadata' && this.torrent?.current?.content !== undefined;
    return isOver ? undefined : this.#failure;
  }

  /** What the viewer's quality allows: lines of the picture, or only what is not re-encoded. */
  get quality(): number | 'original' | undefined {
    const { quality } = this.request;
    if (quality === 'auto') return undefined;
    return quality === 'original' ? quality : Number.parseInt(quality, 10);
  }

  /** Milliseconds since the last request ended; 0 while one is being served. */
  get idleMs(): number {
    return this.#requests > 0 ? 0 : performance.now() - this.#lastUsed;
  }

  /** Marks the session as in use until the result is disposed of. */
  use(): Disposable {
    this.#requests += 1;
    let used = true;
    return {
      [Symbol.dispose]: () => {
        if (!used) return;
        used = false;
        this.#requests -= 1;
        this.#lastUsed = performance.now();
      },
    };
  }

  /** Starts opening the source, without waiting for it. */
  start(): void {
    this.#lease().catch(() => {}); // kept in #failure
  }

  /**
   * The opened source. A waiter that leaves ends only its own wait.
   * @throws AppError why it could not be opened; the signal's reason.
   */
  async presentation(signal: AbortSignal): Promise<Presentation> {
    if (this.#presentation) return this.#presentation;
    const lease = await waitFor(this.#lease(), AbortSignal.any([signal, this.#owner.signal]));
    return lease.value;
  }

  /** Aborts when the session closes: what is being sent for it ends with it. */
  get ended(): AbortSignal {
    return this.#owner.signal;
  }

  /** The source's bytes, opened anew for the caller, who gives them back with `closeBytes`. @throws AppError `source-*`. */
  async openBytes(signal: AbortSignal): Promise<Source> {
    const source = await this.#openers.bytes(AbortSignal.any([signal, this.#owner.signal]));
    this.#bytes.add(source);
    if (this.#closed) {
      await this.closeBytes(source);
      this.#owner.signal.throwIfAborted();
    }
    return source;
  }

  async closeBytes(source: Source): Promise<void> {
    // It stays known until it is closed, so that the session's end waits for that.
    await source[Symbol.asyncDispose]();
    this.#bytes.delete(source);
  }

  /**
   * Does work that needs the opened source beyond a request: the session counts as in use meanwhile, and closes only when the work has ended.
   * @param work obeys the signal, which aborts when the session closes.
   */
  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using _use = this.use();
    const done = work(this.#owner.signal);
    this.#works.add(done);
    try {
      return await done;
    } finally {
      this.#works.delete(done);
    }
  }

  /** Segment `n` of the picture or of the sound is about to be sent. */
  played(rendition: Rendition, n: number): void {
    const { track, segments } = rendition;
    this.startup.segmentAnswered();
    this.position = segments[n]?.start ?? 0;
    if (track.type !== 'subtitle') this.playing.set(track.type, rendition);
    if (this.#streamed) return;
    this.#streamed = true;
    this.#openers.changed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = this.#close();
      this.#openers.changed();
    }
    return this.#closed;
  }

  #lease(): Promise<Lease<Presentation>> {
    this.#opening ??= this.#begin();
    return this.#opening;
  }

  async #begin(): Promise<Lease<Presentation>> {
    this.startup.opening();
    try {
      const lease = await this.#openers.presentation(this.#owner.signal, () => this.startup.sourceOpened());
      this.#presentation = await lease.value;
      this.#failure = undefined;
      return lease;
    } catch (error) {
      this.#failure = toAppError(error);
      this.startup.failed();
      if (!this.#closed) this.troubles.add('opening the source', error);
      this.#opening = undefined;
      throw error;
    } finally {
      if (!this.#closed) this.#openers.changed();
    }
  }

  async #close(): Promise<void> {
    const opening = this.#opening;
    this.#owner.abort(new AppError('session-not-found', 'The session was closed.'));
    const lease = await opening?.catch(() => undefined);
    await Promise.allSettled(this.#works);
    this.#presentation = undefined;
    const claim = this.torrent?.[Symbol.asyncDispose]();
    await Promise.all([claim, lease?.release(), ...[...this.#bytes].map((source) => this.closeBytes(source))]);
  }
}
