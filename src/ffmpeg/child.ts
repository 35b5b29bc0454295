/**
 * One child process and the group that it leads: started, ended and watched here for everybody in this room, the only one that starts processes.
 * Invariant: after `exited` the whole group is dead or about to be; `closed` comes after it, when the pipes are closed too. A child that could not be
 * started is both at once, with the failure in `startFailure`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { Readable, Writable } from 'node:stream';

/** From SIGTERM to SIGKILL unless there are reasons for another time, milliseconds. */
export const GRACE_MS = 1000;
const STDERR_KEPT = 4096;

export interface ChildOptions {
  /** Absolute path. */
  readonly command: string;
  /** Passed as they are: there is no shell. */
  readonly args: readonly string[];
  readonly stdin: 'ignore' | 'pipe';
  /** With less priority than all others. */
  readonly background?: boolean;
}

/** Whatever PATH a parent has given us: that may have FFmpeg's folder and no other. */
const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv', 'setpriv'];
const TIED = ['--pdeathsig', 'KILL', '--'];

let setpriv: Promise<string | undefined> | undefined;

/** On Linux, util-linux's `setpriv` can have the kernel kill a child whose parent dies (busybox's cannot): the first one that can, looked for once. */
function whatTiesToUs(): Promise<string | undefined> {
  setpriv ??= (async () => {
    for (const command of process.platform === 'linux' ? SETPRIV : []) if (await canTie(command)) return command;
    return undefined;
  })();
  return setpriv;
}

function canTie(command: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, [...TIED, command, '--version'], { stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
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

/**
 * Starts a child that ends with us where the system can see to that.
 * @throws the signal's reason, with nothing started.
 */
export async function startChild(options: ChildOptions, signal: AbortSignal): Promise<Child> {
  signal.throwIfAborted();
  const tie = await whatTiesToUs();
  signal.throwIfAborted();
  const { command, args, stdin } = options;
  const child =
    tie === undefined ? new Child(command, args, stdin) : new Child(tie, [...TIED, command, ...args], stdin);
  if (options.background) child.yieldToOthers();
  return child;
}

export class Child {
  readonly #process: ChildProcess;
  readonly #stderr = new Tail();
  readonly #exited = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #killTimer: NodeJS.Timeout | undefined;
  /** Closed from the start when asked for as `ignore`. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Why there is no process. */
  startFailure: unknown;

  constructor(command: string, args: readonly string[], stdin: 'ignore' | 'pipe') {
    const child = spawn(command, args, {
      stdio: [stdin, 'pipe', 'pipe'],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    this.#process = child;
    // Out of file descriptors there is no process and there are no pipes.
    this.stdin = child.stdin ?? new Writable().destroy();
    this.stdout = child.stdout ?? Readable.from([]);
    child.stderr?.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    // What goes wrong on a pipe shows in the child's end; an error without a listener would end the server.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => {});
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      this.startFailure = error;
      this.#exited.resolve();
      this.#closed.resolve();
    });
    child.once('exit', () => {
      // What outlives the leader in its group would hold the pipes open; at once, while the group's number is its own.
      this.kill('SIGKILL');
      this.#exited.resolve();
    });
    child.once('close', () => this.#closed.resolve());
  }

  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  get exitSignal(): NodeJS.Signals | null {
    return this.#process.signalCode;
  }

  /** Started, and not gone as far as we have been told. */
  get isAlive(): boolean {
    return this.exitCode === null && this.exitSignal === null && this.startFailure === undefined;
  }

  /** The last 4 KB of standard error. */
  get stderrTail(): string {
    return this.#stderr.text();
  }

  /** The child is gone. Its output may still lie in the pipe. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /** The child is gone and its pipes are closed, which needs that standard output was read to its end or `closePipes` was called. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** SIGTERM to the group, and SIGKILL after `graceMs` milliseconds. */
  terminate(graceMs: number): void {
    if (this.#killTimer || !this.isAlive) return;
    this.kill('SIGTERM');
    this.#killTimer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    void this.exited.then(() => clearTimeout(this.#killTimer));
  }

  /** Lowers its priority; threads that it starts later inherit it. */
  yieldToOthers(): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
    } catch {
      // It is gone already, or the system does not let us: then it competes as all others do.
    }
  }

  closePipes(): void {
    this.stdin.destroy();
    this.stdout.destroy();
    this.#process.stderr?.destroy();
  }

  /** Signals the whole group on POSIX, the child alone elsewhere; one that is gone is no error. */
  kill(name: NodeJS.Signals): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      if (process.platform === 'win32') this.#process.kill(name);
      else process.kill(-pid, name);
    } catch {
      // The group is gone.
    }
  }
}
