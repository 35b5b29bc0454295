import type { AppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { Content } from './content.ts';

/**
 * The wait for what is in a torrent.
 *
 * Invariant: `content` stays once it is there. `failure` says why it is not: who waits then gets it, who asks later too, until something comes after all.
 */
export class Arrival implements Disposable {
  #content: Content | undefined;
  #failure: AppError | undefined;
  #wait = newWait();
  #timer: NodeJS.Timeout | undefined;

  get content(): Content | undefined {
    return this.#content;
  }

  /** Why it does not come, or can't be used. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /** After so many milliseconds without content that is the error which `late` makes. */
  expect(ms: number, late: () => AppError): void {
    this.#timer = setTimeout(() => this.fail(late()), ms);
  }

  /** It has come, perhaps again: what had kept it away is over. */
  resolve(content: Content): void {
    clearTimeout(this.#timer);
    this.#failure = undefined;
    this.#content = content;
    this.#wait.resolve(content);
  }

  fail(error: AppError): void {
    this.#failure = error;
    this.#wait.reject(error);
    this.#wait = newWait();
  }

  /** @throws AppError `torrent-*`; the signal's reason. */
  async wait(signal: AbortSignal): Promise<Content> {
    signal.throwIfAborted();
    if (this.#content) return this.#content;
    if (this.#failure) throw this.#failure;
    return waitFor(this.#wait.promise, signal);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

function newWait(): PromiseWithResolvers<Content> {
  const wait = Promise.withResolvers<Content>();
  wait.promise.catch(() => {}); // perhaps nobody waits
  return wait;
}
