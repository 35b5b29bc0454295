/**
 * Random access to metadata with few reads: one window of the source is in memory; what lies outside is read in steps
 * that fit the source's latency.
 */
import type { Source } from '../../source/source.ts';
import { BAD_SIZE, idLength, MAX_HEADER, readId, readSize, UNKNOWN_SIZE, vintLength } from './ebml.ts';

export interface ElementHeader {
  readonly id: number;
  /** Absolute positions: of the header, of the data, of the end (exclusive); `stop` is Infinity for an unknown size. */
  readonly pos: number;
  readonly start: number;
  readonly stop: number;
}

export class Window {
  readonly source: Source;
  readonly #signal: AbortSignal;
  readonly #step: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #base = 0;
  /** A read that was begun before it is asked for. */
  #ahead: { readonly pos: number; readonly bytes: Promise<Uint8Array>; readonly leave: AbortController } | undefined;
  /** How many reads were made. */
  reads = 0;

  /** @param step bytes that a read asks for at least. */
  constructor(source: Source, signal: AbortSignal, step: number) {
    this.source = source;
    this.#signal = signal;
    this.#step = step;
  }

  /** Whether [pos, pos + length) needs no read. */
  holds(pos: number, length: number): boolean {
    return pos >= this.#base && Math.min(pos + length, this.source.size) <= this.#base + this.#bytes.length;
  }

  /** The bytes [pos, pos + length), fewer only at the source's end. A view, valid until the next call. */
  async bytes(pos: number, length: number, step = this.#step): Promise<Uint8Array> {
    if (!this.holds(pos, length)) {
      this.#signal.throwIfAborted();
      this.source.recycle(this.#bytes);
      this.#bytes = new Uint8Array(0);
      this.#bytes = await this.#read(pos, Math.max(length, step));
      this.#base = pos;
      this.reads++;
    }
    const at = pos - this.#base;
    return this.#bytes.subarray(Math.min(at, this.#bytes.length), at + length);
  }

  /** Begins to read from `pos` to the end of the source: for the call of `bytes` that asks for something from there on. */
  begin(pos: number): void {
    this.#leaveAhead();
    const leave = new AbortController();
    const bytes = this.source.read(pos, this.source.size - pos, AbortSignal.any([this.#signal, leave.signal]));
    bytes.catch(() => {}); // told to who asks for it
    this.#ahead = { pos, bytes, leave };
  }

  #read(pos: number, length: number): Promise<Uint8Array> {
    if (this.#ahead?.pos !== pos) return this.source.read(pos, length, this.#signal);
    const { bytes } = this.#ahead;
    this.#ahead = undefined;
    return bytes;
  }

  #leaveAhead(): void {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    ahead?.leave.abort();
    ahead?.bytes.then((bytes) => this.source.recycle(bytes)).catch(() => {});
  }

  /** The element header at `pos`; undefined when there is none. */
  async header(pos: number): Promise<ElementHeader | undefined> {
    return parseHeader(await this.bytes(pos, MAX_HEADER), pos);
  }

  /** All that is held, with its position. */
  held(): { bytes: Uint8Array; base: number } {
    return { bytes: this.#bytes, base: this.#base };
  }

  release(): void {
    this.#leaveAhead();
    this.source.recycle(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }
}

/** The header of an element at `pos`, from bytes that begin there. */
function parseHeader(bytes: Uint8Array, pos: number): ElementHeader | undefined {
  const idBytes = idLength(bytes[0] ?? 0);
  const sizeBytes = vintLength(bytes[idBytes] ?? 0);
  if (idBytes === 0 || sizeBytes === 0 || idBytes + sizeBytes > bytes.length) return undefined;
  const size = readSize(bytes, idBytes, sizeBytes);
  if (size === BAD_SIZE) return undefined;
  const start = pos + idBytes + sizeBytes;
  const stop = size === UNKNOWN_SIZE ? Number.POSITIVE_INFINITY : start + size;
  return { id: readId(bytes, 0, idBytes), pos, start, stop };
}
