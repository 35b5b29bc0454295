/**
 * Brings what playlists name: other playlists, and segments with their initialization sections, decrypted. All of it through the source's own guard.
 *
 * Invariant: `#keys` and `#maps` hold what was fetched or is being fetched; a failure takes itself out.
 */
import { createDecipheriv } from 'node:crypto';
import { AppError } from '../../errors.ts';
import { pause, waitFor } from '../../lib/abort.ts';
import type { Web } from '../../source/source.ts';
import { parsePlaylist } from './parse.ts';
import {
  type KeyTag,
  type MapTag,
  type MediaPlaylist,
  type MultivariantPlaylist,
  PlaylistError,
  type PlaylistSegment,
  type SubRange,
} from './playlist.ts';

const MB = 1024 * 1024;
const MAX_PLAYLIST = 4 * MB;
/** Hosts and ports of one source: each is judged, which takes its time. */
const MAX_PLACES = 1000;
const MAX_SEGMENT = 256 * MB;
const MAX_MAP = 16 * MB;
const KEY_BYTES = 16;
/** Keys and initialization sections that are kept, each. */
const MAX_KEPT = 64;
/** A segment that its server does not have is asked for once more after this, ms: the edges of a network do not learn of it at once. */
const RETRY_MS = 300;

/** A playlist, and the URL that its references count from. */
export interface FetchedPlaylist<T> {
  readonly playlist: T;
  readonly base: URL;
  /** For messages. */
  readonly label: string;
}

export class Fetcher {
  readonly #web: Web;
  readonly #lifetime: AbortSignal;
  /** Scheme, host and port of what may be requested: no more of a URL is judged. */
  readonly #checked = new Set<string>();
  readonly #keys = new Map<string, Promise<Uint8Array>>();
  readonly #maps = new Map<string, Promise<Uint8Array>>();

  constructor(web: Web, lifetime: AbortSignal) {
    this.#web = web;
    this.#lifetime = lifetime;
  }

  /**
   * Where a reference leads. @throws AppError `source-unsupported`, `source-forbidden` where the source itself might not lead;
   * `media-damaged` when it is no URL.
   */
  resolve(uri: string, { base, label }: Pick<FetchedPlaylist<unknown>, 'base' | 'label'>): URL {
    const url = URL.parse(uri, base);
    if (url === null) throw new AppError('media-damaged', `${label} names something that is no URL.`);
    url.hash = '';
    const place = `${url.protocol}//${url.host}`;
    // A list may name 100,000 resources of one place.
    if (this.#checked.has(place)) return url;
    if (this.#checked.size >= MAX_PLACES) {
      throw new AppError('media-damaged', `${label} leads to more than ${MAX_PLACES} places, as no film does.`);
    }
    this.#web.check(url);
    this.#checked.add(place);
    return url;
  }

  /** A playlist that another one names. @throws AppError `media-*`, `source-*`; the signal's reason. */
  async playlist(
    uri: string,
    from: FetchedPlaylist<MultivariantPlaylist>,
    signal: AbortSignal,
  ): Promise<FetchedPlaylist<MediaPlaylist>> {
    const target = this.resolve(uri, from);
    const label = labelOf(target);
    const { bytes, url } = await this.#web.fetch(target, { limit: MAX_PLAYLIST, signal });
    const playlist = parsed(bytes, label);
    if (playlist.kind === 'media') return { playlist, base: url, label };
    throw new AppError('media-damaged', `${label} lists variants, where a playlist that lists segments should be.`);
  }

  /**
   * A segment after its initialization section.
   * @param limit bytes. @throws AppError `source-*`, `media-*`; the signal's reason.
   */
  async segment(
    segment: PlaylistSegment,
    from: FetchedPlaylist<MediaPlaylist>,
    signal: AbortSignal,
    limit = MAX_SEGMENT,
  ): Promise<Uint8Array> {
    const url = this.resolve(segment.uri, from);
    if (segment.gap) {
      throw new AppError('source-not-found', `${labelOf(url)} is missing: the playlist itself says so (EXT-X-GAP).`);
    }
    const [map, bytes] = await Promise.all([
      segment.map && this.#map(segment.map, segment.sequence, from, signal),
      this.#encrypted(url, segment, from, signal, limit),
    ]);
    if (map === undefined) return bytes;
    const whole = new Uint8Array(map.length + bytes.length);
    whole.set(map);
    whole.set(bytes, map.length);
    return whole;
  }

  async #encrypted(
    url: URL,
    segment: PlaylistSegment,
    from: FetchedPlaylist<MediaPlaylist>,
    signal: AbortSignal,
    limit: number,
  ): Promise<Uint8Array> {
    const [key, bytes] = await Promise.all([
      segment.key && this.#key(segment.key, from, signal),
      this.#twice(url, segment.range, limit, signal),
    ]);
    if (key === undefined) return bytes;
    return decrypted(bytes, key, segment.key?.iv ?? sequenceVector(segment.sequence), labelOf(url));
  }

  async #twice(url: URL, range: SubRange | undefined, limit: number, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.#bytes(url, range, limit, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof AppError) || error.code !== 'source-http-status') throw error;
    }
    await pause(RETRY_MS, signal);
    return this.#bytes(url, range, limit, signal);
  }

  async #bytes(url: URL, range: SubRange | undefined, limit: number, signal: AbortSignal): Promise<Uint8Array> {
    const part = range && { start: range.offset, end: range.offset + range.length };
    return (await this.#web.fetch(url, { ...(part && { range: part }), limit, signal })).bytes;
  }

  #map(map: MapTag, sequence: number, from: FetchedPlaylist<MediaPlaylist>, signal: AbortSignal): Promise<Uint8Array> {
    const url = this.resolve(map.uri, from);
    const { range } = map;
    const name = `${url.href} ${range?.offset} ${range?.length}`;
    const make = async (): Promise<Uint8Array> => {
      const alive = this.#lifetime;
      const bytes = await this.#twice(url, range, MAX_MAP, alive);
      if (map.key === undefined) return bytes;
      // Section 5.2: the segment's number is none of the section's own.
      const key = await this.#key(map.key, from, alive);
      return decrypted(bytes, key, map.key.iv ?? sequenceVector(sequence), labelOf(url));
    };
    return waitFor(kept(this.#maps, name, make), signal);
  }

  #key(key: KeyTag, from: FetchedPlaylist<MediaPlaylist>, signal: AbortSignal): Promise<Uint8Array> {
    assertPlain(key, from.label);
    const url = this.resolve(key.uri, from);
    const make = async (): Promise<Uint8Array> => {
      const bytes = await this.#bytes(url, undefined, 1024, this.#lifetime);
      if (bytes.length === KEY_BYTES) return bytes;
      throw new AppError(
        'media-damaged',
        `${labelOf(url)} is no key: it has ${bytes.length} bytes instead of ${KEY_BYTES}.`,
      );
    };
    return waitFor(kept(this.#keys, url.href, make), signal);
  }
}

/** The playlist that these bytes are. @throws AppError `media-damaged`, `media-not-playable`, `source-live`. */
export function parsed(bytes: Uint8Array, label: string): MediaPlaylist | MultivariantPlaylist {
  try {
    return parsePlaylist(new TextDecoder().decode(bytes));
  } catch (error) {
    if (!(error instanceof PlaylistError)) throw error;
    if (error.kind === 'live') {
      throw new AppError(
        'source-live',
        `${label} is a live stream, which has no end yet: only what is complete can be played on demand.`,
      );
    }
    const code = error.kind === 'damaged' ? 'media-damaged' : 'media-not-playable';
    throw new AppError(code, `${label} ${error.message}.`, { cause: error });
  }
}

/** @throws AppError `media-not-playable` for encryption that only a licence undoes. */
export function assertPlain({ method, keyFormat }: KeyTag, label: string): void {
  if (method === 'AES-128' && keyFormat === 'identity') return;
  const what = keyFormat === 'identity' ? method : `${method}, ${keyFormat}`;
  throw new AppError('media-not-playable', `${label} is protected (${what}): this server has no licence for it.`);
}

/** A URL in messages: no credentials, no query. */
export function labelOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** RFC 8216 section 5.2: the Media Sequence Number, big-endian. */
function sequenceVector(sequence: number): Uint8Array {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64BE(BigInt(sequence), 8);
  return iv;
}

/** Section 4.3.2.4: AES-128 in CBC mode, PKCS7 padding. */
function decrypted(bytes: Uint8Array, key: Uint8Array, iv: Uint8Array, label: string): Uint8Array {
  const decipher = createDecipheriv('aes-128-cbc', key, iv);
  try {
    const head = decipher.update(bytes);
    const tail = decipher.final();
    return tail.length === 0 ? head : Buffer.concat([head, tail]);
  } catch (cause) {
    throw new AppError('media-damaged', `${label} cannot be decrypted with the key that the playlist names.`, {
      cause,
    });
  }
}

/** What `make` gives, once; its failure is told to those who wait and then forgotten. */
function kept<T>(values: Map<string, Promise<T>>, name: string, make: () => Promise<T>): Promise<T> {
  const held = values.get(name);
  if (held) return held;
  const value = make();
  values.set(name, value);
  value.catch(() => {
    if (values.get(name) === value) values.delete(name);
  });
  const oldest = values.keys().next();
  if (values.size > MAX_KEPT && !oldest.done) values.delete(oldest.value);
  return value;
}
