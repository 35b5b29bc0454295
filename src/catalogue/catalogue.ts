/**
 * The community's add-ons: what several catalogues list, merged. Asked on demand, kept in memory and on the disk.
 *
 * Invariants: `#copies` has, for each upstream that ever answered well, its latest good answer; nothing but a newer good answer replaces one. At most
 * one refresh is under way (`#refreshing`), whoever waits for it; it belongs to the catalogue, not to those who wait. An upstream that failed is left
 * alone until its time in `#retryAt`.
 */
import { createHash } from 'node:crypto';
import { AppError } from '../errors.ts';
import { waitFor, withDeadline } from '../lib/abort.ts';
import type { AddressGuard } from '../source/guard.ts';
import { urlLabel } from '../source/http-errors.ts';
import { type Copy, loadCopies, saveCopies } from './copies.ts';
import { withoutDuplicates } from './descriptor.ts';
import { askUpstream, UpstreamError, type UpstreamTimes } from './upstream.ts';

/** Milliseconds. */
export interface CatalogueTimes extends UpstreamTimes {
  /** For which an answer is as good as new. */
  readonly fresh: number;
  /** For which somebody waits who could have an older list, or that of the other upstreams. */
  readonly patience: number;
  /** For which an upstream that failed is not asked: while there is some list, and while there is none. */
  readonly retry: number;
  readonly retryWithoutAny: number;
}

const TIMES: CatalogueTimes = {
  whole: 10_000,
  head: 7_000,
  stall: 5_000,
  fresh: 30 * 60_000,
  patience: 3_000,
  retry: 60_000,
  retryWithoutAny: 5_000,
};

export interface CatalogueOptions {
  /** In the order of their precedence. */
  readonly upstreams: readonly URL[];
  readonly guardOf: (upstream: URL) => AddressGuard;
  /** Absolute; its folder is made when there is something to write. */
  readonly file: string;
  readonly log: CatalogueLog;
  /** ms since the epoch. */
  readonly now?: () => number;
  readonly times?: Partial<CatalogueTimes>;
}

interface CatalogueLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface AddonList {
  /** A JSON array. */
  readonly body: Buffer;
  /** An entity tag, quotes included. */
  readonly etag: string;
}

export class AddonCatalogue implements AsyncDisposable {
  readonly #options: CatalogueOptions;
  readonly #times: CatalogueTimes;
  readonly #now: () => number;
  readonly #life = new AbortController();
  #copies = new Map<string, Copy>();
  readonly #retryAt = new Map<string, number>();
  readonly #failures = new Map<string, string>();
  #loaded: Promise<void> | undefined;
  #refreshing: Promise<void> | undefined;
  #saved: Promise<void> = Promise.resolve();
  /** Merged from `#copies`; undefined when they have changed since. */
  #list: AddonList | undefined;

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    this.#now = options.now ?? Date.now;
  }

  /**
   * The merged list: fresh, or, where upstreams don't answer, the latest there was.
   * @throws AppError `addons-unavailable` when there is none at all; the signal's reason.
   */
  async list(signal: AbortSignal): Promise<AddonList> {
    this.#loaded ??= this.#load();
    await waitFor(this.#loaded, signal);
    const due = this.#options.upstreams.filter((upstream) => this.#isDue(upstream));
    if (due.length > 0) this.#refreshing ??= this.#refresh(due).finally(() => (this.#refreshing = undefined));
    if (this.#refreshing) await this.#waitFor(this.#refreshing, signal);
    if (this.#copies.size === 0) throw this.#unavailable();
    this.#list ??= this.#merge();
    return this.#list;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new AppError('server-closing', 'The server is shutting down.'));
    await this.#loaded;
    await this.#refreshing;
    await this.#saved;
  }

  /** Until it is over; no longer than patience lasts when there is something to give. */
  async #waitFor(refreshing: Promise<void>, signal: AbortSignal): Promise<void> {
    const late = new Error('late');
    try {
      await withDeadline(
        signal,
        this.#times.patience,
        () => late,
        () => refreshing,
      );
    } catch (error) {
      if (error !== late) throw error;
      if (this.#copies.size === 0) await waitFor(refreshing, signal);
    }
  }

  async #load(): Promise<void> {
    const known = await loadCopies(this.#options.file);
    for (const { href } of this.#options.upstreams) {
      const copy = known.get(href);
      if (copy) this.#copies.set(href, copy);
    }
  }

  #isDue({ href }: URL): boolean {
    const now = this.#now();
    if (now < (this.#retryAt.get(href) ?? 0)) return false;
    const copy = this.#copies.get(href);
    // A time in the future: the clock has been set back.
    return copy === undefined || now >= copy.checkedAt + this.#times.fresh || copy.checkedAt > now;
  }

  /** Asks them all at once. Never throws. */
  async #refresh(due: readonly URL[]): Promise<void> {
    const answers = await Promise.all(due.map((upstream) => this.#ask(upstream)));
    if (!answers.includes(true)) return;
    this.#saved = saveCopies(this.#options.file, this.#copies).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'the add-ons could not be kept on the disk');
    });
  }

  /** @returns whether there is something new to keep. */
  async #ask(upstream: URL): Promise<boolean> {
    const { href } = upstream;
    const known = this.#copies.get(href);
    const began = this.#now();
    try {
      const answer = await askUpstream(
        upstream,
        known,
        this.#options.guardOf(upstream),
        this.#times,
        this.#life.signal,
      );
      const checkedAt = this.#now();
      this.#retryAt.delete(href);
      this.#failures.delete(href);
      const fields = { catalogue: urlLabel(upstream), ms: checkedAt - began };
      if (!answer.changed) {
        if (known) this.#copies.set(href, { ...known, checkedAt });
        this.#options.log.info(fields, 'the add-ons of a catalogue have not changed');
        return true;
      }
      const { changed: _, dropped, ...said } = answer;
      this.#copies.set(href, { ...said, checkedAt });
      this.#list = undefined;
      this.#options.log.info({ ...fields, addons: said.descriptors.length, dropped }, 'the add-ons of a catalogue');
      return true;
    } catch (error) {
      if (!this.#life.signal.aborted) this.#failed(upstream, error);
      return false;
    }
  }

  #failed(upstream: URL, error: unknown): void {
    const why = error instanceof UpstreamError ? error.message : 'cannot be asked';
    const { retry, retryWithoutAny } = this.#times;
    this.#failures.set(upstream.href, `${upstream.host} ${why}`);
    this.#retryAt.set(upstream.href, this.#now() + (this.#copies.size > 0 ? retry : retryWithoutAny));
    const fields = { catalogue: urlLabel(upstream), hasOlder: this.#copies.has(upstream.href) };
    if (error instanceof UpstreamError) this.#options.log.warn(fields, `a catalogue of add-ons ${why}`);
    else this.#options.log.warn({ ...fields, err: error }, 'a catalogue of add-ons cannot be asked');
  }

  #unavailable(): AppError {
    if (this.#life.signal.aborted) return this.#life.signal.reason as AppError;
    const failures = [...this.#failures.values()].join('; ');
    return new AppError('addons-unavailable', `There are no add-ons to list: ${failures || 'no catalogue is set'}.`);
  }

  #merge(): AddonList {
    const { upstreams } = this.#options;
    const all = upstreams.flatMap(({ href }) => this.#copies.get(href)?.descriptors ?? []);
    const body = Buffer.from(`[${withoutDuplicates(all).map(({ json }) => json)}]`);
    return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"` };
  }
}
