/**
 * All clips: those in the making, and for a while those that have ended. It owns them.
 *
 * Invariant: a job is in `#jobs` from its creation until it is removed or has expired; one that has not ended is removed only after it was cancelled. At most
 * `CONCURRENT` jobs work at once, the others are queued in order of arrival.
 */
import { AppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import { Limiter } from '../lib/limiter.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Session } from '../session/session.ts';
import { ClipFolder } from './clip-folder.ts';
import { type ClipInfo, ClipJob, type ClipWork } from './clip-job.ts';
import { clipStem, type NameWish, usualStem } from './clip-name.ts';
import { makeClip } from './make-clip.ts';

/** A long re-encode does not keep a short clip waiting. FFmpeg works at low priority, so players do not wait either. */
const CONCURRENT = 2;
/** Clips that have not ended, at most. */
const MOST_WAITING = 32;
/** Clips that have ended are listed so long, milliseconds, and so many of them. */
const KEPT_MS = 60 * 60_000;
const KEPT = 200;
/** Longest clips, seconds (contract). */
const LONGEST = { remote: 900, local: 3600 };

export interface ClipRequest extends NameWish {
  /** Seconds on the presentation's clock: inclusive, exclusive. */
  readonly start: number;
  readonly end: number;
}

export interface ClipServiceOptions {
  /** Absolute path of the clips' directory. */
  readonly directory: string;
  readonly capabilities: Promise<Capabilities>;
}

type Listener = (clip: ClipInfo) => void;

export class ClipService implements AsyncDisposable {
  readonly #folder: ClipFolder;
  readonly #capabilities: Promise<Capabilities>;
  readonly #limiter = new Limiter(CONCURRENT);
  readonly #jobs = new Map<string, ClipJob>();
  readonly #listeners = new Set<Listener>();
  readonly #swept: Promise<void>;
  #closed = false;

  constructor({ directory, capabilities }: ClipServiceOptions) {
    this.#folder = new ClipFolder(directory);
    this.#capabilities = capabilities;
    this.#swept = this.#folder.sweep();
  }

  /**
   * Checks the request and starts the clip.
   * @throws AppError `bad-request`, `server-busy`, why the source cannot be opened; the signal's reason.
   */
  async create(session: Session, request: ClipRequest, signal: AbortSignal): Promise<ClipJob> {
    const presentation = await session.presentation(signal);
    const { start, end } = checkedTimes(request, presentation, session.request.kind === 'file');
    const stem = clipStem(request, usualStem(presentation.name, start, end));
    this.#expire();
    const waiting = [...this.#jobs.values()].filter(({ hasEnded }) => !hasEnded).length;
    if (this.#closed) throw new AppError('server-closing', 'The server is shutting down.');
    if (waiting >= MOST_WAITING)
      throw new AppError('server-busy', `${waiting} clips are being made or waiting; try again when some are done.`);
    const { audioIndex } = session;
    const work: ClipWork = (job, jobSignal) =>
      session.during((ended) => {
        const both = AbortSignal.any([jobSignal, ended]);
        return this.#limiter.run(both, () => {
          job.begun();
          return this.#make({ presentation, audioIndex, start, end, stem, onProgress: job.onProgress }, both);
        });
      });
    const job = new ClipJob({ sessionId: session.id, start, end }, work, (info) => this.#tell(info));
    this.#jobs.set(job.id, job);
    return job;
  }

  /** The oldest first. */
  list(): ClipInfo[] {
    this.#expire();
    return [...this.#jobs.values()].map(({ info }) => info);
  }

  /** @throws AppError `clip-not-found`. */
  get(id: string): ClipInfo {
    return this.#job(id).info;
  }

  /** Cancels the clip if it has not ended, and takes it off the list; a file that is whole stays. @throws AppError `clip-not-found`. */
  async remove(id: string): Promise<void> {
    const job = this.#job(id);
    await job.cancel(new AppError('clip-cancelled', 'The clip was cancelled.'));
    this.#jobs.delete(id);
  }

  /** Calls `listener` after every change of a clip, progress in steps of one percent included, until the result is disposed of. */
  subscribe(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const reason = new AppError('server-closing', 'The server is shutting down.');
    await Promise.all([this.#swept, ...[...this.#jobs.values()].map((job) => job.cancel(reason))]);
    this.#listeners.clear();
  }

  async #make(
    order: Pick<Parameters<typeof makeClip>[0], 'presentation' | 'audioIndex' | 'start' | 'end'> & {
      readonly stem: string;
      readonly onProgress: (share: number) => void;
    },
    signal: AbortSignal,
  ): Promise<Awaited<ReturnType<ClipWork>>> {
    const { stem, start, end } = order;
    const capabilities = await this.#capabilities;
    const onProgress = (seconds: number): void => order.onProgress(seconds / (end - start));
    await using file = await this.#folder.create();
    try {
      const method = await makeClip({ ...order, capabilities, handle: file.handle, onProgress }, signal);
      signal.throwIfAborted();
      return { outputPath: await file.publish(stem), method };
    } catch (error) {
      throw this.#folder.explain(error);
    }
  }

  #job(id: string): ClipJob {
    this.#expire();
    const job = this.#jobs.get(id);
    if (!job)
      throw new AppError('clip-not-found', 'There is no clip with this id; what has ended is listed for an hour.');
    return job;
  }

  #tell(info: ClipInfo): void {
    for (const listener of this.#listeners) listener(info);
  }

  #expire(): void {
    const ended = [...this.#jobs.values()].filter(({ hasEnded }) => hasEnded);
    const oldest = Date.now() - KEPT_MS;
    for (const [n, { id, info }] of ended.entries())
      if (n < ended.length - KEPT || (info.endedAt?.getTime() ?? 0) < oldest) this.#jobs.delete(id);
  }
}

/** The times of a request within the source. @throws AppError `bad-request` naming the field. */
function checkedTimes(
  request: ClipRequest,
  presentation: Presentation,
  local: boolean,
): { readonly start: number; readonly end: number } {
  const { duration } = presentation.timeline;
  const { start } = request;
  const refuse = (field: string, why: string): never => {
    throw new AppError('bad-request', `body/${field}: ${why}.`);
  };
  if (!(start >= 0)) refuse('start', 'must be a number of seconds, not below 0');
  if (!(request.end > start)) refuse('end', 'must be a number of seconds, above start');
  if (start >= duration) refuse('start', `lies behind the end of the source, which is ${duration.toFixed(3)} s long`);
  const end = Math.min(request.end, duration);
  const longest = local ? LONGEST.local : LONGEST.remote;
  if (end - start > longest + 1e-6)
    refuse('end', `a clip of a ${local ? 'local' : 'remote'} source is at most ${longest} s long`);
  return { start, end };
}
