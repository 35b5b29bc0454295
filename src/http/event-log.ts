/**
 * The last events, numbered, for those who listen and for those who come back.
 *
 * Invariant: numbers rise by one. Every event after `#floor` is in `#kept`, in order, but for those whose place a later one of the same key has taken. `#kept` is
 * bounded in number and bytes; what is pushed out at its old end raises `#floor`.
 */
import { randomBytes } from 'node:crypto';
import { Listeners } from '../lib/listeners.ts';

interface Entry {
  readonly bytes: Buffer;
  /** Whose progress it tells: it may go when there is a later one. */
  readonly key: string | undefined;
}

export interface EventLogLimits {
  readonly events: number;
  readonly bytes: number;
}

const LIMITS: EventLogLimits = { events: 2_000, bytes: 2 * 1024 * 1024 };

export class EventLog {
  /** Each event as it goes over the line. */
  readonly appended = new Listeners<Buffer>();
  /** Of this process: numbers of another one mean nothing here. */
  readonly #epoch = randomBytes(4).toString('hex');
  readonly #limits: EventLogLimits;
  readonly #kept = new Map<number, Entry>();
  readonly #latest = new Map<string, number>();
  #bytes = 0;
  #last = 0;
  #floor = 0;

  constructor(limits: EventLogLimits = LIMITS) {
    this.#limits = limits;
  }

  /** Of the newest event. */
  get lastId(): string {
    return this.#idOf(this.#last);
  }

  /** @param key present for progress: of several events with one key, only the newest is kept for those who come back. */
  append(name: string, data: object, key?: string): void {
    this.#last += 1;
    const bytes = inOwnMemory(frame(name, data, this.lastId));
    if (key !== undefined) {
      const before = this.#latest.get(key);
      if (before !== undefined) this.#remove(before);
      this.#latest.set(key, this.#last);
    }
    this.#kept.set(this.#last, { bytes, key });
    this.#bytes += bytes.length;
    while (this.#kept.size > this.#limits.events || this.#bytes > this.#limits.bytes) this.#pushOut();
    this.appended.tell(bytes);
  }

  /** The events after the one of this id, as they go over the line; undefined when some of them are not known any more. */
  after(id: string): Buffer[] | undefined {
    const [, epoch, digits] = /^([0-9a-f]+)-(\d{1,15})$/.exec(id) ?? [];
    const number = Number(digits);
    if (epoch !== this.#epoch || !(number >= this.#floor && number <= this.#last)) return undefined;
    return [...this.#kept].filter(([n]) => n > number).map(([, { bytes }]) => bytes);
  }

  #idOf(number: number): string {
    return `${this.#epoch}-${number}`;
  }

  #pushOut(): void {
    const oldest = this.#kept.keys().next().value as number;
    this.#remove(oldest);
    this.#floor = oldest;
  }

  #remove(number: number): void {
    const entry = this.#kept.get(number);
    if (entry === undefined) return;
    this.#kept.delete(number);
    this.#bytes -= entry.bytes.length;
    if (entry.key !== undefined && this.#latest.get(entry.key) === number) this.#latest.delete(entry.key);
  }
}

/** Small buffers are cut from shared 64 kB: each that is kept would keep all of that, dozens of times what is counted. */
function inOwnMemory(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}

/** One event (HTML, 9.2.5). Without an id it leaves the client's last one as it is. */
export function frame(name: string, data: object, id?: string): Buffer {
  return Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}
