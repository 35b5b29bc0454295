/**
 * The audio tracks of all groups: each codec has a group of its own, tied to the variants that declare it, and hls.js
 * lists those of the current group only.
 *
 * @typedef {import('./vendor/hls.mjs').default} Hls
 * @typedef {import('./vendor/hls.mjs').MediaPlaylist} MediaPlaylist
 * @typedef {import('./api.js').StreamInfo} StreamInfo
 */

/**
 * Every track once, in the order of the playlist.
 * @param {Hls | undefined} hls
 * @returns {MediaPlaylist[]}
 */
export function audioTracks(hls) {
  const byPlaylist = new Map((hls?.allAudioTracks ?? []).map((track) => [track.url, track]));
  return [...byPlaylist.values()];
}

/**
 * @param {Hls} hls
 * @param {MediaPlaylist} track
 */
export function isPlayed(hls, track) {
  return hls.audioTracks[hls.audioTrack]?.url === track.url;
}

/**
 * Plays this track from the playhead on.
 * @param {Hls} hls
 * @param {MediaPlaylist} track
 */
export function chooseAudio(hls, track) {
  const here = hls.audioTracks.findIndex(({ url }) => url === track.url);
  if (here >= 0) {
    hls.audioTrack = here;
    return;
  }
  const level = hls.levels.findIndex(({ audioGroups }) => audioGroups?.includes(track.groupId));
  if (level < 0) return;
  hls.config.audioPreference = track;
  hls.nextLevel = level;
}

/**
 * What the session's info tells about each track. The two lists share no key, so the nth track of a language and codec is taken
 * for the nth stream of that language and codec.
 * @param {MediaPlaylist[]} tracks
 * @param {StreamInfo[]} streams
 * @returns {(StreamInfo | undefined)[]}
 */
export function streamsOf(tracks, streams) {
  const left = streams.filter(({ type, delivery }) => type === 'audio' && delivery !== 'omitted');
  return tracks.map(({ lang = '', audioCodec }) => {
    const at = left.findIndex(({ language = '', codecString }) => language === lang && codecString === audioCodec);
    return at < 0 ? undefined : left.splice(at, 1)[0];
  });
}
