/**
 * A plain MP4 (ISO/IEC 14496-12) whose `moov` comes first, written as its packets come, hours of them.
 *
 * Invariant: the file is `ftyp`, a hole of `#reserved` bytes, the header of `mdat`, and media data up to `#written`, of which the last `#used` bytes are still in
 * `#buffer`. `finish` fills the hole with `moov` and `free`; only where the guess was too small is the media data moved.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Packet } from '../types.ts';
import { fileType, type MovieTrack, movieBox } from './movie-box.ts';
import type { SampleLog } from './sample-log.ts';

const BUFFER_BYTES = 1024 * 1024;
/** With a size of 64 bits. */
const MDAT_HEADER = 16;
const FREE_HEADER = 8;
const MOVE_BYTES = 4 * 1024 * 1024;

export class ProgressiveFile {
  readonly #handle: FileHandle;
  readonly #type = fileType();
  readonly #reserved: number;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  #written = 0;

  /** @param handle of an empty file; stays the caller's. @param reserved bytes for `moov`, at a guess (`movieBoxGuess`). */
  constructor(handle: FileHandle, reserved: number) {
    this.#handle = handle;
    this.#reserved = Math.max(FREE_HEADER, Math.ceil(reserved));
  }

  /** Bytes of media data so far. */
  get dataBytes(): number {
    return this.#written;
  }

  /**
   * Packets of one track, in decode order, as one chunk. Their memory is the caller's again afterwards.
   * @param zero where the clip's time 0 lies on the clock of the packets, seconds. @throws the file system's error.
   */
  async write(samples: SampleLog, packets: readonly Packet[], zero: number): Promise<void> {
    for (const [n, { data, pts, key }] of packets.entries()) {
      samples.add(pts - zero, data.length, key, this.#written, n === 0);
      await this.#append(data);
    }
  }

  /** Makes the file whole. Tracks without samples are left out. @throws the file system's error. */
  async finish(all: readonly MovieTrack[]): Promise<void> {
    await this.#flush();
    const tracks = all.filter(({ samples }) => samples.count > 0);
    const start = this.#type.length;
    let dataOffset = start + this.#reserved + MDAT_HEADER;
    let movie = movieBox(tracks, dataOffset);
    let free = this.#reserved - movie.length;
    if (free !== 0 && free < FREE_HEADER) {
      // Larger offsets can make the box itself larger: by 4 bytes a chunk, which this leaves room for.
      const chunks = tracks.reduce((sum, { samples }) => sum + samples.chunks.length, 0);
      const more = FREE_HEADER - free + 4 * chunks;
      await this.#move(dataOffset, more);
      dataOffset += more;
      movie = movieBox(tracks, dataOffset);
      free = this.#reserved + more - movie.length;
    }
    const head = Buffer.alloc(dataOffset);
    head.set(this.#type, 0);
    head.set(movie, start);
    if (free > 0) {
      head.writeUInt32BE(free, start + movie.length);
      head.write('free', start + movie.length + 4, 'latin1');
    }
    const mdat = dataOffset - MDAT_HEADER;
    head.writeUInt32BE(1, mdat);
    head.write('mdat', mdat + 4, 'latin1');
    head.writeBigUInt64BE(BigInt(MDAT_HEADER + this.#written), mdat + 8);
    await this.#writeAt(head, 0);
  }

  async #append(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; ) {
      const part = data.subarray(at, at + BUFFER_BYTES - this.#used);
      this.#buffer.set(part, this.#used);
      this.#used += part.length;
      this.#written += part.length;
      at += part.length;
      if (this.#used === BUFFER_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    const dataOffset = this.#type.length + this.#reserved + MDAT_HEADER;
    await this.#writeAt(this.#buffer.subarray(0, this.#used), dataOffset + this.#written - this.#used);
    this.#used = 0;
  }

  /** Moves the media data up by `by` bytes, the last first. */
  async #move(dataOffset: number, by: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(MOVE_BYTES);
    for (let end = this.#written; end > 0; ) {
      const size = Math.min(MOVE_BYTES, end);
      const position = dataOffset + end - size;
      for (let at = 0; at < size; ) {
        const { bytesRead } = await this.#handle.read(buffer, at, size - at, position + at);
        if (bytesRead === 0) throw new Error('the file became shorter while it was written');
        at += bytesRead;
      }
      await this.#writeAt(buffer.subarray(0, size), position + by);
      end -= size;
    }
  }

  async #writeAt(bytes: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < bytes.length; )
      at += (await this.#handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}
