/**
 * Transcoding of sources whose container FFmpeg reads itself, from our loopback reader. Their timeline is a plain grid.
 *
 * Segments are the same whichever run makes them: FFmpeg begins to read some seconds before what is wanted, and what comes out too early is dropped by its time. Where
 * that was not early enough (the container has no index, and the group of pictures is long), the first picture comes late, and FFmpeg is started anew from further
 * back. A segment of the grid in which there is no picture shows the next one, and behind the last one that; so every segment has something to show.
 */
import { AppError } from '../errors.ts';
import { type DirectInput, MOST_BOUNDARIES } from '../ffmpeg/arguments.ts';
import { type Fragment, fragments } from '../ffmpeg/fragments.ts';
import type { Loan, LoopbackReader } from '../ffmpeg/loopback.ts';
import { type TranscodeOptions, transcode } from '../ffmpeg/transcoder.ts';
import { TRANSCODED_TARGET } from '../hls/ladder.ts';
import type { TimelineSegment } from '../hls/timeline.ts';
import type { TimeLine } from '../lib/even-times.ts';
import type { CopiedTrack } from '../media/fmp4/init-segment.ts';
import type { MediaInfo, Packet, Track } from '../media/types.ts';
import { repackaged, samplesOf } from './encoded-fragment.ts';

/** A source that only FFmpeg reads. */
export interface Direct {
  readonly loopback: LoopbackReader;
  /** Whether the ends of its tracks are known, or only what its container says of them. */
  readonly endIsMeasured: boolean;
  /** Seconds by which FFmpeg shows the pictures of a track too late, by its id. */
  readonly delays: ReadonlyMap<number, number>;
  /** The lines on which the packets of sound lie, on the source's clock, where they do, by the track's id. */
  readonly lines: ReadonlyMap<number, TimeLine>;
}

/** Seconds before the first wanted picture at which FFmpeg begins to read, tried one after the other. */
export const PREROLLS = [1.5, 6, 30, Number.POSITIVE_INFINITY];
/** The same for sound, which needs no key frame but may lie at some distance from the picture of its time. */
const AUDIO_PREROLL = 3;
/** A first picture so much later than wanted may have others before it: in frames, at least in seconds, and in seconds where the rate is not known. */
const LATE = { frames: 1.6, least: 0.07, unknown: 0.5 };
/** Frames per second that may be believed: containers with uneven frames often tell the rate of their clock. */
const PLAUSIBLE_RATE = { least: 5, most: 121 };
/** What may be missing at a track's end: seconds, and part of a duration that nobody has measured. */
const SLACK = { measured: 2.5, guessed: 5, guessedPart: 0.1 };
/** Where the picture that stands still behind the end is looked for, segments before. */
const LAST_PICTURE = [2, 15];
/** A last picture may be shown a little later than its packet's time says. Seconds. */
const OVERTIME = 0.5;

/** Containers with times in milliseconds. */
const MILLISECONDS: ReadonlySet<string> = new Set(['flv', 'asf']);
/** Codecs of which each packet gives one frame: all frames have times then. */
const ONE_FRAME: ReadonlySet<string> = new Set([
  ...['aac', 'mp3', 'mp2', 'wmav1', 'wmav2', 'ac3', 'nellymoser', 'speex', 'adpcm_ms', 'adpcm_ima_wav'],
  ...['pcm_u8', 'pcm_s16le', 'pcm_s16be', 'pcm_alaw', 'pcm_mulaw'],
]);

/** FFmpeg's input for one track. @param span what is wanted, seconds, presentation. */
export function directInput(
  direct: Direct,
  loan: Loan,
  { info, track, span }: { info: MediaInfo; track: Track; span: { readonly seek: number; readonly end: number } },
): DirectInput {
  const isRounded = MILLISECONDS.has(info.container) && ONE_FRAME.has(track.codec);
  const line = isRounded ? direct.lines.get(track.id) : undefined;
  const startTime = info.startTime + (direct.delays.get(track.id) ?? 0);
  const hasPicture = track.type === 'audio' && info.videoTrackId !== undefined;
  return {
    url: loan.url,
    stream: track.id,
    seek: span.seek > 0 ? span.seek + info.startTime : undefined,
    startTime,
    ...(line && { line: { ...line, origin: line.origin - startTime } }),
    end: span.end,
    // Sound that ends before the picture does is silence.
    slack: hasPicture ? Number.POSITIVE_INFINITY : slackOf(direct, info),
  };
}

/** What FFmpeg is to read for sound from `time` (seconds, presentation) on. */
export function audioSpan(time: number): { seek: number; end: number } {
  return { seek: time - AUDIO_PREROLL, end: Number.POSITIVE_INFINITY };
}

function slackOf({ endIsMeasured }: Direct, { duration }: MediaInfo): number {
  return endIsMeasured ? SLACK.measured : Math.max(SLACK.guessed, duration * SLACK.guessedPart);
}

export interface DirectVideo {
  readonly direct: Direct;
  readonly info: MediaInfo;
  readonly track: Track;
  readonly segments: readonly TimelineSegment[];
  /** FFmpeg's arguments for the segments that start at these boundaries (seconds, presentation). */
  readonly args: (direct: DirectInput, boundaries: readonly number[]) => string[];
  readonly options: Pick<TranscodeOptions, 'ffmpeg' | 'signal' | 'graceMs'>;
}

/** A segment, or the initialization segment before the first one. */
export type Made = { readonly init: Uint8Array } | { readonly bytes: Uint8Array };

/**
 * The segments from `first` on, each once, to the last one.
 * @throws AppError `transcode-failed`, `source-*`; the signal's reason.
 */
export async function* directVideo(job: DirectVideo, first: number): AsyncGenerator<Made> {
  const { segments, track } = job;
  let next = first;
  let last: Fragment | undefined;
  for await (const part of withoutGaps(job, first)) {
    if ('init' in part) {
      yield part;
      continue;
    }
    for (; next < part.slot; next++)
      yield { bytes: still(track, part.fragments[0], segments[next] as TimelineSegment) };
    yield { bytes: segmentOf(track, part.fragments) };
    next += 1;
    last = part.fragments[0];
  }
  yield* theRest(job, next, last);
}

/** What a segment of the grid is made of: one fragment, unless there is a gap before it. */
interface Filled {
  readonly slot: number;
  readonly fragments: [Fragment, ...Fragment[]];
}

/**
 * FFmpeg makes one key frame for each boundary, and so one for each of the next frames where there was no frame for many: these fragments, of one frame each but for
 * the last, belong to one segment.
 */
async function* withoutGaps(job: DirectVideo, first: number): AsyncGenerator<Filled | { readonly init: Uint8Array }> {
  const { segments } = job;
  let slot = first - 1;
  let filled: Filled | undefined;
  let owed = 0;
  for (let from = first; from < segments.length; from += MOST_BOUNDARIES) {
    for await (const part of pictures(job, from, Math.min(segments.length, from + MOST_BOUNDARIES))) {
      if ('init' in part) {
        yield part;
        continue;
      }
      const at = slotOf(part, segments.length);
      if (filled && at === slot && owed > 0) {
        filled.fragments.push(part);
        owed -= 1;
      } else {
        if (at <= slot) throw new AppError('transcode-failed', `FFmpeg made segment ${at} after segment ${slot}.`);
        if (filled) yield filled;
        filled = { slot: at, fragments: [part] };
        owed = at - Math.max(slot + 1, from);
        slot = at;
      }
      if (owed === 0) {
        yield filled;
        filled = undefined;
      }
    }
  }
  if (filled) yield filled;
}

/** Segments behind the last picture: few, since the container's word on its duration may be a little wrong, but not more. */
async function* theRest(job: DirectVideo, from: number, last: Fragment | undefined): AsyncGenerator<Made> {
  const { segments, direct, info, track } = job;
  if (from === segments.length) return;
  const start = startOf(segments, from);
  if (endOf(segments) - start > slackOf(direct, info)) {
    const [at, of] = [start.toFixed(0), endOf(segments).toFixed(0)];
    throw new AppError('transcode-failed', `FFmpeg ended at ${at} s of ${of} s.`);
  }
  let shown = last;
  for (const back of shown ? [] : LAST_PICTURE) {
    for await (const part of pictures(job, Math.max(0, from - back), segments.length)) {
      if ('init' in part) yield part;
      else shown = part;
    }
    if (shown) break;
  }
  if (!shown) throw new AppError('transcode-failed', `FFmpeg finds no picture near ${start.toFixed(0)} s.`);
  for (const segment of segments.slice(from)) yield { bytes: still(track, shown, segment) };
}

/** What FFmpeg makes of the pictures in these segments, from inclusive, to exclusive, none missed. */
async function* pictures(
  job: DirectVideo,
  first: number,
  to: number,
): AsyncGenerator<Fragment | { readonly init: Uint8Array }> {
  const start = startOf(job.segments, first);
  const late = start + lateness(job.track);
  for (const preroll of PREROLLS) {
    const seek = start - preroll;
    let init: Uint8Array | undefined;
    let begun = false;
    for await (const part of run(job, first, to, seek)) {
      if ('init' in part) {
        init = part.init;
        continue;
      }
      if (!begun) {
        if (seek > 0 && shownAt(part) > late) break; // pictures before it may have been missed
        begun = true;
        yield { init: init as Uint8Array };
      }
      yield part;
    }
    if (begun || seek <= 0) return;
  }
}

/** One FFmpeg process. */
async function* run(
  { direct, info, track, segments, options, args }: DirectVideo,
  first: number,
  to: number,
  seek: number,
): AsyncGenerator<Fragment | { init: Uint8Array }> {
  const boundaries = segments.slice(first, to).map(({ start }) => start);
  const end = to < segments.length ? startOf(segments, to) : endOf(segments) + OVERTIME;
  using loan = direct.loopback.lend();
  const input = directInput(direct, loan, { info, track, span: { seek, end } });
  const output = transcode({ ...options, args: args(input, boundaries), input: loan });
  const head = await output.next();
  // Without a picture there may be no initialization segment either.
  if (head.done) return;
  yield* fragments(resumed(head.value, output));
}

/** What was taken from the front of an output, and the rest. */
export async function* resumed(head: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield head;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/** A first picture that comes so many seconds later than wanted may have others before it. */
export function lateness({ video }: Track): number {
  const rate = video?.frameRate ?? 0;
  const known = rate >= PLAUSIBLE_RATE.least && rate <= PLAUSIBLE_RATE.most;
  return known ? Math.max(LATE.least, LATE.frames / rate) : LATE.unknown;
}

const startOf = (segments: readonly TimelineSegment[], n: number): number => (segments[n] as TimelineSegment).start;

function endOf(segments: readonly TimelineSegment[]): number {
  const { start, duration } = segments.at(-1) as TimelineSegment;
  return start + duration;
}

/** When the first picture is shown, seconds: a key frame is the first in either order. */
function shownAt(fragment: Fragment): number {
  return (samplesOf(fragment)[0] as Packet).pts;
}

function slotOf(fragment: Fragment, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.floor((shownAt(fragment) + 0.003) / TRANSCODED_TARGET)));
}

/**
 * Fragments as one segment, packaged anew: FFmpeg's decode times depend on where its run began, and run on through a gap in the picture, so that the first
 * fragment behind it would claim to start where the gap does.
 */
function segmentOf(track: Track, fragments: readonly Fragment[]): Uint8Array {
  return repackaged(encoded(track), fragments.flatMap(samplesOf), undefined);
}

/** The first picture of a fragment, for the whole of a segment. */
function still(track: Track, fragment: Fragment, { start, duration }: TimelineSegment): Uint8Array {
  const packet: Packet = { ...(samplesOf(fragment)[0] as Packet), pts: start, duration };
  return repackaged(encoded(track), [packet], start + duration);
}

/** What the packager needs to know of FFmpeg's output: no edit list lifts its composition offsets. */
function encoded(track: Track): CopiedTrack {
  const config = { codec: 'h264', sampleEntry: 'avc1', configBox: new Uint8Array(0), codecString: 'avc1' } as const;
  return { ...track, codec: 'h264', config };
}
