/**
 * A peer of our own making, at the other end of a stream to the engine (protocol.ts): it has everything, chokes nobody and is asked for blocks
 * as every peer is (BEP 3, BEP 6). What the engine says besides is not of interest to it.
 *
 * Invariant: `#pending` is the beginning of one message at most that is not whole yet.
 */
import { randomBytes } from 'node:crypto';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Outbox } from '../engine/wire/outbox.ts';
import { MESSAGE } from '../engine/wire/reader.ts';

export interface WantedBlock {
  readonly piece: number;
  readonly begin: number;
  readonly length: number;
}

interface SeedWireHandler {
  requested(block: WantedBlock): void;
  cancelled(block: WantedBlock): void;
  /** The engine has hung up, or we have; once. */
  closed(): void;
}

const HANDSHAKE_BYTES = 68;
const PROTOCOL = Buffer.from('\x13BitTorrent protocol\0\0\0\0\0\0\0\x04', 'latin1'); // BEP 6

export class SeedWire {
  /** The engine's side. */
  readonly far: MessagePort;
  readonly #port: MessagePort;
  readonly #handler: SeedWireHandler;
  readonly #out = new Outbox();
  #pending: Buffer = Buffer.alloc(0);
  #isGreeted = false;
  #isClosed = false;

  constructor(infoHash: string, handler: SeedWireHandler) {
    const { port1, port2 } = new MessageChannel();
    this.far = port2;
    this.#port = port1;
    this.#handler = handler;
    port1.on('message', (message: unknown) => {
      if (message instanceof Uint8Array) this.#received(message, infoHash);
      else this.close();
    });
    port1.on('close', () => this.close());
  }

  /** @param bytes a block's head and its content. */
  send(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#port.postMessage(bytes);
  }

  /** A buffer for a block: its head, and room for its content from `content` on. */
  blockMessage({ piece, begin, length }: WantedBlock): { message: Uint8Array; content: number } {
    this.#out.pieceHead(piece, begin, length);
    const head = this.#out.take();
    const message = new Uint8Array(head.length + length);
    message.set(head);
    return { message, content: head.length };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#port.postMessage(null);
    this.#port.close();
    this.#handler.closed();
  }

  #received(bytes: Uint8Array, infoHash: string): void {
    this.#port.postMessage(bytes.length);
    let data = Buffer.concat([this.#pending, bytes]);
    if (!this.#isGreeted && data.length >= HANDSHAKE_BYTES) {
      this.#isGreeted = true;
      data = data.subarray(HANDSHAKE_BYTES);
      this.#greet(infoHash);
    }
    while (this.#isGreeted && data.length >= 4) {
      const end = 4 + data.readUInt32BE(0);
      if (data.length < end) break;
      this.#message(data.subarray(4, end));
      data = data.subarray(end);
    }
    this.#pending = Buffer.from(data);
  }

  #greet(infoHash: string): void {
    this.#out.plain(MESSAGE.haveAll);
    this.#out.plain(MESSAGE.unchoke);
    const peerId = Buffer.concat([Buffer.from('-RFWEB0-'), randomBytes(12)]);
    this.send(new Uint8Array(Buffer.concat([PROTOCOL, Buffer.from(infoHash, 'hex'), peerId, this.#out.take()])));
  }

  #message(message: Buffer): void {
    const id = message[0];
    if (message.length !== 13 || (id !== MESSAGE.request && id !== MESSAGE.cancel)) return;
    const [piece, begin, length] = [message.readUInt32BE(1), message.readUInt32BE(5), message.readUInt32BE(9)];
    if (id === MESSAGE.request) this.#handler.requested({ piece, begin, length });
    else this.#handler.cancelled({ piece, begin, length });
  }
}
