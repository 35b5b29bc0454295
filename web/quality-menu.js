/**
 * What the menus of the picture's quality and of the audio tracks offer.
 *
 * @typedef {import('./menu.js').MenuItem} MenuItem
 * @typedef {import('./qualities.js').Qualities} Qualities
 */
import { channelLayout, codecName, language } from './format.js';
import { isOriginal, isTranscoded, sourceIndex } from './qualities.js';

/**
 * @param {Qualities} qualities
 * @param {(label: string) => void} chosen called after a choice
 * @returns {MenuItem[]}
 */
export function qualityItems(qualities, chosen) {
  const { list, chosen: name, current } = qualities;
  const choose = (/** @type {string} */ wanted, /** @type {string} */ label) => {
    qualities.choose(wanted);
    chosen(label);
  };
  const auto = {
    label: 'Auto',
    note: name === '' && current !== undefined ? `now ${qualityLabel(current)}` : undefined,
    checked: name === '',
    choose: () => choose('', 'Auto'),
  };
  const fixed = list.map((quality) => {
    const label = qualityLabel(quality);
    const note = isOriginal(quality.level) ? 'not re-encoded' : 're-encoded by the server';
    return { label, note, checked: quality.name === name, choose: () => choose(quality.name, label) };
  });
  return [auto, ...fixed];
}

/**
 * `Original (1080p)` or `720p`.
 * @param {import('./qualities.js').Quality} quality
 */
export function qualityLabel({ name, level }) {
  const lines = Math.min(level.width, level.height);
  return isOriginal(level) ? `Original${lines > 0 ? ` (${lines}p)` : ''}` : name;
}

/**
 * @param {Qualities} qualities
 * @param {import('./api.js').SessionInfo | undefined} info
 * @param {(label: string) => void} chosen called after a choice
 * @returns {MenuItem[]}
 */
export function audioItems(qualities, info, chosen) {
  const streams = (info?.availableStreams ?? []).filter(({ type }) => type === 'audio');
  return qualities.tracks.map((track) => {
    const label = language(track.lang) ?? track.name;
    const stream = streams.find(({ index }) => index === sourceIndex(track));
    const notes = [
      stream?.title || (track.name === label ? undefined : track.name),
      stream && codecName(stream.codec),
      stream?.channels ? channelLayout(stream.channels) : undefined,
      isTranscoded(track) ? 'as AAC' : undefined,
    ];
    const note = notes.filter((part) => part !== undefined && part !== '').join(', ');
    const checked = sourceIndex(qualities.playedTrack) === sourceIndex(track);
    const choose = () => {
      if (checked) return;
      qualities.chooseTrack(track);
      chosen(label);
    };
    return { label, note: note || undefined, checked, choose };
  });
}
