/** FFmpeg's command lines. Everything comes in by stdin, already cut and packaged by us, and goes out by stdout. */

/** Times are moved this much ahead before FFmpeg compares frames with them, seconds: clocks are rounded, frames are further apart. */
const EARLY = 0.002;

export interface VideoJob {
  /** Where the first segment starts, and then every further boundary, seconds on the input's clock, ascending. */
  readonly boundaries: readonly number[];
  /** Of the encoded picture; both even. */
  readonly width: number;
  readonly height: number;
  /** Bits per second that no second exceeds by much (VBV). */
  readonly maxBitRate: number;
  readonly filters: readonly string[];
  /** level_idc: 40 for level 4.0. */
  readonly level: number;
}

export interface AudioJob {
  /** The first sample of the output, on the absolute clock of 48 kHz. */
  readonly firstSample: number;
  readonly channels: number;
  readonly bitRate: number;
}

/** Sample rate of all transcoded audio, Hz. */
export const AUDIO_RATE = 48_000;

/** Our Matroska feed on stdin, believed without looking far into it. */
function input(): string[] {
  return [
    ...['-hide_banner', '-loglevel', 'warning', '-probesize', '32', '-analyzeduration', '0'],
    ...['-max_pixels', '36000000', '-protocol_whitelist', 'pipe', '-f', 'matroska', '-copyts', '-i', 'pipe:0'],
  ];
}

/**
 * H.264 as fragmented MP4, a fragment for each boundary. Runs that start at different boundaries have the same initialization segment and
 * join seamlessly: presentation times are the input's, groups of pictures are closed, key frames stand at the boundaries and nowhere else.
 */
export function videoArguments(job: VideoJob): string[] {
  const first = (job.boundaries[0] as number) - EARLY;
  const filters = [
    `trim=start=${first.toFixed(6)}`,
    ...job.filters,
    `scale=${job.width}:${job.height}`,
    'format=yuv420p',
  ];
  return [
    ...input(),
    ...['-map', '0:v:0', '-vf', filters.join(',')],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '23', '-profile:v', 'high', '-level', String(job.level / 10)],
    ...['-maxrate', String(job.maxBitRate), '-bufsize', String(job.maxBitRate)],
    ...['-fps_mode', 'passthrough', '-enc_time_base', '1:90000'],
    ...['-g', '9999', '-sc_threshold', '0', '-forced-idr', '1', '-flags', '+cgop'],
    ...['-force_key_frames', job.boundaries.map((time) => (time - EARLY).toFixed(6)).join(',')],
    ...['-video_track_timescale', '90000', '-avoid_negative_ts', 'disabled', '-use_editlist', '0', '-f', 'mp4'],
    ...['-movflags', '+frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets+skip_trailer'],
    'pipe:1',
  ];
}

/**
 * AAC-LC as ADTS, starting exactly at `firstSample`: what comes earlier is trimmed, what is missing is silence. The centre is
 * kept at full level in a downmix, since dialogue is there.
 */
export function audioArguments(job: AudioJob): string[] {
  const layout = job.channels === 1 ? 'mono' : job.channels === 6 ? '5.1' : 'stereo';
  const mix = `ochl=${layout}:clev=1:slev=0.5`;
  return [
    ...input(),
    ...['-map', '0:a:0', '-af', `aresample=${AUDIO_RATE}:${mix}:async=1:first_pts=${job.firstSample}`],
    ...['-c:a', 'aac', '-b:a', String(job.bitRate), '-f', 'adts', 'pipe:1'],
  ];
}
