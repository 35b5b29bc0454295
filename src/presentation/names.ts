import type { Track } from '../media/types.ts';

/** A name for each track as people read it, unique among them (RFC 8216bis, 4.4.6.1.1). @param kind for those that tell nothing: `Audio`. */
export function uniqueNames(tracks: readonly Track[], kind: string): Map<Track, string> {
  const names = new Map<Track, string>();
  const taken = new Set<string>();
  for (const track of tracks) {
    const plain = track.title ?? languageName(track.language) ?? `${kind} ${track.index + 1}`;
    let name = plain;
    for (let n = 2; taken.has(name); n++) name = `${plain} (${n})`;
    taken.add(name);
    names.set(track, name);
  }
  return names;
}

const LANGUAGES = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });

function languageName(code: string | undefined): string | undefined {
  if (code === undefined) return undefined;
  try {
    return LANGUAGES.of(code) ?? code;
  } catch {
    return code; // not a well-formed tag: what the file says is still better than nothing
  }
}
