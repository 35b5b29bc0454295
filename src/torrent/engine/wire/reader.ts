/**
 * Peer messages out of a byte stream (BEP 3, 6, 10), without copies: a message that lies whole in what was received is
 * read in place, the payload of a block goes straight to where its receiver wants it, and only a small message cut in
 * two by a read is put together first.
 *
 * Invariant: either `#blockLeft` > 0 (inside a block's payload), or `#partial[0, #held)` is the beginning of a message
 * that is not complete yet (0 bytes between messages). A message's length is judged before any of it is kept.
 */

/** A peer that breaks the protocol: the connection ends. */
export class WireError extends Error {}

/** Views that handlers are given are valid during the call only. */
export interface WireHandler {
  choke(): void;
  unchoke(): void;
  interested(): void;
  notInterested(): void;
  have(piece: number): void;
  bitfield(bits: Uint8Array): void;
  request(piece: number, begin: number, length: number): void;
  cancel(piece: number, begin: number, length: number): void;
  /** A block of `length` bytes begins to arrive. Where it shall go is answered by `setSink`; without, it is thrown away. */
  blockBegins(piece: number, begin: number, length: number): void;
  /** All of that block has arrived. */
  blockEnds(piece: number, begin: number, length: number): void;
  dhtPort(port: number): void;
  suggest(piece: number): void;
  haveAll(): void;
  haveNone(): void;
  reject(piece: number, begin: number, length: number): void;
  allowedFast(piece: number): void;
  extended(id: number, payload: Buffer): void;
}

export const MESSAGE = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const;

/** Bytes of the blocks that we ask for, and of the largest that we give. */
export const BLOCK = 16 * 1024;
/** Of messages other than blocks: room for the bit field of a million pieces. */
const MAX_MESSAGE = 128 * 1024;
const BLOCK_HEAD = 13;

export class MessageReader {
  readonly #handler: WireHandler;
  #partial = Buffer.allocUnsafeSlow(64);
  #held = 0;
  #blockLeft = 0;
  #piece = 0;
  #begin = 0;
  #length = 0;
  #sink: Buffer | undefined;
  #sinkAt = 0;

  constructor(handler: WireHandler) {
    this.#handler = handler;
  }

  /** Where the rest of the block that is arriving goes; undefined: nowhere. */
  setSink(sink: Buffer | undefined, at: number): void {
    this.#sink = sink;
    this.#sinkAt = at;
  }

  /** Takes `data[at, end)`. @throws WireError, and whatever the handler throws; the reader is of no use afterwards. */
  feed(data: Buffer, from: number, end: number): void {
    let at = from;
    while (at < end) {
      if (this.#blockLeft > 0) at = this.#payload(data, at, end);
      else if (this.#held > 0) at = this.#complete(data, at, end);
      else {
        const need = this.#need(data, at, end - at);
        if (need > end - at) {
          this.#keep(data, at, end);
          return;
        }
        this.#message(data, at, need);
        at += need;
      }
    }
  }

  /** How many bytes from `at` on must be there before the message can be handled; judges its length. */
  #need(data: Buffer, at: number, available: number): number {
    if (available < 4) return 4;
    const length = data.readUInt32BE(at);
    if (length === 0) return 4;
    if (available < 5) return 5;
    if (data[at + 4] === MESSAGE.piece) {
      if (length < 9 || length > 9 + BLOCK) throw new WireError(`a block of ${length - 9} bytes`);
      return BLOCK_HEAD;
    }
    if (length > MAX_MESSAGE) throw new WireError(`a message of ${length} bytes`);
    return 4 + length;
  }

  #keep(data: Buffer, at: number, end: number): void {
    const needed = this.#held + end - at;
    if (needed > this.#partial.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#partial.length * 2));
      this.#partial.copy(larger, 0, 0, this.#held);
      this.#partial = larger;
    }
    data.copy(this.#partial, this.#held, at, end);
    this.#held = needed;
  }

  /** Goes on with a message of which some bytes are kept; answers how far `data` is used up. */
  #complete(data: Buffer, from: number, end: number): number {
    let at = from;
    for (;;) {
      const need = this.#need(this.#partial, 0, this.#held);
      if (need <= this.#held) {
        this.#held = 0;
        this.#message(this.#partial, 0, need);
        if (this.#partial.length > 4096) this.#partial = Buffer.allocUnsafeSlow(64);
        return at;
      }
      if (at === end) return at;
      const taken = Math.min(need - this.#held, end - at);
      this.#keep(data, at, at + taken);
      at += taken;
    }
  }

  #payload(data: Buffer, at: number, end: number): number {
    const taken = Math.min(this.#blockLeft, end - at);
    if (this.#sink !== undefined) data.copy(this.#sink, this.#sinkAt, at, at + taken);
    this.#sinkAt += taken;
    this.#blockLeft -= taken;
    if (this.#blockLeft === 0) {
      this.#handler.blockEnds(this.#piece, this.#begin, this.#length);
      this.#sink = undefined;
    }
    return at + taken;
  }

  /** Handles the message in `data[at, at + size)`; of a block, that is its head. */
  #message(data: Buffer, at: number, size: number): void {
    if (size === 4) return; // keep-alive
    const id = data[at + 4]!;
    if (id === MESSAGE.piece) {
      this.#piece = data.readUInt32BE(at + 5);
      this.#begin = data.readUInt32BE(at + 9);
      this.#length = data.readUInt32BE(at) - 9;
      this.#blockLeft = this.#length;
      this.#sink = undefined;
      this.#handler.blockBegins(this.#piece, this.#begin, this.#length);
      if (this.#length === 0) throw new WireError('an empty block');
      return;
    }
    if (id === MESSAGE.bitfield) this.#handler.bitfield(data.subarray(at + 5, at + size));
    else if (id === MESSAGE.extended) {
      if (size < 6) throw new WireError('an empty extension message');
      this.#handler.extended(data[at + 5]!, data.subarray(at + 6, at + size));
    } else if (!this.#plain(id)) this.#numbers(id, data, at + 5, size - 5);
  }

  /** The messages without payload. @returns false when it is another one. */
  #plain(id: number): boolean {
    if (id === MESSAGE.choke) this.#handler.choke();
    else if (id === MESSAGE.unchoke) this.#handler.unchoke();
    else if (id === MESSAGE.interested) this.#handler.interested();
    else if (id === MESSAGE.notInterested) this.#handler.notInterested();
    else if (id === MESSAGE.haveAll) this.#handler.haveAll();
    else if (id === MESSAGE.haveNone) this.#handler.haveNone();
    else return false;
    return true;
  }

  /** The messages made of one or three numbers; unknown ones are ignored. */
  #numbers(id: number, data: Buffer, at: number, size: number): void {
    const three = id === MESSAGE.request || id === MESSAGE.cancel || id === MESSAGE.reject;
    const one = id === MESSAGE.have || id === MESSAGE.suggest || id === MESSAGE.allowedFast;
    if ((three && size !== 12) || (one && size !== 4) || (id === MESSAGE.port && size !== 2))
      throw new WireError(`message ${id} with ${size} bytes`);
    if (id === MESSAGE.port) this.#handler.dhtPort(data.readUInt16BE(at));
    else if (one) this.#ofPiece(id, data.readUInt32BE(at));
    else if (three) {
      const piece = data.readUInt32BE(at);
      const begin = data.readUInt32BE(at + 4);
      const length = data.readUInt32BE(at + 8);
      if (id === MESSAGE.request) this.#handler.request(piece, begin, length);
      else if (id === MESSAGE.cancel) this.#handler.cancel(piece, begin, length);
      else this.#handler.reject(piece, begin, length);
    }
  }

  #ofPiece(id: number, piece: number): void {
    if (id === MESSAGE.have) this.#handler.have(piece);
    else if (id === MESSAGE.suggest) this.#handler.suggest(piece);
    else this.#handler.allowedFast(piece);
  }
}
