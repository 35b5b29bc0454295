/**
 * The web seeds of one torrent.
 *
 * Invariant: `#seeds` has one entry for each URL in `#urls` as soon as the metadata are known, and none before.
 */
import type { AnnounceReport } from '../discovery/announcer.ts';
import type { Metainfo } from '../metainfo.ts';
import type { PeerAddress } from '../protocol.ts';
import { MOST_WEB_SEEDS } from '../web-seed-url.ts';
import { WebSeed, type WebSeedOptions } from './web-seed.ts';

export type WebSeedsOptions = Omit<WebSeedOptions, 'url' | 'metainfo' | 'address'>;

export class WebSeeds implements AsyncDisposable {
  readonly #options: WebSeedsOptions;
  readonly #urls = new Set<string>();
  readonly #seeds: WebSeed[] = [];
  #metainfo: Metainfo | undefined;
  #isClosed = false;

  constructor(options: WebSeedsOptions) {
    this.#options = options;
  }

  /** @param urls from `webSeedOf`. */
  add(urls: readonly string[]): void {
    for (const url of urls) {
      if (this.#urls.size >= MOST_WEB_SEEDS) return;
      if (this.#urls.has(url)) continue;
      this.#urls.add(url);
      this.#begin(url);
    }
    this.wake();
  }

  /** What is in the torrent is known. */
  start(metainfo: Metainfo): void {
    if (this.#metainfo !== undefined) return;
    this.#metainfo = metainfo;
    for (const url of this.#urls) this.#begin(url);
  }

  /** Something may be wanted now. */
  wake(): void {
    for (const seed of this.#seeds) seed.wake();
  }

  /** A peer was banned: perhaps one of these. */
  banned({ host, port }: PeerAddress, reason: string): void {
    const url = [...this.#urls][port - 1];
    if (url !== undefined && host === hostOf(url)) this.#seeds[port - 1]?.ban(reason);
  }

  get reports(): AnnounceReport[] {
    return this.#seeds.map(({ report }) => report);
  }

  #begin(url: string): void {
    if (this.#metainfo === undefined || this.#isClosed) return;
    const address = { host: hostOf(url), port: this.#seeds.length + 1 };
    this.#seeds.push(new WebSeed({ ...this.#options, url, metainfo: this.#metainfo, address }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#seeds.map((seed) => seed[Symbol.asyncDispose]()));
  }
}

/** No address: what is at this one besides may be a good peer. */
function hostOf(url: string): string {
  return `web seed ${new URL(url).host}`;
}
