import { type Child, startChild } from './child.ts';

/** FFmpeg that waits for its input has nothing to finish: milliseconds from SIGTERM to SIGKILL. */
const GRACE_MS = 30;

/** What is started. */
export interface SpareJob {
  /** Absolute path. */
  readonly ffmpeg: string;
  /** The input is standard input: until that comes the process only waits. */
  readonly args: readonly string[];
}

interface Kept {
  readonly key: string;
  /** undefined: it could not be started. */
  readonly child: Promise<Child | undefined>;
  readonly owner: AbortController;
}

/**
 * One FFmpeg started ahead of its work: about 90 ms of every run are the system's loader (docs/decisions/0031).
 * Invariant: it owns at most one process, from `prepare` on until that is taken or ended.
 */
export class Spare {
  #kept: Kept | undefined;
  #ending: Promise<unknown> = Promise.resolve();

  /** Starts a process for `job`, unless one is kept. One that cannot be started is none: whoever takes it starts their own, and is told why that fails. */
  prepare(job: SpareJob): void {
    if (this.#kept) return;
    const owner = new AbortController();
    const child = startChild({ command: job.ffmpeg, args: job.args, stdin: 'pipe' }, owner.signal).catch(
      () => undefined,
    );
    this.#kept = { key: keyOf(job), child, owner };
  }

  /** The process that was prepared for `job`, which is the caller's from now on; undefined where there is none, or it has died meanwhile. */
  async take(job: SpareJob): Promise<Child | undefined> {
    const kept = this.#kept;
    if (kept?.key !== keyOf(job)) return undefined;
    this.#kept = undefined;
    const child = await kept.child;
    if (child === undefined || child.isAlive) return child;
    child.closePipes();
    return undefined;
  }

  /** Ends the process that is kept. Settles when it is gone, and those that were to end before. */
  async end(): Promise<void> {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept) this.#ending = Promise.all([this.#ending, ended(kept)]);
    await this.#ending;
  }
}

async function ended({ child: starting, owner }: Kept): Promise<void> {
  owner.abort();
  const child = await starting;
  if (child === undefined) return;
  child.terminate(GRACE_MS);
  child.closePipes();
  await child.closed;
}

function keyOf({ ffmpeg, args }: SpareJob): string {
  return JSON.stringify([ffmpeg, args]);
}
