/**
 * A contiguous range of an HTTP source, held or under way.
 *
 * Invariant: `[start, start + received)` is in `#memory` and never changes again; waiters wait for bytes behind that. State:
 * `running` (bytes may still come; waiters allowed) -> `ended` (complete, failed or aborted; no waiters, `end` is cut to what was
 * received). A fetch whose last waiter gave up is aborted unless it is nearly complete; one whose waiters were served goes on.
 */
import type { DownloadSink } from './http-download.ts';
import { type ResponseHead, validators } from './http-headers.ts';
import { checkAnswer, type Representation } from './http-representation.ts';

interface Waiter {
  /** Exclusive, from the source's beginning. */
  readonly until: number;
  readonly settle: (error?: unknown) => void;
}

/** A rest this small is fetched to the end even when nobody waits: the connection stays usable. */
const NEARLY = 64 * 1024;

export class RangeFetch implements DownloadSink {
  readonly start: number;
  /** Exclusive; cut when the fetch ends early. */
  end: number;
  /** When it was last read from: a count, not a time. */
  lastUse = 0;
  readonly known: Representation;
  readonly #abort = new AbortController();
  readonly #waiters = new Set<Waiter>();
  /** Allocated when the first bytes come: a fetch may stand in a queue, or be refused. */
  #memory = new Uint8Array(0);
  #received = 0;
  #running = true;

  constructor(known: Representation, start: number, end: number) {
    this.known = known;
    this.start = start;
    this.end = end;
  }

  get running(): boolean {
    return this.#running;
  }

  get bytes(): number {
    return this.end - this.start;
  }

  get position(): number {
    return this.start + this.#received;
  }

  /** Aborts when nobody wants the bytes any more; whoever downloads into it obeys. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * A view of `[from, to)`, as soon as its bytes are there.
   * @throws the failure that ended the fetch; the signal's reason.
   */
  async wait(from: number, to: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (this.position < to) await this.#arrival(to, signal);
    return this.#memory.subarray(from - this.start, to - this.start);
  }

  #arrival(until: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        until,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal?.removeEventListener('abort', leave);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const leave = () => {
        waiter.settle(signal?.reason);
        if (this.#waiters.size === 0 && this.end - this.position > NEARLY) this.cancel();
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', leave);
    });
  }

  wanted(): { start: number; end: number } {
    return { start: this.position, end: this.end };
  }

  accept(head: ResponseHead): number {
    return checkAnswer(this.known, head, validators(head), this.position);
  }

  write(chunk: Uint8Array): boolean {
    const room = this.end - this.position;
    // Not zeroed, and not a pool's: views of it are handed out to several readers, and nobody knows when the last is done.
    if (this.#received === 0) this.#memory = new Uint8Array(Buffer.allocUnsafeSlow(room).buffer);
    this.#memory.set(chunk.length > room ? chunk.subarray(0, room) : chunk, this.#received);
    this.#received += Math.min(chunk.length, room);
    for (const waiter of this.#waiters) if (waiter.until <= this.position) waiter.settle();
    // Exactly full is no reason to break the answer off: its end is about to come, and then the connection can be used again.
    return chunk.length <= room;
  }

  ended(): void {}

  get satisfied(): boolean {
    return this.position >= this.end;
  }

  /** Ends it: with the error for those who still wait, or complete. What has been received stays readable. */
  finish(error?: unknown): void {
    if (!this.#running) return;
    this.#running = false;
    this.end = this.position;
    // Give the unused rest back when it is the larger part.
    if (this.#received < this.#memory.length / 2) this.#memory = this.#memory.slice(0, this.#received);
    for (const waiter of this.#waiters) waiter.settle(error);
  }

  /** Ends it and its download. At once, so that nobody joins a fetch that is being aborted. */
  cancel(reason?: unknown): void {
    this.finish(reason);
    this.#abort.abort();
  }
}
