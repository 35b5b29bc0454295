/** FFmpeg's command lines for clips. Input and output are as for segments. */
import { type DirectInput, directInput, feedInput, QUIET } from './arguments.ts';

/** Pictures of a clip. Times are seconds on the input's clock; a picture belongs to it when `from` <= its time < `to`. */
export interface ClipVideoJob {
  /** Absent: our feed on stdin. */
  readonly direct?: DirectInput;
  readonly from: number;
  readonly to: number;
  /** From `from` on, to the picture as it is encoded: even sizes, 8 bits of 4:2:0. */
  readonly filters: readonly string[];
  readonly decoderOptions: readonly string[];
  readonly profile: 'baseline' | 'main' | 'high';
  /** level_idc. */
  readonly level: number;
  /** Constant rate factor. */
  readonly quality: number;
  /** seq_parameter_set_id and pic_parameter_set_id, 0..31. */
  readonly parameterSetId: number;
  /** Code points of ISO/IEC 23091-2 that the pictures keep. */
  readonly colour?: {
    readonly primaries: number;
    readonly transfer: number;
    readonly matrix: number;
    readonly fullRange: boolean;
  };
}

/** Ticks per second of what comes out. */
export const CLIP_TIMESCALE = 90_000;
/** Seconds of pictures before the first one that is kept, for filters that look at those around. */
const BEFORE = 1;
/** Seconds between key frames. */
const KEY_SECONDS = 2;

/** H.264 as fragmented MP4 with the input's times, in closed groups of pictures; fragments of about half a second. */
export function clipVideoArguments(job: ClipVideoJob): string[] {
  const { direct, from, to, colour } = job;
  // A clock that ticks faster than frames come, since that of a container may not, and `trim` rounds to it.
  const span = direct
    ? ['settb=1/90000', `trim=start=${(from - BEFORE).toFixed(6)}:end=${to.toFixed(6)}`]
    : [`trim=end=${to.toFixed(6)}`];
  const filters = [...span, ...job.filters];
  const colours = colour
    ? [
        ...['-color_primaries', String(colour.primaries), '-color_trc', String(colour.transfer)],
        ...['-colorspace', String(colour.matrix), '-color_range', colour.fullRange ? 'pc' : 'tv'],
      ]
    : [];
  return [
    ...QUIET,
    ...(direct ? directInput(direct, job.decoderOptions) : feedInput(job.decoderOptions)),
    ...['-map', direct ? `0:${direct.stream}` : '0:v:0', '-vf', filters.join(',')],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-crf', String(job.quality)],
    ...['-profile:v', job.profile, '-level', String(job.level / 10), ...colours],
    ...['-fps_mode', 'passthrough', '-enc_time_base', `1:${CLIP_TIMESCALE}`],
    ...['-g', '9999', '-sc_threshold', '0', '-forced-idr', '1', '-flags', '+cgop'],
    ...['-force_key_frames', `expr:gte(t,${from.toFixed(6)}+n_forced*${KEY_SECONDS})`],
    ...['-x264-params', `sps-id=${job.parameterSetId}`],
    ...['-video_track_timescale', String(CLIP_TIMESCALE), '-avoid_negative_ts', 'disabled', '-use_editlist', '0'],
    ...['-f', 'mp4', '-frag_duration', '500000'],
    ...['-movflags', '+empty_moov+default_base_moof+frag_discont+negative_cts_offsets+skip_trailer', 'pipe:1'],
  ];
}
