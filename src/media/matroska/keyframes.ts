/** The index as the rest of the server sees it, and leading pictures: where groups of pictures are open. */
import type { KeyframeIndex } from '../types.ts';
import type { CueIndex } from './cues.ts';
import { lowestLeading } from './cut.ts';
import { Feed } from './feed.ts';
import type { MatroskaFile, OpenTrack } from './file.ts';
import type { TimedIndex } from './plan.ts';
import { BLOCK, BlockWalker, clusterTimestamp, NEED } from './walker.ts';

/** Boundaries that tell whether groups are open at all. */
const SAMPLES = 3;
const CONCURRENCY = 8;
const BUDGET_MS = 1000;
const PEEK = 4 * 1024;
/** Over HTTP one boundary is looked at, in one read. */
const REMOTE_PEEK = 512 * 1024;

export interface OpenedIndex {
  readonly cues: TimedIndex;
  readonly public: KeyframeIndex;
}

/** @param starts as in KeyframeIndex; the times themselves when absent. */
export function publish(cues: CueIndex, main: OpenTrack, starts?: Float64Array): OpenedIndex {
  const times = new Float64Array(cues.ticks.length);
  // Not Float64Array.from: it takes ten times as long, and films of key frames alone have hundreds of thousands.
  for (let i = 0; i < times.length; i++) times[i] = main.timing.snap(main.timing.raw(cues.ticks[i] ?? 0));
  const positions = new Float64Array(times.length);
  for (let i = 0; i < times.length; i++) {
    const cluster = cues.clusters[i] ?? 0;
    // Several key frames in one cluster are told apart.
    positions[i] =
      cluster === cues.clusters[i - 1] ? Math.max(cluster + (cues.relatives[i] ?? 0), positions[i - 1] ?? 0) : cluster;
  }
  return { cues: { ...cues, times }, public: { times, starts: starts ?? times, positions } };
}

/**
 * The index with `starts` that count leading pictures. Closed groups cost a look at three boundaries; open ones in a local
 * file a look at each, within a second; what is left is estimated.
 */
export async function withLeads(file: MatroskaFile, index: OpenedIndex, signal: AbortSignal): Promise<OpenedIndex> {
  const { main } = file;
  const count = index.cues.ticks.length;
  if (main?.track.type !== 'video' || count < 2) return index;
  if (file.source.latency === 'remote' && main.track.codec !== 'hevc') return index;
  const leads = new Map<number, number>();
  const samples = file.source.latency === 'remote' ? 1 : SAMPLES;
  for (let i = 1; i < count && i <= samples; i++) leads.set(i, await leadAt(file, main, index.cues, i, signal));
  if (![...leads.values()].some((lead) => lead > 0)) return index;
  if (file.source.latency === 'local') await measure(file, main, index.cues, leads, signal);
  const known = [...leads.values()].sort((a, b) => a - b);
  const usual = known[known.length >> 1] ?? 0;
  const { times } = index.cues;
  const starts = Float64Array.from(times, (time, i) => {
    const start = time - (leads.get(i) ?? (i === 0 ? 0 : usual));
    // Never before the key frame before.
    return i === 0 ? start : Math.max(start, times[i - 1] ?? start);
  });
  return { cues: index.cues, public: { ...index.public, starts } };
}

async function measure(
  file: MatroskaFile,
  main: OpenTrack,
  cues: TimedIndex,
  leads: Map<number, number>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + BUDGET_MS;
  let next = SAMPLES + 1;
  const worker = async (): Promise<void> => {
    while (next < cues.ticks.length && performance.now() < deadline) {
      const key = next++;
      leads.set(key, await leadAt(file, main, cues, key, signal));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

/** Seconds by which leading pictures precede key frame `key`; 0 when there are none or the cue points nowhere. */
async function leadAt(
  file: MatroskaFile,
  main: OpenTrack,
  cues: TimedIndex,
  key: number,
  signal: AbortSignal,
): Promise<number> {
  const feed = new Feed(file.source, signal);
  const peek = file.source.latency === 'remote' ? REMOTE_PEEK : PEEK;
  const cluster = cues.clusters[key] ?? 0;
  const walker = new BlockWalker(cluster, file.layout.end);
  walker.only = main.entry.number;
  try {
    await feed.fill(walker, peek);
    if (clusterTimestamp(walker.buffer, 0) === undefined) return 0;
    const relative = cues.relatives[key] ?? 0;
    // Deep in a large cluster: there directly.
    if (relative > peek) walker.enterCluster(relative);
    for (let fills = 0; ; ) {
      const result = walker.next();
      if (result === NEED) {
        if (++fills > 64 || file.source.latency === 'remote' || !(await feed.fill(walker, peek))) return 0;
        continue;
      }
      if (result !== BLOCK) return 0;
      const found = main.timing.ticksOf(walker);
      if (found > (cues.ticks[key] ?? 0)) return 0;
      if (found === cues.ticks[key]) break;
    }
    return main.timing.rawOf(walker) - (await lowestLeading(file, main, walker, feed));
  } finally {
    feed.release();
  }
}
