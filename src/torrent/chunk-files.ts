/**
 * Reads torrent space from its chunk files.
 *
 * Invariant: a handle is open while it is in `#handles`; `users` counts the reads under way on it, and it is closed only at 0.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { AppError } from '../errors.ts';
import { chunkFile } from './engine/chunks.ts';

const MOST_HANDLES = 32;

interface Entry {
  readonly handle: Promise<FileHandle>;
  users: number;
}

export class ChunkFiles implements AsyncDisposable {
  readonly #directory: string;
  readonly #chunkLength: number;
  /** The most recently used last. */
  readonly #handles = new Map<number, Entry>();
  readonly #closing = new Set<Promise<void>>();
  readonly #idle = new Map<number, () => void>();

  constructor(directory: string, chunkLength: number) {
    this.#directory = directory;
    this.#chunkLength = chunkLength;
  }

  /** Whether reads are under way on this chunk. */
  isInUse(chunk: number): boolean {
    return (this.#handles.get(chunk)?.users ?? 0) > 0;
  }

  /** Fills `into` with the bytes from `start`, all of which must be verified. @throws AppError `torrent-failed`. */
  async read(into: Uint8Array, start: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const at = start + done;
      const chunk = Math.floor(at / this.#chunkLength);
      const length = Math.min(into.length - done, (chunk + 1) * this.#chunkLength - at);
      await this.#readChunk(chunk, into.subarray(done, done + length), at - chunk * this.#chunkLength);
      done += length;
    }
  }

  /** Closes a chunk's file, which is about to be deleted. */
  async close(chunk: number): Promise<void> {
    const entry = this.#handles.get(chunk);
    if (entry === undefined) return;
    this.#handles.delete(chunk);
    if (entry.users > 0) await new Promise<void>((resolve) => this.#idle.set(chunk, resolve));
    await (await entry.handle.catch(() => undefined))?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#handles.keys()].map((chunk) => this.close(chunk)));
    await Promise.all(this.#closing);
  }

  async #readChunk(chunk: number, into: Uint8Array, position: number): Promise<void> {
    const entry = this.#entry(chunk);
    entry.users += 1;
    try {
      const handle = await entry.handle;
      for (let filled = 0; filled < into.length; ) {
        const { bytesRead } = await handle.read(into, filled, into.length - filled, position + filled);
        if (bytesRead === 0) throw new Error(`chunk ${chunk} is shorter than what was verified`);
        filled += bytesRead;
      }
    } catch (cause) {
      if (this.#handles.get(chunk) === entry) this.#handles.delete(chunk);
      throw new AppError('torrent-failed', 'The torrent’s data on the disk cannot be read any more.', { cause });
    } finally {
      entry.users -= 1;
      if (entry.users === 0 && this.#handles.get(chunk) !== entry) this.#forget(chunk, entry);
    }
  }

  /** The last read on a handle that is not kept any more has ended. */
  #forget(chunk: number, entry: Entry): void {
    const waiting = this.#idle.get(chunk);
    this.#idle.delete(chunk);
    if (waiting) waiting();
    else this.#closeLater(entry);
  }

  #entry(chunk: number): Entry {
    const known = this.#handles.get(chunk);
    this.#handles.delete(chunk);
    const entry = known ?? { handle: open(chunkFile(this.#directory, chunk), 'r'), users: 0 };
    this.#handles.set(chunk, entry);
    if (this.#handles.size > MOST_HANDLES) {
      const idle = [...this.#handles].find(([, { users }]) => users === 0);
      if (idle && idle[1] !== entry) {
        this.#handles.delete(idle[0]);
        this.#closeLater(idle[1]);
      }
    }
    return entry;
  }

  #closeLater({ handle }: Entry): void {
    const closed = handle
      .then((opened) => opened.close())
      .catch(() => {})
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }
}
