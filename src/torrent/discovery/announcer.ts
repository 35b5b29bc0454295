/**
 * Asks one place for peers again and again, without end: at the place's own pace while all is well, backing off while it fails.
 *
 * Invariant: between `start` and `stop` there is exactly one of: an announcement under way, a timer for the next one.
 */
import type { Nearness } from '../../lib/addresses.ts';
import type { PeerAddress } from '../protocol.ts';
import { type Announced, TrackerError } from './tracker.ts';

/** Times in milliseconds. */
export interface AnnounceTimes {
  /** After the first failure; doubled each time, up to `longestRetry`. */
  readonly firstRetry: number;
  readonly longestRetry: number;
  /** The least and the most between two announcements that went well, whatever the place wishes. */
  readonly leastInterval: number;
  readonly mostInterval: number;
  /** The most while there are no peers at all. */
  readonly hungryInterval: number;
}

export const announceTimes: AnnounceTimes = {
  firstRetry: 5_000,
  longestRetry: 15 * 60_000,
  leastInterval: 60_000,
  mostInterval: 60 * 60_000,
  hungryInterval: 120_000,
};

/** How it went last, for people. */
export interface AnnounceReport {
  /** `tracker https://host`, `DHT`, ... */
  readonly label: string;
  readonly state: 'asking' | 'answered' | 'failed';
  /** Peers in the last answer. */
  readonly peers: number;
  /** Why it failed, in words that continue the label. */
  readonly reason?: string;
}

export interface AnnouncerOptions {
  readonly label: string;
  readonly announce: (event: 'started' | 'stopped' | undefined, signal: AbortSignal) => Promise<Announced>;
  readonly onPeers: (peers: readonly PeerAddress[], from: Nearness) => void;
  /** Whether the torrent has nobody to get anything from. */
  readonly isHungry: () => boolean;
  readonly times: AnnounceTimes;
  /** Ends what is kept between announcements; the signal ends its patience. */
  readonly close?: (signal: AbortSignal) => Promise<void>;
}

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #life = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #failures = 0;
  #isKnown = false;
  #state: AnnounceReport['state'] = 'asking';
  #peers = 0;
  #reason: string | undefined;
  #lastAt = 0;
  #least = 0;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Asks again as soon as that is polite: peers have run out. */
  hurry(): void {
    if (this.#timer === undefined || this.#failures > 0) return;
    const { hungryInterval } = this.#options.times;
    this.#schedule(Math.max(0, this.#lastAt + Math.max(this.#least, hungryInterval) - performance.now()));
  }

  get report(): AnnounceReport {
    const { label } = this.#options;
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    return { label, state: this.#state, peers: this.#peers, ...reason };
  }

  /** @param farewell ends the farewell, which is said only where we are known. */
  async stop(farewell: AbortSignal): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#life.abort(new DOMException('Stopped', 'AbortError'));
    await this.#running;
    if (this.#isKnown) await this.#options.announce('stopped', farewell).catch(() => {});
    await this.#options.close?.(farewell);
  }

  async #run(): Promise<void> {
    const { announce, onPeers } = this.#options;
    this.#timer = undefined;
    this.#lastAt = performance.now();
    try {
      const answer = await announce(this.#isKnown ? undefined : 'started', this.#life.signal);
      if (this.#life.signal.aborted) return;
      this.#isKnown = true;
      this.#failures = 0;
      this.#state = 'answered';
      this.#reason = undefined;
      this.#peers = answer.peers.length;
      if (answer.peers.length > 0) onPeers(answer.peers, answer.from);
      this.#schedule(this.#interval(answer));
    } catch (error) {
      if (this.#life.signal.aborted) return;
      this.#state = 'failed';
      this.#peers = 0;
      this.#reason = error instanceof TrackerError ? error.message : 'failed unexpectedly';
      this.#schedule(this.#retry());
    }
  }

  #interval({ interval, minInterval }: Announced): number {
    const { leastInterval, mostInterval, hungryInterval } = this.#options.times;
    this.#least = Math.max(leastInterval, Math.min(mostInterval, (minInterval ?? 0) * 1_000));
    const wished = Math.max(this.#least, Math.min(mostInterval, (interval ?? 1_800) * 1_000));
    return this.#options.isHungry() ? Math.min(wished, Math.max(this.#least, hungryInterval)) : wished;
  }

  #retry(): number {
    const { firstRetry, longestRetry } = this.#options.times;
    const wait = Math.min(longestRetry, firstRetry * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    return wait * (0.8 + 0.4 * Math.random());
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, ms);
  }
}
