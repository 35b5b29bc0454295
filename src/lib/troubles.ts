import { type ErrorCode, toAppError } from '../errors.ts';

/** One thing that went wrong, perhaps more than once. */
export interface Trouble {
  readonly code: ErrorCode;
  readonly detail: string;
  /** What could not be done, in a few words: `segment 12 of 720p`. */
  readonly what: string;
  /** The last time. */
  at: Date;
  count: number;
  /** What the program that failed said itself. */
  words: string | undefined;
}

/** So many different ones are kept. */
const KEPT = 20;

/** What went wrong last. Invariant: at most `KEPT`, the latest at the end, no two alike. */
export class Troubles {
  #list: Trouble[] = [];

  get list(): readonly Trouble[] {
    return this.#list;
  }

  /** @param words what the program that failed said itself. */
  add(what: string, cause: unknown, words?: string): void {
    const { code, detail } = toAppError(cause);
    const at = new Date();
    const known = this.#list.find((one) => one.code === code && one.detail === detail && one.what === what);
    const trouble = known ?? { code, detail, what, at, count: 0, words };
    trouble.at = at;
    trouble.words = words;
    trouble.count += 1;
    this.#list = [...this.#list.filter((one) => one !== trouble), trouble].slice(-KEPT);
  }
}
