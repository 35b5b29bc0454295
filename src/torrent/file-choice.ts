/** Which file of a torrent is played. */
import type { TorrentFile } from './metainfo.ts';

/** By name only: what is inside is seen when it is opened. */
const VIDEO = new Set(
  'mkv mk3d webm mp4 m4v mov qt avi divx wmv asf flv f4v mpg mpeg mpe m2v vob ts m2ts mts m2t ogv ogm 3gp 3g2 rm rmvb dv mxf y4m'.split(
    ' ',
  ),
);
const AUDIO = new Set('mp3 m4a m4b aac flac ogg oga opus wav wma mka ac3 eac3 dts aif aiff ape wv'.split(' '));

/** `sample.mkv`, `Film-Sample.mkv`, `Sample/film.mkv`; not `Free Samples of Love.mkv`. */
const SAMPLE = /(?:^|[^a-z0-9])sample(?:$|[^a-z0-9])/i;
export type FileKind = 'video' | 'audio' | 'other';

export function fileKind(file: TorrentFile): FileKind {
  if (file.isPadding) return 'other';
  const extension = /\.([a-z0-9]+)$/i.exec(file.path.at(-1) ?? '')?.[1]?.toLowerCase() ?? '';
  if (VIDEO.has(extension)) return 'video';
  return AUDIO.has(extension) ? 'audio' : 'other';
}

/**
 * The largest video, else the largest audio file, else, when there is but one file, that one: names can lie, its bytes are looked at anyway. What is called a sample gives
 * way to the largest video that is not when that has at least half its size: else it is a film of that name among small extras. Undefined when nothing looks playable.
 */
export function chooseFile(files: readonly TorrentFile[]): TorrentFile | undefined {
  const real = files.filter(({ length, isPadding }) => length > 0 && !isPadding);
  const videos = real.filter((file) => fileKind(file) === 'video');
  const video = largest(videos);
  const feature = largest(videos.filter(({ path }) => !path.some((part) => SAMPLE.test(part))));
  return (
    (video && feature && feature.length * 2 >= video.length ? feature : video) ??
    largest(real.filter((file) => fileKind(file) === 'audio')) ??
    (real.length === 1 ? real[0] : undefined)
  );
}

/** The first of the largest. */
function largest(files: readonly TorrentFile[]): TorrentFile | undefined {
  let found: TorrentFile | undefined;
  for (const file of files) if (found === undefined || file.length > found.length) found = file;
  return found;
}
