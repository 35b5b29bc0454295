/**
 * Which subtitles are shown, remembered from one video to the next: a language, a track's name, and whether any are wanted.
 *
 * @typedef {import('./vendor/hls.mjs').default} Hls
 * @typedef {import('./vendor/hls.mjs').MediaPlaylist} MediaPlaylist
 * @typedef {{ on: boolean, lang: string, name: string }} Choice
 */

const KEY = 'raffi.subtitles';

/** @returns {Choice | undefined} undefined as long as nothing was ever chosen */
function remembered() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? 'null');
    if (typeof stored?.on !== 'boolean') return undefined;
    return { on: stored.on, lang: String(stored.lang ?? ''), name: String(stored.name ?? '') };
  } catch {
    return undefined; // no storage, or not ours
  }
}

/** @param {Choice} choice */
function remember(choice) {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // no storage: it is forgotten with the page
  }
}

/**
 * The track that comes nearest to what was chosen before.
 * @param {readonly MediaPlaylist[]} tracks
 * @param {Choice | undefined} choice
 */
function nearest(tracks, choice) {
  if (choice === undefined) return undefined;
  const same = tracks.filter(({ lang = '' }) => lang === choice.lang);
  return same.find(({ name }) => name === choice.name) ?? same.find(({ forced }) => !forced) ?? same[0];
}

/**
 * Before hls.js chooses by itself, once the playlist is known: what was chosen for the last video counts, then the default of this one.
 * @param {Hls} hls
 */
export function restoreSubtitles(hls) {
  const choice = remembered();
  if (choice === undefined) return;
  if (!choice.on) {
    hls.subtitleTrack = -1;
    return;
  }
  const track = nearest(hls.allSubtitleTracks, choice);
  if (track !== undefined) hls.config.subtitlePreference = track;
}

/**
 * Shows the track at this position, -1 for none, and remembers it.
 * @param {Hls} hls
 * @param {number} at
 */
export function chooseSubtitles(hls, at) {
  const track = hls.subtitleTracks[at] ?? hls.subtitleTracks[hls.subtitleTrack];
  const before = remembered();
  remember({
    on: at >= 0,
    lang: track === undefined ? (before?.lang ?? '') : (track.lang ?? ''),
    name: track?.name ?? before?.name ?? '',
  });
  hls.subtitleTrack = at;
}

/**
 * For the next time a playlist is loaded: the track with this language and name, or none.
 * @param {string} [lang]
 * @param {string} [name]
 */
export function rememberSubtitles(lang, name = '') {
  remember({ on: lang !== undefined, lang: lang ?? remembered()?.lang ?? '', name });
}

/**
 * Where `c` leads from here: off, or to the track that was shown last.
 * @param {Hls} hls
 * @returns {number}
 */
export function toggledSubtitles(hls) {
  if (hls.subtitleTrack >= 0) return -1;
  const tracks = hls.subtitleTracks;
  const track = nearest(tracks, remembered()) ?? tracks.find((one) => one.default) ?? tracks[0];
  return track === undefined ? -1 : tracks.indexOf(track);
}
