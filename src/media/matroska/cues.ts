/**
 * The key-frame index: from Cues (RFC 9559, section 5.1.5) or from a scan.
 *
 * Invariant: all arrays have the same length; `ticks` is strictly ascending, `clusters` ascending.
 */
import { ElementCursor } from './ebml.ts';
import { ID } from './ids.ts';

export interface CueIndex {
  /** Segment Ticks. */
  readonly ticks: Float64Array;
  /** Absolute position of the cluster that holds the key frame. */
  readonly clusters: Float64Array;
  /** The block's offset in its cluster's data (CueRelativePosition), 0 when unknown. Not to be trusted. */
  readonly relatives: Float64Array;
}

/** More key frames than any film has. */
export const MAX_KEYS = 2_000_000;

/**
 * The cues of one track; undefined when it has none. Films of key frames alone have hundreds of thousands: no object is made for one.
 * @param at over the children of Cues. @param track whose cues count. @param base position of the Segment's data.
 * @param end positions here and beyond point nowhere (a truncated file).
 */
export function parseCues(at: ElementCursor, track: number, base: number, end: number): CueIndex | undefined {
  const cues = new Columns();
  const point = new ElementCursor(at.buf, 0, 0);
  const inner = new ElementCursor(at.buf, 0, 0);
  while (at.next()) {
    if (at.id !== ID.CuePoint || cues.count === MAX_KEYS) continue;
    point.reset(at.start, at.stop);
    parsePoint({ point, inner, track, base, end }, cues);
  }
  return cues.ascending(end);
}

interface Point {
  /** Over the children of CuePoint. */
  readonly point: ElementCursor;
  /** For use within. */
  readonly inner: ElementCursor;
  readonly track: number;
  readonly base: number;
  readonly end: number;
}

function parsePoint({ point, inner, track, base, end }: Point, into: Columns): void {
  let ticks = -1;
  let [found, foundRelative] = [-1, -1];
  while (point.next()) {
    if (point.id === ID.CueTime) ticks = point.uint();
    else if (point.id === ID.CueTrackPositions && found < 0) {
      inner.reset(point.start, point.stop);
      let [number, cluster, relative] = [0, -1, -1];
      while (inner.next()) {
        if (inner.id === ID.CueTrack) number = inner.uint();
        else if (inner.id === ID.CueClusterPosition) cluster = base + inner.uint();
        else if (inner.id === ID.CueRelativePosition) relative = inner.uint();
      }
      if (number === track && cluster >= base && cluster < end) [found, foundRelative] = [cluster, relative];
    }
  }
  if (found >= 0 && ticks >= 0 && ticks <= 2 ** 47) into.push(ticks, found, foundRelative);
}

/** Growing columns of numbers. */
class Columns {
  count = 0;
  #ticks = new Float64Array(1024);
  #clusters = new Float64Array(1024);
  #relatives = new Float64Array(1024);

  push(ticks: number, cluster: number, relative: number): void {
    if (this.count === this.#ticks.length) {
      this.#ticks = grown(this.#ticks);
      this.#clusters = grown(this.#clusters);
      this.#relatives = grown(this.#relatives);
    }
    this.#ticks[this.count] = ticks;
    this.#clusters[this.count] = cluster;
    this.#relatives[this.count++] = relative;
  }

  /** What of it makes the invariant of an index true; undefined when that is nothing. @param end as of `parseCues`. */
  ascending(end: number): CueIndex | undefined {
    const order = this.#order();
    const [ticks, clusters, relatives] = [this.#ticks, this.#clusters, this.#relatives];
    let kept = 0;
    const index = {
      ticks: new Float64Array(this.count),
      clusters: new Float64Array(this.count),
      relatives: new Float64Array(this.count),
    };
    for (let i = 0; i < this.count; i++) {
      const from = order?.[i] ?? i;
      const [tick, cluster] = [ticks[from] ?? 0, clusters[from] ?? 0];
      if (kept > 0 && (tick <= (index.ticks[kept - 1] ?? 0) || cluster < (index.clusters[kept - 1] ?? 0))) continue;
      index.ticks[kept] = tick;
      index.clusters[kept] = cluster;
      index.relatives[kept++] = Math.min(Math.max(relatives[from] ?? 0, 0), end - cluster);
    }
    if (kept === 0) return undefined;
    if (kept === this.count) return index;
    return {
      ticks: index.ticks.slice(0, kept),
      clusters: index.clusters.slice(0, kept),
      relatives: index.relatives.slice(0, kept),
    };
  }

  /** The numbers of the rows by time, then by cluster; undefined when they are so already, as muxers write them. */
  #order(): Uint32Array | undefined {
    const [ticks, clusters] = [this.#ticks, this.#clusters];
    const compare = (a: number, b: number): number =>
      (ticks[a] ?? 0) - (ticks[b] ?? 0) || (clusters[a] ?? 0) - (clusters[b] ?? 0);
    let sorted = true;
    for (let i = 1; i < this.count && sorted; i++) sorted = compare(i - 1, i) <= 0;
    if (sorted) return undefined;
    return Uint32Array.from({ length: this.count }, (_, i) => i).sort(compare);
  }
}

function grown(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const next = new Float64Array(2 * column.length);
  next.set(column);
  return next;
}
