/**
 * The whole content of a server that ignores Range, downloaded once into a temporary file.
 *
 * Invariant: bytes `[0, #written)` are in the file; `[#written, position)` are in `#queue`, in order, and the flow is paused while they
 * are many. The file has no name (where the system allows it), so that a killed process leaves nothing behind.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import type { DownloadSink } from './http-download.ts';
import { contentLength, type ResponseHead, sameVersion, type Validators, validators } from './http-headers.ts';
import { noRange } from './http-representation.ts';
import type { Flow } from './http-transport.ts';
import type { HttpTuning } from './http-tuning.ts';

const MAX_QUEUED = 8 * 1024 * 1024;

interface Waiter {
  readonly until: number;
  readonly settle: (error?: unknown) => void;
}

export class Spool implements DownloadSink {
  /** Bytes; undefined until the end has been seen, when the server does not say. */
  size: number | undefined;
  readonly validators: Validators;
  readonly #label: string;
  readonly #limit: number;
  readonly #waiters = new Set<Waiter>();
  readonly #file: Promise<TemporaryFile>;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #written = 0;
  #writing: Promise<void> | undefined;
  #flow: Flow | undefined;
  #failure: unknown;

  /** @param head the 200 that opened the source. @throws AppError `source-no-range` when it is too large. */
  constructor(label: string, head: ResponseHead, tuning: HttpTuning) {
    this.#label = label;
    this.size = contentLength(head);
    this.validators = validators(head);
    this.#limit = this.size === undefined ? tuning.maxSpoolUnknown : tuning.maxSpool;
    if (this.size !== undefined && this.size > this.#limit) throw this.#tooLarge(this.#limit);
    this.#file = temporaryFile((this.size ?? 0) + tuning.spareDisk, label);
    // It is awaited by the first write and by every read.
    this.#file.catch((error: unknown) => this.fail(error));
  }

  get position(): number {
    return this.#written + this.#queued;
  }

  wanted(): undefined {
    return undefined;
  }

  accept(head: ResponseHead, flow: Flow): number {
    if (this.#failure !== undefined) throw this.#failure;
    if (head.status !== 200) throw noRange(this.#label, `answered ${head.status} when asked for the whole file`);
    const size = contentLength(head);
    if (!sameVersion(this.validators, validators(head)) || (this.position > 0 && size !== this.size)) {
      throw new AppError('source-changed', `${this.#label} has been changed since it was opened.`);
    }
    this.#flow = flow;
    if (this.#queued > MAX_QUEUED) flow.pause();
    return this.position;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const room = (this.size ?? this.#limit) - this.position;
    if (chunk.length > room && this.size === undefined) throw this.#tooLarge(this.#limit);
    const piece = chunk.subarray(0, room);
    this.#queue.push(piece);
    this.#queued += piece.length;
    if (this.#queued > MAX_QUEUED) this.#flow?.pause();
    this.#writing ??= this.#drain();
    return chunk.length <= room;
  }

  ended(): void {
    this.size ??= this.position;
  }

  get satisfied(): boolean {
    return this.size !== undefined && this.position >= this.size;
  }

  /** Nothing more will come: readers of bytes that are missing get `error`. */
  fail(error: unknown): void {
    this.#failure ??= error;
    for (const waiter of this.#waiters) waiter.settle(error);
  }

  /** `[from, to)`, when it has arrived. @throws the failure of the download; the signal's reason. */
  async read(from: number, to: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (to > this.#written) await this.#arrival(to, signal);
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(to - from).buffer);
    const { handle } = await this.#file;
    for (let filled = 0; filled < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, from + filled);
      if (bytesRead === 0) throw new AppError('source-truncated', `The temporary copy of ${this.#label} is cut short.`);
      filled += bytesRead;
    }
    signal?.throwIfAborted();
    return bytes;
  }

  async dispose(reason: unknown): Promise<void> {
    this.fail(reason);
    await this.#writing;
    const file = await this.#file.catch(() => undefined);
    await file?.dispose();
  }

  #arrival(until: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        until,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal?.removeEventListener('abort', leave);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const leave = () => waiter.settle(signal?.reason);
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', leave);
    });
  }

  async #drain(): Promise<void> {
    try {
      const { handle } = await this.#file;
      while (this.#queue.length > 0 && this.#failure === undefined) {
        const block = Buffer.concat(this.#queue);
        this.#queue = [];
        for (let done = 0; done < block.length; ) {
          const { bytesWritten } = await handle.write(block, done, block.length - done, this.#written);
          done += bytesWritten;
          this.#written += bytesWritten;
          this.#queued -= bytesWritten;
        }
        this.#flow?.resume();
        for (const waiter of this.#waiters) if (waiter.until <= this.#written) waiter.settle();
      }
    } catch (cause) {
      const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC' ? ': the disk is full' : '';
      this.fail(
        cause instanceof AppError
          ? cause
          : new AppError('source-no-range', `${this.#label} could not be copied to the temporary directory${full}.`, {
              cause,
            }),
      );
      this.#flow?.resume();
    } finally {
      this.#writing = undefined;
    }
  }

  #tooLarge(limit: number): AppError {
    const size = this.size === undefined ? 'a size that it does not say' : `${this.size} bytes`;
    return noRange(
      this.#label,
      `cannot send a part of a file, and with ${size} it is too large to be copied first (at most ${limit} bytes)`,
    );
  }
}

interface TemporaryFile {
  readonly handle: FileHandle;
  dispose(): Promise<void>;
}

/** @throws AppError `source-no-range` when the disk has less than `needed` bytes free. */
async function temporaryFile(needed: number, label: string): Promise<TemporaryFile> {
  const directory = tmpdir();
  const disk = await statfs(directory, { bigint: true });
  if (disk.bavail * disk.bsize < BigInt(needed)) {
    throw noRange(label, 'cannot send a part of a file, and the temporary directory has too little room for a copy');
  }
  const path = join(directory, `raffi-spool-${process.pid}-${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  // Windows keeps the name until the handle is closed.
  const nameless = await rm(path).then(
    () => true,
    () => false,
  );
  return {
    handle,
    async dispose() {
      await handle.close();
      if (!nameless) await rm(path, { force: true });
    },
  };
}
