/**
 * The ranges of one HTTP source that are held or under way, and which of them, plus at most one new request, answer a read.
 *
 * Invariant: `#fetches` holds every fetch that is running and the ended ones used last, at most `cacheBytes` of them. A running fetch
 * ends by its download's end, by the last waiter's leaving, or by `clear`; nothing else removes it.
 */
import { RangeFetch } from './http-fetch.ts';
import type { Representation } from './http-representation.ts';
import type { HttpTuning } from './http-tuning.ts';

/** A reader that advances in small steps: where it will go on, and how much was fetched for it last. */
interface Stream {
  next: number;
  window: number;
}

const MAX_STREAMS = 8;

export class RangeCache {
  readonly #known: Representation;
  readonly #tuning: HttpTuning;
  readonly #begin: (fetch: RangeFetch) => void;
  readonly #fetches = new Set<RangeFetch>();
  /** Last used last. */
  readonly #streams: Stream[] = [];
  #uses = 0;

  /** @param begin starts the download into a new fetch, and calls `ended` after it. */
  constructor(known: Representation, tuning: HttpTuning, begin: (fetch: RangeFetch) => void) {
    this.#known = known;
    this.#tuning = tuning;
    this.#begin = begin;
  }

  /** Takes in a fetch that somebody else started: the opening request's. */
  adopt(fetch: RangeFetch): void {
    this.#fetches.add(fetch);
    this.#streams.push({ next: fetch.end, window: Math.max(fetch.bytes, this.#tuning.minFetch) });
  }

  /** The bytes of `[from, to)`, which lies in the source and is not empty. */
  async read(from: number, to: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const plan = this.#plan(from, to);
    const pieces = plan.map(({ fetch, start, end }) => fetch.wait(start, end, signal));
    if (pieces.length === 1) return pieces[0]!;
    const parts = await Promise.all(pieces);
    const whole = new Uint8Array(to - from);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** To be called when a fetch's download is over. */
  ended(fetch: RangeFetch): void {
    if (fetch.bytes === 0) this.#fetches.delete(fetch);
    this.#evict();
  }

  /** Forgets all, and ends what is under way with `reason`. */
  clear(reason: unknown): void {
    for (const fetch of this.#fetches) fetch.cancel(reason);
    this.#fetches.clear();
  }

  /** Pieces that together are `[from, to)`: what is there, and one new fetch from the first gap to the end of the last. */
  #plan(from: number, to: number): { fetch: RangeFetch; start: number; end: number }[] {
    const before = this.#cover(from, to);
    const gapStart = before.at(-1)?.end ?? from;
    if (gapStart >= to) return before;
    const after = this.#coverBackwards(gapStart, to);
    const gapEnd = after[0]?.start ?? to;
    const fetch = new RangeFetch(this.#known, gapStart, after.length > 0 ? gapEnd : this.#ahead(gapStart, to));
    fetch.lastUse = ++this.#uses;
    this.#fetches.add(fetch);
    this.#begin(fetch);
    return [...before, { fetch, start: gapStart, end: gapEnd }, ...after];
  }

  /** The longest chain of fetches from `from` towards `to`. */
  #cover(from: number, to: number): { fetch: RangeFetch; start: number; end: number }[] {
    const chain = [];
    for (let at = from; at < to; ) {
      let best: RangeFetch | undefined;
      for (const fetch of this.#fetches) {
        if (fetch.start <= at && fetch.end > at && (best === undefined || fetch.end > best.end)) best = fetch;
      }
      if (best === undefined) break;
      best.lastUse = ++this.#uses;
      const end = Math.min(to, best.end);
      chain.push({ fetch: best, start: at, end });
      at = end;
    }
    return chain;
  }

  /** The longest chain of fetches that ends at `to`, not reaching below `from`. */
  #coverBackwards(from: number, to: number): { fetch: RangeFetch; start: number; end: number }[] {
    const chain = [];
    for (let at = to; at > from; ) {
      let best: RangeFetch | undefined;
      for (const fetch of this.#fetches) {
        if (fetch.start < at && fetch.end >= at && (best === undefined || fetch.start < best.start)) best = fetch;
      }
      if (best === undefined) break;
      best.lastUse = ++this.#uses;
      const start = Math.max(from, best.start);
      chain.unshift({ fetch: best, start, end: at });
      at = start;
    }
    return chain;
  }

  /** How far to fetch for a read that misses `[from, to)`: further each time for a reader that reads on in small steps. */
  #ahead(from: number, to: number): number {
    const { largeRead, minFetch, maxReadAhead } = this.#tuning;
    if (to - from >= largeRead) return to;
    const index = this.#streams.findIndex((stream) => from >= stream.next && from - stream.next <= stream.window);
    const stream = index < 0 ? undefined : this.#streams.splice(index, 1)[0];
    const window = stream === undefined ? minFetch : Math.min(stream.window * 2, maxReadAhead);
    const next = this.#heldFrom(Math.max(to, Math.min(from + window, this.#known.size)), to, from);
    this.#streams.push({ next, window });
    if (this.#streams.length > MAX_STREAMS) this.#streams.shift();
    return next;
  }

  /** `end`, or the start of the first fetch behind `to` that would be fetched again before it. */
  #heldFrom(end: number, to: number, from: number): number {
    let limit = end;
    for (const fetch of this.#fetches)
      if (fetch.start >= to && fetch.start > from) limit = Math.min(limit, fetch.start);
    return limit;
  }

  #evict(): void {
    let held = 0;
    const ended = [...this.#fetches].filter((fetch) => !fetch.running).sort((a, b) => b.lastUse - a.lastUse);
    for (const fetch of ended) {
      held += fetch.bytes;
      if (held > this.#tuning.cacheBytes) this.#fetches.delete(fetch);
    }
  }
}
