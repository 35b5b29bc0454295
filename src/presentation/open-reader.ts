import { AppError } from '../errors.ts';
import { probeWithFfprobe } from '../ffmpeg/probe.ts';
import { openMedia } from '../media/open.ts';
import type { MediaInfo, MediaReader } from '../media/types.ts';
import type { Source } from '../source/source.ts';

/** Opens the container of a source. */
export type OpenReader = (source: Source, signal: AbortSignal) => Promise<MediaReader>;

/**
 * Our readers first; what none of them knows is described by ffprobe, when it is installed, so that people learn what their file is and why it
 * does not play.
 */
export function readerOpener(findFfprobe: () => Promise<string | undefined>): OpenReader {
  return async (source, signal) => {
    try {
      return await openMedia(source, signal);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'media-unrecognised' || source.localPath === undefined)
        throw error;
      const ffprobe = await findFfprobe();
      if (ffprobe === undefined) throw error;
      const info = await probeWithFfprobe({ ffprobe, path: source.localPath, label: source.label, signal });
      if (info === undefined) throw error;
      return describedOnly(info, source);
    }
  };
}

/** A reader that knows what is in the file and can read none of it. */
function describedOnly(info: MediaInfo, source: Source): MediaReader {
  const unreadable = (): Promise<never> =>
    Promise.reject(
      new AppError('media-not-playable', `${source.label} (${info.container}) cannot be read without FFmpeg.`),
    );
  return { info, describedOnly: true, scan: unreadable, read: unreadable, [Symbol.asyncDispose]: async () => {} };
}
