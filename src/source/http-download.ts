/**
 * Brings a sink all the bytes it wants: as many requests as that takes, each continuing at the byte where the last one broke off.
 *
 * Invariant: a download ends within `patience` of its last new byte, or within `rateWindow` of falling below `minRate`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import {
  appErrorIn,
  BusyError,
  downloadError,
  EarlyEnd,
  interruptionWords,
  isAbsent,
  isTlsFailure,
} from './http-errors.ts';
import type { ResponseHead } from './http-headers.ts';
import type { HttpOrigin } from './http-origin.ts';
import { type Flow, StallError } from './http-transport.ts';
import type { HttpTuning } from './http-tuning.ts';

/** Who wants the bytes. */
export interface DownloadSink {
  /** What to ask for next, `end` exclusive; undefined asks for everything from the first byte. */
  wanted(): { readonly start: number; readonly end: number } | undefined;
  /** Whether compressed answers are welcome. */
  readonly takesCoded?: boolean;
  /**
   * Called with every answer (200, 206 or 416) before its bytes.
   * @returns how many bytes of the body come before the one that is wanted.
   * @throws AppError when these are not the bytes that were asked for: it ends the download.
   */
  accept(head: ResponseHead, flow: Flow): number;
  /** The chunk may be kept. @returns false when there was more in it than is wanted, which breaks the answer off. */
  write(chunk: Uint8Array): boolean;
  /** The body has ended in good order: of content of unknown size, this is the end. */
  ended(): void;
  /** Whether nothing is missing. */
  readonly satisfied: boolean;
  /** The bytes held so far, counted from the source's beginning; for messages. */
  readonly position: number;
}

/** This much since the last request earns an immediate retry: less may come from an origin that breaks after every byte. */
const GOOD_PROGRESS = 64 * 1024;
/** How often in a row a server without ranges may break off before anything new, and everything held be read past again. */
const MAX_REREADS = 3;
const RATE_CHECKS = 4;

/**
 * @param first whether this is the source's first request: an address where nobody is, is then an error at once.
 * @throws AppError; the signal's reason.
 */
export async function download(
  origin: HttpOrigin,
  sink: DownloadSink,
  tuning: HttpTuning,
  signal: AbortSignal,
  first = false,
): Promise<void> {
  await new Download(origin, sink, tuning, first).run(signal);
}

class Download {
  readonly #origin: HttpOrigin;
  readonly #sink: DownloadSink;
  readonly #tuning: HttpTuning;
  readonly #slow = new AbortController();
  #first: boolean;
  /** Bytes received, and when the last of them came (ms, monotonic). */
  #received = 0;
  #lastByte = performance.now();
  #paused = false;
  /** Whether the present attempt ends sooner than attempts do. */
  #hurried = false;

  constructor(origin: HttpOrigin, sink: DownloadSink, tuning: HttpTuning, first: boolean) {
    this.#origin = origin;
    this.#sink = sink;
    this.#tuning = tuning;
    this.#first = first;
  }

  async run(owner: AbortSignal): Promise<void> {
    const meter = this.#startMeter();
    const signal = AbortSignal.any([owner, this.#slow.signal]);
    try {
      let reason: unknown;
      for (let failures = 0, rereads = 0; ; ) {
        const before = this.#sink.position;
        const receivedBefore = this.#received;
        let failure: unknown;
        try {
          await this.#attempt(signal);
          failure = new EarlyEnd(this.#sink.position);
        } catch (error) {
          // An attempt that had little time left says nothing: what went wrong before does.
          failure = this.#hurried && error instanceof StallError ? (reason ?? error) : error;
        }
        reason = failure;
        signal.throwIfAborted();
        if (this.#sink.satisfied) return;
        const progress = this.#sink.position - before;
        failures = progress > 0 ? 0 : failures + 1;
        rereads = progress > 0 ? 0 : rereads + (this.#received > receivedBefore ? 1 : 0);
        const wait = progress >= GOOD_PROGRESS && !(failure instanceof BusyError) ? 0 : this.#delay(failures, failure);
        this.#note(failure);
        this.#assertWorthwhile(failure, rereads, wait);
        if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      clearInterval(meter);
    }
  }

  #note(failure: unknown): void {
    const { traffic, url } = this.#origin;
    traffic.interruptions += 1;
    traffic.lastInterruption = interruptionWords(failure, url);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const sink = this.#sink;
    const left = this.#patienceLeft();
    this.#hurried = left < this.#tuning.headTimeout;
    const headTimeout = Math.max(1, Math.min(this.#tuning.headTimeout, left));
    this.#origin.traffic.requests += 1;
    await this.#origin.request(
      { method: 'GET', range: sink.wanted(), headTimeout, takesCoded: sink.takesCoded ?? false },
      (head, flow) => {
        let skip = sink.accept(head, this.#metered(flow));
        this.#first = false;
        return (chunk) => {
          this.#received += chunk.length;
          this.#origin.traffic.bytes += chunk.length;
          this.#lastByte = performance.now();
          if (skip === 0) return sink.write(chunk);
          const skipped = Math.min(skip, chunk.length);
          skip -= skipped;
          return skipped === chunk.length || sink.write(chunk.subarray(skipped));
        };
      },
      signal,
    );
    sink.ended();
  }

  /** @throws AppError when trying again after `wait` ms is pointless. */
  #assertWorthwhile(failure: unknown, rereads: number, wait: number): void {
    const pointless =
      appErrorIn(failure) !== undefined ||
      isTlsFailure(failure) ||
      (this.#first && isAbsent(failure)) ||
      rereads >= MAX_REREADS ||
      wait >= this.#patienceLeft();
    if (pointless) throw downloadError(failure, this.#origin.url, this.#tuning.patience);
  }

  #patienceLeft(): number {
    return this.#lastByte + this.#tuning.patience - performance.now();
  }

  /** Exponential, with jitter so that the clients of a struggling origin do not come back all at once. */
  #delay(failures: number, failure: unknown): number {
    const full = Math.min(this.#tuning.maxBackoff, this.#tuning.backoff * 2 ** failures);
    const jittered = full * (0.5 + Math.random() / 2);
    return failure instanceof BusyError ? Math.max(jittered, failure.wait ?? 0) : jittered;
  }

  #metered(flow: Flow): Flow {
    return {
      pause: () => {
        this.#paused = true;
        flow.pause();
      },
      resume: () => {
        this.#paused = false;
        this.#lastByte = performance.now();
        flow.resume();
      },
    };
  }

  /** Ends the download when the bytes of the last `rateWindow` were fewer than `minRate` allows. */
  #startMeter(): NodeJS.Timeout {
    const { rateWindow, minRate } = this.#tuning;
    const least = (minRate * rateWindow) / 1000;
    const marks: number[] = [this.#received];
    return setInterval(() => {
      if (this.#paused) {
        marks.length = 0;
      } else if (marks.length >= RATE_CHECKS && this.#received - marks[marks.length - RATE_CHECKS]! < least) {
        this.#slow.abort(this.#tooSlow());
      }
      marks.push(this.#received);
      if (marks.length > RATE_CHECKS) marks.shift();
    }, rateWindow / RATE_CHECKS);
  }

  #tooSlow(): AppError {
    const seconds = Math.round(this.#tuning.rateWindow / 1000);
    const rate = Math.round(this.#tuning.minRate);
    return new AppError(
      'source-stalled',
      `${this.#origin.label} sends less than ${rate} bytes per second for ${seconds} seconds.`,
    );
  }
}
