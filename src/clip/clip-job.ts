import { randomBytes } from 'node:crypto';
import { type AppError, toAppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { ClipMethod } from './make-clip.ts';

type ClipState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

/** What can be told of a clip at one moment. */
export interface ClipInfo {
  readonly id: string;
  readonly sessionId: string;
  readonly state: ClipState;
  /** 0 to 1. */
  readonly progress: number;
  /** Seconds on the presentation's clock: inclusive, exclusive. */
  readonly start: number;
  readonly end: number;
  readonly createdAt: Date;
  /** Present when it has ended, however. */
  readonly endedAt?: Date;
  /** Absolute path of the file; present when it is done. */
  readonly outputPath?: string;
  readonly method?: ClipMethod;
  /** Present when it failed. */
  readonly error?: AppError;
}

/** What a job does. @param onProgress takes 0 to 1. */
export type ClipWork = (
  job: { readonly begun: () => void; readonly onProgress: (share: number) => void },
  signal: AbortSignal,
) => Promise<{ readonly outputPath: string; readonly method: ClipMethod }>;

/** Progress is told in such steps. */
const STEP = 0.01;

/**
 * One clip in the making.
 *
 * Invariant: `state` goes from `queued` to `running` to one of `done`, `failed` and `cancelled`, or from `queued` to one of the last two; `#ended` settles with that, when all that the work
 * used is gone. `onChange` is called after every change.
 */
export class ClipJob {
  readonly id = randomBytes(16).toString('hex');
  readonly #onChange: (info: ClipInfo) => void;
  readonly #owner = new AbortController();
  readonly #ended: Promise<void>;
  #info: ClipInfo;

  /** Starts at once. */
  constructor(
    about: Pick<ClipInfo, 'sessionId' | 'start' | 'end'>,
    work: ClipWork,
    onChange: (info: ClipInfo) => void,
  ) {
    this.#onChange = onChange;
    this.#info = { id: this.id, ...about, state: 'queued', progress: 0, createdAt: new Date() };
    this.#ended = this.#run(work);
  }

  get info(): ClipInfo {
    return this.#info;
  }

  get hasEnded(): boolean {
    return this.#info.endedAt !== undefined;
  }

  /** The finished clip. A waiter that leaves ends only its own wait. @throws AppError why there is none; the signal's reason. */
  async finished(signal: AbortSignal): Promise<ClipInfo> {
    await waitFor(this.#ended, signal);
    if (this.#info.error) throw this.#info.error;
    return this.#info;
  }

  /** Ends the work; resolves when all that it used is gone. Harmless after the end. */
  async cancel(reason: AppError): Promise<void> {
    this.#owner.abort(reason);
    await this.#ended;
  }

  async #run(work: ClipWork): Promise<void> {
    const { signal } = this.#owner;
    // The maker of the job must have it before the first change is told.
    await Promise.resolve();
    this.#change({});
    const begun = (): void => this.#change({ state: 'running' });
    const onProgress = (share: number): void => {
      const progress = Math.min(1 - STEP, Math.max(0, share));
      if (progress >= this.#info.progress + STEP) this.#change({ progress });
    };
    try {
      signal.throwIfAborted();
      const result = await work({ begun, onProgress }, signal);
      this.#change({ state: 'done', progress: 1, endedAt: new Date(), ...result });
    } catch (error) {
      const known = toAppError(error);
      const cancelled = signal.aborted || known.code === 'session-not-found' || known.code === 'clip-cancelled';
      this.#change({ state: cancelled ? 'cancelled' : 'failed', endedAt: new Date(), error: known });
    }
  }

  #change(change: Partial<ClipInfo>): void {
    this.#info = { ...this.#info, ...change };
    this.#onChange(this.#info);
  }
}
