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
  /** Called when there are no users left, by whoever waits for that. */
  idle?: () => void;
}

interface Part {
  readonly entry: Entry;
  readonly chunk: number;
  readonly into: Uint8Array;
  readonly position: number;
}

/** Somebody has deleted the file, or made it shorter than what was verified: `torrent-failed`, unless it is fetched again. */
export class ChunkLost extends AppError {
  readonly chunk: number;

  constructor(chunk: number, cause?: unknown) {
    super('torrent-failed', UNREADABLE, { cause });
    this.chunk = chunk;
  }
}

const UNREADABLE = 'The torrent’s data on the disk cannot be read any more.';

const unreadable = (cause: unknown): AppError => new AppError('torrent-failed', UNREADABLE, { cause });

export class ChunkFiles implements AsyncDisposable {
  readonly #directory: string;
  readonly #chunkLength: number;
  /** The most recently used last. */
  readonly #handles = new Map<number, Entry>();
  readonly #closing = new Set<Promise<void>>();

  constructor(directory: string, chunkLength: number) {
    this.#directory = directory;
    this.#chunkLength = chunkLength;
  }

  /** Whether reads are under way on this chunk. */
  isInUse(chunk: number): boolean {
    return (this.#handles.get(chunk)?.users ?? 0) > 0;
  }

  /**
   * Fills `into` with the bytes from `start`, all of which must be verified. All files that it needs are in use from the call on: none of them is deleted under it.
   * @throws AppError `torrent-failed`; of what is not there any more ChunkLost.
   */
  async read(into: Uint8Array, start: number): Promise<void> {
    const parts: Part[] = [];
    for (let done = 0; done < into.length; ) {
      const chunk = Math.floor((start + done) / this.#chunkLength);
      const position = start + done - chunk * this.#chunkLength;
      const length = Math.min(into.length - done, this.#chunkLength - position);
      const entry = this.#entry(chunk);
      entry.users += 1;
      parts.push({ entry, chunk, into: into.subarray(done, done + length), position });
      done += length;
    }
    try {
      for (const part of parts) await readPart(part);
    } catch (cause) {
      for (const { chunk, entry } of parts) if (this.#handles.get(chunk) === entry) this.#handles.delete(chunk);
      throw cause instanceof ChunkLost ? cause : unreadable(cause);
    } finally {
      for (const { chunk, entry } of parts) this.#leave(chunk, entry);
    }
  }

  /** Closes a chunk's file, which is about to be deleted. */
  async close(chunk: number): Promise<void> {
    const entry = this.#handles.get(chunk);
    if (entry === undefined) return;
    this.#handles.delete(chunk);
    if (entry.users > 0) {
      await new Promise<void>((resolve) => {
        entry.idle = resolve;
      });
    }
    await (await entry.handle.catch(() => undefined))?.close();
  }

  /** Closes everything. What is read afterwards is opened anew. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#handles.keys()].map((chunk) => this.close(chunk)));
    await Promise.all(this.#closing);
  }

  #leave(chunk: number, entry: Entry): void {
    entry.users -= 1;
    if (entry.users > 0 || this.#handles.get(chunk) === entry) return;
    // The last read on a handle that is not kept any more has ended.
    entry.idle?.();
    if (entry.idle === undefined) this.#closeLater(entry);
  }

  #entry(chunk: number): Entry {
    const known = this.#handles.get(chunk);
    this.#handles.delete(chunk);
    const entry = known ?? { handle: open(chunkFile(this.#directory, chunk), 'r'), users: 0 };
    entry.handle.catch(() => {}); // told to those who read, some of whom wait for another file first
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

async function readPart({ entry, chunk, into, position }: Part): Promise<void> {
  const handle = await entry.handle.catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new ChunkLost(chunk, error) : error;
  });
  for (let filled = 0; filled < into.length; ) {
    const { bytesRead } = await handle.read(into, filled, into.length - filled, position + filled);
    if (bytesRead === 0) throw new ChunkLost(chunk);
    filled += bytesRead;
  }
}
