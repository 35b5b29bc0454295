/**
 * Commands that are run to their end for what they print.
 * Invariant: the promise of `runProcess` settles after its child, and the group the child leads, are gone; whatever ends it first
 * (exit, abort, time limit, output limit) is the cause that is told.
 */
import { type Child, GRACE_MS, startChild } from './child.ts';

export interface RunOptions {
  /** Absolute path. */
  readonly command: string;
  /** Passed as they are: there is no shell. */
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Bytes of standard output beyond which the child is ended. */
  readonly stdoutLimit: number;
}

export interface RunResult {
  /** What ended it; `not-started` when there was nothing to run. */
  readonly outcome: 'exited' | 'timeout' | 'output-limit' | 'not-started';
  readonly exitCode: number | null;
  readonly exitSignal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  /** The last 4 KB of standard error. */
  readonly stderrTail: string;
  /** The failure to start. */
  readonly cause?: unknown;
}

/** Owns one child from its start to its end. */
class Run {
  readonly #child: Child;
  readonly #options: RunOptions;
  readonly #stdout: Buffer[] = [];
  #size = 0;
  #outcome: RunResult['outcome'] | undefined;

  constructor(options: RunOptions, child: Child) {
    this.#options = options;
    this.#child = child;
  }

  async finish(): Promise<RunResult> {
    const { signal, timeoutMs } = this.#options;
    const child = this.#child;
    let pipeTimer: NodeJS.Timeout | undefined;
    const abort = (): void => this.#end('exited');
    child.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    // A child that is gone while a process that has left its group holds its pipes: nothing that counts comes any more.
    void child.exited.then(() => {
      pipeTimer = setTimeout(() => child.closePipes(), GRACE_MS);
    });
    signal.addEventListener('abort', abort, { once: true });
    const timer = setTimeout(() => this.#end('timeout'), timeoutMs);
    if (signal.aborted) abort();
    try {
      await child.closed;
    } finally {
      signal.removeEventListener('abort', abort);
      clearTimeout(timer);
      clearTimeout(pipeTimer);
    }
    signal.throwIfAborted();
    const { startFailure } = child;
    return {
      outcome: this.#outcome ?? (startFailure === undefined ? 'exited' : 'not-started'),
      exitCode: child.exitCode,
      exitSignal: child.exitSignal,
      stdout: Buffer.concat(this.#stdout),
      stderrTail: child.stderrTail,
      ...(startFailure === undefined ? {} : { cause: startFailure }),
    };
  }

  #take(chunk: Buffer): void {
    if (this.#outcome) return;
    this.#size += chunk.length;
    if (this.#size > this.#options.stdoutLimit) this.#end('output-limit');
    else this.#stdout.push(chunk);
  }

  /** The first cause is the one that is told. */
  #end(outcome: RunResult['outcome']): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    this.#child.terminate(GRACE_MS);
  }
}

/**
 * Runs a command to its end.
 * @throws the signal's reason, once the child is gone.
 */
export async function runProcess(options: RunOptions): Promise<RunResult> {
  const { command, args, signal } = options;
  const child = await startChild({ command, args, stdin: 'ignore' }, signal);
  return new Run(options, child).finish();
}
