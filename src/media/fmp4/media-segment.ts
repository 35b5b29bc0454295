import { presented } from '../presented.ts';
import type { Packet } from '../types.ts';
import { BoxWriter } from './box-writer.ts';
import { type CopiedTrack, compositionShift, timescaleOf } from './init-segment.ts';

/** What makes one media segment. Times are seconds on the source's clock. */
export interface SegmentInput {
  readonly track: CopiedTrack;
  /** In decode order. */
  readonly packets: readonly Packet[];
  /** Where the rendition's time 0 lies on the source's clock. */
  readonly startTime: number;
  /** Video: where what follows starts, so that the last sample's duration closes the gap. */
  readonly nextStart?: number;
  /** From 1 (mfhd). */
  readonly sequenceNumber: number;
}

/** Timing of the samples of one segment, in ticks of the track's timescale. */
interface Timing {
  readonly baseMediaDecodeTime: number;
  readonly durations: Int32Array;
  readonly compositionOffsets: Int32Array;
  readonly packets: readonly Packet[];
}

/** The longest duration of a sample, in ticks: what lies further apart has damaged timestamps, and the next segment's `tfdt` is right again. */
const LONGEST = 0x7fffffff;

const SYNC_SAMPLE = 0x02000000; // sample_depends_on 2: on nothing
const NON_SYNC_SAMPLE = 0x01010000; // depends on others, sample_is_non_sync_sample

/**
 * A CMAF media segment (`moof`, `mdat`) of one track. A pure function of its input, so that everybody gets the same bytes.
 * `tfdt` is the lowest presentation time. Composition offsets are relative to the edit list's start; where one is still negative, `trun` version 1 holds it.
 * @param allocate gives the memory of the result, all of which is overwritten.
 */
export function mediaSegment(input: SegmentInput, allocate: (length: number) => Uint8Array): Uint8Array {
  const timing = input.track.type === 'video' ? videoTiming(input) : audioTiming(input);
  const { packets } = timing;
  const head = new BoxWriter(160 + packets.length * 16);
  let dataOffsetAt = 0;
  head.box('moof', () => {
    head.fullBox('mfhd', 0, 0, () => head.u32(input.sequenceNumber));
    head.box('traf', () => {
      head.fullBox('tfhd', 0, 0x020000, () => head.u32(1)); // default-base-is-moof
      head.fullBox('tfdt', 1, 0, () => head.u64(timing.baseMediaDecodeTime));
      head.fullBox('trun', 1, 0x000f01, () => {
        head.u32(packets.length);
        dataOffsetAt = head.length;
        head.u32(0);
        for (let i = 0; i < packets.length; i++) {
          const packet = packets[i] as Packet;
          head.u32(timing.durations[i] as number).u32(packet.data.length);
          head.u32(packet.key ? SYNC_SAMPLE : NON_SYNC_SAMPLE).i32(timing.compositionOffsets[i] as number);
        }
      });
    });
  });
  head.patchU32(dataOffsetAt, head.length + 8);
  return withMediaData(head, packets, allocate);
}

function withMediaData(
  head: BoxWriter,
  packets: readonly Packet[],
  allocate: (length: number) => Uint8Array,
): Uint8Array {
  let size = 8;
  for (const packet of packets) size += packet.data.length;
  head.u32(size).ascii('mdat');
  const header = head.finish();
  const segment = allocate(header.length + size - 8);
  segment.set(header, 0);
  let position = header.length;
  for (const packet of packets) {
    segment.set(packet.data, position);
    position += packet.data.length;
  }
  return segment;
}

/**
 * Decode times are the presentation times in ascending order, so each sample lasts until the next one is shown, and the first one starts at
 * the lowest presentation time: no decode delay, no hole where variants join.
 */
function videoTiming(input: SegmentInput): Timing {
  const { packets, startTime } = input;
  const scale = timescaleOf(input.track);
  const shift = compositionShift(input.track);
  const count = packets.length;
  const shown = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    shown[i] = Math.max(0, Math.round(((packets[i] as Packet).pts - startTime) * scale));
  }
  const decoded = shown.slice().sort();
  for (let i = 1; i < count; i++) {
    if ((decoded[i] as number) <= (decoded[i - 1] as number)) decoded[i] = (decoded[i - 1] as number) + 1;
  }
  const durations = new Int32Array(count);
  const compositionOffsets = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    if (i + 1 < count) durations[i] = Math.min(LONGEST, (decoded[i + 1] as number) - (decoded[i] as number));
    const offset = shift + (shown[i] as number) - (decoded[i] as number);
    compositionOffsets[i] = Math.min(LONGEST, Math.max(-LONGEST, offset));
  }
  if (count > 0) durations[count - 1] = Math.min(LONGEST, lastDuration(input, decoded, durations, scale));
  return { baseMediaDecodeTime: decoded[0] ?? 0, durations, compositionOffsets, packets };
}

function lastDuration(input: SegmentInput, decoded: Float64Array, durations: Int32Array, scale: number): number {
  const count = decoded.length;
  if (input.nextStart !== undefined) {
    const gap = Math.round((input.nextStart - input.startTime) * scale) - (decoded[count - 1] as number);
    if (gap > 0) return gap;
  }
  const own = Math.round((input.packets[count - 1] as Packet).duration * scale);
  if (own > 0) return own;
  if (count > 1) return durations[count - 2] as number;
  return Math.round(scale / (input.track.video?.frameRate ?? 25));
}

/** Audio is shown in decode order. */
function audioTiming(input: SegmentInput): Timing {
  const scale = timescaleOf(input.track);
  const packets = presented(input);
  const count = packets.length;
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const time = Math.max(0, Math.round(((packets[i] as Packet).pts - input.startTime) * scale));
    times[i] = i === 0 ? time : Math.max(time, (times[i - 1] as number) + 1);
  }
  const durations = new Int32Array(count);
  for (let i = 0; i + 1 < count; i++) durations[i] = Math.min(LONGEST, (times[i + 1] as number) - (times[i] as number));
  if (count > 0) {
    const own = Math.round((packets[count - 1] as Packet).duration * scale);
    durations[count - 1] =
      Math.min(LONGEST, own) || durations[count - 2] || input.track.config.audio?.frameSamples || 1024;
  }
  return { baseMediaDecodeTime: times[0] ?? 0, durations, compositionOffsets: new Int32Array(count), packets };
}
