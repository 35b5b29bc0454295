import { AppError, type ErrorCode, toAppError } from '../errors.ts';
import { pause, waitFor, withDeadline } from '../lib/abort.ts';
import { Limiter } from '../lib/limiter.ts';
import { type Lease, Shared } from '../lib/shared.ts';
import type { Source } from '../source/source.ts';
import type { OpenReader } from './open-reader.ts';
import { Presentation } from './presentation.ts';
import type { Transcoding } from './transcoding.ts';

/** A probe gives its answer or its error within this time. */
const PROBE_DEADLINE_MS = 12_000;
/** Waits before the second and the third attempt at a source that failed in a way that may pass. */
const RETRY_DELAYS_MS = [300, 1_000];
/** A source that failed is not tried again before this time has passed: whoever asks gets the same error. */
const FAILURE_COOLDOWN_MS = 3_000;
/**
 * Segments made at the same time: each holds its bytes twice, once as read and once as packaged. Of all local files together; of each remote
 * source by itself, so that one whose server has stopped sending keeps nobody else waiting.
 */
const CONCURRENT_SEGMENTS = { local: 3, remote: 6 };

const TRANSIENT: ReadonlySet<ErrorCode> = new Set(['source-unreachable', 'source-stalled', 'source-changed']);

/** How the store opens what it is asked for. `key` names the request (path or URL), before its identity is known; `label` does so in messages. */
export interface Opening {
  readonly key: string;
  readonly label: string;
  readonly source: (signal: AbortSignal) => Promise<Source>;
  /** It may take as long as it takes: what is going on is told elsewhere, and the bytes come when they come. */
  readonly isPatient?: boolean;
}

/**
 * Presentations by source identity. All sessions on one source share its presentation, which lives as long as one of them holds a lease.
 */
export class PresentationStore {
  readonly #shared = new Shared<string, Presentation>();
  readonly #localLimiter = new Limiter(CONCURRENT_SEGMENTS.local);
  readonly #transcoding: Transcoding;
  readonly #failures = new Map<string, { readonly error: AppError; readonly until: number }>();
  readonly #openReader: OpenReader;

  constructor(openReader: OpenReader, transcoding: Transcoding) {
    this.#openReader = openReader;
    this.#transcoding = transcoding;
  }

  /** How many sources are open. */
  get size(): number {
    return this.#shared.size;
  }

  /**
   * Opens a source and probes it, or joins who has done so. The caller releases the lease.
   * @throws AppError `probe-timeout`, `source-*`, `media-*`; the signal's reason.
   */
  async open(opening: Opening, signal: AbortSignal): Promise<Lease<Presentation>> {
    const failure = this.#failures.get(opening.key);
    if (failure && failure.until > Date.now()) throw failure.error;
    this.#failures.delete(opening.key);
    let work: Promise<Lease<Presentation>> | undefined;
    const attempts: { failure?: AppError } = {};
    try {
      // What went wrong before says more than that the time is over.
      const late = (): Error =>
        attempts.failure ??
        new AppError('probe-timeout', `${opening.label} did not tell what it is within ${PROBE_DEADLINE_MS / 1000} s.`);
      const begin = (ended: AbortSignal): Promise<Lease<Presentation>> => {
        work = this.#openWithRetries(opening, attempts, ended);
        return work;
      };
      if (opening.isPatient) return await waitFor(begin(signal), signal);
      return await withDeadline(signal, PROBE_DEADLINE_MS, late, begin);
    } catch (error) {
      const undone = work?.then(
        (lease) => lease.release(),
        () => {},
      );
      // Whoever gives up an opening may count on everything being closed; whoever waited for its time gets the error at once.
      if (signal.aborted) await undone;
      else this.#coolDown(opening.key, toAppError(error));
      throw error;
    }
  }

  /** Resolves when all that was released is disposed of. */
  settled(): Promise<void> {
    return this.#shared.settled();
  }

  async #openWithRetries(
    opening: Opening,
    attempts: { failure?: AppError },
    signal: AbortSignal,
  ): Promise<Lease<Presentation>> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#openOnce(opening, signal);
      } catch (error) {
        const delay = RETRY_DELAYS_MS[attempt];
        if (signal.aborted) throw error;
        attempts.failure = toAppError(error);
        if (delay === undefined || !TRANSIENT.has(attempts.failure.code)) throw error;
        await pause(delay, signal);
      }
    }
  }

  async #openOnce(opening: Opening, signal: AbortSignal): Promise<Lease<Presentation>> {
    const source = await opening.source(signal);
    let taken = false;
    const lease = this.#shared.acquire(source.identity, (unwanted) => {
      taken = true;
      const limiter = source.latency === 'local' ? this.#localLimiter : new Limiter(CONCURRENT_SEGMENTS.remote);
      const tools = { openReader: this.#openReader, limiter, transcoding: this.#transcoding };
      return Presentation.open(source, tools, unwanted);
    });
    try {
      if (!taken) await source[Symbol.asyncDispose]();
      await waitFor(lease.value, signal);
      return lease;
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  #coolDown(key: string, error: AppError): void {
    const now = Date.now();
    for (const [old, { until }] of this.#failures) if (until <= now) this.#failures.delete(old);
    this.#failures.set(key, { error, until: now + FAILURE_COOLDOWN_MS });
  }
}
