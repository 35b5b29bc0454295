/** What to give up when torrents take more of the disk than they may. Pure. */

import type { PieceMap } from './piece-map.ts';
import type { ByteRange } from './protocol.ts';

/** One torrent's data on the disk. */
export interface Holding<T> {
  readonly owner: T;
  readonly pieces: PieceMap;
  /** Bytes. */
  readonly chunkLength: number;
  /** What is wanted now or soon: it stays. */
  readonly wanted: readonly ByteRange[];
  /** Where it is read, bytes of torrent space. */
  readonly positions: readonly number[];
  /** Chunks that are being read at this moment stay too. */
  readonly isInUse: (chunk: number) => boolean;
}

interface Candidate<T> {
  readonly owner: T;
  readonly chunk: number;
  readonly bytes: number;
  readonly isBehind: boolean;
  /** Bytes to the nearest place that is read. */
  readonly distance: number;
}

/**
 * Chunks that together hold at least `excess` bytes, or as much of that as may go: those behind every playhead first, the farthest of them first of all.
 */
export function chunksToForget<T>(holdings: readonly Holding<T>[], excess: number): Map<T, number[]> {
  const candidates = holdings.flatMap(candidatesOf);
  candidates.sort((one, other) => Number(other.isBehind) - Number(one.isBehind) || other.distance - one.distance);
  const chosen = new Map<T, number[]>();
  let freed = 0;
  for (const { owner, chunk, bytes } of candidates) {
    if (freed >= excess) break;
    freed += bytes;
    chosen.set(owner, [...(chosen.get(owner) ?? []), chunk]);
  }
  return chosen;
}

function candidatesOf<T>({ owner, pieces, chunkLength, wanted, positions, isInUse }: Holding<T>): Candidate<T>[] {
  const found: Candidate<T>[] = [];
  for (let chunk = 0; chunk * chunkLength < pieces.totalLength; chunk++) {
    const range = { start: chunk * chunkLength, end: Math.min((chunk + 1) * chunkLength, pieces.totalLength) };
    const bytes = pieces.bytesAtHand(range);
    const isWanted = wanted.some(({ start, end }) => start < range.end && end > range.start);
    if (bytes === 0 || isWanted || isInUse(chunk)) continue;
    const distances = positions.map((at) => (at >= range.end ? at - range.end : Math.max(0, range.start - at)));
    const isBehind = positions.every((at) => at >= range.end);
    found.push({ owner, chunk, bytes, isBehind, distance: Math.min(Number.MAX_SAFE_INTEGER, ...distances) });
  }
  return found;
}
