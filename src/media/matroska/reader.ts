/** Matroska and WebM (RFC 9559), read in process. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, PacketBatch } from '../types.ts';
import { Batch, readByTime, readVideoByKeys } from './cut.ts';
import { ElementCursor } from './ebml.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import { readAllByGrid, readVideoByGrid } from './grid.ts';
import { ID } from './ids.ts';
import type { OpenedIndex } from './keyframes.ts';
import { openFile } from './open.ts';
import { scanFile } from './scan.ts';

/** Whether a file that begins with `head` is Matroska or WebM: an EBML header whose DocType, if it can be seen, is one of theirs. */
export function isMatroska(head: Uint8Array): boolean {
  const at = new ElementCursor(head, 0, Number.MAX_SAFE_INTEGER);
  if (!at.next() || at.id !== ID.EBML) return false;
  const inner = at.enter();
  while (inner.next()) {
    if (inner.id !== ID.DocType || !inner.whole) continue;
    const type = inner.text(32);
    return type === 'matroska' || type === 'webm';
  }
  return true;
}

/**
 * Opens a Matroska or WebM file: two or three reads of a remote source. The source stays its opener's.
 * @throws AppError `media-damaged`, `media-not-playable`, `source-*`; the signal's reason.
 */
export async function openMatroska(source: Source, signal: AbortSignal): Promise<MediaReader> {
  try {
    const opened = await openFile(source, signal);
    return new MatroskaReader(opened.file, opened.info, opened.index);
  } catch (error) {
    throw asAppError(source, signal, error);
  }
}

/** What the guards above missed is damage too, never a crash of the server. */
function asAppError(source: Source, signal: AbortSignal, error: unknown): unknown {
  if (error instanceof AppError || (signal.aborted && error === signal.reason)) return error;
  return new AppError('media-damaged', `${source.label} cannot be read as Matroska.`, { cause: error });
}

/** Invariant: only the index (`#index` and `keyframes`) ever changes, once, from absent to the scan's result. */
class MatroskaReader implements MediaReader {
  readonly info: MediaInfo;
  keyframes?: KeyframeIndex;
  readonly #file: MatroskaFile;
  #index: OpenedIndex | undefined;

  constructor(file: MatroskaFile, info: MediaInfo, index: OpenedIndex | undefined) {
    this.#file = file;
    this.info = info;
    this.#index = index;
    if (index !== undefined) this.keyframes = index.public;
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    if (this.#index !== undefined) return this.#index.public;
    try {
      this.#index = await scanFile(this.#file, signal);
      this.keyframes = this.#index.public;
      return this.keyframes;
    } catch (error) {
      throw asAppError(this.#file.source, signal, error);
    }
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const file = this.#file;
    const track = file.tracks.get(trackId);
    if (track === undefined) {
      throw new AppError('internal', `${file.source.label} has no track ${trackId}.`);
    }
    signal.throwIfAborted();
    if (track.entry.encodings.unreadable !== undefined || !(cut.to > cut.from)) return new Batch(file, [], []);
    try {
      return await this.#read(track, cut, signal);
    } catch (error) {
      throw asAppError(file.source, signal, error);
    }
  }

  #read(track: OpenTrack, cut: Cut, signal: AbortSignal): Promise<Batch> {
    const file = this.#file;
    const { fromKey, toKey } = cut;
    const index = this.#index?.cues;
    const video = track.track.type === 'video';
    if (fromKey === undefined || toKey === undefined || index === undefined) {
      return video ? readVideoByGrid(file, track, cut, signal) : readAllByGrid(file, track, cut, signal);
    }
    // Another video track than the played one has no key frames in the index: it is cut by time.
    if (video && track === file.main) return readVideoByKeys(file, index, track, fromKey, toKey, signal);
    if (video) return readVideoByGrid(file, track, cut, signal);
    return readByTime(file, index, track, cut, fromKey, toKey, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Holds nothing between calls: batches own their memory, the source is its opener's.
  }
}
