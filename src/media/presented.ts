import type { Packet } from './types.ts';

/** Packets of one audio track in one segment. Times are seconds on the source's clock. */
export interface PresentedPackets {
  readonly packets: readonly Packet[];
  /** Where the rendition's time 0 lies on the source's clock. */
  readonly startTime: number;
}

/** Times in a container are rounded to about this, seconds. */
const TOLERANCE = 0.001;

/**
 * The packets that have a place on the rendition's timeline. Audio that begins before time 0 is priming, or what an edit list cut off: segments have no
 * negative times, so it is left out.
 */
export function presented({ packets, startTime }: PresentedPackets): readonly Packet[] {
  const first = packets[0];
  if (first === undefined || first.pts - startTime > -TOLERANCE) return packets;
  return packets.filter(({ pts }) => pts - startTime > -TOLERANCE);
}
