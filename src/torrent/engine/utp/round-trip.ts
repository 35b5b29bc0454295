/** How long an answer takes, and how long to wait for one (BEP 29, RFC 6298). Milliseconds. */

const FIRST = 1000;
const LEAST = 500;
const MOST = 8000;

export class RoundTrip {
  smoothed = 0;
  timeout = FIRST;
  #variance = 0;

  /** An answer came to what was sent only once. */
  sample(ms: number): void {
    if (this.smoothed === 0) {
      this.smoothed = Math.max(1, ms);
      this.#variance = ms / 2;
    } else {
      this.#variance += (Math.abs(this.smoothed - ms) - this.#variance) / 4;
      this.smoothed += (ms - this.smoothed) / 8;
    }
    this.timeout = Math.min(MOST, Math.max(LEAST, this.smoothed + 4 * this.#variance));
  }

  /** None came in time. */
  backOff(): void {
    this.timeout = Math.min(MOST, this.timeout * 2);
  }
}
