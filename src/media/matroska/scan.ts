/** Making the index by walking through all clusters. */
import { setImmediate } from 'node:timers/promises';
import { AppError } from '../../errors.ts';
import { MAX_KEYS } from './cues.ts';
import { Feed } from './feed.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import { type OpenedIndex, publish } from './keyframes.ts';
import { BLOCK, BlockWalker, END } from './walker.ts';

const LOCAL_STEP = 2 * 1024 * 1024;
const REMOTE_STEP = 8 * 1024 * 1024;
/** Without video reading may start anywhere; so far apart are the places that are noted. Seconds. */
const AUDIO_SPACING = 1;

/** Growing lists of what the scan found; ascending, as CueIndex asks for. */
class IndexBuilder {
  readonly #ticks: number[] = [];
  readonly #clusters: number[] = [];
  readonly #relatives: number[] = [];
  readonly #starts: number[] = [];
  readonly #main: OpenTrack;
  readonly #video: boolean;
  /** Leading pictures may still follow the last key frame. */
  #leading = false;

  constructor(main: OpenTrack) {
    this.#main = main;
    this.#video = main.track.type === 'video';
  }

  add(walker: BlockWalker): void {
    const { timing } = this.#main;
    const ticks = timing.ticksOf(walker);
    const time = timing.rawOf(walker);
    const last = this.#ticks.length - 1;
    if (this.#video ? walker.key : this.#isFarEnough(time)) {
      if (last >= 0 && ticks <= (this.#ticks[last] ?? 0)) return;
      if (this.#ticks.length >= MAX_KEYS) return;
      this.#ticks.push(ticks);
      this.#clusters.push(walker.clusterPos);
      this.#relatives.push(walker.blockPos - walker.clusterData);
      this.#starts.push(timing.snap(time));
      this.#leading = this.#video;
    } else if (this.#leading) {
      const key = timing.raw(this.#ticks[last] ?? 0);
      if (time >= key) this.#leading = false;
      else this.#starts[last] = Math.min(this.#starts[last] ?? key, time);
    }
  }

  #isFarEnough(time: number): boolean {
    const last = this.#ticks.at(-1);
    return last === undefined || time - this.#main.timing.raw(last) >= AUDIO_SPACING;
  }

  finish(): OpenedIndex | undefined {
    if (this.#ticks.length === 0) return undefined;
    const index = {
      ticks: Float64Array.from(this.#ticks),
      clusters: Float64Array.from(this.#clusters),
      relatives: Float64Array.from(this.#relatives),
    };
    return publish(index, this.#main, Float64Array.from(this.#starts));
  }
}

/**
 * Reads through the file; a truncated or damaged part is passed over.
 * @throws AppError `media-not-playable` without video or audio, `media-damaged` without a key frame, `source-*`; the signal's reason.
 */
export async function scanFile(file: MatroskaFile, signal: AbortSignal): Promise<OpenedIndex> {
  const { main, layout, source } = file;
  if (main === undefined) {
    throw new AppError('media-not-playable', `${source.label} has neither a video nor an audio track.`);
  }
  const feed = new Feed(source, signal);
  const builder = new IndexBuilder(main);
  const walker = new BlockWalker(layout.firstCluster, layout.end);
  walker.only = main.entry.number;
  const step = source.latency === 'remote' ? REMOTE_STEP : LOCAL_STEP;
  let cluster = -1;
  try {
    for (;;) {
      const result = walker.next();
      if (result === BLOCK) {
        if (walker.clusterPos !== cluster) {
          cluster = walker.clusterPos;
          file.clusters.add(cluster, (walker.clusterTicks * layout.info.timestampScale) / 1e9);
        }
        builder.add(walker);
        continue;
      }
      if (result === END) break;
      // A source that answers from memory must not keep the event loop.
      await setImmediate(undefined, { signal }).catch(() => signal.throwIfAborted());
      if (!(await feed.fill(walker, step))) break;
    }
  } finally {
    feed.release();
  }
  const index = builder.finish();
  if (index === undefined) {
    throw new AppError(
      'media-damaged',
      `${source.label} has no ${main.track.type === 'video' ? 'key frame' : 'packet'} that can be read.`,
    );
  }
  return index;
}
