/**
 * Local files.
 *
 * Invariant: the descriptor is open until dispose has been called and the last read under way has ended; nothing uses
 * it after that (a closed descriptor's number may by then belong to another file).
 */
import { type BigIntStats, close, constants, fstat, fstatSync, open, read } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '../errors.ts';
import { type BufferPool, processPool } from '../lib/buffer-pool.ts';
import { checkRange } from './range.ts';
import { received } from './received.ts';
import { SharedReads } from './shared-reads.ts';
import type { Source } from './source.ts';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const statDescriptor = (fd: number): Promise<BigIntStats> =>
  new Promise((resolve, reject) => {
    fstat(fd, { bigint: true }, (error, stats) => (error === null ? resolve(stats) : reject(error)));
  });

/**
 * Opens a regular file.
 * @throws AppError `source-not-found`, `source-not-regular`, `source-forbidden`, `source-empty`; the signal's reason.
 */
export async function openFile(path: string, signal: AbortSignal, pool: BufferPool = processPool): Promise<Source> {
  signal.throwIfAborted();
  let fd: number;
  try {
    // Before the open, so that a device or a FIFO is never opened at all: opening can have effects (tape, serial line).
    assertRegular(path, await stat(path, { bigint: true }));
    // O_NONBLOCK: should it have become a FIFO meanwhile, the open returns at once and the check below refuses it.
    fd = await openDescriptor(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0));
  } catch (error) {
    throw await openingError(path, error);
  }
  try {
    const stats = await statDescriptor(fd);
    assertRegular(path, stats);
    if (stats.size === 0n) throw new AppError('source-empty', `The file ${path} is empty.`);
    signal.throwIfAborted();
    return new FileSource(path, fd, stats, pool);
  } catch (error) {
    await closeDescriptor(fd);
    throw error;
  }
}

class FileSource implements Source {
  readonly identity: string;
  readonly label: string;
  readonly localPath: string;
  readonly name: string;
  readonly size: number;
  readonly latency = 'local';
  readonly #fd: number;
  readonly #opened: BigIntStats;
  readonly #reads: SharedReads;
  #reading = 0;
  #disposed = false;
  #failure: AppError | undefined;
  /** Resolves dispose when the last read has ended. */
  #idle: (() => void) | undefined;
  #disposal: Promise<void> | undefined;

  constructor(path: string, fd: number, stats: BigIntStats, pool: BufferPool) {
    this.label = path;
    this.localPath = path;
    this.name = basename(path);
    this.size = Number(stats.size);
    this.identity = `file:${path}:${stats.mtimeNs}:${stats.size}:${stats.dev}.${stats.ino}`;
    this.#fd = fd;
    this.#opened = stats;
    this.#reads = new SharedReads(pool, {
      // A read cannot be cancelled, and on a sleeping disk or a network it takes its time: who waits for it may leave at once.
      fill: (bytes, offset, signal) => this.#read(bytes, offset, signal),
      confirm: () => this.#assertUnchanged(),
    });
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(offset, length);
    signal?.throwIfAborted();
    if (this.#disposed) throw new AppError('internal', `${this.label} was read after it was closed.`);
    if (this.#failure !== undefined) throw this.#failure;
    const wanted = Math.min(length, this.size - offset);
    if (wanted <= 0) return new Uint8Array(0);
    return this.#reads.take(offset, wanted, signal);
  }

  recycle(bytes: Uint8Array): void {
    this.#reads.giveBack(bytes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  async #close(): Promise<void> {
    this.#disposed = true;
    if (this.#reading > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await closeDescriptor(this.#fd);
  }

  async #read(bytes: Uint8Array, offset: number, signal: AbortSignal): Promise<void> {
    this.#reading += 1;
    try {
      await this.#fill(bytes, offset, signal);
      this.#assertUnchanged();
      received.file += bytes.length;
    } finally {
      this.#reading -= 1;
      if (this.#reading === 0) this.#idle?.();
    }
  }

  async #fill(bytes: Uint8Array, offset: number, signal: AbortSignal): Promise<void> {
    let filled = 0;
    while (filled < bytes.length) {
      const count = await this.#readOnce(bytes, filled, offset + filled);
      signal.throwIfAborted();
      if (count === 0) {
        // Changed tells more than truncated does, but a shorter file is both, and the length is what matters here.
        throw this.#fail('source-truncated', `ends at byte ${offset + filled} instead of ${this.size}`);
      }
      filled += count;
    }
  }

  #readOnce(bytes: Uint8Array, at: number, position: number): Promise<number> {
    const length = Math.min(bytes.length - at, LARGEST_READ);
    return new Promise((resolve, reject) => {
      read(this.#fd, bytes, at, length, position, (error, count) => {
        if (error === null) resolve(count);
        else
          reject(
            new AppError('source-unreachable', `${this.label} cannot be read: ${words(error)}.`, { cause: error }),
          );
      });
    });
  }

  /**
   * After every read: bytes of a file that has been written to since may be of either version. 2 us, synchronously: a trip to
   * the thread pool costs 50 times as much, and the inode of an open file is in memory.
   */
  #assertUnchanged(): void {
    const now = fstatSync(this.#fd, { bigint: true });
    const then = this.#opened;
    if (now.mtimeNs === then.mtimeNs && now.size === then.size) return;
    if (now.size < then.size) throw this.#fail('source-truncated', `shrank from ${then.size} to ${now.size} bytes`);
    throw this.#fail('source-changed', 'has been changed since it was opened');
  }

  #fail(code: 'source-truncated' | 'source-changed', what: string): AppError {
    this.#failure = new AppError(code, `The file ${this.label} ${what}.`);
    return this.#failure;
  }
}

/** Linux moves at most 2 GiB - 4 KiB in one read; smaller pieces keep an aborted huge read short. */
const LARGEST_READ = 64 * 1024 * 1024;

function assertRegular(path: string, stats: BigIntStats): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory()
    ? 'a directory'
    : stats.isFIFO()
      ? 'a named pipe'
      : stats.isSocket()
        ? 'a socket'
        : stats.isCharacterDevice() || stats.isBlockDevice()
          ? 'a device'
          : 'not a regular file';
  throw new AppError('source-not-regular', `${path} is ${what}, not a regular file.`);
}

async function openingError(path: string, error: unknown): Promise<unknown> {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT': {
      const link = await lstat(path).catch(() => undefined);
      const why = link?.isSymbolicLink() ? 'is a symbolic link to a file that does not exist' : 'does not exist';
      return new AppError('source-not-found', `The file ${path} ${why}.`, { cause: error });
    }
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
      return new AppError('source-not-found', `The file ${path} does not exist.`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new AppError('source-forbidden', `The server is not allowed to read ${path}.`, { cause: error });
    // A socket, or a FIFO or device that has gone away.
    case 'ENXIO':
    case 'ENODEV':
    case 'EISDIR':
      return new AppError('source-not-regular', `${path} is not a regular file.`, { cause: error });
    default:
      return new AppError('source-unreachable', `${path} cannot be opened: ${words(error)}.`, { cause: error });
  }
}

function words(error: Error): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ELOOP':
      return 'too many symbolic links';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open';
    case 'EIO':
      return 'the disk reports an error';
    case 'ESTALE':
      return 'the network file system has lost it';
    default:
      return (error as NodeJS.ErrnoException).code ?? error.message;
  }
}
