/** What is known of an opened file; shared by all that reads packets. Nothing in it changes after opening but `clusters`. */
import type { Source } from '../../source/source.ts';
import type { CodecConfig, Track } from '../types.ts';
import type { ClusterMap } from './cluster-map.ts';
import type { Layout } from './layout.ts';
import type { TrackTiming } from './timing.ts';
import type { TrackEntry } from './track-entry.ts';

export interface OpenTrack {
  readonly entry: TrackEntry;
  readonly track: Track;
  readonly timing: TrackTiming;
  readonly config?: CodecConfig;
  /** Frames can be given as they lie in the file. */
  readonly stored: boolean;
  /** Seconds that a frame lasts when nothing else tells; 0 when unknown. */
  readonly frameDuration: number;
}

export interface MatroskaFile {
  readonly source: Source;
  readonly layout: Layout;
  readonly tracks: ReadonlyMap<number, OpenTrack>;
  /** The track whose random access points make the index: the played video, else the first audio track. */
  readonly main?: OpenTrack;
  /** Declared start and end of the programme, seconds. */
  readonly startTime: number;
  readonly endTime: number;
  /** Places of clusters that have been seen. */
  readonly clusters: ClusterMap;
}
