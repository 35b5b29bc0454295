/**
 * Reference-counted sharing of values that are made asynchronously and must be disposed of.
 *
 * Invariant: a key is in the map exactly while its value has at least one lease; the last release removes the key first and then
 * disposes, so a later acquire makes a new value and never sees a dying one. A value that fails to be made has no lease left
 * after its waiters have seen the failure, so failures are not shared beyond the callers that waited for them.
 */
export class Shared<K, V extends AsyncDisposable> {
  readonly #entries = new Map<K, Entry<V>>();
  readonly #dying = new Set<Promise<void>>();

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Joins the value of `key`, making it with `create` when nobody holds it. `create` gets a signal that aborts when the last lease goes
   * before the value is there. The caller must release the lease, whether `value` resolves or rejects.
   */
  acquire(key: K, create: (signal: AbortSignal) => Promise<V>): Lease<V> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const controller = new AbortController();
      const value = create(controller.signal);
      const made: Entry<V> = { value, controller, isSettled: false, leases: 0 };
      const settle = (): void => {
        made.isSettled = true;
      };
      value.then(settle, settle); // each lease's holder sees the rejection; an unheld one is nobody's concern
      entry = made;
      this.#entries.set(key, entry);
    }
    entry.leases += 1;
    return new Lease(entry.value, () => this.#release(key, entry));
  }

  /** Resolves when everything that was released so far has been disposed of. */
  async settled(): Promise<void> {
    await Promise.all(this.#dying);
  }

  #release(key: K, entry: Entry<V>): Promise<void> {
    entry.leases -= 1;
    if (entry.leases > 0) return Promise.resolve();
    this.#entries.delete(key);
    // A reason takes a stack trace: not for nothing.
    if (!entry.isSettled) entry.controller.abort(new DOMException('No longer needed', 'AbortError'));
    const gone = entry.value
      .then(
        (value) => value[Symbol.asyncDispose](),
        () => {},
      )
      .then(() => {
        this.#dying.delete(gone);
      });
    this.#dying.add(gone);
    return gone;
  }
}

interface Entry<V> {
  readonly value: Promise<V>;
  readonly controller: AbortController;
  isSettled: boolean;
  leases: number;
}

/** One holder's claim on a shared value. Releasing twice is harmless. */
export class Lease<V> implements AsyncDisposable {
  readonly value: Promise<V>;
  #release: (() => Promise<void>) | undefined;
  #released: Promise<void> = Promise.resolve();

  constructor(value: Promise<V>, release: () => Promise<void>) {
    this.value = value;
    this.#release = release;
  }

  /** Resolves when, if this was the last lease, the value has been disposed of. */
  release(): Promise<void> {
    const release = this.#release;
    if (release !== undefined) {
      this.#release = undefined;
      this.#released = release();
    }
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
