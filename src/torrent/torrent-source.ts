/**
 * A file of a torrent as a source: reads wait until their pieces are verified, and tell the swarm what they wait for and what comes next.
 *
 * Invariant: `#waits` holds exactly the reads whose pieces are missing; when a read ends, however it ends, what it wanted is gone with it.
 */
import { AppError } from '../errors.ts';
import { processPool } from '../lib/buffer-pool.ts';
import { checkRange } from '../source/range.ts';
import type { Source } from '../source/source.ts';
import { type ChunkFiles, ChunkLost } from './chunk-files.ts';
import type { TorrentFile } from './metainfo.ts';
import type { PieceMap } from './piece-map.ts';
import { type Playhead, Playheads } from './playheads.ts';
import type { ByteRange, InfoHash, ReaderDemand } from './protocol.ts';
import type { Timeline } from './timeline.ts';

const MB = 1024 * 1024;
/** To have ahead of each playhead: this, or these seconds of the content, whichever is more. */
const WINDOW_BYTES = 32 * MB;
const WINDOW_SECONDS = 20;
/** Where containers keep their index: at the beginning or the end. */
const INDEX_BYTES = 8 * MB;

/** Of containers that have their index at the end, it begins hardly before this. */
const INDEX_TAIL_BYTES = 64 * 1024;
const INDEX_AT_END = /\.(?:mkv|mka|webm|avi)$/i;

/** What a source needs of its swarm. */
export interface SourceHost {
  readonly infoHash: InfoHash;
  readonly pieces: PieceMap;
  readonly files: ChunkFiles;
  /** How many viewers there may be. */
  readonly viewers: number;
  /** The most that a playhead may have ahead, by what may lie on the disk. */
  readonly mostAhead: number;
  /** Why nothing comes at the moment, if so. */
  readonly failure: AppError | undefined;
  readonly timeline: Timeline;
  /** What was verified is not there any more: somebody else has been at the files. Resolves when it may be fetched again. */
  lost(chunk: number): Promise<void>;
  /** What is wanted has changed. @param isUrgent false: nobody waits for what is new in it. */
  changed(isUrgent: boolean): void;
  closed(source: TorrentSource): void;
}

interface Wait {
  readonly range: ByteRange;
  readonly head: Playhead;
}

export class TorrentSource implements Source {
  readonly identity: string;
  readonly label: string;
  readonly name: string;
  readonly size: number;
  readonly latency = 'remote';
  readonly isScarce = true;
  /** Whether the container's index will be wanted soon: not of one who reads raw bytes. */
  readonly wantsIndex: boolean;
  readonly file: TorrentFile;
  readonly #host: SourceHost;
  readonly #release: () => Promise<void>;
  readonly #playheads = new Playheads();
  readonly #waits = new Set<Wait>();
  readonly #life = new AbortController();
  #rate = 0;
  /** Somebody has read elsewhere than at the beginning. */
  #lookedFurther = false;
  #timer: NodeJS.Timeout | undefined;
  #disposal: Promise<void> | undefined;

  /** @param release called once, with the disposal, which waits for it. */
  constructor(file: TorrentFile, wantsIndex: boolean, host: SourceHost, release: () => Promise<void>) {
    this.#release = release;
    this.file = file;
    this.wantsIndex = wantsIndex;
    this.#host = host;
    this.identity = `torrent:${host.infoHash}:${file.index}:${file.length}`;
    this.name = file.path.at(-1) ?? '';
    this.label = this.name;
    this.size = file.length;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(offset, length);
    signal?.throwIfAborted();
    this.#life.signal.throwIfAborted();
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return new Uint8Array(0);
    const start = this.file.offset + offset;
    const range = { start, end: this.file.offset + end };
    const head = this.#playheads.read({ start: offset, end }, this.#limits());
    if (offset > 0) this.#lookedFurther = true;
    for (const lost = new Set<number>(); ; ) {
      await this.#have({ range, head }, signal);
      try {
        return await this.#fetch(range, signal);
      } catch (error) {
        if (!(error instanceof ChunkLost) || lost.has(error.chunk)) throw error;
        lost.add(error.chunk);
        await this.#host.lost(error.chunk);
      }
    }
  }

  /** Resolves when the bytes are on the disk. */
  async #have(wait: Wait, signal: AbortSignal | undefined): Promise<void> {
    try {
      while (!this.#host.pieces.isComplete(wait.range)) await this.#wait(wait, signal);
    } catch (error) {
      if (signal?.aborted) this.#playheads.leave(wait.head);
      throw error;
    } finally {
      this.#changed(false);
    }
  }

  async #wait(wait: Wait, signal: AbortSignal | undefined): Promise<void> {
    const { pieces, failure, timeline } = this.#host;
    if (failure) throw failure;
    const { start, end } = wait.range;
    const since = timeline.ms;
    this.#waits.add(wait);
    this.#changed(true);
    try {
      await pieces.wait(wait.range, signal, this.#life.signal);
      timeline.waited(since, start - this.file.offset, end - start);
    } finally {
      this.#waits.delete(wait);
    }
  }

  async #fetch({ start, end }: ByteRange, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = processPool.acquire(end - start);
    try {
      await this.#host.files.read(bytes, start);
      signal?.throwIfAborted();
      this.#life.signal.throwIfAborted();
      return bytes;
    } catch (error) {
      processPool.release(bytes);
      throw error;
    }
  }

  recycle(bytes: Uint8Array): void {
    processPool.release(bytes);
  }

  /** Where what can be had at once may end: the end of the piece that holds the byte at `offset`. */
  boundaryAfter(offset: number): number {
    const { pieceLength } = this.#host.pieces;
    const piece = Math.floor((this.file.offset + offset) / pieceLength);
    return Math.min(this.size, (piece + 1) * pieceLength - this.file.offset);
  }

  expectRate(bytesPerSecond: number): void {
    this.#rate = bytesPerSecond;
    this.#changed(false);
  }

  confine(start: number, end: number): Disposable {
    const confinement = this.#playheads.confine({ start, end });
    return {
      [Symbol.dispose]: () => {
        confinement[Symbol.dispose]();
        this.#changed(false);
      },
    };
  }

  /** Bytes per second at which the content plays; 0 while unknown. */
  get rate(): number {
    return this.#rate;
  }

  /** What reads wait for. */
  get waiting(): ByteRange[] {
    return [...this.#waits].map(({ range }) => range);
  }

  /** Where reading goes on, bytes of torrent space. */
  get positions(): number[] {
    return this.#playheads.all.map(({ position }) => this.file.offset + position);
  }

  /** The newest playhead first. */
  demands(): ReaderDemand[] {
    const heads = this.#playheads.all.toReversed();
    const stray = new Set([...this.#waits].map(({ head }) => head));
    for (const head of heads) stray.delete(head);
    return [...heads, ...stray].map((head) => {
      const { offset, length } = this.file;
      const start = Math.min(offset + head.position, offset + length);
      const end = Math.min(offset + (head.confinement?.end ?? length), offset + length, start + head.window);
      return {
        reader: head.id,
        waiting: [...this.#waits].filter((wait) => wait.head === head).map(({ range }) => range),
        ahead: end > start && !stray.has(head) ? [...this.#firstAhead(), { start, end }] : [],
      };
    });
  }

  /** As long as only the beginning has been asked for: the index will be next, and is sooner here if it is asked for now. */
  #firstAhead(): ByteRange[] {
    const { offset, length } = this.file;
    if (!this.wantsIndex || this.#lookedFurther || !INDEX_AT_END.test(this.name)) return [];
    return [{ start: offset + Math.max(0, length - INDEX_TAIL_BYTES), end: offset + length }];
  }

  /** Head and tail of the file. */
  get index(): ByteRange[] {
    if (!this.wantsIndex) return [];
    const { offset, length } = this.file;
    const head = { start: offset, end: offset + Math.min(INDEX_BYTES, length) };
    const tail = { start: Math.max(head.end, offset + length - INDEX_BYTES), end: offset + length };
    return tail.start < tail.end ? [head, tail] : [head];
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#life.abort(new AppError('internal', `${this.label} was closed while it was being read.`));
    this.#host.closed(this);
    await this.#release();
  }

  #limits(): { most: number; viewers: number } {
    const wished = Math.max(WINDOW_BYTES, this.#rate * WINDOW_SECONDS);
    return { most: Math.min(wished, this.#host.mostAhead), viewers: this.#host.viewers };
  }

  #changed(isUrgent: boolean): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#life.signal.aborted) return;
    const again = this.#playheads.prune(this.#limits());
    if (again !== undefined) {
      this.#timer = setTimeout(() => this.#changed(false), again);
      this.#timer.unref();
    }
    this.#host.changed(isUrgent);
  }
}
