/**
 * The only place that starts processes.
 * Invariant: the promise of `runProcess` settles after its child, and the group the child leads, are gone; whatever ends it first
 * (exit, abort, time limit, output limit) is the cause that is told.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** From SIGTERM to SIGKILL, and from the child's exit to giving up on pipes that others hold, milliseconds. */
const GRACE_MS = 1000;
const STDERR_KEPT = 4096;

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

let deathSignal: Promise<boolean> | undefined;

/** On Linux, util-linux's `setpriv` can have the kernel kill a child whose parent dies (busybox's cannot): tried once. */
function canTieToUs(): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(false);
  deathSignal ??= new Promise((resolve) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
  return deathSignal;
}

/** Signals the whole group on POSIX, the child alone elsewhere; one that is gone is no error. */
function killGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill(name);
    else process.kill(-child.pid, name);
  } catch {
    // The group is gone.
  }
}

/** The last bytes of a stream. */
class Tail {
  #kept: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    const joined = Buffer.concat([this.#kept, chunk.subarray(-STDERR_KEPT)]);
    this.#kept = joined.subarray(-STDERR_KEPT);
  }

  text(): string {
    return this.#kept.toString('utf8');
  }
}

/** Owns one child from its start to its end. */
class Run {
  readonly #child: ChildProcess;
  readonly #options: RunOptions;
  readonly #stdout: Buffer[] = [];
  readonly #stderr = new Tail();
  readonly #done = Promise.withResolvers<void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #size = 0;
  #outcome: RunResult['outcome'] | undefined;
  #cause: unknown;

  constructor(options: RunOptions, command: string, args: readonly string[]) {
    this.#options = options;
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
  }

  async finish(): Promise<RunResult> {
    const { signal, timeoutMs } = this.#options;
    const abort = (): void => this.#end('exited');
    const child = this.#child;
    child.stdout!.on('data', (chunk: Buffer) => this.#take(chunk));
    child.stderr!.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    child.stdout!.on('error', () => {});
    child.stderr!.on('error', () => {});
    child.once('error', (error) => {
      if (child.pid === undefined) {
        this.#outcome ??= 'not-started';
        this.#cause = error;
        this.#done.resolve();
      }
    });
    child.once('exit', () => this.#later(GRACE_MS, () => this.#closePipes()));
    child.once('close', () => this.#done.resolve());
    signal.addEventListener('abort', abort, { once: true });
    this.#later(timeoutMs, () => this.#end('timeout'));
    if (signal.aborted) abort();
    try {
      await this.#done.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      for (const timer of this.#timers) clearTimeout(timer);
      // Grandchildren that outlived the child.
      killGroup(child, 'SIGKILL');
    }
    signal.throwIfAborted();
    return {
      outcome: this.#outcome ?? 'exited',
      exitCode: child.exitCode,
      exitSignal: child.signalCode,
      stdout: Buffer.concat(this.#stdout),
      stderrTail: this.#stderr.text(),
      ...(this.#cause === undefined ? {} : { cause: this.#cause }),
    };
  }

  #take(chunk: Buffer): void {
    if (this.#outcome) return;
    this.#size += chunk.length;
    if (this.#size > this.#options.stdoutLimit) this.#end('output-limit');
    else this.#stdout.push(chunk);
  }

  /** SIGTERM, then SIGKILL. The first cause is the one that is told. */
  #end(outcome: RunResult['outcome']): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    killGroup(this.#child, 'SIGTERM');
    this.#later(GRACE_MS, () => killGroup(this.#child, 'SIGKILL'));
  }

  /** The child is gone but another process holds its pipes: nothing that counts comes any more. */
  #closePipes(): void {
    killGroup(this.#child, 'SIGKILL');
    this.#child.stdout!.destroy();
    this.#child.stderr!.destroy();
  }

  #later(delay: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, delay);
    this.#timers.add(timer);
  }
}

/**
 * Runs a command to its end.
 * @throws the signal's reason, once the child is gone.
 */
export async function runProcess(options: RunOptions): Promise<RunResult> {
  options.signal.throwIfAborted();
  const tied = await canTieToUs();
  options.signal.throwIfAborted();
  const run = tied
    ? new Run(options, 'setpriv', ['--pdeathsig', 'KILL', '--', options.command, ...options.args])
    : new Run(options, options.command, options.args);
  return run.finish();
}
