/** So long a change waits for the next one, when nobody waits for what comes of it: a window that moves with its reader is far ahead of it. Milliseconds. */
const PATIENCE_MS = 10;

/** Tells once of many changes: of urgent ones at the end of the turn in which they are made. */
export class Changes implements Disposable {
  readonly #tell: () => void;
  #isDue = false;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  made(isUrgent: boolean): void {
    if (this.#isDue || this.#isOver) return;
    if (!isUrgent) {
      this.#timer ??= setTimeout(() => this.made(true), PATIENCE_MS);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (!this.#isOver) this.#tell();
    });
  }

  /** From now on nothing is told. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}
