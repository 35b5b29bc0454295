/** Playlists as sources: small, often compressed, from servers that know no ranges for them; so they are fetched whole, in one request. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { AppError } from '../errors.ts';
import type { HttpOrigin } from './http-origin.ts';
import type { HttpTuning } from './http-tuning.ts';
import { fetchWhole, HttpWeb, hashOf, nameOf, TooLarge } from './http-web.ts';
import { checkRange } from './range.ts';
import type { Source, Traffic, Web } from './source.ts';

/** The largest playlist, bytes, compression undone. */
const MAX_PLAYLIST = 4 * 1024 * 1024;

/**
 * @returns undefined when it is no playlist, whatever it is called.
 * @throws AppError `source-*`; the signal's reason.
 */
export async function openPlaylist(
  origin: HttpOrigin,
  life: AbortController,
  tuning: HttpTuning,
): Promise<Source | undefined> {
  try {
    const { signal } = life;
    const { bytes, head } = await fetchWhole(origin, { limit: MAX_PLAYLIST, signal }, tuning, true);
    const text = await unpacked(bytes);
    if (!beginsPlaylist(text)) return undefined;
    return new PlaylistSource(origin, text, new HttpWeb(origin, head, signal, tuning), life);
  } catch (error) {
    if (error instanceof AppError && error.cause instanceof TooLarge) return undefined;
    throw error;
  }
}

/** RFC 8216 section 4.3.1.1: the first line. A byte order mark before it is an error that is easy to forgive. */
function beginsPlaylist(bytes: Uint8Array): boolean {
  const from = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return /^#EXTM3U(?:[\r\n \t]|$)/.test(Buffer.from(bytes.subarray(from, from + 8)).toString('latin1'));
}

/** Some servers keep playlists compressed and forget to say so. */
async function unpacked(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  return promisify(gunzip)(bytes, { maxOutputLength: MAX_PLAYLIST }).catch(() => bytes);
}

/** A playlist that is held whole. Invariant: `#failure` is set exactly when it has been disposed of. */
class PlaylistSource implements Source {
  readonly identity: string;
  readonly label: string;
  readonly name: string;
  readonly size: number;
  readonly latency = 'remote';
  readonly web: Web;
  readonly traffic: Traffic;
  readonly #origin: HttpOrigin;
  readonly #bytes: Uint8Array;
  readonly #life: AbortController;
  #failure: AppError | undefined;

  constructor(origin: HttpOrigin, bytes: Uint8Array, web: Web, life: AbortController) {
    const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
    this.identity = `http:${hashOf(origin.url)}:${bytes.length}:${digest}`;
    this.label = origin.label;
    this.name = nameOf(origin.url);
    this.size = bytes.length;
    this.web = web;
    this.traffic = origin.traffic;
    this.#origin = origin;
    this.#bytes = bytes;
    this.#life = life;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(offset, length);
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    return this.#bytes.subarray(Math.min(offset, this.size), Math.min(offset + length, this.size));
  }

  recycle(): void {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new AppError('internal', `${this.label} was closed while it was being read.`);
    this.#life.abort(this.#failure);
    await this.#origin.dispose();
  }
}
