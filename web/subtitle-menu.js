/**
 * What the menu of the subtitles offers: text, which the browser shows, and what the server has to draw into the picture (pictures, and scripts as they were designed).
 *
 * @typedef {import('./menu.js').MenuItem} MenuItem
 * @typedef {import('./playback.js').Playback} Playback
 * @typedef {import('./api.js').StreamInfo} StreamInfo
 */
import { codecName, language } from './format.js';
import { chooseSubtitles, rememberSubtitles, toggledSubtitles } from './subtitle-tracks.js';

/** @param {Playback} playback */
function streamsOf(playback) {
  return (playback.info?.availableStreams ?? []).filter(({ type }) => type === 'subtitle');
}

/**
 * Those that are offered in the picture here: all that is no text, and scripts, which lose their looks as text.
 * @param {Playback} playback
 */
function burntInStreams(playback) {
  return streamsOf(playback).filter(
    ({ subtitles = [], codec }) => subtitles.includes('burn-in') && (!subtitles.includes('webvtt') || codec === 'ass'),
  );
}

/** @param {StreamInfo} stream */
function labelOf({ language: tag, title, index }) {
  return language(tag) ?? (title || `Subtitles ${index + 1}`);
}

/**
 * @param {StreamInfo} stream
 * @param {string} label
 */
function notesOf({ title, forced, codec }, label) {
  const how = codec === 'ass' ? 'as designed, drawn into the picture' : `${codecName(codec)}, drawn into the picture`;
  return [title === label ? '' : title, forced ? 'forced' : '', how].filter((part) => part).join(', ');
}

/**
 * Is there anything to choose from?
 * @param {Playback} playback
 */
export function hasSubtitles(playback) {
  return (playback.hls?.subtitleTracks.length ?? 0) > 0 || burntInStreams(playback).length > 0;
}

/**
 * @param {Playback} playback
 * @param {(words: string) => void} say tells what was chosen
 * @returns {MenuItem[]}
 */
export function subtitleItems(playback, say) {
  const { hls, burnIn } = playback;
  const off = {
    label: 'Off',
    checked: burnIn === undefined && (hls?.subtitleTrack ?? -1) < 0,
    choose: () => noSubtitles(playback, say),
  };
  const text = burnIn === undefined ? textItems(playback, say) : awayItems(playback, say);
  const burnt = burntInStreams(playback).map((stream) => {
    const label = labelOf(stream);
    const choose = () => drawSubtitles(playback, stream, say);
    return { label, note: notesOf(stream, label), checked: stream.index === burnIn, choose };
  });
  return [off, ...text, ...burnt];
}

/**
 * The text tracks of what plays now.
 * @param {Playback} playback
 * @param {(words: string) => void} say
 * @returns {MenuItem[]}
 */
function textItems({ hls }, say) {
  return (hls?.subtitleTracks ?? []).map((track, at) => {
    const label = language(track.lang) ?? track.name;
    const notes = [track.name === label ? undefined : track.name, track.forced ? 'forced' : undefined];
    const note = notes.filter((part) => part !== undefined).join(', ');
    const choose = () => {
      if (hls === undefined) return;
      chooseSubtitles(hls, at);
      say(`Subtitles: ${label}`);
    };
    return { label, note: note || undefined, checked: at === hls?.subtitleTrack, choose };
  });
}

/**
 * The text tracks while others are in the picture: the playlist has none of them then.
 * @param {Playback} playback
 * @param {(words: string) => void} say
 * @returns {MenuItem[]}
 */
function awayItems(playback, say) {
  const text = streamsOf(playback).filter(({ subtitles = [] }) => subtitles.includes('webvtt'));
  return text.map((stream) => {
    const label = labelOf(stream);
    const choose = () => {
      rememberSubtitles(stream.language ?? '', stream.title ?? '');
      playback.burnInSubtitles(undefined);
      say(`Subtitles: ${label}`);
    };
    const note = [stream.title === label ? '' : stream.title, stream.forced ? 'forced' : ''].filter((part) => part);
    return { label, note: note.join(', ') || undefined, checked: false, choose };
  });
}

/**
 * @param {Playback} playback
 * @param {StreamInfo} stream
 * @param {(words: string) => void} say
 */
function drawSubtitles(playback, stream, say) {
  if (stream.index === playback.burnIn) return;
  playback.burnInSubtitles(stream.index);
  say(`Subtitles: ${labelOf(stream)}. The server draws them into the picture, which it re-encodes for that.`);
}

/**
 * @param {Playback} playback
 * @param {(words: string) => void} say
 */
function noSubtitles(playback, say) {
  const { hls, burnIn } = playback;
  if (burnIn !== undefined) {
    rememberSubtitles();
    playback.burnInSubtitles(undefined);
    say('Subtitles off. The picture is played without them again.');
    return;
  }
  if (hls !== undefined) chooseSubtitles(hls, -1);
  say('Subtitles off');
}

/**
 * What `c` does: off, or the track that was shown last, or the first one.
 * @param {Playback} playback
 * @param {(words: string) => void} say
 */
export function toggleSubtitles(playback, say) {
  const { hls, burnIn } = playback;
  const text = hls?.subtitleTracks ?? [];
  if (burnIn !== undefined) return noSubtitles(playback, say);
  const burnt = burntInStreams(playback);
  const last = burnt.find(({ index }) => index === playback.lastBurnIn);
  const first = last ?? (text.length === 0 ? burnt[0] : undefined);
  if (first !== undefined && (hls?.subtitleTrack ?? -1) < 0) return drawSubtitles(playback, first, say);
  if (hls === undefined || text.length === 0) return say('No subtitles');
  const at = toggledSubtitles(hls);
  if (at < 0) return noSubtitles(playback, say);
  textItems(playback, say)[at]?.choose();
}
