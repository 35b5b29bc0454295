/**
 * The chunk files of one torrent: positioned writes and reads through a few open handles.
 *
 * A write is made at once, in this thread: another one would first have to fetch the bytes from this one's processor, which takes
 * three times as long as writing them (measured: 1.6 s/GB instead of 0.5). That waits for a slow disk, though; so when one
 * write has taken long, those of the next seconds go the other way, one at a time. Waiting for a processor is no fault of the disk.
 *
 * Invariant: `#writing` is true exactly while a write is under way; `#writes` are those behind it, in order. `#open` holds one entry per chunk that is open or being opened; `users` counts the operations under way on it. An entry
 * is closed only with no users: when there are more than `MAX_OPEN`, when its chunk is forgotten, or with the store.
 */
import { close, constants, open, openSync, read, write, writeSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { chunkFile } from './chunks.ts';
import { clock } from './clock.ts';
import { waitedForProcessor } from './run-delay.ts';

/** About as many as pieces are made at once: of a torrent that is fetched rarest first, each lies in another chunk. */
const MAX_OPEN = 48;
/** Written at once: more makes the kernel take large pages of fresh memory, which cost ten times the copying (measured). */
const SLICE = 32 * 1024;
const FLAGS = constants.O_RDWR | constants.O_CREAT;
const MODE = 0o644;
/** Milliseconds: a write that takes longer shows a slow disk, and for how long that is believed. */
const LONG_MS = 150;
const SLOW_MS = 5000;
/** How old the last look may be at how long the thread has waited for a processor: what it waited since then may all have been in one write. */
const WAITED_AGE_MS = 250;

interface Handle {
  readonly chunk: number;
  fd: number | undefined;
  users: number;
  doomed: boolean;
  readonly waiting: ((error: Error | null) => void)[];
}

type Done = (error: Error | null) => void;

export class ChunkStore {
  readonly directory: string;
  readonly #chunkLength: number;
  readonly #open = new Map<number, Handle>();
  readonly #writes: { readonly offset: number; readonly bytes: Buffer; readonly done: Done }[] = [];
  #writing = false;
  #slowUntil = 0;
  #waited = 0;
  #waitedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #idle: (() => void) | undefined;
  #operations = 0;

  constructor(directory: string, chunkLength: number) {
    this.directory = directory;
    this.#chunkLength = chunkLength;
  }

  async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true });
  }

  /** Writes all of `bytes` at `offset` of torrent space; they lie within one chunk. */
  write(offset: number, bytes: Buffer, done: Done): void {
    if (!this.#writing && clock.now >= this.#slowUntil && !this.#closed && this.#writeNow(offset, bytes, done)) return;
    this.#writes.push({ offset, bytes, done });
    if (!this.#writing) this.#writeNext();
  }

  /** @returns false when its chunk is just being opened. */
  #writeNow(offset: number, bytes: Buffer, done: Done): boolean {
    const chunk = Math.floor(offset / this.#chunkLength);
    const began = performance.now();
    if (began - this.#waitedAt > WAITED_AGE_MS) this.#lookAtWaits(began);
    let failure: Error | null = null;
    try {
      const fd = this.#openNow(chunk);
      if (fd === undefined) return false;
      for (let at = 0; at < bytes.length; ) {
        const length = Math.min(SLICE, bytes.length - at);
        at += writeSync(fd, bytes, at, length, offset - chunk * this.#chunkLength + at);
      }
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    if (performance.now() - began > LONG_MS) this.#judgeDisk(began);
    done(failure);
    return true;
  }

  /** A write has taken long, since `began`. */
  #judgeDisk(began: number): void {
    const before = this.#waited;
    const now = performance.now();
    this.#lookAtWaits(now);
    if (now - began - (this.#waited - before) > LONG_MS) this.#slowUntil = clock.now + SLOW_MS;
  }

  #lookAtWaits(now: number): void {
    this.#waited = waitedForProcessor();
    this.#waitedAt = now;
  }

  #openNow(chunk: number): number | undefined {
    const known = this.#open.get(chunk);
    if (known !== undefined) return known.fd;
    const fd = openSync(chunkFile(this.directory, chunk), FLAGS, MODE);
    this.#remember({ chunk, fd, users: 0, doomed: false, waiting: [] });
    return fd;
  }

  #writeNext(): void {
    const next = this.#writes.shift();
    this.#writing = next !== undefined;
    if (next === undefined) return;
    const { offset, bytes, done } = next;
    const chunk = Math.floor(offset / this.#chunkLength);
    const over: Done = (error) => {
      done(error);
      this.#writeNext();
    };
    this.#use(chunk, over, (fd, end) => {
      const from = offset - chunk * this.#chunkLength;
      const go = (at: number): void => {
        write(fd, bytes, at, Math.min(SLICE, bytes.length - at), from + at, (error, written) => {
          if (error) end(error);
          else if (at + written < bytes.length) go(at + written);
          else end(null);
        });
      };
      go(0);
    });
  }

  /** Fills `into` from `offset` of torrent space on; the range lies within one chunk. An error when it is not all there. */
  read(offset: number, into: Buffer, done: Done): void {
    const chunk = Math.floor(offset / this.#chunkLength);
    this.#use(chunk, done, (fd, end) => {
      const from = offset - chunk * this.#chunkLength;
      const go = (at: number): void => {
        read(fd, into, at, into.length - at, from + at, (error, got) => {
          if (error) end(error);
          else if (got === 0) end(new Error(`chunk ${chunk} ends early`));
          else if (at + got < into.length) go(at + got);
          else end(null);
        });
      };
      go(0);
    });
  }

  /** Deletes a chunk's file, if there is one. Its pieces are dropped before: what is still to be written of them is left out, or it would bring the file back. */
  async forget(chunk: number): Promise<void> {
    const isOfChunk = ({ offset }: { offset: number }): boolean => Math.floor(offset / this.#chunkLength) === chunk;
    const dropped = this.#writes.filter(isOfChunk);
    const others = this.#writes.filter((write) => !isOfChunk(write));
    this.#writes.splice(0, this.#writes.length, ...others);
    for (const { done } of dropped) done(null);
    this.#doom(chunk);
    await rm(chunkFile(this.directory, chunk), { force: true });
    // One that was opened meanwhile leads to a file that is no more.
    this.#doom(chunk);
  }

  #doom(chunk: number): void {
    const handle = this.#open.get(chunk);
    if (handle === undefined) return;
    handle.doomed = true;
    this.#open.delete(chunk);
    this.#closeIfUnused(handle);
  }

  /** Resolves when the last operation has ended and every handle is closed. Further ones fail. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#operations > 0)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    const handles = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(
      handles.map(
        ({ fd }) => new Promise<void>((resolve) => (fd === undefined ? resolve() : close(fd, () => resolve()))),
      ),
    );
  }

  #use(chunk: number, done: Done, work: (fd: number, end: Done) => void): void {
    if (this.#closed) {
      done(new Error('the store is closed'));
      return;
    }
    this.#operations += 1;
    const handle = this.#handle(chunk);
    handle.users += 1;
    const end: Done = (error) => {
      handle.users -= 1;
      this.#operations -= 1;
      this.#closeIfUnused(handle);
      done(error);
      if (this.#operations === 0) this.#idle?.();
    };
    if (handle.fd !== undefined) work(handle.fd, end);
    else handle.waiting.push((error) => (error === null ? work(handle.fd!, end) : end(error)));
  }

  #handle(chunk: number): Handle {
    const known = this.#open.get(chunk);
    if (known !== undefined) {
      this.#open.delete(chunk); // the order of the map is the order of use
      this.#open.set(chunk, known);
      return known;
    }
    const handle: Handle = { chunk, fd: undefined, users: 0, doomed: false, waiting: [] };
    this.#remember(handle);
    open(chunkFile(this.directory, chunk), FLAGS, MODE, (error, fd) => {
      if (error === null) handle.fd = fd;
      else if (this.#open.get(chunk) === handle) this.#open.delete(chunk);
      for (const wake of handle.waiting.splice(0)) wake(error);
      this.#closeIfUnused(handle);
    });
    return handle;
  }

  /** Those that were used longest ago go. */
  #remember(handle: Handle): void {
    this.#open.set(handle.chunk, handle);
    for (const other of this.#open.values()) {
      if (this.#open.size <= MAX_OPEN) break;
      if (other.users > 0 || other === handle) continue;
      other.doomed = true;
      this.#open.delete(other.chunk);
      this.#closeIfUnused(other);
    }
  }

  #closeIfUnused(handle: Handle): void {
    if (!handle.doomed || handle.users > 0 || handle.fd === undefined) return;
    const { fd } = handle;
    handle.fd = undefined;
    close(fd, () => {});
  }
}
