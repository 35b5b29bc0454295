/** The samples of a fragment as FFmpeg writes it (ISO/IEC 14496-12, 8.8), so that it can be packaged anew. */
import { AppError } from '../errors.ts';
import type { Fragment } from '../ffmpeg/fragments.ts';
import type { CopiedTrack } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import type { Packet } from '../media/types.ts';

/** Ticks per second: `-video_track_timescale`. */
const TIMESCALE = 90_000;
const NON_SYNC = 0x0001_0000;

/**
 * At least one sample, in decode order. Their data are views of the fragment.
 * @throws AppError `transcode-failed` when the fragment is not written as FFmpeg writes.
 */
export function samplesOf({ bytes, baseMediaDecodeTime }: Fragment): Packet[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const traf = boxIn(view, boxIn(view, [0, bytes.length], 'moof'), 'traf');
  const tfhd = boxIn(view, traf, 'tfhd');
  const trun = boxIn(view, traf, 'trun');
  try {
    const packets = tfhd && trun && readSamples(bytes, view, defaultsOf(view, tfhd[0]), trun[0], baseMediaDecodeTime);
    if (packets && packets.length > 0) return packets;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // beyond the end of the fragment
  }
  throw new AppError('transcode-failed', "FFmpeg's output is broken: a fragment without samples.");
}

/** Packets as a segment of `track`, on a clock of their own. @param nextStart where what follows starts, seconds. */
export function repackaged(track: CopiedTrack, packets: readonly Packet[], nextStart: number | undefined): Uint8Array {
  const rest = nextStart === undefined ? {} : { nextStart };
  return mediaSegment({ track, packets, startTime: 0, sequenceNumber: 1, ...rest }, (size) => new Uint8Array(size));
}

interface Defaults {
  readonly duration: number;
  readonly size: number;
  readonly flags: number;
}

/** 8.8.7. @param at position of version and flags. */
function defaultsOf(view: DataView, at: number): Defaults {
  const flags = view.getUint32(at) & 0xffffff;
  let position = at + 8;
  const next = (bit: number, bytes = 4): number => {
    if ((flags & bit) === 0) return 0;
    position += bytes;
    return view.getUint32(position - 4);
  };
  next(0x1, 8);
  next(0x2);
  return { duration: next(0x8), size: next(0x10), flags: next(0x20) };
}

/** 8.8.8; the data offset counts from the beginning of the fragment. */
function readSamples(bytes: Uint8Array, view: DataView, defaults: Defaults, at: number, decodeTime: number): Packet[] {
  const flags = view.getUint32(at) & 0xffffff;
  const count = view.getUint32(at + 4);
  let position = at + 8;
  const next = (bit: number): number | undefined => {
    if ((flags & bit) === 0) return undefined;
    position += 4;
    return view.getUint32(position - 4);
  };
  let offset = next(0x1) ?? 0;
  const firstFlags = next(0x4);
  const packets: Packet[] = [];
  for (let dts = decodeTime, n = 0; n < count; n++) {
    const duration = next(0x100) ?? defaults.duration;
    const size = next(0x200) ?? defaults.size;
    const own = next(0x400) ?? (n === 0 ? firstFlags : undefined) ?? defaults.flags;
    const composition = (next(0x800) ?? 0) | 0;
    const pts = (dts + composition) / TIMESCALE;
    packets.push({
      data: bytes.subarray(offset, offset + size),
      pts,
      duration: duration / TIMESCALE,
      key: (own & NON_SYNC) === 0,
    });
    offset += size;
    dts += duration;
  }
  return packets;
}

/** Content of the first box of a type, from inclusive, to exclusive. */
function boxIn(
  view: DataView,
  within: readonly [number, number] | undefined,
  type: string,
): [number, number] | undefined {
  if (!within) return undefined;
  for (let at = within[0]; at + 8 <= within[1]; ) {
    const size = view.getUint32(at);
    if (size < 8) return undefined;
    const name = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at + 4, 4));
    if (name === type) return [at + 8, Math.min(at + size, within[1])];
    at += size;
  }
  return undefined;
}
