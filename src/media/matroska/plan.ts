/** Which bytes a cut lies in. Pure arithmetic on the index: the same for the video and the audio of one cut. */
import type { CueIndex } from './cues.ts';
import { isFar, reach } from './far.ts';
import type { MatroskaFile } from './file.ts';
import { LOOK_AHEAD } from './walker.ts';

const MIN_REMOTE_SLACK = 512 * 1024;
const MAX_REMOTE_SLACK = 4 * 1024 * 1024;
const LOCAL_SLACK = 64 * 1024;

/** An index with its times in seconds. */
export interface TimedIndex extends CueIndex {
  readonly times: Float64Array;
}

export interface Plan {
  /** Absolute position of the first cluster to read. */
  readonly start: number;
  /** Bytes to ask for at first: up to the next cut's key frame and some more. */
  readonly length: number;
  /** Shortly before the key frame with which the next cut starts. */
  readonly boundary: number;
  /** No element from here on is looked at. */
  readonly limit: number;
}

/** About a second of media: how far a cut's packets may lie behind its end. Bytes. */
export function slackOf(file: MatroskaFile): number {
  const seconds = Math.max(file.endTime - file.startTime, 1);
  const second = file.source.size / seconds;
  return Math.round(Math.min(MAX_REMOTE_SLACK, Math.max(MIN_REMOTE_SLACK, second)));
}

/** What is asked for when the planned bytes did not suffice. */
export function stepOf(file: MatroskaFile): number {
  return isFar(file.source) ? slackOf(file) : LOCAL_SLACK;
}

/** @param fromKey inclusive, @param toKey exclusive: positions in the index, `ticks.length` for the end. */
export function planCut(file: MatroskaFile, index: TimedIndex, fromKey: number, toKey: number): Plan {
  const { layout, source } = file;
  const count = index.ticks.length;
  const start = fromKey <= 0 ? layout.firstCluster : (index.clusters[fromKey] ?? layout.clustersEnd);
  if (toKey >= count) {
    const boundary = Math.max(start, layout.clustersEnd);
    // The walker looks a little ahead of what it takes.
    const length = Math.min(boundary + LOOK_AHEAD, layout.end) - start;
    return { start, boundary, length, limit: boundary };
  }
  const boundary = Math.max(start, (index.clusters[toKey] ?? start) + (index.relatives[toKey] ?? 0));
  const slack = isFar(source) ? slackOf(file) : LOCAL_SLACK;
  const least = Math.min(boundary + LOOK_AHEAD, layout.end);
  const length = reach(source, least, Math.min(boundary + slack, layout.end)) - start;
  return { start, boundary, length, limit: layout.end };
}
