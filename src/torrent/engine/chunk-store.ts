/**
 * The chunk files of one torrent: positioned writes and reads through a few open handles.
 *
 * Invariant: `#open` holds one entry per chunk that is open or being opened; `users` counts the operations under way on it. An entry
 * is closed only with no users: when there are more than `MAX_OPEN`, when its chunk is forgotten, or with the store.
 */
import { close, constants, open, read, write } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { chunkFile } from './chunks.ts';

const MAX_OPEN = 16;

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
    const chunk = Math.floor(offset / this.#chunkLength);
    this.#use(chunk, done, (fd, end) => {
      const from = offset - chunk * this.#chunkLength;
      const go = (at: number): void => {
        write(fd, bytes, at, bytes.length - at, from + at, (error, written) => {
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

  /** Deletes a chunk's file, if there is one. Nothing is written to it meanwhile: its pieces are dropped before. */
  async forget(chunk: number): Promise<void> {
    const handle = this.#open.get(chunk);
    if (handle !== undefined) {
      handle.doomed = true;
      this.#open.delete(chunk);
      this.#closeIfUnused(handle);
    }
    await rm(chunkFile(this.directory, chunk), { force: true });
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
    this.#open.set(chunk, handle);
    for (const other of this.#open.values()) {
      if (this.#open.size <= MAX_OPEN) break;
      if (other.users > 0 || other === handle) continue;
      other.doomed = true;
      this.#open.delete(other.chunk);
      this.#closeIfUnused(other);
    }
    open(chunkFile(this.directory, chunk), constants.O_RDWR | constants.O_CREAT, 0o644, (error, fd) => {
      if (error === null) handle.fd = fd;
      else if (this.#open.get(chunk) === handle) this.#open.delete(chunk);
      for (const wake of handle.waiting.splice(0)) wake(error);
      this.#closeIfUnused(handle);
    });
    return handle;
  }

  #closeIfUnused(handle: Handle): void {
    if (!handle.doomed || handle.users > 0 || handle.fd === undefined) return;
    const { fd } = handle;
    handle.fd = undefined;
    close(fd, () => {});
  }
}
