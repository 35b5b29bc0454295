/** Peer messages as bytes (BEP 3, 6, 10), gathered until they are taken, so that many small ones make one write. */
import { MESSAGE } from './reader.ts';

const FIRST_ROOM = 512;

export class Outbox {
  #bytes = Buffer.allocUnsafeSlow(FIRST_ROOM);
  #length = 0;

  get empty(): boolean {
    return this.#length === 0;
  }

  /** Everything gathered since the last time, as a buffer of its own. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  keepAlive(): void {
    this.#room(4);
    this.#length = this.#bytes.writeUInt32BE(0, this.#length);
  }

  /** A message without payload: choke, interested, have all, ... */
  plain(id: number): void {
    this.#head(id, 0);
  }

  /** A message of one number: have, suggest, allowed fast. */
  number(id: number, piece: number): void {
    this.#head(id, 4);
    this.#length = this.#bytes.writeUInt32BE(piece, this.#length);
  }

  /** A message of three numbers: request, cancel, reject. */
  block(id: number, piece: number, begin: number, length: number): void {
    this.#head(id, 12);
    this.#bytes.writeUInt32BE(piece, this.#length);
    this.#bytes.writeUInt32BE(begin, this.#length + 4);
    this.#length = this.#bytes.writeUInt32BE(length, this.#length + 8);
  }

  /** The head of a block of `length` bytes, which the caller sends next. */
  pieceHead(piece: number, begin: number, length: number): void {
    this.#room(13);
    this.#bytes.writeUInt32BE(9 + length, this.#length);
    this.#bytes[this.#length + 4] = MESSAGE.piece;
    this.#bytes.writeUInt32BE(piece, this.#length + 5);
    this.#length = this.#bytes.writeUInt32BE(begin, this.#length + 9);
  }

  bitfield(bits: Uint8Array): void {
    this.#head(MESSAGE.bitfield, bits.length);
    this.#append(bits);
  }

  extended(id: number, ...payload: readonly Uint8Array[]): void {
    this.#head(MESSAGE.extended, 1 + payload.reduce((sum, { length }) => sum + length, 0));
    this.#length = this.#bytes.writeUInt8(id, this.#length);
    for (const part of payload) this.#append(part);
  }

  #append(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #head(id: number, payload: number): void {
    this.#room(5 + payload);
    this.#bytes.writeUInt32BE(1 + payload, this.#length);
    this.#bytes[this.#length + 4] = id;
    this.#length += 5;
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
