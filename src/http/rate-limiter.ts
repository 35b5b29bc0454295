/**
 * A token bucket per client: `burst` requests at once, and from then on `perSecond`.
 *
 * Invariant: a client without a bucket has a full one; buckets that have become full are forgotten when there are many.
 */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  /** ms. */
  at: number;
}

const MANY_BUCKETS = 10_000;

export class RateLimiter {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param now ms, monotonic; for tests. */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes one; 0, or the seconds (whole, at least 1) to wait until there is one again. */
  take(client: string): number {
    const wait = this.wait(client);
    if (wait === 0) (this.#buckets.get(client) as Bucket).tokens -= 1;
    return wait;
  }

  /** What `take` would answer. */
  wait(client: string): number {
    const bucket = this.#filled(client);
    return bucket.tokens >= 1 ? 0 : Math.max(1, Math.ceil((1 - bucket.tokens) / this.#rate.perSecond));
  }

  #filled(client: string): Bucket {
    const { burst, perSecond } = this.#rate;
    const now = this.#now();
    const bucket = this.#buckets.get(client) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    if (!this.#buckets.has(client)) {
      if (this.#buckets.size >= MANY_BUCKETS) this.#forget(now);
      this.#buckets.set(client, bucket);
    }
    return bucket;
  }

  /** Those that are full by now; if that makes no room, the oldest. */
  #forget(now: number): void {
    const { burst, perSecond } = this.#rate;
    for (const [client, { tokens, at }] of this.#buckets) {
      if (tokens + ((now - at) / 1000) * perSecond >= burst) this.#buckets.delete(client);
    }
    const oldest = this.#buckets.keys().next().value;
    if (this.#buckets.size >= MANY_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest);
  }
}
