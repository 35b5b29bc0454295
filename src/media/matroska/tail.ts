/** Where the media really ends, for files that don't say so or were cut off: from the last clusters. */
import type { Source } from '../../source/source.ts';
import type { OpenTrack } from './file.ts';
import { LACING_NONE } from './lacing.ts';
import type { Layout } from './layout.ts';
import { BLOCK, BlockWalker, clusterTimestamp, findCluster } from './walker.ts';

const LOCAL_WINDOWS = [1, 4, 16, 64].map((mib) => mib * 1024 * 1024);
const REMOTE_WINDOWS = [2 * 1024 * 1024];

/**
 * The end of the last packet of each video and audio track, seconds on the source's clock; empty when no cluster is found near the end.
 * @throws AppError `source-*`; the signal's reason.
 */
export async function findEnds(
  source: Source,
  layout: Layout,
  tracks: ReadonlyMap<number, OpenTrack>,
  signal: AbortSignal,
): Promise<Map<number, number>> {
  for (const window of source.latency === 'remote' ? REMOTE_WINDOWS : LOCAL_WINDOWS) {
    const from = Math.max(layout.firstCluster, layout.clustersEnd - window);
    if (from >= layout.clustersEnd) break;
    const bytes = await source.read(from, layout.clustersEnd - from, signal);
    try {
      const ends = endsIn(bytes, from, layout, tracks);
      if (ends.size > 0) return ends;
    } finally {
      source.recycle(bytes);
    }
    if (from === layout.firstCluster) break;
  }
  return new Map();
}

function endsIn(
  bytes: Uint8Array,
  base: number,
  layout: Layout,
  tracks: ReadonlyMap<number, OpenTrack>,
): Map<number, number> {
  const ends = new Map<number, number>();
  let at = findCluster(bytes, 0);
  while (at >= 0 && clusterTimestamp(bytes, at) === undefined) at = findCluster(bytes, at + 1);
  if (at < 0) return ends;
  const walker = new BlockWalker(base + at, Math.min(layout.end, base + bytes.length));
  walker.attach(bytes, base);
  while (walker.next() === BLOCK) {
    const track = tracks.get(walker.track);
    if (track === undefined || track.track.type === 'subtitle') continue;
    const frames = walker.lacing === LACING_NONE ? 1 : (bytes[walker.offset(walker.dataPos)] ?? 0) + 1;
    const told = walker.durationTicks > 0 ? track.timing.length(walker.durationTicks) : 0;
    const end = track.timing.snap(track.timing.rawOf(walker)) + (told || track.frameDuration * frames);
    ends.set(walker.track, Math.max(ends.get(walker.track) ?? end, end));
  }
  return ends;
}
