/** Where web seeds have the files (BEP 19). */
import type { Metainfo, TorrentFile } from '../metainfo.ts';

/** Where a web seed has a file: the URL itself or, where it is a folder or the torrent has one, below it. */
export function fileUrl(seed: string, { name, hasFolder }: Metainfo, file: TorrentFile): URL {
  const url = new URL(seed);
  const isFolder = url.pathname.endsWith('/');
  if (!hasFolder && !isFolder) return url;
  const parts = hasFolder ? [name, ...file.path] : file.path;
  url.pathname += (isFolder ? '' : '/') + parts.map(encodeURIComponent).join('/');
  return url;
}
