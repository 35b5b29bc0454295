import { AppError } from '../errors.ts';
import type { Source } from '../source/source.ts';
import { isPlaylist, openHlsSource } from './hls-source/open.ts';
import { isIsobmff, openIsobmff } from './isobmff/reader.ts';
import { openWithLibrary } from './library/reader.ts';
import { isMatroska, openMatroska } from './matroska/reader.ts';
import type { MediaReader } from './types.ts';

const HEAD_BYTES = 4 * 1024;

/**
 * Opens a container by what its bytes say, never by its name. The source stays the caller's.
 * @throws AppError `media-unrecognised` when no reader knows it, `media-damaged` when one does and cannot read it, `source-*`.
 */
export async function openMedia(source: Source, signal: AbortSignal): Promise<MediaReader> {
  const head = await source.read(0, HEAD_BYTES, signal);
  if (isMatroska(head)) return openMatroska(source, signal);
  if (isIsobmff(head)) return openIsobmff(source, signal);
  const text = Buffer.from(head.subarray(0, 512)).toString('latin1').trimStart().toLowerCase();
  if (isPlaylist(head)) return openHlsSource(source, signal);
  if (text.startsWith('<!doctype html') || text.startsWith('<html')) {
    throw new AppError('media-unrecognised', `${source.label} is a web page, not a video or audio file.`);
  }
  const reader = await openWithLibrary(source, signal);
  if (reader) return reader;
  throw new AppError('media-unrecognised', `${source.label} is not a video or audio file that this server can read.`);
}
