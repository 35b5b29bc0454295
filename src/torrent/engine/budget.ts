/** A rate limit in bytes: refilled at every tick, and overdrawn by at most one request. */
export class Budget {
  #perSecond: number | null;
  #left = 0;

  /** @param perSecond null: no limit, 0: nothing at all. */
  constructor(perSecond: number | null) {
    this.#perSecond = perSecond;
    this.refill(1);
  }

  set perSecond(perSecond: number | null) {
    this.#perSecond = perSecond;
    this.#left = 0;
  }

  /** Bytes that may be spent now; -Infinity when there is no such traffic at all. */
  get allowance(): number {
    if (this.#perSecond === null) return Number.POSITIVE_INFINITY;
    return this.#perSecond === 0 ? Number.NEGATIVE_INFINITY : this.#left;
  }

  spend(bytes: number): void {
    this.#left -= bytes;
  }

  /** Seconds have gone by. At most a second's worth is saved up. */
  refill(seconds: number): void {
    if (this.#perSecond !== null) this.#left = Math.min(this.#perSecond, this.#left + this.#perSecond * seconds);
  }
}
