/**
 * Exact numbers of bytes from a sequence of chunks that are cut anywhere.
 * Invariant: `available` is the sum of what is kept in `#chunks` behind `#offset`; nothing is kept twice, and each byte is copied at most once.
 */
export class ByteReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that are taken. */
  #offset = 0;
  #available = 0;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  get available(): number {
    return this.#available;
  }

  /** Waits until `length` bytes are available; false when the sequence ends before. */
  async fill(length: number): Promise<boolean> {
    while (this.#available < length) {
      const { done, value } = await this.#iterator.next();
      if (done) return false;
      if (value.length === 0) continue;
      this.#chunks.push(value);
      this.#available += value.length;
    }
    return true;
  }

  /** `length` bytes, at most `available`: a view of the chunk that holds them all, else a copy. */
  take(length: number): Uint8Array {
    const first = this.#chunks[0];
    if (first && first.length - this.#offset >= length) {
      const view = first.subarray(this.#offset, this.#offset + length);
      this.#drop(length);
      return view;
    }
    const bytes = new Uint8Array(length);
    this.#copy(bytes);
    return bytes;
  }

  /** Fills `target` with the next bytes; false when the sequence ends before. */
  async readInto(target: Uint8Array): Promise<boolean> {
    let done = 0;
    while (done < target.length) {
      if (!(await this.fill(1))) return false;
      const length = Math.min(this.#available, target.length - done);
      this.#copy(target.subarray(done, done + length));
      done += length;
    }
    return true;
  }

  /** Passes over `length` bytes; false when the sequence ends before. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      if (!(await this.fill(1))) return false;
      const dropped = Math.min(left, (this.#chunks[0] as Uint8Array).length - this.#offset);
      this.#drop(dropped);
      left -= dropped;
    }
    return true;
  }

  /** Ends the sequence. */
  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  #copy(target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const first = this.#chunks[0] as Uint8Array;
      const piece = first.subarray(this.#offset, this.#offset + target.length - done);
      target.set(piece, done);
      done += piece.length;
      this.#drop(piece.length);
    }
  }

  /** Within the first chunk. */
  #drop(length: number): void {
    this.#offset += length;
    this.#available -= length;
    if (this.#offset < (this.#chunks[0]?.length ?? 0)) return;
    this.#chunks.shift();
    this.#offset = 0;
  }
}
