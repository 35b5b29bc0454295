import { type AppError, type ErrorCode, toAppError } from '../errors.ts';

/** One thing that went wrong, perhaps more than once. */
export interface Trouble {
  readonly code: ErrorCode;
  readonly detail: string;
  /** What could not be done, in a few words: `segment 12 of 720p`. */
  readonly what: string;
  /** The first time and the last. */
  readonly since: Date;
  at: Date;
  count: number;
  readonly error: AppError;
}

/** So many different ones are kept. */
const KEPT = 20;

/** What went wrong last. Invariant: at most `KEPT`, the latest at the end, no two alike. */
export class Troubles {
  #list: Trouble[] = [];

  get list(): readonly Trouble[] {
    return this.#list;
  }

  add(what: string, cause: unknown): void {
    const error = toAppError(cause);
    const { code, detail } = error;
    const at = new Date();
    const known = this.#list.find((one) => one.code === code && one.detail === detail && one.what === what);
    const trouble = known ?? { code, detail, what, since: at, at, count: 0, error };
    trouble.at = at;
    trouble.count += 1;
    this.#list = [...this.#list.filter((one) => one !== trouble), trouble].slice(-KEPT);
  }
}
