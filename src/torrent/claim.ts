/**
 * One session's share in a torrent.
 *
 * Invariant: from the moment the torrent is known until release, it holds one lease and counts as one viewer.
 */
import { AppError, toAppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { Lease } from '../lib/shared.ts';
import type { Source } from '../source/source.ts';
import type { Swarm, TorrentSeed } from './swarm.ts';

export class TorrentClaim implements AsyncDisposable {
  readonly #join: (seed: TorrentSeed) => Lease<Swarm>;
  readonly #life = new AbortController();
  readonly #load: (signal: AbortSignal) => Promise<TorrentSeed>;
  #seed: TorrentSeed | undefined;
  #lease: Lease<Swarm> | undefined;
  #joining: Promise<Swarm> | undefined;
  #swarm: Swarm | undefined;
  #failure: AppError | undefined;
  #release: Promise<void> | undefined;

  /** @param seed undefined: it has to be loaded first. */
  constructor(
    seed: TorrentSeed | undefined,
    load: (signal: AbortSignal) => Promise<TorrentSeed>,
    join: (seed: TorrentSeed) => Lease<Swarm>,
  ) {
    this.#seed = seed;
    this.#load = load;
    this.#join = join;
    this.#enter().catch(() => {}); // told to whoever asks
  }

  /** Known once the .torrent file is read; at once for everything else. */
  get infoHash(): string | undefined {
    return this.#seed?.infoHash;
  }

  /** The swarm, once it is joined. */
  get current(): Swarm | undefined {
    return this.#swarm;
  }

  /** Why the torrent could not even be named. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /**
   * A file of the torrent, as soon as its metadata is there. The source holds a lease of its own.
   * @param fileIdx undefined: the best one. @param wantsIndex it will be opened as media.
   * @throws AppError `torrent-*`, `source-*`; the signal's reason.
   */
  async open(fileIdx: number | undefined, wantsIndex: boolean, signal: AbortSignal): Promise<Source> {
    const ended = AbortSignal.any([signal, this.#life.signal]);
    await waitFor(this.#enter(), ended);
    const lease = this.#join(this.#seed as TorrentSeed);
    try {
      const swarm = await lease.value;
      if (wantsIndex) swarm.audience.choose(this, fileIdx);
      const release = (): Promise<void> => lease.release();
      return await swarm.open({ fileIdx, wantsIndex, release }, ended);
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /** Resolves when, if nobody else uses it, nothing is left of the torrent. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#release ??= this.#leave();
    return this.#release;
  }

  #enter(): Promise<Swarm> {
    this.#joining ??= this.#begin().catch((error: unknown) => {
      this.#joining = undefined;
      this.#failure = toAppError(error);
      throw error;
    });
    return this.#joining;
  }

  async #begin(): Promise<Swarm> {
    this.#seed ??= await this.#load(this.#life.signal);
    this.#life.signal.throwIfAborted();
    this.#lease = this.#join(this.#seed);
    const swarm = await this.#lease.value;
    swarm.audience.join(this);
    this.#swarm = swarm;
    this.#failure = undefined;
    return swarm;
  }

  async #leave(): Promise<void> {
    this.#life.abort(new AppError('server-closing', 'The torrent was closed.'));
    const swarm = await this.#joining?.catch(() => undefined);
    swarm?.audience.leave(this);
    this.#swarm = undefined;
    await this.#lease?.release();
  }
}
