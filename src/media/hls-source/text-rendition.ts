/**
 * A rendition of WebVTT segments (`TYPE=SUBTITLES`). Its playlist is fetched when somebody wants its text, so that it delays no picture.
 *
 * Invariant: the cues of a cut follow from what the servers answer; the cache only saves fetching it again.
 */
import { AppError } from '../../errors.ts';
import { waitFor } from '../../lib/abort.ts';
import type { Cut, Packet } from '../types.ts';
import type { Clock } from './clock.ts';
import { type FetchedPlaylist, type Fetcher, labelOf } from './fetcher.ts';
import type { MultivariantPlaylist } from './playlist.ts';
import { SegmentCache } from './segment-cache.ts';
import type { SegmentMedia } from './segment-media.ts';
import { isHole, Sequence } from './sequence.ts';
import { parseWebvttSegment, type WebvttSegment } from './webvtt-segment.ts';

/** Text kept for those who want it next, bytes. */
const CACHE_BYTES = 2 * 1024 * 1024;
/** More text than any segment has, bytes. */
const MAX_TEXT = 4 * 1024 * 1024;
/** Segments of one cut; a player's own limit is far below. */
const MAX_SEGMENTS = 600;
const PARALLEL = 6;
/** Cues whose mapped times lie further from where the playlist says than this are taken to count from the programme's beginning. Seconds. */
const MAX_DRIFT = 10;

interface Text extends WebvttSegment {
  readonly bytes: number;
}

export interface TextRenditionParts {
  readonly uri: string;
  readonly from: FetchedPlaylist<MultivariantPlaylist>;
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  /** What may outlive one viewer's wait ends with it. */
  readonly lifetime: AbortSignal;
}

export class TextRendition implements AsyncDisposable {
  readonly #parts: TextRenditionParts;
  readonly #cache = new SegmentCache<Text>(CACHE_BYTES);
  #sequence: Promise<Sequence> | undefined;

  constructor(parts: TextRenditionParts) {
    this.#parts = parts;
  }

  /** Cues that begin in the cut, by time, each once, on the presentation's clock. @throws AppError `source-*`, `media-*`; the signal's reason. */
  async read({ from, to }: Cut, signal: AbortSignal): Promise<Packet[]> {
    const sequence = await waitFor(this.#opened(), signal);
    if (from >= sequence.duration || to <= from) return [];
    const first = from === Number.NEGATIVE_INFINITY ? 0 : sequence.at(from);
    const end = to === Number.POSITIVE_INFINITY ? sequence.count : sequence.at(to) + 1;
    const found = new Map<string, Packet>();
    for (let n = first; n < Math.min(end, first + MAX_SEGMENTS); n += PARALLEL) {
      const some = Array.from({ length: Math.min(PARALLEL, end - n) }, (_, i) => this.#cues(sequence, n + i, signal));
      for (const cue of (await Promise.all(some)).flat()) {
        // A cue stands in every segment in which it is shown.
        const name = `${Math.round(cue.pts * 1000)} ${Buffer.from(cue.data).toString()}`;
        if (cue.pts >= from && cue.pts < to && !found.has(name)) found.set(name, cue);
      }
    }
    return [...found.values()].sort((a, b) => a.pts - b.pts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache[Symbol.asyncDispose]();
  }

  #opened(): Promise<Sequence> {
    const { fetcher, uri, from, lifetime } = this.#parts;
    this.#sequence ??= fetcher.playlist(uri, from, lifetime).then((list) => new Sequence(list, fetcher, NO_MEDIA));
    this.#sequence.catch(() => {
      this.#sequence = undefined;
    });
    return this.#sequence;
  }

  async #cues(sequence: Sequence, n: number, signal: AbortSignal): Promise<readonly Packet[]> {
    const text = await this.#text(sequence, n, signal);
    const cue = text?.packets[0];
    if (text === undefined || cue === undefined) return [];
    const offset = await this.#offset(sequence, n, text, signal);
    return text.packets.map((packet) => ({ ...packet, pts: packet.pts + offset }));
  }

  /** RFC 8216 section 3.5. Without a map, times count from where the region begins, as players take it. */
  async #offset(sequence: Sequence, n: number, text: Text, signal: AbortSignal): Promise<number> {
    const start = sequence.starts[n] as number;
    const end = sequence.starts[n + 1] as number;
    const plain = sequence.starts[sequence.regionOf(n).first] as number;
    if (text.mediaOffset === undefined) return plain;
    const { mediaOffset } = text;
    const mapped = mediaOffset + (await this.#parts.clock.offsetOfText(sequence, n, mediaOffset, signal));
    const isNear = text.packets.some(
      ({ pts, duration }) => pts + mapped < end + MAX_DRIFT && pts + duration + mapped > start - MAX_DRIFT,
    );
    return isNear ? mapped : plain;
  }

  /** Undefined where the server has none: what lies in it is not shown, and the rest is. */
  async #text(sequence: Sequence, n: number, signal: AbortSignal): Promise<Text | undefined> {
    try {
      return await this.#cache.get(`${n}`, (unwanted) => this.#fetch(sequence, n, unwanted), signal);
    } catch (error) {
      if (signal.aborted || !isHole(error)) throw error;
      return undefined;
    }
  }

  async #fetch(sequence: Sequence, n: number, signal: AbortSignal): Promise<Text> {
    const bytes = await sequence.bytes(n, MAX_TEXT, signal);
    const text = parseWebvttSegment(Buffer.from(bytes).toString('utf8'));
    if (text) return { ...text, bytes: bytes.length };
    const { uri, from, fetcher } = this.#parts;
    throw new AppError(
      'media-not-playable',
      `The subtitles of ${labelOf(fetcher.resolve(uri, from))} are no WebVTT text.`,
    );
  }
}

/** Its segments are no media. */
const NO_MEDIA = new SegmentCache<SegmentMedia>(0);
