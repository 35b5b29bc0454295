import type { Writable } from 'node:stream';

/** What FFmpeg gets its input from, as the transcoder needs to know it. */
export interface Supply {
  /** FFmpeg's silence is not its own fault while this is true. */
  readonly waitingForInput: boolean;
  /** To be called once. Settles when there is no more to supply. @throws what makes the input fail. */
  run(): Promise<void>;
  /** Ends the supply. */
  stop(): Promise<void>;
}

/** Input that FFmpeg fetches itself, from an address in its arguments; its standard input stays closed. */
export interface SupplyOpener {
  /** @param onChange is called after `waitingForInput` has changed. */
  supply(onChange: () => void): Supply;
}

/**
 * Pulls `input` only as fast as `stdin` takes it, one piece at a time, and closes `stdin` at its end. A `stdin` that closes early (its reader has what it
 * needs, or is gone) ends the feeding without an error.
 * Invariant: `waitingForInput` is true exactly while a piece has been asked for and has not come.
 */
export class Feed implements Supply {
  readonly #input: AsyncIterable<Uint8Array>;
  readonly #stdin: Writable;
  readonly #onChange: () => void;
  /** While the input is neither at its end nor ended. */
  #iterator: AsyncIterator<Uint8Array> | undefined;
  #waiting = false;
  #stopped = false;

  /** @param onChange is called after `waitingForInput` has changed. */
  constructor(input: AsyncIterable<Uint8Array>, stdin: Writable, onChange: () => void) {
    this.#input = input;
    this.#stdin = stdin;
    this.#onChange = onChange;
  }

  get waitingForInput(): boolean {
    return this.#waiting;
  }

  /**
   * To be called once. Settles at the end of the input, or when `stdin` is closed, with the input ended.
   * @throws what the input throws, unless `stop` was called before.
   */
  async run(): Promise<void> {
    try {
      const iterator = this.#input[Symbol.asyncIterator]();
      this.#iterator = iterator;
      while (!this.#stopped) {
        const { done, value } = await this.#pull(iterator);
        if (this.#stopped) return;
        if (done) {
          this.#iterator = undefined;
          this.#stdin.end();
          return;
        }
        if (!(await this.#write(value))) await this.stop();
      }
    } catch (error) {
      this.#iterator = undefined;
      if (!this.#stopped) throw error;
    }
  }

  /** Ends the input. Does not wait for a piece that is on its way: that may take as long as its source does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const iterator = this.#iterator;
    this.#iterator = undefined;
    const ended = Promise.resolve(iterator?.return?.()).catch(() => {});
    if (!this.#waiting) await ended;
  }

  async #pull(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    this.#setWaiting(true);
    try {
      return await iterator.next();
    } finally {
      this.#setWaiting(false);
    }
  }

  /** Resolves when the system has all of the piece, so that its memory may be used anew: false when `stdin` is closed. */
  #write(piece: Uint8Array): Promise<boolean> {
    if (piece.length === 0) return Promise.resolve(true);
    return new Promise((resolve) => this.#stdin.write(piece, (error) => resolve(!error)));
  }

  #setWaiting(waiting: boolean): void {
    this.#waiting = waiting;
    this.#onChange();
  }
}
