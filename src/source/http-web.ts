/**
 * Whole resources beside an HTTP source: what a playlist names. They go over the source's connections and through its guard.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { AppError } from '../errors.ts';
import { type DownloadSink, download } from './http-download.ts';
import { contentRange, foreignEncoding, header, type ResponseHead, sameVersion, validators } from './http-headers.ts';
import { decode, type HttpOrigin } from './http-origin.ts';
import { noRange } from './http-representation.ts';
import type { HttpTuning } from './http-tuning.ts';
import type { Fetched, FetchOptions, Web } from './source.ts';

export class HttpWeb implements Web {
  readonly url: URL;
  readonly isPlaylist: boolean;
  readonly #origin: HttpOrigin;
  readonly #life: AbortSignal;
  readonly #tuning: HttpTuning;

  /** @param head of the source's own answer. @param life of the source. */
  constructor(origin: HttpOrigin, head: ResponseHead, life: AbortSignal, tuning: HttpTuning) {
    this.url = head.url;
    this.isPlaylist = namesPlaylist(origin.url) || namesPlaylist(head.url) || isPlaylistType(head);
    this.#origin = origin;
    this.#life = life;
    this.#tuning = tuning;
  }

  check(url: URL): void {
    this.#origin.check(url);
  }

  async fetch(url: URL, { range, limit, signal }: FetchOptions): Promise<Fetched> {
    const alive = AbortSignal.any([signal, this.#life]);
    const options = { ...(range && { range }), limit, signal: alive };
    const { bytes, head } = await fetchWhole(this.#origin.neighbour(url), options, this.#tuning);
    return { bytes, url: head.url };
  }
}

/** The resource did not fit into its limit. */
export class TooLarge extends Error {}

/**
 * @throws AppError `source-*`, with TooLarge as its cause where the limit was reached; the signal's reason.
 */
export async function fetchWhole(
  origin: HttpOrigin,
  { range, limit, signal }: FetchOptions,
  tuning: HttpTuning,
  first = false,
): Promise<{ bytes: Uint8Array; head: ResponseHead }> {
  const sink = new WholeSink(origin.label, range, limit);
  await download(origin, sink, tuning, signal, first);
  const { head } = sink;
  if (head === undefined) throw new AppError('internal', `${origin.label} gave no answer.`);
  return { bytes: await uncoded(sink.bytes(), head, origin.label, limit), head };
}

/**
 * Takes a body whole, in its order, whatever it is broken into.
 * Invariant: `#received` is the length of `#chunks`, which hold the bytes from `range.start` (or 0) on, of one version.
 */
class WholeSink implements DownloadSink {
  head: ResponseHead | undefined;
  readonly takesCoded: boolean;
  readonly #label: string;
  readonly #range: FetchOptions['range'];
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #received = 0;
  #ended = false;

  constructor(label: string, range: FetchOptions['range'], limit: number) {
    this.#label = label;
    this.#range = range;
    this.#limit = limit;
    this.takesCoded = range === undefined;
    if (range && range.end - range.start > limit) throw tooLarge(label, limit);
  }

  get position(): number {
    return (this.#range?.start ?? 0) + this.#received;
  }

  wanted(): { start: number; end: number } | undefined {
    return this.#range && { start: this.position, end: this.#range.end };
  }

  accept(head: ResponseHead): number {
    if (this.head && !sameVersion(validators(this.head), validators(head))) {
      throw new AppError('source-changed', `${this.#label} changed while it was being read.`);
    }
    this.head ??= head;
    if (head.status === 200) return this.position;
    const from = head.status === 206 ? contentRange(head)?.first : undefined;
    if (from === undefined || from > this.position) {
      throw noRange(this.#label, `was asked for byte ${this.position} and does not have it`);
    }
    return this.position - from;
  }

  write(chunk: Uint8Array): boolean {
    const room = this.#range ? this.#range.end - this.position : this.#limit - this.#received;
    if (!this.#range && chunk.length > room) throw tooLarge(this.#label, this.#limit);
    const taken = chunk.length > room ? chunk.subarray(0, room) : chunk;
    this.#chunks.push(taken);
    this.#received += taken.length;
    return chunk.length <= room;
  }

  ended(): void {
    // A range that its server cuts short is asked for again, from there on; everything is what a good end ends.
    this.#ended = this.#range === undefined;
  }

  get satisfied(): boolean {
    return this.#range ? this.position >= this.#range.end : this.#ended;
  }

  bytes(): Uint8Array {
    const whole = new Uint8Array(this.#received);
    let at = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }
}

function tooLarge(label: string, limit: number): AppError {
  return new AppError(
    'source-unsupported',
    `${label} is larger than ${limit} bytes, more than this server takes of it.`,
    {
      cause: new TooLarge(),
    },
  );
}

const DECODERS: Readonly<Record<string, (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>>> =
  {
    gzip: promisify(gunzip),
    'x-gzip': promisify(gunzip),
    deflate: promisify(inflate),
    br: promisify(brotliDecompress),
  };

/** What a compressed body may become in any case, bytes, and as how many times itself beyond that: media and text come to less, bombs to a thousand times. */
const UNPACKED = { always: 4 * 1024 * 1024, times: 20 };

/** RFC 9110 section 8.4: the content coding undone, one at most. */
export async function uncoded(
  bytes: Uint8Array,
  head: ResponseHead,
  label: string,
  limit: number,
): Promise<Uint8Array> {
  const coding = foreignEncoding(head);
  if (coding === undefined) return bytes;
  const decoder = DECODERS[coding];
  if (decoder === undefined) {
    throw new AppError('source-unsupported', `${label} sends its content compressed (${coding}), unasked.`);
  }
  const most = Math.min(limit, Math.max(UNPACKED.always, bytes.length * UNPACKED.times));
  try {
    return await decoder(bytes, { maxOutputLength: most });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(label, most);
    throw new AppError('source-truncated', `${label} sends compressed content (${coding}) that is damaged.`, { cause });
  }
}

/** RFC 8216 section 4: whether the path says that a playlist is there. */
export function namesPlaylist(url: URL): boolean {
  return /\.m3u8?$/i.test(url.pathname);
}

const PLAYLIST_TYPES = new Set([
  'application/vnd.apple.mpegurl',
  'application/x-mpegurl',
  'application/mpegurl',
  'audio/mpegurl',
  'audio/x-mpegurl',
]);

/** RFC 8216 section 4, with the spellings that servers use: whether the answer says that it is a playlist. */
export function isPlaylistType(head: ResponseHead): boolean {
  return PLAYLIST_TYPES.has((header(head, 'content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase());
}

/** A URL may hold secrets, and is of any length: it enters identities as its hash. */
export function hashOf(url: URL): string {
  return createHash('sha256').update(url.href).digest('hex').slice(0, 32);
}

/** The last component of its path, decoded. */
export function nameOf(url: URL): string {
  return decode(url.pathname.slice(url.pathname.lastIndexOf('/') + 1));
}
