import type { TimelineSegment } from '../hls/timeline.ts';
import type { Packet, Track } from '../media/types.ts';
import { cutOf, type Opened } from './copied.ts';

/** What is kept of cuts, at most. */
const KEPT_CUTS = 64;
const KEPT_BYTES = 16 * 1024 * 1024;

/**
 * The packets of one subtitle track by the cuts of the source, read with the byte ranges of the video's cuts.
 * Invariant: what a cut has follows from the source alone; `#kept` only saves reading it again for other qualities and for what comes after it.
 */
export class CutPackets {
  readonly track: Track;
  readonly #source: Opened;
  /** By cut, the least recently used first. */
  readonly #kept = new Map<number, readonly Packet[]>();
  #bytes = 0;

  constructor(track: Track, source: Opened) {
    this.track = track;
    this.#source = source;
  }

  /** Cuts are the segments of this, on the presentation's clock. */
  get cuts(): readonly TimelineSegment[] {
    return this.#source.timeline.segments;
  }

  /** The packets that begin in cut `n`, in order of time. Their memory is their own. */
  async read(n: number, signal: AbortSignal): Promise<readonly Packet[]> {
    const kept = this.#kept.get(n);
    if (kept !== undefined) this.#forget(n, kept);
    const packets = kept ?? (await this.#read(n, signal));
    const bytes = sizeOf(packets);
    if (bytes > KEPT_BYTES / 4 || this.#kept.has(n)) return packets;
    this.#kept.set(n, packets);
    this.#bytes += bytes;
    for (const [oldest, old] of this.#kept) {
      if (this.#kept.size <= KEPT_CUTS && this.#bytes <= KEPT_BYTES) break;
      this.#forget(oldest, old);
    }
    return packets;
  }

  async #read(n: number, signal: AbortSignal): Promise<readonly Packet[]> {
    using batch = await this.#source.reader.read(this.track.id, cutOf(this.#source, n), signal);
    const packets = batch.packets.filter(({ pts }) => Number.isFinite(pts));
    return packets.map((packet) => ({ ...packet, data: packet.data.slice() })).sort((a, b) => a.pts - b.pts);
  }

  #forget(n: number, packets: readonly Packet[]): void {
    this.#kept.delete(n);
    this.#bytes -= sizeOf(packets);
  }
}

function sizeOf(packets: readonly Packet[]): number {
  return packets.reduce((sum, { data }) => sum + data.length, 0);
}
