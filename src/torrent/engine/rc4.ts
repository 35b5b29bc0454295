/** RC4, as message stream encryption uses it: OpenSSL 3 has it no more. It hides the protocol, nothing else. */

/** The first bytes of the key stream are thrown away (MSE). */
const DISCARD = 1024;

export class Rc4 {
  readonly #state = new Uint8Array(256);
  #i = 0;
  #j = 0;

  constructor(key: Uint8Array) {
    const state = this.#state;
    for (let i = 0; i < 256; i += 1) state[i] = i;
    for (let i = 0, j = 0; i < 256; i += 1) {
      const value = state[i]!;
      j = (j + value + key[i % key.length]!) & 255;
      state[i] = state[j]!;
      state[j] = value;
    }
    this.apply(new Uint8Array(DISCARD), 0, DISCARD);
  }

  /** En- or decrypts `bytes[from, end)` in place. */
  apply(bytes: Uint8Array, from: number, end: number): void {
    const state = this.#state;
    let i = this.#i;
    let j = this.#j;
    for (let at = from; at < end; at += 1) {
      i = (i + 1) & 255;
      const x = state[i]!;
      j = (j + x) & 255;
      const y = state[j]!;
      state[i] = y;
      state[j] = x;
      bytes[at]! ^= state[(x + y) & 255]!;
    }
    this.#i = i;
    this.#j = j;
  }
}
