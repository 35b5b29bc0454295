/** ffprobe as the last resort: what is in a container that no reader of ours knows (AVI, WMV, FLV, RealMedia, MPEG-PS, ...). */
import { resolve } from 'node:path';
import { AppError } from '../errors.ts';
import type { MediaInfo } from '../media/types.ts';
import { toMediaInfo } from './probe-answer.ts';
import { runProcess } from './process.ts';

/** Longest that ffprobe may take unless told otherwise, milliseconds. */
const TIMEOUT_MS = 12_000;
/** An answer with thousands of chapters is below 4 MB. */
const ANSWER_LIMIT = 8 * 1024 * 1024;

/** Containers with media of their own: no playlists, no lists of files, no pictures, nothing that names other files. */
const FORMATS = [
  ...['avi', 'asf', 'flv', 'live_flv', 'rm', 'mpeg', 'mpegvideo', 'mxf', 'nut', 'nsv', 'ivf', 'wtv', 'dv', 'gxf'],
  ...['aiff', 'au', 'caf', 'ape', 'wv', 'tta', 'amr', 'ac3', 'eac3', 'dts', 'dtshd', 'truehd', 'w64', 'mpc', 'mpc8'],
  ...['bink', 'smk', 'roq', 'vivo', 'nuv', 'ogg', 'tak', 'oma', 'dsf', 'xwma'],
].join(',');

export interface ProbeOptions {
  /** Absolute path of ffprobe. */
  readonly ffprobe: string;
  /** A local file; undefined for every other source: ffprobe is given nothing to fetch. */
  readonly path: string | undefined;
  /** For messages. */
  readonly label: string;
  readonly signal: AbortSignal;
  /** Milliseconds; 12,000 when absent. */
  readonly timeoutMs?: number;
}

/**
 * @returns undefined when ffprobe does not know the file either, cannot be started, or the source is not a local file.
 * @throws AppError `probe-timeout`, `media-unrecognised` when ffprobe's answer makes no sense; the signal's reason.
 */
export async function probeWithFfprobe(options: ProbeOptions): Promise<MediaInfo | undefined> {
  const { ffprobe, path, label, signal, timeoutMs = TIMEOUT_MS } = options;
  if (path === undefined) return undefined;
  const result = await runProcess({
    command: ffprobe,
    args: [
      ...['-v', 'error', '-print_format', 'json', '-show_format', '-show_streams', '-show_chapters'],
      ...['-protocol_whitelist', 'file', '-format_whitelist', FORMATS],
      ...['-i', `file:${resolve(path)}`],
    ],
    signal,
    timeoutMs,
    stdoutLimit: ANSWER_LIMIT,
  });
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
  return toMediaInfo(answer);
}
