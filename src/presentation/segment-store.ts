/**
 * Transcoded segments: memory first, then disk, each under its budget.
 *
 * Invariants: an entry is in `#memory` with its bytes, or in `#disk` with its file, never in both, and in `#entries` exactly while it is in
 * either; `#memory` is ordered by use, the longest unused first. An entry that is being written stays in `#memory` until its file is
 * whole. `#diskBytes`, counting files that are being written, never exceeds the disk's budget. What an owner protects is never evicted; so
 * memory may exceed its budget by what is protected and finds no room on disk, and by up to OVERDRAFT of what waits to be written.
 * Whatever the file system does, `get` gives what was put or nothing.
 */
import { waitFor } from '../lib/abort.ts';
import { Limiter } from '../lib/limiter.ts';
import { SegmentFolder, type StoredFile } from './segment-folder.ts';

export interface SegmentKey {
  /** Identity of the presentation. */
  readonly presentation: string;
  readonly rendition: string;
  readonly segment: number;
}

export interface SegmentStoreOptions {
  /**
   * Bytes. Default 40 MiB: at the variants' bit rates some minutes of video, and with what waits to be written (32 MiB at most)
   * the server stays below 250 MB.
   */
  readonly memoryBytes?: number;
  /** Bytes; 0: memory only. */
  readonly diskBytes: number;
  /** A temporary folder that exists; the store makes its own, private one in it, and removes it at the end. */
  readonly folder: string;
  readonly log?: SegmentStoreLog;
  /** Milliseconds for which a disk that failed is left alone; default 15,000. */
  readonly retryMs?: number;
}

export interface SegmentStoreLog {
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

export interface SegmentStoreStats {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
}

interface Entry {
  readonly id: string;
  readonly presentation: string;
  readonly size: number;
  /** Rises with each use of any entry. */
  used: number;
  bytes?: Uint8Array;
  file?: StoredFile;
  /** Being written, or waiting for it: its size is counted in `#diskBytes` already. */
  spilling: boolean;
  reading?: Promise<Uint8Array | undefined>;
}

const MEMORY_BYTES = 40 * 1024 * 1024;
const FILE_OPERATIONS = 4;
/** Bytes of memory above its budget that may wait to be written: a disk that can't follow loses what is unprotected. */
const OVERDRAFT = 32 * 1024 * 1024;
const RETRY_MS = 15_000;

export class SegmentStore implements AsyncDisposable {
  readonly #memoryLimit: number;
  readonly #diskBudget: number;
  readonly #retryMs: number;
  readonly #folder: SegmentFolder;
  readonly #log: SegmentStoreLog | undefined;
  readonly #entries = new Map<string, Entry>();
  readonly #memory = new Map<string, Entry>();
  readonly #disk = new Map<string, Entry>();
  readonly #owners = new Map<object, ReadonlySet<string>>();
  /** How many owners protect a key, whether it is stored or not. */
  readonly #protected = new Map<string, number>();
  readonly #files = new Limiter(FILE_OPERATIONS);
  readonly #closing = new AbortController();
  /** File operations under way. */
  readonly #work = new Set<Promise<void>>();
  #disposed: Promise<void> | undefined;
  #memoryBytes = 0;
  #diskBytes = 0;
  /** Of entries in memory that are being written. */
  #spillingBytes = 0;
  #clock = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;
  /** What the disk takes: its budget, or, once it was full, what it holds. */
  #diskLimit: number;
  #failing = false;
  /** `performance.now()` from which a failing disk is tried again. */
  #retryAt = 0;

  constructor({ memoryBytes = MEMORY_BYTES, diskBytes, folder, log, retryMs = RETRY_MS }: SegmentStoreOptions) {
    this.#memoryLimit = memoryBytes;
    this.#diskBudget = diskBytes;
    this.#diskLimit = diskBytes;
    this.#retryMs = retryMs;
    this.#folder = new SegmentFolder(folder);
    this.#log = log;
    this.#inBackground(() => this.#folder.sweep());
  }

  get stats(): SegmentStoreStats {
    return {
      memoryBytes: this.#memoryBytes,
      diskBytes: this.#diskBytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
    };
  }

  /**
   * The segment, from memory or disk; undefined when it isn't stored or has been lost. The bytes are shared: never write to them.
   * @throws the signal's reason when it aborts; nothing else.
   */
  async get(key: SegmentKey, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    const entry = this.#entries.get(idOf(key));
    let bytes: Uint8Array | undefined;
    if (entry !== undefined) {
      this.#touch(entry);
      bytes = entry.bytes ?? (await waitFor(this.#read(entry), signal));
    }
    if (bytes === undefined) this.#misses += 1;
    else this.#hits += 1;
    return bytes;
  }

  /** Is it stored, as far as is known? Does not count as a use. */
  has(key: SegmentKey): boolean {
    return this.#entries.has(idOf(key));
  }

  /** Stores a segment, in place of what was stored under the key. The bytes are the store's from now on: never write to them. */
  put(key: SegmentKey, bytes: Uint8Array): void {
    if (this.#closing.signal.aborted) return;
    const id = idOf(key);
    const old = this.#entries.get(id);
    if (old) this.#forget(old);
    // A view must not hold a much larger buffer in memory.
    const own = bytes.buffer.byteLength > bytes.length * 1.25 + 4096 ? bytes.slice() : bytes;
    const entry: Entry = { id, presentation: key.presentation, size: own.length, used: ++this.#clock, spilling: false };
    this.#entries.set(id, entry);
    this.#hold(entry, own);
    this.#settle();
  }

  /** What a player is about to need is not evicted. Replaces what this owner protected before; keys need not be stored yet. */
  protect(owner: object, keys: Iterable<SegmentKey>): void {
    const ids = new Set<string>();
    for (const key of keys) ids.add(idOf(key));
    // The new ones first: what is in both must not be let go in between.
    for (const id of ids) this.#protected.set(id, (this.#protected.get(id) ?? 0) + 1);
    this.#release(owner);
    this.#owners.set(owner, ids);
    this.#settle();
  }

  unprotect(owner: object): void {
    this.#release(owner);
    this.#settle();
  }

  /** Removes every segment of a presentation; resolves when its files are gone. */
  async drop(presentationIdentity: string): Promise<void> {
    for (const entry of [...this.#entries.values()]) {
      if (entry.presentation === presentationIdentity) this.#forget(entry);
    }
    await Promise.all(this.#work);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    this.#closing.abort(new DOMException('The segment store is closed', 'AbortError'));
    this.#entries.clear();
    this.#memory.clear();
    this.#disk.clear();
    this.#owners.clear();
    this.#protected.clear();
    await Promise.all(this.#work);
    this.#memoryBytes = 0;
    this.#diskBytes = 0;
    this.#spillingBytes = 0;
    await this.#folder[Symbol.asyncDispose]();
  }

  #release(owner: object): void {
    for (const id of this.#owners.get(owner) ?? []) {
      const count = (this.#protected.get(id) ?? 0) - 1;
      if (count > 0) this.#protected.set(id, count);
      else this.#protected.delete(id);
    }
    this.#owners.delete(owner);
  }

  #touch(entry: Entry): void {
    entry.used = ++this.#clock;
    if (this.#memory.delete(entry.id)) this.#memory.set(entry.id, entry);
  }

  #hold(entry: Entry, bytes: Uint8Array): void {
    entry.bytes = bytes;
    this.#memory.set(entry.id, entry);
    this.#memoryBytes += entry.size;
  }

  /** Lets the bytes go; the entry stays when it has a file by now. */
  #letGo(entry: Entry): void {
    if (entry.bytes === undefined) return;
    delete entry.bytes;
    this.#memory.delete(entry.id);
    this.#memoryBytes -= entry.size;
    this.#endSpilling(entry);
    if (entry.file === undefined) this.#entries.delete(entry.id);
  }

  #endSpilling(entry: Entry): void {
    if (!entry.spilling) return;
    entry.spilling = false;
    this.#spillingBytes -= entry.size;
  }

  /** Removes an entry on disk. @returns the file, which is the caller's to remove. */
  #detach(entry: Entry): StoredFile | undefined {
    const { file } = entry;
    if (file === undefined) return undefined;
    delete entry.file;
    this.#disk.delete(entry.id);
    this.#diskBytes -= entry.size;
    this.#entries.delete(entry.id);
    return file;
  }

  /** Removes an entry whole. One that is being written is removed by its writer. */
  #forget(entry: Entry): void {
    const file = this.#detach(entry);
    this.#letGo(entry);
    if (file) this.#inBackground(() => this.#folder.remove([file]));
  }

  #evict(entry: Entry): void {
    this.#forget(entry);
    this.#evictions += 1;
  }

  /** Brings memory below its budget: by writing, and where that is not possible by evicting. */
  #settle(): void {
    if (this.#closing.signal.aborted) return;
    while (this.#memoryBytes - this.#spillingBytes > this.#memoryLimit) {
      const entry = this.#oldest((candidate) => !candidate.spilling);
      if (entry === undefined) break;
      if (this.#spill(entry)) continue;
      if (this.#protected.has(entry.id)) break;
      this.#evict(entry);
    }
    while (this.#memoryBytes > this.#memoryLimit + OVERDRAFT) {
      const entry = this.#oldest((candidate) => !this.#protected.has(candidate.id));
      if (entry === undefined) break;
      this.#evict(entry);
    }
  }

  /** The longest unused entry in memory that will do, unprotected ones before protected ones. */
  #oldest(accept: (entry: Entry) => boolean): Entry | undefined {
    let fallback: Entry | undefined;
    for (const entry of this.#memory.values()) {
      if (!accept(entry)) continue;
      if (!this.#protected.has(entry.id)) return entry;
      fallback ??= entry;
    }
    return fallback;
  }

  /** Starts writing an entry, if the disk has room for it. */
  #spill(entry: Entry): boolean {
    if (this.#failing && performance.now() >= this.#retryAt) {
      this.#diskLimit = this.#diskBudget;
      this.#retryAt = performance.now() + this.#retryMs;
    }
    const losers = this.#room(entry);
    const { bytes } = entry;
    if (losers === undefined || bytes === undefined) return false;
    const files = losers.flatMap((loser) => this.#detach(loser) ?? []);
    this.#evictions += files.length;
    entry.spilling = true;
    this.#spillingBytes += entry.size;
    this.#diskBytes += entry.size;
    this.#inBackground(async () => {
      await this.#folder.remove(files);
      await this.#write(entry, bytes);
    });
    return true;
  }

  /** The entries on disk that must go for this one: none is used later than it, or protected. Undefined when that is not enough. */
  #room(entry: Entry): Entry[] | undefined {
    if (entry.size > this.#diskLimit) return undefined;
    let missing = this.#diskBytes + entry.size - this.#diskLimit;
    if (missing <= 0) return [];
    const needed = this.#protected.has(entry.id);
    const losers: Entry[] = [];
    for (const candidate of [...this.#disk.values()].sort((a, b) => a.used - b.used)) {
      if (missing <= 0) break;
      if (!needed && candidate.used > entry.used) break;
      if (this.#protected.has(candidate.id)) continue;
      losers.push(candidate);
      missing -= candidate.size;
    }
    return missing <= 0 ? losers : undefined;
  }

  async #write(entry: Entry, bytes: Uint8Array): Promise<void> {
    let file: StoredFile | undefined;
    const isWanted = (): boolean => this.#entries.get(entry.id) === entry;
    try {
      if (isWanted()) file = await this.#folder.write(entry.id, bytes);
    } catch (error) {
      this.#failed(error, entry.size);
    }
    if (this.#closing.signal.aborted) return;
    this.#endSpilling(entry);
    if (file && isWanted()) {
      entry.file = file;
      this.#disk.set(entry.id, entry);
      this.#letGo(entry);
      this.#recovered();
    } else {
      this.#diskBytes -= entry.size;
      if (file) await this.#folder.remove([file]);
    }
    this.#settle();
  }

  /** One read for all that wait for it. */
  #read(entry: Entry): Promise<Uint8Array | undefined> {
    const { file } = entry;
    if (file === undefined) return Promise.resolve(undefined);
    entry.reading ??= new Promise((resolve) => {
      this.#inBackground(
        async () => {
          let bytes: Uint8Array | undefined;
          try {
            bytes = await this.#folder.read(file);
          } catch {
            // As good as a damaged file: the segment is made anew.
          }
          delete entry.reading;
          if (bytes === undefined && entry.file === file) this.#forget(entry);
          resolve(bytes);
          this.#settle();
        },
        () => resolve(undefined),
      );
    });
    return entry.reading;
  }

  /** A full disk holds what it holds now: from here on something must go for whatever comes. Any other failure: nothing more comes. */
  #failed(error: unknown, size: number): void {
    if (this.#closing.signal.aborted) return;
    const { code, message } = error as NodeJS.ErrnoException;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    this.#diskLimit = isFull ? Math.max(0, Math.min(this.#diskLimit, this.#diskBytes - size)) : 0;
    this.#retryAt = performance.now() + this.#retryMs;
    if (this.#failing) return;
    this.#failing = true;
    this.#log?.warn({ code, message }, 'The cache of segments on disk cannot be written: memory serves instead');
  }

  #recovered(): void {
    if (!this.#failing || this.#diskLimit < this.#diskBudget) return;
    this.#failing = false;
    this.#log?.info({}, 'The cache of segments on disk can be written again');
  }

  /** Runs a file operation when its turn comes; on closing those that wait are called off. */
  #inBackground(task: () => Promise<void>, calledOff: () => void = () => {}): void {
    const work = this.#files
      .run(this.#closing.signal, task)
      .catch(calledOff)
      .finally(() => this.#work.delete(work));
    this.#work.add(work);
  }
}

function idOf({ presentation, rendition, segment }: SegmentKey): string {
  return JSON.stringify([presentation, rendition, segment]);
}
