/**
 * The presentation's clock: 0 is where the first segment of the main playlist begins to be shown, and a region begins where the durations before it end.
 *
 * Invariant: a region's offset, once found, stays; it follows from the first segment of the region alone, as long as that is there.
 */
import type { Packet } from '../types.ts';
import { CLOCK_PERIOD, type SegmentMedia } from './segment-media.ts';
import { isHole, type Region, type Sequence } from './sequence.ts';

/** A rendition whose times lie further from where its playlist says than this has a clock of its own. Seconds. */
const MAX_DRIFT = 10;

export class Clock {
  readonly #main: Sequence;
  /** By Discontinuity Sequence Number: seconds that are added to the times of its segments. */
  readonly #offsets = new Map<number, number>();

  constructor(main: Sequence) {
    this.#main = main;
  }

  /** @throws AppError, the signal's reason. */
  async offsetFor(sequence: Sequence, n: number, media: SegmentMedia, signal: AbortSignal): Promise<number> {
    const region = sequence.regionOf(n);
    const own = this.#main.regions.find((one) => one.sequence === region.sequence);
    const start = sequence.starts[n] as number;
    if (media.clock === 'none' || own === undefined) return start - (lowest(media) ?? 0);
    const told = await this.#offsetOf(own, signal);
    if (told === undefined) return start - (lowest(media) ?? 0);
    const first = lowest(media);
    if (first === undefined) return told;
    const periods = media.clock === 'wrapping' ? Math.round((start - first - told) / CLOCK_PERIOD) : 0;
    const offset = told + periods * CLOCK_PERIOD;
    if (sequence !== this.#main && Math.abs(first + offset - start) > MAX_DRIFT) return start - first;
    return offset;
  }

  /**
   * For text, whose first cue may begin long before its segment: what is added to times of the media's clock.
   * @param time somewhere in the segment, on the media's clock. @throws AppError, the signal's reason.
   */
  async offsetOfText(sequence: Sequence, n: number, time: number, signal: AbortSignal): Promise<number> {
    const region = sequence.regionOf(n);
    const own = this.#main.regions.find((one) => one.sequence === region.sequence);
    const told = own && (await this.#offsetOf(own, signal));
    const start = sequence.starts[n] as number;
    if (told === undefined) return start - time;
    return told + Math.round((start - time - told) / CLOCK_PERIOD) * CLOCK_PERIOD;
  }

  async #offsetOf(region: Region, signal: AbortSignal): Promise<number | undefined> {
    const known = this.#offsets.get(region.sequence);
    if (known !== undefined) return known;
    for (let n = region.first; n < Math.min(region.end, region.first + 3); n++) {
      try {
        const first = lowest(await this.#main.load(n, signal));
        if (first === undefined) continue;
        const offset = (this.#main.starts[n] as number) - first;
        // Whoever came first: all of one presentation must hear the same.
        const before = this.#offsets.get(region.sequence);
        if (before !== undefined) return before;
        this.#offsets.set(region.sequence, offset);
        return offset;
      } catch (error) {
        if (signal.aborted || !isHole(error)) throw error;
      }
    }
    return undefined;
  }
}

/** Where what a segment shows begins, on its own clock: its video, or where it has none, its audio. */
function lowest({ streams }: SegmentMedia): number | undefined {
  const filled = streams.filter(({ packets }) => packets.length > 0);
  const stream = filled.find(({ type }) => type === 'video') ?? filled[0];
  return stream && lowestTime(stream.packets);
}

/** Infinity for none. */
export function lowestTime(packets: readonly Packet[]): number {
  return packets.reduce((low, { pts }) => Math.min(low, pts), Number.POSITIVE_INFINITY);
}
