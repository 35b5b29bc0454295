import type { KeyframeIndex, MediaReader } from '../media/types.ts';
import type { Source } from '../source/source.ts';
import type { OpeningMarks } from './journal.ts';
import type { OpenedContainer, OpenReader } from './open-reader.ts';
import { scanned } from './scan.ts';

/** An opened container, with its index unless it is to be played on a grid. */
interface Indexed extends Omit<OpenedContainer, keyof AsyncDisposable> {
  readonly index: KeyframeIndex | undefined;
}

/** Whether no packets can be had of a reader. */
export function isUnread({ info, describedOnly }: MediaReader): boolean {
  return describedOnly === true || info.tracks.every(({ type }) => type === 'subtitle');
}

/**
 * Opens a source's container and makes its index where there is none. A source whose damage shows only then is given to FFmpeg after all.
 * @param life `resources` gets what has been opened; `owner` ends a scan that goes on; `marks` are told how far it got.
 * @throws AppError `media-*`, `source-*`, `probe-timeout`; the signal's reason.
 */
export async function openIndexed(
  source: Source,
  openReader: OpenReader,
  life: { readonly owner: AbortSignal; readonly resources: AsyncDisposableStack; readonly marks: OpeningMarks },
  signal: AbortSignal,
): Promise<Indexed> {
  const opened = life.resources.use(await openReader.open(source, signal));
  const { reader } = opened;
  life.marks.probed = performance.now();
  if (isUnread(reader) || reader.keyframes) return { ...opened, index: reader.keyframes };
  try {
    return { ...opened, index: await scanned(reader, { ...life, remote: source.latency === 'remote' }, signal) };
  } catch (error) {
    const instead = life.resources.use(await openReader.openDirectly(source, error, signal));
    return { ...instead, index: undefined };
  }
}
