/** Our reader of ISO base media files (ISO/IEC 14496-12) and QuickTime: MP4, MOV, M4A, fragmented MP4. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import type { MediaReader } from '../types.ts';
import { BoxError, child } from './boxes.ts';
import { readLayout, Window } from './file-layout.ts';
import { type FragmentedOptions, openFragmented } from './fragmented-open.ts';
import { openProgressive } from './progressive.ts';
import { parseMovieBox } from './track-box.ts';

export { isIsobmff } from './file-layout.ts';

/**
 * Opens a file that `isIsobmff` recognises: over a network with three reads at most, besides those that a codec without configuration needs.
 * The source stays the caller's: dispose it after the reader.
 * @throws AppError `media-damaged`, `media-not-playable`, `source-*`; the signal's reason.
 */
export async function openIsobmff(
  source: Source,
  signal: AbortSignal,
  options: FragmentedOptions = {},
): Promise<MediaReader> {
  signal.throwIfAborted();
  try {
    const window = new Window(source, signal);
    const layout = await readLayout(window);
    if (child(layout.moov, 'cmov') !== undefined) {
      throw new AppError(
        'media-not-playable',
        `${source.label}: its index is compressed (cmov), which this server cannot read.`,
      );
    }
    const movie = parseMovieBox(layout.moov);
    if (movie.mvex !== undefined && (await hasFragments(window, layout.moovEnd))) {
      return await openFragmented(window, movie, layout, signal, options);
    }
    const reader = await openProgressive(window, movie, layout.container, signal);
    window.keepOnly(layout.moov);
    return reader;
  } catch (error) {
    if (!(error instanceof BoxError) && !(error instanceof RangeError)) throw error;
    throw new AppError('media-damaged', `${source.label}: ${error.message}.`, { cause: error });
  }
}

/** Whether a fragment stands among the boxes after `moov`; a movie box that allows for fragments may have none. */
async function hasFragments(window: Window, moovEnd: number): Promise<boolean> {
  let offset = moovEnd;
  for (let i = 0; i < 64; i++) {
    const box = await window.box(offset, 4096);
    if (box === undefined) return false;
    if (box.type === 'moof') return true;
    offset = box.end;
  }
  return false;
}
