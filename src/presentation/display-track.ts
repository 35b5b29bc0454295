import { segmentAt } from '../hls/timeline.ts';
import { displayDecoder, fittingCanvas, placed, type ShownPicture, standsAlone } from '../media/bitmaps/bitmaps.ts';
import type { Display, DisplayDecoder, Size } from '../media/bitmaps/display.ts';
import { displaySet } from '../media/bitmaps/pgs.ts';
import type { Packet } from '../media/types.ts';
import type { CutPackets } from './cut-packets.ts';

/** Seconds before its start in which a run looks for what is still on the screen. Over a network they cost their bytes. */
const LOOK_BACK_SECONDS = { local: 30, remote: 12 };

interface DisplayTrackOptions {
  readonly packets: CutPackets;
  readonly picture: ShownPicture;
  /** Of the source. */
  readonly latency: 'local' | 'remote';
  /** `MediaInfo.startTime`. */
  readonly startTime: number;
}

/**
 * What a bitmap subtitle track shows, as display sets of PGS that are each complete, on one canvas, from a time on.
 *
 * Invariant: `#pending` has the displays after the last one given, in order of time, as far as cut `#next` (exclusive); what a cut shows later than it lasts is replaced by
 * what the next one begins with.
 */
export class DisplayTrack {
  readonly #options: DisplayTrackOptions;
  readonly #decoder: DisplayDecoder;
  #pending: Display[] = [];
  #next = 0;

  constructor(options: DisplayTrackOptions) {
    this.#options = options;
    this.#decoder = displayDecoder(options.packets.track, options.picture.stored);
  }

  /**
   * Finds what is on the screen at `time` (source's clock), to be called once and first.
   * @returns the display set for it, which may clear the screen, and its canvas: that of the following ones too, in all but odd tracks.
   */
  async start(time: number, signal: AbortSignal): Promise<{ readonly data: Uint8Array; readonly canvas: Size }> {
    const { packets, startTime, latency } = this.#options;
    const { codec } = packets.track;
    const { cuts } = packets;
    const n = segmentAt({ segments: cuts, duration: Number.POSITIVE_INFINITY }, Math.max(0, time - startTime));
    const earliest = time - startTime - LOOK_BACK_SECONDS[latency];
    let known: Packet[] = [];
    for (let cut = n; cut >= 0; cut--) {
      known = [...(await packets.read(cut, signal)), ...known];
      if (known.some((packet) => packet.pts <= time && standsAlone(codec, packet))) break;
      if ((cuts[cut]?.start ?? 0) <= earliest) break;
    }
    const from = known.findLastIndex((packet) => packet.pts <= time && standsAlone(codec, packet));
    for (const packet of known.slice(Math.max(0, from))) this.#push(packet);
    this.#next = n + 1;
    const shown = this.#take(time).at(-1);
    const canvas = shown?.canvas ?? this.#pending[0]?.canvas ?? this.#decoder.usualCanvas;
    const display = shown ?? { time, canvas, palette: new Uint8Array(0), objects: [] };
    return { data: this.#write(display), canvas: fittingCanvas(canvas, this.#options.picture) };
  }

  /** The display sets that follow, up to `time` (source's clock) inclusive. */
  async until(time: number, signal: AbortSignal): Promise<{ readonly time: number; readonly data: Uint8Array }[]> {
    const { packets, startTime } = this.#options;
    for (; this.#next < packets.cuts.length; this.#next++) {
      if ((packets.cuts[this.#next]?.start ?? 0) + startTime > time) break;
      for (const packet of await packets.read(this.#next, signal)) this.#push(packet);
    }
    if ((this.#pending[0]?.time ?? Number.POSITIVE_INFINITY) > time) return [];
    return this.#take(time).map((display) => ({ time: display.time, data: this.#write(display) }));
  }

  #push(packet: Packet): void {
    const displays = this.#decoder.push(packet);
    const first = displays[0];
    if (first === undefined) return;
    // What a packet shows replaces what an earlier one would still have shown.
    this.#pending = [...this.#pending.filter(({ time }) => time < first.time), ...displays];
  }

  /** Takes those up to `time` inclusive. */
  #take(time: number): Display[] {
    const later = this.#pending.findIndex((display) => display.time > time);
    return this.#pending.splice(0, later < 0 ? this.#pending.length : later);
  }

  #write(display: Display): Uint8Array {
    return displaySet(placed(display, fittingCanvas(display.canvas, this.#options.picture)));
  }
}
