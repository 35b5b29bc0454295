/** Servers that have a torrent's files (BEP 19), as links and torrent files name them. */

const LONGEST = 2_048;
/** Of one torrent. */
export const MOST_WEB_SEEDS = 20;

/** The web seed that a magnet link or a torrent file names; undefined when we can't fetch from it. Normalized: never shown whole, its path may be secret. */
export function webSeedOf(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed.length > LONGEST || !/^https?:\/\//i.test(trimmed)) return undefined;
  const url = URL.parse(trimmed);
  if (url === null || url.hostname === '') return undefined;
  url.hash = '';
  return url.href;
}
