/** A time limit on silence that counts only while `running` is true: what is paused in between starts no new allowance, only `reset` does. */
export class StallTimer {
  readonly #limitMs: number;
  readonly #onStall: () => void;
  #leftMs: number;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number, onStall: () => void) {
    this.#limitMs = limitMs;
    this.#leftMs = limitMs;
    this.#onStall = onStall;
  }

  set running(running: boolean) {
    if (running === (this.#timer !== undefined)) return;
    if (running) {
      this.#startedAt = performance.now();
      this.#timer = setTimeout(this.#onStall, this.#leftMs);
    } else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#leftMs = Math.max(1, this.#leftMs - (performance.now() - this.#startedAt));
    }
  }

  /** The whole allowance again. */
  reset(): void {
    const running = this.#timer !== undefined;
    this.running = false;
    this.#leftMs = this.#limitMs;
    this.running = running;
  }
}
