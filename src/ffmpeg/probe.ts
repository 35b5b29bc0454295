/** ffprobe as the last resort: what is in a container that no reader of ours knows (AVI, WMV, FLV, RealMedia, MPEG-PS, ...) or can make sense of. */
import { AppError } from '../errors.ts';
import type { TimeLine } from '../lib/even-times.ts';
import type { MediaInfo } from '../media/types.ts';
import type { LoopbackReader } from './loopback.ts';
import { loopbackInput } from './loopback-input.ts';
import { decodeDelays, toMediaInfo } from './probe-answer.ts';
import { type PacketTimes, timeLines, withMeasuredEnds } from './probe-ends.ts';
import { runProcess } from './process.ts';

/** Longest that ffprobe may take unless told otherwise, milliseconds: for the description, and for the end. */
const TIMEOUT_MS = 8_000;
const END_TIMEOUT_MS = 3_000;
/** An answer with thousands of chapters is below 4 MB, the packets of an hour are below 8. */
const ANSWER_LIMIT = 8 * 1024 * 1024;
/** How the first packets' times are rounded shows in so much of the source, seconds from its beginning. */
const HEAD_SECONDS = 3;
/** The end is looked for in so much of the source, seconds before where the container says that it is. */
const TAIL_SECONDS = 10;

export interface ProbeOptions {
  /** Absolute path of ffprobe. */
  readonly ffprobe: string;
  /** Where ffprobe gets the bytes. */
  readonly loopback: LoopbackReader;
  /** For messages. */
  readonly label: string;
  readonly signal: AbortSignal;
  /** Milliseconds; 8,000 when absent. */
  readonly timeoutMs?: number;
}

export interface Probed {
  readonly info: MediaInfo;
  /** Whether the ends are those of the last packets; else they are what the container says, which may be a guess. */
  readonly endIsMeasured: boolean;
  /** Seconds by which FFmpeg shows the pictures of a stream too late, by its index. */
  readonly delays: ReadonlyMap<number, number>;
  /** The lines on which the packets of sound lie, on the source's clock, where they do, by its index. */
  readonly lines: ReadonlyMap<number, TimeLine>;
}

/**
 * @returns undefined when ffprobe does not know the source either, or cannot be started.
 * @throws AppError `probe-timeout`, `media-unrecognised` when ffprobe's answer makes no sense, `source-*`; the signal's reason.
 */
export async function probeWithFfprobe(options: ProbeOptions): Promise<Probed | undefined> {
  const { label, timeoutMs = TIMEOUT_MS } = options;
  const result = await ask(
    options,
    ['-print_format', 'json', '-show_format', '-show_streams', '-show_chapters'],
    timeoutMs,
  );
  if (result.outcome === 'timeout') {
    throw new AppError('probe-timeout', `${label} could not be examined within ${timeoutMs / 1000} s.`, {
      cause: result,
    });
  }
  if (result.outcome === 'output-limit') {
    throw new AppError('media-unrecognised', `${label} could not be examined: ffprobe's answer has no end.`, {
      cause: result.stderrTail,
    });
  }
  if (result.outcome === 'not-started' || result.exitCode !== 0) return undefined;
  let answer: unknown;
  try {
    answer = JSON.parse(result.stdout.toString('utf8'));
  } catch (cause) {
    throw new AppError('media-unrecognised', `${label} could not be examined: ffprobe's answer is not readable.`, {
      cause,
    });
  }
  const info = toMediaInfo(answer);
  return info && { ...(await measured(options, info)), delays: decodeDelays(answer) };
}

/** Durations that containers tell are often guesses, or of what the file was before it was cut off: the last packets tell the truth. */
async function measured(options: ProbeOptions, info: MediaInfo): Promise<Omit<Probed, 'delays'>> {
  const tail = Math.max(info.startTime, info.startTime + info.duration - TAIL_SECONDS);
  // Where seeking so far fails, the source is shorter than it says: then everything is read, if that can be done in the time.
  for (const from of info.duration > TAIL_SECONDS ? [tail, undefined] : [undefined]) {
    const times = await packetTimes(options, from);
    if (times === undefined) break; // reading more would take longer still
    const found = withMeasuredEnds(info, times);
    if (found) return { info: found, endIsMeasured: true, lines: timeLines(info, times) };
  }
  return { info, endIsMeasured: false, lines: new Map() };
}

/**
 * The times of the first packets, and those from `from` (seconds, on the source's clock) to the end; none when ffprobe cannot get there, undefined when it gets to no end in
 * the time.
 */
async function packetTimes(options: ProbeOptions, from: number | undefined): Promise<PacketTimes | undefined> {
  const interval = from === undefined ? [] : ['-read_intervals', `%+${HEAD_SECONDS},${from.toFixed(3)}%`];
  const shown = ['-show_entries', 'packet=stream_index,pts_time,dts_time,duration_time', '-print_format', 'csv=p=0'];
  const result = await ask(options, [...interval, ...shown], END_TIMEOUT_MS);
  if (result.outcome !== 'exited') return undefined;
  return result.exitCode === 0 ? result.stdout.toString('latin1') : '';
}

async function ask(options: ProbeOptions, questions: readonly string[], timeoutMs: number) {
  const { ffprobe, loopback, signal } = options;
  using loan = loopback.lend();
  const result = await runProcess({
    command: ffprobe,
    args: ['-v', 'error', ...questions, ...loopbackInput(loan.url)],
    signal,
    timeoutMs,
    stdoutLimit: ANSWER_LIMIT,
  });
  // What could not be read would be taken for what is not there.
  if (loan.failure) throw loan.failure;
  return result;
}
