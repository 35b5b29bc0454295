/**
 * FFmpeg's command lines. Everything comes in by stdin, already cut and packaged by us, or, where only FFmpeg reads the container, from our loopback
 * reader; and goes out by stdout.
 */
import type { TimeLine } from '../lib/even-times.ts';
import { type BurnInJob, burnInFilter, burnInOptions } from './burn-in.ts';
import { loopbackInput } from './loopback-input.ts';
import type { PicturePlan } from './picture.ts';
import { AUDIO_RATE, levelFilters, type Mix, mixOptions, STRETCHED, steadyFilters } from './sound.ts';
import type { EncodedVideo, VideoEncoder } from './video-encoders.ts';

/** Times are moved this much ahead before FFmpeg compares frames with them, seconds: clocks are rounded, frames are further apart. */
const EARLY = 0.002;

/** FFmpeg gets the boundaries in one argument, which Linux lets be 128 KiB long: so many go to one process. */
export const MOST_BOUNDARIES = 5_000;

/** A source whose container FFmpeg reads itself, from our loopback reader. */
export interface DirectInput {
  /** Of the loan. */
  readonly url: string;
  /** The stream's index. */
  readonly stream: number;
  /** Seconds on the source's clock to begin reading at; undefined: from the beginning. */
  readonly seek: number | undefined;
  /** What is the presentation's 0, seconds on the source's clock. */
  readonly startTime: number;
  /** Seconds on the presentation's clock: pictures that are shown then or later are left out. */
  readonly end: number;
  /** Seconds for which silence may stand in for sound that ends too early. */
  readonly slack: number;
  /** The line on which the packets of sound lie, on the presentation's clock, where each of them gives one frame. */
  readonly line?: TimeLine;
}

export interface VideoJob extends EncodedVideo {
  /** Absent: our feed on stdin. */
  readonly direct?: DirectInput;
  /** Where the first segment starts, and then every further boundary, seconds on the input's clock, ascending. */
  readonly boundaries: readonly number[];
  readonly picture: PicturePlan;
  /** Of the encoded picture; both even. */
  readonly width: number;
  readonly height: number;
  readonly encoder: VideoEncoder;
  readonly burnIn?: BurnInJob;
}

export interface AudioJob {
  /** Absent: our feed on stdin. */
  readonly direct?: DirectInput;
  /** The first sample of the output, on the absolute clock of 48 kHz. */
  readonly firstSample: number;
  readonly mix: Mix;
  /** dB; undefined where loudness is left as it is. */
  readonly gain: number | undefined;
  readonly bitRate: number;
}

/**
 * Seconds by which the times of a feed are ahead of the presentation's: Matroska has none below 0, and what a decoder needs before the first picture or sample
 * (what an edit list cuts off, Opus's pre-skip) lies there.
 */
export const FEED_LEAD = 600;

/** Our Matroska feed on stdin, believed without looking far into it. */
export function feedInput(decoder: readonly string[] = []): string[] {
  return [
    ...['-probesize', '32', '-analyzeduration', '0', '-max_pixels', '36000000', '-protocol_whitelist', 'pipe'],
    ...decoder,
    ...['-itsoffset', String(-FEED_LEAD), '-f', 'matroska', '-copyts', '-i', 'pipe:0'],
  ];
}

/**
 * The loopback reader, read from a little before what is wanted; the filters drop that exactly, where `-accurate_seek` would count from what the container
 * says.
 */
export function directInput({ url, seek, startTime }: DirectInput, decoder: readonly string[] = []): string[] {
  const from = seek === undefined ? [] : ['-noaccurate_seek', '-seek_timestamp', '1', '-ss', seek.toFixed(6)];
  const offset = startTime === 0 ? [] : ['-itsoffset', (-startTime).toFixed(6)];
  return [
    ...['-nostdin', '-copyts'],
    ...loopbackInput(url, [...decoder, '-noautorotate', ...from, ...offset]),
    ...['-map_metadata', '-1', '-map_chapters', '-1'],
  ];
}

/** Seconds of pictures before the first one that is kept, for filters that look at those around. */
const BEFORE = 1;

/**
 * What stands before the other filters: a clock that ticks faster than frames come, since that of a container may not, and `trim` rounds to it; and the pictures
 * that are needed at all.
 */
function directSpan({ end }: DirectInput, first: number): string[] {
  return ['settb=1/90000', `trim=start=${(first - BEFORE).toFixed(6)}:end=${(end - EARLY).toFixed(6)}`];
}

export const QUIET = ['-hide_banner', '-loglevel', 'warning'];

/** Key frames at the boundaries and nowhere else, times as they come, a fragment from each boundary on, into stdout. */
export function fragmentedOutput(encoder: VideoEncoder, video: EncodedVideo, boundaries: readonly number[]): string[] {
  return [
    ...encoder.options(video),
    ...['-color_range', 'tv', '-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709'],
    ...['-fps_mode', 'passthrough', '-enc_time_base', '1:90000', '-g', '9999', '-flags', '+cgop'],
    ...['-force_key_frames', boundaries.map((time) => (time - EARLY).toFixed(6)).join(',')],
    ...['-video_track_timescale', '90000', '-avoid_negative_ts', 'disabled', '-use_editlist', '0', '-f', 'mp4'],
    ...['-movflags', '+frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets+skip_trailer'],
    'pipe:1',
  ];
}

/** The frames before `end`, seconds, and one more: with that the muxer ends the segment, and knows how long its last frame lasts. */
function andOneMore(end: number): string {
  return `select='isnan(prev_t)+lt(prev_t,${(end - EARLY).toFixed(6)})'`;
}

/**
 * H.264 as fragmented MP4, a fragment for each boundary. Runs that start at different boundaries have the same initialization segment and
 * join seamlessly: presentation times are the input's, groups of pictures are closed, key frames stand at the boundaries and nowhere else.
 */
export function videoArguments(job: VideoJob): string[] {
  const { direct, picture, encoder, width, height, boundaries, burnIn } = job;
  const first = (boundaries[0] as number) - EARLY;
  const span = direct ? directSpan(direct, first) : [];
  const end = job.head ? boundaries[1] : undefined;
  const filters = [...span, ...picture.filters(first, width, height), ...(end === undefined ? [] : [andOneMore(end)])];
  const decoding = [...picture.decoderOptions, ...burnInOptions(burnIn)];
  return [
    ...QUIET,
    ...encoder.device,
    ...(direct ? directInput(direct, decoding) : feedInput(decoding)),
    ...(burnIn
      ? burnInFilter(filters, encoder.upload, job, burnIn)
      : ['-map', direct ? `0:${direct.stream}` : '0:v:0', '-vf', [...filters, ...encoder.upload].join(',')]),
    ...fragmentedOutput(encoder, job, boundaries),
  ];
}

/**
 * Seconds. Sound that is missing for longer, or twice there, is made good at once: a run that passes a hole would otherwise be ahead of all that begin behind it. Times
 * that are unsteady by less are left alone.
 */
const LEAST_HOLE = 0.02;

/** AAC-LC as ADTS, starting exactly at `firstSample`: what comes earlier is trimmed, what is missing is silence. */
export function audioArguments({ direct, firstSample, mix, gain, bitRate }: AudioJob): string[] {
  // `first_pts` counts samples of the input's rate, so the rate is changed before. Without `min_comp` up to a millisecond would be neither filled nor cut off.
  const fill = `aresample=async=1:min_comp=0.00001:min_hard_comp=${LEAST_HOLE}:first_pts=${firstSample}`;
  const resample = `aresample=${AUDIO_RATE}:${mixOptions(mix)},${fill}`;
  const from = firstSample / AUDIO_RATE;
  const line = direct?.line;
  const steady = steadyFilters(from, line && { line, isFirst: direct?.seek === undefined });
  const stretched = line ? ['-itsscale', String(STRETCHED)] : [];
  const filters = [...steady, resample, ...(direct ? [silenceBehind(direct)] : []), ...levelFilters(mix, gain)];
  return [
    ...QUIET,
    ...(direct ? directInput(direct, stretched) : feedInput()),
    ...['-map', direct ? `0:${direct.stream}` : '0:a:0', '-af', filters.join(',')],
    ...['-c:a', 'aac', '-b:a', String(bitRate), '-f', 'adts', 'pipe:1'],
  ];
}

function silenceBehind({ slack }: DirectInput): string {
  return Number.isFinite(slack) ? `apad=pad_dur=${slack}` : 'apad';
}

/** Lines with the integrated loudness so far, the last one of all; sound that is mixed as it will be heard. */
export function loudnessArguments(mix: Mix): string[] {
  const meter = 'ebur128=metadata=1:framelog=verbose,ametadata=mode=print:key=lavfi.r128.I:file=-';
  return [
    ...QUIET,
    ...feedInput(),
    ...['-map', '0:a:0', '-af', `aresample=${AUDIO_RATE}:${mixOptions(mix)},${meter}`, '-f', 'null', '-'],
  ];
}
