/**
 * Bytes of a handshake, awaited in pieces: what comes in is kept until somebody takes it.
 *
 * Invariant: at most one `take` waits, and only while fewer bytes are there than it wants.
 */
import type { Rc4 } from './rc4.ts';

/** More than this before the handshake is over is no handshake. */
const MAX_HELD = 256 * 1024;

export class ByteQueue {
  #held = Buffer.alloc(0);
  #waiting: { length: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #ended: Error | undefined;
  #cipher: Rc4 | undefined;

  push(bytes: Uint8Array): void {
    const copy = Buffer.from(bytes);
    this.#cipher?.apply(copy, 0, copy.length);
    this.#held = Buffer.concat([this.#held, copy]);
    if (this.#held.length > MAX_HELD) this.end(new Error('too much before the handshake'));
    else if (this.#waiting !== undefined && this.#held.length >= this.#waiting.length) {
      const { resolve } = this.#waiting;
      this.#waiting = undefined;
      resolve();
    }
  }

  end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  /** Everything that is not taken yet, and all that follows, is decrypted. */
  decryptWith(cipher: Rc4): void {
    this.#cipher = cipher;
    cipher.apply(this.#held, 0, this.#held.length);
  }

  /** Resolves when `length` bytes are there, and leaves them. @throws Error when the connection ends before. */
  async peek(length: number): Promise<Buffer> {
    if (this.#held.length < length) {
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { length, resolve, reject };
      });
    }
    return this.#held.subarray(0, length);
  }

  async take(length: number): Promise<Buffer> {
    const taken = await this.peek(length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  /** Skips everything up to and including `pattern`, which begins within the next `most` bytes. */
  async skipPast(pattern: Uint8Array, most: number): Promise<void> {
    for (;;) {
      const at = this.#held.indexOf(pattern);
      if (at > most || (at < 0 && this.#held.length >= most + pattern.length))
        throw new Error('no synchronisation in the handshake');
      if (at >= 0) {
        this.#held = this.#held.subarray(at + pattern.length);
        return;
      }
      await this.peek(Math.max(pattern.length, this.#held.length + 1));
    }
  }

  /** Puts bytes, decrypted already, before everything that is there. */
  putBack(bytes: Buffer): void {
    this.#held = Buffer.concat([bytes, this.#held]);
  }

  /** What is left over when the handshake is complete. */
  rest(): Buffer {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}
