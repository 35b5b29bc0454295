/**
 * One web seed (BEP 19): a server whose files are the torrent's. To the engine it is a peer, by a stream (seed-wire.ts), and what it sends is
 * verified as everything is; the engine asks it for what others are late with or nobody else has.
 *
 * Invariant: there is a wire, or a timer until the next one may be, or neither because nobody wants anything. At most `MOST_FETCHES` are under
 * way, all of the present wire; `#queue` holds the blocks that no fetch has.
 */
import type { MessagePort } from 'node:worker_threads';
import { AppError } from '../../errors.ts';
import type { AddressGuard } from '../../source/guard.ts';
import { BusyError } from '../../source/http-errors.ts';
import { HttpOrigin } from '../../source/http-origin.ts';
import { defaultTuning } from '../../source/http-tuning.ts';
import type { AnnounceReport } from '../discovery/announcer.ts';
import type { Metainfo, TorrentFile } from '../metainfo.ts';
import type { InfoHash, PeerAddress } from '../protocol.ts';
import { fileUrl } from './file-url.ts';
import { offsetOf, SeedError, SeedFetch } from './seed-fetch.ts';
import { SeedWire, type WantedBlock } from './seed-wire.ts';

export interface WebSeedOptions {
  readonly url: string;
  readonly infoHash: InfoHash;
  readonly metainfo: Metainfo;
  readonly guard: AddressGuard;
  /** What the engine knows it by. */
  readonly address: PeerAddress;
  /** Hands the engine its side of the stream. */
  readonly attach: (port: MessagePort, remote: PeerAddress) => void;
  /** Whether anything is wanted that is not at hand. */
  readonly isWanted: () => boolean;
  readonly times?: Partial<SeedTimes>;
}

/** Milliseconds until the next try after a failure: the first, doubled each time, and the longest. */
interface SeedTimes {
  readonly firstRetry: number;
  readonly longestRetry: number;
}

const TIMES: SeedTimes = { firstRetry: 2_000, longestRetry: 15 * 60_000 };
const MOST_FETCHES = 2;
/** One request asks for no more, bytes: what the engine takes back meanwhile comes for nothing. */
const LARGEST_FETCH = 2 * 1024 * 1024;

export class WebSeed implements AsyncDisposable {
  readonly #options: WebSeedOptions;
  /** Whose connections all files come over. */
  readonly #origin: HttpOrigin;
  readonly #origins = new Map<TorrentFile, HttpOrigin>();
  readonly #running = new Set<SeedFetch>();
  readonly #label: string;
  #queue: WantedBlock[] = [];
  #wire: SeedWire | undefined;
  #ending = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #reason: string | undefined;
  #hasSent = false;
  #isClosed = false;

  constructor(options: WebSeedOptions) {
    this.#options = options;
    const { protocol, host } = new URL(options.url);
    this.#label = `web seed ${protocol}//${host}`;
    const tuning = { ...defaultTuning, connections: MOST_FETCHES };
    this.#origin = new HttpOrigin(new URL(options.url), options.guard, tuning);
  }

  get report(): AnnounceReport {
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    const state = this.#reason !== undefined ? 'failed' : this.#hasSent ? 'answered' : 'asking';
    return { label: this.#label, state, peers: this.#hasSent ? 1 : 0, ...reason };
  }

  /** Something may be wanted now. */
  wake(): void {
    if (this.#isClosed || this.#wire !== undefined || this.#timer !== undefined || !this.#options.isWanted()) return;
    this.#ending = new AbortController();
    const wire = new SeedWire(this.#options.infoHash, {
      requested: (block) => {
        this.#queue.push(block);
        this.#fetchMore(wire);
      },
      cancelled: (block) => this.#cancel(block),
      closed: () => this.#closed(),
    });
    this.#wire = wire;
    this.#options.attach(wire.far, this.#options.address);
  }

  /** It sent what is not the torrent: the engine takes nothing from it any more. */
  ban(reason: string): void {
    this.#reason = reason;
    void this[Symbol.asyncDispose]();
  }

  /** Resolves when no request is under way any more. Again: harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#wire?.close();
    clearTimeout(this.#timer);
    await this.#origin.dispose();
  }

  #closed(): void {
    this.#wire = undefined;
    this.#queue = [];
    this.#ending.abort(new SeedError('is not needed'));
    if (this.#isClosed) return;
    // Who is let go again and again is not wanted, whatever the reason.
    const { firstRetry, longestRetry } = { ...TIMES, ...this.#options.times };
    const wait = Math.min(longestRetry, firstRetry * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.wake();
      },
      wait * (0.8 + 0.4 * Math.random()),
    );
  }

  #cancel(block: WantedBlock): void {
    const at = this.#queue.findIndex(({ piece, begin }) => piece === block.piece && begin === block.begin);
    if (at >= 0) this.#queue.splice(at, 1);
    else for (const fetch of this.#running) fetch.cancel(block);
  }

  #fetchMore(wire: SeedWire): void {
    while (this.#wire === wire && this.#running.size < MOST_FETCHES && this.#queue.length > 0) {
      const { metainfo } = this.#options;
      const fetch = new SeedFetch(this.#takeRun(), {
        metainfo,
        wire,
        originOf: (file) => this.#originOf(file),
        came: () => this.#came(),
      });
      this.#running.add(fetch);
      fetch
        .run(this.#ending.signal)
        .catch((error: unknown) => this.#failed(wire, error))
        .finally(() => {
          this.#running.delete(fetch);
          this.#fetchMore(wire);
        });
    }
  }

  /** Blocks that follow each other, from the oldest request on. */
  #takeRun(): WantedBlock[] {
    const { metainfo } = this.#options;
    const run = this.#queue.splice(0, 1);
    let end = offsetOf(metainfo, run[0]!) + run[0]!.length;
    const limit = end + LARGEST_FETCH;
    while (this.#queue.length > 0 && offsetOf(metainfo, this.#queue[0]!) === end && end < limit) {
      const [next] = this.#queue.splice(0, 1);
      run.push(next!);
      end += next!.length;
    }
    return run;
  }

  #came(): void {
    this.#hasSent = true;
    this.#failures = 0;
    this.#reason = undefined;
  }

  #failed(wire: SeedWire, error: unknown): void {
    if (this.#wire !== wire) return;
    this.#reason = wordsOf(error);
    wire.close();
  }

  #originOf(file: TorrentFile): HttpOrigin {
    const known = this.#origins.get(file);
    if (known !== undefined) return known;
    const { url, metainfo } = this.#options;
    const origin = this.#origin.neighbour(fileUrl(url, metainfo, file));
    this.#origins.set(file, origin);
    return origin;
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof SeedError) return error.message;
  if (error instanceof AppError) return `cannot be used: ${error.detail}`;
  if (error instanceof BusyError) return `answers with status ${error.head.status}`;
  const code = (error as NodeJS.ErrnoException).code;
  return `cannot be reached (${typeof code === 'string' ? code : error instanceof Error ? error.message : 'no reason given'})`;
}
