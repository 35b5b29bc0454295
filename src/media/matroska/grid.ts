/**
 * Cuts without an index, on a grid of times: before and while a scan runs, and after it, with the same result.
 *
 * Invariant: where a cut begins is a function of its time and of the length of the cut that begins there (so of where the
 * grid's next line is), and a cut ends exactly where that function puts the next one.
 */
import type { Cut } from '../types.ts';
import { Batch, Collector, collectByTime, lowestLeading } from './cut.ts';
import { Feed } from './feed.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import { locate } from './locate.ts';
import { blockPackets } from './packets.ts';
import { BLOCK, BlockWalker, NEED } from './walker.ts';

/** So much earlier than a time is it safe to begin: reordered pictures, laced and early audio. Seconds. */
const MARGIN = 1.5;
const TAIL_SECONDS = 2;
const MIN_STEP = 1024 * 1024;
const MAX_STEP = 16 * 1024 * 1024;
/** Grid lines are sums of floats. Seconds. */
const EPSILON = 1e-6;

async function begin(file: MatroskaFile, cut: Cut, signal: AbortSignal): Promise<BlockWalker> {
  const { layout } = file;
  const start = Number.isFinite(cut.from) ? await locate(file, cut.from - MARGIN, signal) : layout.firstCluster;
  return new BlockWalker(start, layout.end);
}

/** Bytes per read: about what the cut takes. */
function stepFor(file: MatroskaFile, cut: Cut): number {
  const seconds = Math.max(file.endTime - file.startTime, 1);
  const length = Math.min(Math.max(0, cut.to - cut.from), seconds) + MARGIN + 0.5;
  const step = Math.min(MAX_STEP, Math.max(MIN_STEP, (file.source.size / seconds) * length));
  return Math.round(file.source.latency === 'remote' ? step : Math.min(step, 4 * MIN_STEP));
}

/** Everything but video on a grid. */
export async function readAllByGrid(
  file: MatroskaFile,
  track: OpenTrack,
  cut: Cut,
  signal: AbortSignal,
): Promise<Batch> {
  const feed = new Feed(file.source, signal);
  const collector = new Collector(file);
  try {
    const walker = await begin(file, cut, signal);
    const options = { step: stepFor(file, cut), latest: cut.to + TAIL_SECONDS };
    await collectByTime(file, track, walker, feed, cut.from, cut.to, collector, options);
    return new Batch(file, collector.packets, feed.take());
  } catch (error) {
    feed.release();
    throw error;
  }
}

/** Key frames before this time are where a cut from `from` to `to` may start. */
function keyLimit(file: MatroskaFile, from: number, to: number): number {
  if (Number.isFinite(to)) return to - EPSILON;
  return file.endTime > from && Number.isFinite(from) ? file.endTime + EPSILON : Number.POSITIVE_INFINITY;
}

/**
 * Where the cut begins and ends among the blocks that pass, in the order of the file. A cut begins with the first key frame at or
 * after `from` if there is one before `startLimit`, else with the first frame whose time is >= `from`.
 */
class GridCut {
  readonly #from: number;
  readonly #to: number;
  readonly #startLimit: number;
  readonly #endLimit: number;
  #started = false;
  #startSure = false;
  #endTime = Number.POSITIVE_INFINITY;
  #leading = false;
  /** How many packets belong to the cut if no key frame comes; -1 while its end has not been met. */
  endCount = -1;
  /** Lowest time from that end on. */
  lowest = Number.POSITIVE_INFINITY;

  constructor(file: MatroskaFile, cut: Cut) {
    const { from, to } = cut;
    const length = to - (Number.isFinite(from) ? from : file.startTime);
    this.#from = from;
    this.#to = to;
    // A track without an index beside one that has it: the cuts differ in length, and lie as the other track's key frames do.
    const plain = cut.fromKey !== undefined;
    this.#startLimit = plain ? Number.NEGATIVE_INFINITY : keyLimit(file, from, to);
    this.#endLimit = plain
      ? Number.NEGATIVE_INFINITY
      : keyLimit(file, to, cut.nextTo ?? to + Math.max(length, EPSILON));
  }

  /** Judges the next block: `skip` it, `take` it, `restart` (forget what was taken, then take), `end` with it, `stop`: it ended at `endCount`. */
  judge(time: number, key: boolean, count: number): 'skip' | 'take' | 'restart' | 'end' | 'stop' {
    let verdict: 'take' | 'restart' = 'take';
    if (!this.#started) {
      if (time < this.#from) return 'skip';
      this.#started = true;
    }
    if (!this.#startSure) {
      if (time >= this.#startLimit) this.#startSure = true;
      else if (key && time >= this.#from) {
        this.#startSure = true;
        verdict = 'restart';
      }
    }
    if (this.endCount < 0) {
      if (time < this.#to) return verdict;
      if (key) return 'end';
      this.endCount = count;
      this.#endTime = time;
      this.lowest = time;
      this.#leading = true;
      return time >= this.#endLimit ? this.#past(time) : verdict;
    }
    return key && time >= this.#to && time < this.#endLimit ? 'end' : this.#past(time);
  }

  #past(time: number): 'take' | 'stop' {
    if (time < this.#endTime) {
      if (this.#leading) this.lowest = Math.min(this.lowest, time);
    } else if (time > this.#endTime) this.#leading = false;
    return time >= this.#endLimit && !this.#leading ? 'stop' : 'take';
  }
}

/** Video on a grid. */
export async function readVideoByGrid(
  file: MatroskaFile,
  track: OpenTrack,
  cut: Cut,
  signal: AbortSignal,
): Promise<Batch> {
  const feed = new Feed(file.source, signal);
  let collector = new Collector(file);
  const step = stepFor(file, cut);
  try {
    const walker = await begin(file, cut, signal);
    walker.only = track.entry.number;
    const grid = new GridCut(file, cut);
    let seen = -1;
    let cluster = -1;
    let verdict: ReturnType<GridCut['judge']> = 'skip';
    for (;;) {
      const result = walker.next();
      if (result === NEED) {
        if (!(await feed.fill(walker, step))) break;
        continue;
      }
      if (result !== BLOCK) break;
      if (walker.clusterPos !== cluster) {
        cluster = walker.clusterPos;
        file.clusters.add(cluster, (walker.clusterTicks * file.layout.info.timestampScale) / 1e9);
      }
      // A block that comes again with its bytes has been judged.
      if (walker.blockPos !== seen) {
        seen = walker.blockPos;
        verdict = grid.judge(track.timing.rawOf(walker), walker.key, collector.packets.length);
        if (verdict === 'restart') collector = new Collector(file);
      }
      if (verdict === 'skip') continue;
      if (verdict === 'end') {
        const nextStart = await lowestLeading(file, track, walker, feed);
        return new Batch(file, collector.packets, feed.take(), nextStart);
      }
      if (verdict === 'stop') break;
      if (!walker.whole) {
        walker.rewind();
        if (!(await feed.fill(walker, step))) break;
        continue;
      }
      blockPackets(track, walker, feed, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, collector.sink);
    }
    if (grid.endCount < 0) return new Batch(file, collector.packets, feed.take());
    return new Batch(file, collector.packets.slice(0, grid.endCount), feed.take(), grid.lowest);
  } catch (error) {
    feed.release();
    throw error;
  }
}
