/**
 * Finding a time without an index: bisection over byte positions, resynchronising on Cluster IDs.
 * In a file whose clusters ascend in time the packets that follow do not depend on where exactly it lands.
 */
import { AppError } from '../../errors.ts';
import type { Place } from './cluster-map.ts';
import type { MatroskaFile } from './file.ts';
import { clusterTimestamp, findCluster } from './walker.ts';

const LOCAL_WINDOW = 64 * 1024;
const REMOTE_WINDOW = 1024 * 1024;
const MAX_WINDOW = 2 * 1024 * 1024;
const MAX_PROBES = 40;
const HEAD = 64;

/**
 * The position of a cluster whose time is at or before `time` (seconds), near the last such one; the first cluster when there is none.
 * @throws AppError `source-*`; the signal's reason.
 */
export async function locate(file: MatroskaFile, time: number, signal: AbortSignal): Promise<number> {
  const { layout, source } = file;
  const near = source.latency === 'remote' ? 2 * REMOTE_WINDOW : 8 * LOCAL_WINDOW;
  const known = file.clusters.around(time);
  let low: Place = known.before ?? { position: layout.firstCluster, time: file.startTime };
  let high: Place = known.after ?? {
    position: Math.max(layout.clustersEnd, low.position),
    time: Math.max(file.endTime, time, low.time + 1),
  };
  if (!(time > low.time)) return low.position;
  for (let i = 0; i < MAX_PROBES && high.position - low.position > near; i++) {
    const middle = guess(low, high, time, i);
    const found = await nextCluster(file, middle, high.position, signal);
    if (found === undefined || found.time > time) {
      high = { position: middle, time: found?.time ?? high.time };
      if (found !== undefined) file.clusters.add(found.position, found.time);
    } else {
      low = found;
      file.clusters.add(found.position, found.time);
    }
  }
  return low.position;
}

/** Between linear interpolation, aimed a little low, and, as it drags on, halving. */
function guess(low: Place, high: Place, time: number, probe: number): number {
  const span = high.position - low.position;
  const ratio = (time - low.time) / Math.max(high.time - low.time, 1e-6);
  const share = probe % 3 === 2 ? 0.5 : Math.min(0.95, Math.max(0.05, ratio - 0.02));
  return low.position + Math.max(1, Math.floor(span * share));
}

/** The first cluster in [from, to), with its time. */
async function nextCluster(
  file: MatroskaFile,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<Place | undefined> {
  const { source, layout } = file;
  let window = source.latency === 'remote' ? REMOTE_WINDOW : LOCAL_WINDOW;
  let pos = from;
  while (pos < to) {
    signal.throwIfAborted();
    const bytes = await source.read(pos, window + HEAD, signal);
    try {
      if (bytes.length === 0) return undefined;
      for (let at = findCluster(bytes, 0); at >= 0; at = findCluster(bytes, at + 1)) {
        if (pos + at >= to) return undefined;
        // The next window sees it whole.
        if (bytes.length - at < HEAD && pos + bytes.length < layout.end) break;
        const ticks = clusterTimestamp(bytes, at);
        if (ticks !== undefined) return { position: pos + at, time: (ticks * layout.info.timestampScale) / 1e9 };
      }
    } finally {
      source.recycle(bytes);
    }
    pos += window;
    window = Math.min(window * 2, MAX_WINDOW);
  }
  return undefined;
}

/** For ranges that no sane file has. */
export function tooLarge(file: MatroskaFile): AppError {
  return new AppError(
    'media-damaged',
    `${file.source.label} has a stretch between two key frames that is too large to be held in memory.`,
  );
}
