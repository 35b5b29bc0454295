import { AppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import { LoopbackReader } from '../ffmpeg/loopback.ts';
import { probeWithFfprobe } from '../ffmpeg/probe.ts';
import { foreignContainer } from '../media/foreign.ts';
import { openMedia } from '../media/open.ts';
import type { MediaInfo, MediaReader } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import type { Direct } from './direct.ts';

/** An opened container. Disposing of it leaves the source open. */
export interface OpenedContainer extends AsyncDisposable {
  readonly reader: MediaReader;
  /** Present when FFmpeg has to read it: `reader` then knows what is in it, and nothing more. */
  readonly direct?: Direct;
}

/** Opens the containers of sources. */
export interface OpenReader {
  /** @throws AppError `media-*`, `source-*`, `probe-timeout`; the signal's reason. */
  open(source: Source, signal: AbortSignal): Promise<OpenedContainer>;
  /** By FFmpeg, since no reader of ours can: `failure` tells why. @throws as `open`; `failure` when FFmpeg cannot either. */
  openDirectly(source: Source, failure: unknown, signal: AbortSignal): Promise<OpenedContainer>;
}

/**
 * Our readers first. What none of them knows, or can make sense of, is described by ffprobe and read by FFmpeg, both through our loopback reader.
 */
export function readerOpener(capabilities: Promise<Capabilities>): OpenReader {
  const openDirectly: OpenReader['openDirectly'] = async (source, failure, signal) => {
    if (!isUnread(failure)) throw failure;
    const { ffmpeg, ffprobe } = await capabilities;
    if (ffprobe === undefined) throw await needsFfmpeg(source, failure, signal);
    await using resources = new AsyncDisposableStack();
    const loopback = resources.use(await LoopbackReader.open(source));
    const probed = await probeWithFfprobe({ ffprobe: ffprobe.path, loopback, label: source.label, signal });
    // What has no end that could be found has, as a rule, no beginning either: something in it looked like media.
    if (probed === undefined || !(probed.info.duration > 0)) throw failure;
    const info = withReason(probed.info, failure);
    const { endIsMeasured, delays, lines } = probed;
    const direct: Direct = { loopback, endIsMeasured, delays, lines };
    const owned = resources.move();
    return {
      reader: describedOnly(info, source),
      ...(ffmpeg ? { direct } : {}),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  };
  return {
    openDirectly,
    async open(source, signal) {
      try {
        const reader = await openMedia(source, signal);
        return { reader, [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose]() };
      } catch (error) {
        return openDirectly(source, error, signal);
      }
    },
  };
}

function isUnread(error: unknown): error is AppError {
  return error instanceof AppError && (error.code === 'media-unrecognised' || error.code === 'media-damaged');
}

/** What is media without doubt is told from what may be anything: its bytes can be given out as they are. */
async function needsFfmpeg(source: Source, { code, detail }: AppError, signal: AbortSignal): Promise<AppError> {
  const container = foreignContainer(await source.read(0, Math.min(64, source.size), signal));
  if (container === undefined || code !== 'media-unrecognised') {
    return new AppError(code, `${detail} FFmpeg and ffprobe, which may be able to, are not installed.`);
  }
  const words = `${source.label} (${container}) needs FFmpeg and ffprobe, which are not installed.`;
  return new AppError('media-not-playable', words);
}

/** Where one of our readers knows the container, people are told why it does not read this one. */
function withReason(info: MediaInfo, { code, detail }: AppError): MediaInfo {
  if (code !== 'media-damaged') return info;
  const notCopied = `only FFmpeg can make something of it, which re-encodes: ${detail.replace(/\.$/, '')}`;
  return { ...info, tracks: info.tracks.map((track) => ({ ...track, notCopied })) };
}

/** A reader that knows what is in the file and can read none of it. */
function describedOnly(info: MediaInfo, source: Source): MediaReader {
  const unreadable = (): Promise<never> =>
    Promise.reject(
      new AppError('media-not-playable', `${source.label} (${info.container}) cannot be read without FFmpeg.`),
    );
  return { info, describedOnly: true, scan: unreadable, read: unreadable, [Symbol.asyncDispose]: async () => {} };
}
