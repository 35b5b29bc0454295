/** Who wants to hear of something. They are told at once, in the order in which they came. */
export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** Until the result is disposed of. */
  add(listener: (value: T) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  tell(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }
}
