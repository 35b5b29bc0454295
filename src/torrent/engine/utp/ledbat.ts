/**
 * How much may be on its way at once, so that this traffic stands back for all other (BEP 29, RFC 6817): the window grows while packets wait
 * less than `TARGET` in queues, and shrinks when they wait longer, or are lost.
 */
import { elapsed } from './packet.ts';

/** Microseconds. */
const TARGET = 100_000;
/** Bytes that the window may grow by in one round trip. */
const GAIN = 3000;
const LEAST = 2;
const MOST_BYTES = 4 * 1024 * 1024;
/** The shortest delay of this and the minute before counts as that of an empty line. */
const MINUTE_MS = 60_000;

export class Ledbat {
  readonly #payload: number;
  #window: number;
  #slowStart = true;
  /** Shortest delays of the minute and the one before; undefined: none. */
  #now: number | undefined;
  #before: number | undefined;
  #minuteAt = 0;

  /** @param payload bytes of a packet. */
  constructor(payload: number) {
    this.#payload = payload;
    this.#window = 8 * payload;
  }

  /** Bytes. */
  get window(): number {
    return this.#window;
  }

  /**
   * Bytes were acknowledged.
   * @param delay microseconds that a packet of ours took, by clocks that do not agree. @param limited whether the window was full: else it was not it that held us up.
   */
  acknowledged(bytes: number, delay: number, limited: boolean, nowMs: number): void {
    const queued = this.#queued(delay, nowMs);
    if (queued > TARGET / 2) this.#slowStart = false;
    const off = Math.max(-1, Math.min(1, (TARGET - queued) / TARGET));
    if (off > 0 && !limited) return;
    const grown = this.#slowStart ? bytes : (GAIN * off * bytes) / this.#window;
    this.#window = Math.max(LEAST * this.#payload, Math.min(MOST_BYTES, this.#window + grown));
  }

  /** Microseconds that a packet waited somewhere. */
  #queued(delay: number, nowMs: number): number {
    if (nowMs - this.#minuteAt > MINUTE_MS) {
      this.#before = nowMs - this.#minuteAt > 2 * MINUTE_MS ? undefined : this.#now;
      this.#now = undefined;
      this.#minuteAt = nowMs;
    }
    if (this.#now === undefined || isShorter(delay, this.#now)) this.#now = delay;
    const base = this.#before !== undefined && isShorter(this.#before, this.#now) ? this.#before : this.#now;
    return elapsed(base, delay);
  }

  /** A packet was lost: not more than once for all that was on its way together. */
  lost(): void {
    this.#slowStart = false;
    this.#window = Math.max(LEAST * this.#payload, this.#window / 2);
  }

  /** Nothing came back at all. */
  silent(): void {
    this.#slowStart = true;
    this.#window = LEAST * this.#payload;
  }
}

/** Of two delays whose clocks wrap around. */
function isShorter(one: number, other: number): boolean {
  return elapsed(other, one) > 2 ** 31;
}
