/**
 * A fragmented file with an index: the stretch from one random access point to the next is a slot. Which fragments lie in a slot is found out
 * when it is first needed.
 *
 * Invariant: `#slots[k]`, once set, lists all fragments that begin in slot k and never changes.
 */
import type { Source } from '../../source/source.ts';
import { BoxError } from './boxes.ts';
import type { Window } from './file-layout.ts';
import { entryOf, type FragmentEntry, type FragmentInfo, type FragmentParser } from './fragment-map.ts';
import { Hopper } from './fragment-walk.ts';
import { type ByteRange, MAX_SPAN } from './sample-reads.ts';

/** Seconds that other tracks may lie before or behind the video which they belong to. */
const INTERLEAVE = 2;

type Held = Pick<Window, 'held'>;

export class FragmentSlots {
  readonly #source: Source;
  readonly #parser: FragmentParser;
  /** Byte positions of the slots, ascending, and the end of the last one. */
  readonly #offsets: Float64Array;
  /** Seconds: where each slot starts. */
  readonly #starts: Float64Array;
  readonly #slots: (readonly FragmentInfo[] | undefined)[];

  constructor(source: Source, parser: FragmentParser, offsets: Float64Array, starts: Float64Array) {
    this.#source = source;
    this.#parser = parser;
    this.#offsets = offsets;
    this.#starts = starts;
    this.#slots = new Array(starts.length).fill(undefined);
  }

  get count(): number {
    return this.#starts.length;
  }

  /** Fragments of the slots from `first` (inclusive) to `end` (exclusive). */
  async inSlots(first: number, end: number, signal: AbortSignal): Promise<FragmentInfo[]> {
    const found: FragmentInfo[] = [];
    const from = Math.max(0, first);
    const to = Math.min(end, this.count);
    const isKnown = this.#slots.slice(from, to).every((slot) => slot !== undefined);
    const held = isKnown ? undefined : await this.#whole(from, to, signal);
    for (let k = from; k < to; k++) found.push(...(await this.#slot(k, signal, held)));
    return found;
  }

  /** The bytes of the slots from `first` (inclusive) to `end` (exclusive). */
  range(first: number, end: number): ByteRange {
    const last = Math.max(0, Math.min(end, this.count));
    return { from: this.#offsets[Math.max(0, Math.min(first, last))]!, to: this.#offsets[last]! };
  }

  /** Over a network all of the slots is read at once: their samples are what is wanted next. */
  async #whole(first: number, end: number, signal: AbortSignal): Promise<Held | undefined> {
    const { from, to } = this.range(first, end);
    if (this.#source.latency === 'local' || to <= from || to - from > MAX_SPAN) return undefined;
    const bytes = await this.#source.read(from, to - from, signal);
    return {
      held: (offset, length) =>
        offset >= from && offset + length <= from + bytes.length
          ? bytes.subarray(offset - from, offset - from + length)
          : undefined,
    };
  }

  /** Fragments with samples of a track between two times; neighbours are looked at where its packets do not keep step with the slots. */
  async atTime(trackId: number, from: number, to: number, signal: AbortSignal): Promise<FragmentInfo[]> {
    let first = this.#slotAt(from);
    let end = this.#slotAt(to) + 1;
    // `to` is exclusive.
    if (end - 1 > first && this.#starts[end - 1] === to) end -= 1;
    const found = await this.inSlots(first, end, signal);
    const own = () => found.map((fragment) => entryOf(fragment, trackId)).filter((entry) => entry !== undefined);
    while (first > 0 && this.#starts[first]! > from - INTERLEAVE && !own().some(({ start }) => start <= from)) {
      first -= 1;
      found.unshift(...(await this.#slot(first, signal)));
    }
    // Frames of video may be presented before others that they follow; packets of audio are not.
    const isVideo = this.#parser.tracks.get(trackId)?.box.kind === 'video';
    const isPast = (entry: FragmentEntry) => entry.start >= to || (!isVideo && entry.end > to);
    while (end < this.count && this.#starts[end]! < to + INTERLEAVE && !own().some(isPast)) {
      found.push(...(await this.#slot(end, signal)));
      end += 1;
    }
    return found.filter((fragment) => {
      const entry = entryOf(fragment, trackId);
      return entry !== undefined && entry.end >= from && entry.start < to;
    });
  }

  #slotAt(time: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= time) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  async #slot(k: number, signal: AbortSignal, held?: Held): Promise<readonly FragmentInfo[]> {
    const known = this.#slots[k];
    if (known !== undefined) return known;
    const found: FragmentInfo[] = [];
    const end = this.#offsets[k + 1]!;
    const hopper = new Hopper(this.#source, held);
    const next = new Map<number, number>();
    try {
      for (let offset = this.#offsets[k]!; offset < end; ) {
        const box = await hopper.box(offset, signal);
        if (box === undefined) break;
        if (box.type === 'moof') {
          const moof = await hopper.moof(box, signal);
          if (moof === undefined) break;
          const tracks = this.#parser.parse(moof, box.offset, (id) => next.get(id) ?? 0);
          for (const track of tracks) next.set(track.trackId, track.endTime);
          found.push(this.#parser.describe(box.offset, box.end - box.offset, tracks));
        }
        offset = box.end;
      }
    } catch (error) {
      if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
    } finally {
      hopper.release();
    }
    this.#slots[k] = found;
    return found;
  }
}
