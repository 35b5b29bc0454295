import type { TimelineSegment } from '../hls/timeline.ts';
import { processPool } from '../lib/buffer-pool.ts';
import type { Track } from '../media/types.ts';

/** A made segment. Disposing of it gives its memory back, once nothing refers to it any more. */
export interface Segment extends Disposable {
  readonly bytes: Uint8Array;
}

/** A segment in the process's pool. */
export function pooledSegment(bytes: Uint8Array): Segment {
  return { bytes, [Symbol.dispose]: () => processPool.release(bytes) };
}

/** A segment that others hold too: there is nothing to give back. */
export function heldSegment(bytes: Uint8Array): Segment {
  return { bytes, [Symbol.dispose]: () => {} };
}

/** Size and rate of a picture, upright, as it is delivered. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly frameRate?: number;
  readonly range: 'SDR' | 'HLG' | 'PQ';
}

/** Width and height as shown: sample aspect ratio and rotation applied. */
export function uprightSize(video: NonNullable<Track['video']>): [width: number, height: number] {
  const turned = video.rotation === 90 || video.rotation === 270;
  return turned ? [video.displayHeight, video.displayWidth] : [video.displayWidth, video.displayHeight];
}

/** A stream of segments of one track. Whoever asks, in whatever order, gets the same bytes. */
export interface Rendition {
  /** The path component that names it: `original`, `audio-0`, `720p`, ... */
  readonly name: string;
  /** The track of the source that it shows. */
  readonly track: Track;
  /** `converted`: text subtitles, as WebVTT. */
  readonly delivery: 'copied' | 'transcoded' | 'converted';
  /** RFC 6381, as it is packaged. */
  readonly codec: string;
  /** Media type of its segments. */
  readonly contentType: 'video/mp4' | 'audio/mp4' | 'audio/mpeg' | 'text/vtt';
  /** How the names of its segments end. */
  readonly extension: 'm4s' | 'mp3' | 'vtt';
  /** Those of its timeline in which the track has media; the last one ends where the track ends. */
  readonly segments: readonly TimelineSegment[];
  /** Audio channels. */
  readonly channels?: number | undefined;
  /** Five channels and one for low frequencies beside a rendition of the same track in stereo. */
  readonly surround?: boolean | undefined;
  /** Its loudness is brought to the target: for sessions that want so. */
  readonly levelled?: boolean | undefined;
  readonly picture?: Picture | undefined;
  /** Most bits per second, where the rendition has a bound of its own. */
  readonly maxBitRate?: number | undefined;
  /** A segment may be answered with other bytes later: clients should ask each time. */
  readonly changing?: boolean | undefined;
  /** What is done to the track, in words, a phrase each; absent where nothing is. */
  readonly processing?: readonly string[] | undefined;
  /** The initialization segment; undefined when the packaging has none. `near`: seconds where playing will probably start. */
  init(near: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Segment `n`, which must exist. @throws AppError; the signal's reason. */
  segment(n: number, signal: AbortSignal): Promise<Segment>;
}
