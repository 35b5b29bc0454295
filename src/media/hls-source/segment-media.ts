/** What is in one segment of a playlist, whatever its container. */
import type { Packet, Track, TrackType } from '../types.ts';

interface SegmentStream {
  readonly type: Exclude<TrackType, 'subtitle'>;
  /** FFmpeg's name. */
  readonly codec: string;
  /** In decode order; times in seconds on the segment's own clock. */
  readonly packets: readonly Packet[];
  /** What its initialization section says of the codec, where there is one. */
  readonly privateData?: Uint8Array | undefined;
}

/** Seconds after which the clock of MPEG-2 begins anew: 33 bits of 90 kHz. */
export const CLOCK_PERIOD = 2 ** 33 / 90_000;

export interface SegmentMedia {
  /** In the container's order. */
  readonly streams: readonly SegmentStream[];
  /** `wrapping`: times are told modulo CLOCK_PERIOD; `none`: they count from the segment's beginning. */
  readonly clock: 'plain' | 'wrapping' | 'none';
  /** Held by it. */
  readonly bytes: number;
}

/** What the first segment of a playlist tells of its tracks, audio and video in the container's order. */
export interface Described {
  readonly container: string;
  readonly tracks: readonly Track[];
}
