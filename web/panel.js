import { Doctor } from './doctor.js';
import { byId, make } from './dom.js';
import { decodes } from './failures.js';
import {
  channelLayout,
  clock,
  codecName,
  codecStringName,
  containerName,
  language,
  milliseconds,
  size,
} from './format.js';
import { bufferAhead } from './metrics.js';
import { isOriginal, isTranscoded, sourceIndex } from './qualities.js';
import { TorrentFacts } from './torrent.js';

/**
 * @typedef {import('./playback.js').Playback} Playback
 * @typedef {import('./api.js').StreamInfo} StreamInfo
 */

/** "What the server does": drawn only while it is open, from what the page knows already. */
export class Panel {
  #root = byId('panel', HTMLElement);
  #body = byId('panel-body', HTMLDivElement);
  #button = byId('info-button', HTMLButtonElement);
  #video;
  #playback;
  #timer = /** @type {ReturnType<typeof setInterval> | undefined} */ (undefined);
  #live = make('div');
  #torrent;
  #doctor;
  /** What had the focus when it was opened. */
  #before = /** @type {Element | null} */ (null);

  /**
   * @param {HTMLVideoElement} video
   * @param {Playback} playback
   * @param {(fileIdx: number) => void} chooseFile of a torrent
   */
  constructor(video, playback, chooseFile) {
    this.#torrent = new TorrentFacts(video, chooseFile);
    this.#doctor = new Doctor(playback);
    this.#video = video;
    this.#playback = playback;
    this.#button.addEventListener('click', () => this.toggle());
    byId('panel-close', HTMLButtonElement).addEventListener('click', () => this.close());
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    this.#before = document.activeElement;
    this.#root.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.draw();
    this.#doctor.open();
    this.#timer = setInterval(() => {
      this.#drawLive();
      this.#doctor.tick();
    }, 500);
    void this.#playback.refresh();
    byId('panel-close', HTMLButtonElement).focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    const focused = this.#root.contains(document.activeElement);
    this.#root.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    clearInterval(this.#timer);
    this.#doctor.close();
    // Back to a button only if the focus came from one: a focused control keeps the bars from fading.
    if (focused && this.#before instanceof HTMLButtonElement) this.#before.focus();
  }

  /** Draws anew what the session's info tells. */
  draw() {
    if (!this.isOpen) return;
    const { info } = this.#playback;
    const source = /** @type {[string, string | undefined][]} */ ([
      ['Container', info?.container && containerName(info.container)],
      ['Duration', info?.durationSeconds === undefined ? undefined : clock(info.durationSeconds)],
      ['Size', info?.fileSize ? size(info.fileSize) : undefined],
      ['Chapters', info?.chapters?.length ? String(info.chapters.length) : undefined],
    ]);
    const tracks = (info?.availableStreams ?? []).map((stream) => trackRow(stream, this.#playback));
    const torrent = this.#torrent.draw(info);
    // Left where it is, so that a choice that is open stays open.
    if (torrent?.parentElement !== this.#body) this.#body.replaceChildren(...(torrent ? [torrent] : []));
    for (const child of [...this.#body.children]) if (child !== torrent) child.remove();
    this.#body.prepend(this.#doctor.top);
    if (source.some(([, value]) => value !== undefined))
      this.#body.append(make('h3', undefined, 'Source'), facts(source));
    if (tracks.length > 0) this.#body.append(make('h3', undefined, 'Tracks'), ...tracks);
    this.#body.append(this.#doctor.work, this.#live);
    this.#drawLive();
  }

  #drawLive() {
    const { metrics, hls } = this.#playback;
    const quality = this.#video.getVideoPlaybackQuality?.();
    const { videoWidth, videoHeight } = this.#video;
    const times = metrics.lastLoad !== undefined && metrics.medianLoad !== undefined;
    const now = facts([
      ...playing(this.#playback.qualities, this.#playback.info?.availableStreams ?? []),
      ['Buffered ahead', `${bufferAhead(this.#video).toFixed(1)} s`],
      ['Segments loaded', hls === undefined ? undefined : `${metrics.segments}, ${size(metrics.bytes)}`],
      [
        'Time per segment',
        times ? `${milliseconds(metrics.medianLoad ?? 0)}, last ${milliseconds(metrics.lastLoad ?? 0)}` : undefined,
      ],
      ['First frame', metrics.firstFrame === undefined ? undefined : `after ${milliseconds(metrics.firstFrame)}`],
      ['Last seek', metrics.lastSeek === undefined ? undefined : milliseconds(metrics.lastSeek)],
      ['Picture', videoWidth > 0 ? `${videoWidth} × ${videoHeight}` : undefined],
      ['Dropped frames', quality ? `${quality.droppedVideoFrames} of ${quality.totalVideoFrames}` : undefined],
      ['Stalls', String(metrics.stalls)],
      ['Fed by', hls === undefined ? 'the browser’s own HLS' : 'hls.js'],
    ]);
    const troubles = make('ul', 'troubles');
    troubles.append(...metrics.errors.map((words) => make('li', undefined, words)));
    this.#live.replaceChildren(make('h3', undefined, 'Now'), now);
    if (metrics.errors.length > 0) this.#live.append(make('h3', undefined, 'Errors'), troubles);
  }
}

/** @param {[string, string | undefined][]} entries */
function facts(entries) {
  const list = make('dl', 'facts');
  for (const [name, value] of entries) {
    if (value === undefined || value === '') continue;
    const row = make('div');
    row.append(make('dt', undefined, name), make('dd', undefined, value));
    list.append(row);
  }
  return list;
}

/**
 * The variant that is shown now, what the server does for it, and why.
 * @param {import('./qualities.js').Qualities} qualities
 * @param {readonly StreamInfo[]} streams
 * @returns {[string, string | undefined][]}
 */
function playing({ current, chosen, playedTrack }, streams) {
  if (current === undefined) return [];
  const { name, level } = current;
  const size = level.width > 0 ? `${level.width} × ${level.height}` : undefined;
  const codecs = level.codecs.split(',').filter((codec) => codec !== '');
  const variant = [isOriginal(level) ? 'Original' : name, size, codecs.map(codecStringName).join(' + ')];
  const work = [];
  if (level.videoCodec !== undefined && !isOriginal(level)) {
    const stream = streams.find(({ type, renditions }) => type === 'video' && renditions?.includes(name));
    const choice = chosen === '' ? 'the line is too slow for the original' : 'as chosen';
    work.push(`the picture to ${name}: ${whyTranscoded(stream) ?? choice}`);
  }
  if (isTranscoded(playedTrack)) {
    const stream = streams.find(({ type, index }) => type === 'audio' && index === sourceIndex(playedTrack));
    const why = whyTranscoded(stream);
    work.push(`the sound to AAC${why === undefined ? '' : `: ${why}`}`);
  }
  return [
    ['Playing', variant.filter((part) => part !== undefined && part !== '').join(', ')],
    ['The server', work.length === 0 ? 'copies, nothing is re-encoded' : `is transcoding ${work.join('; and ')}`],
  ];
}

/**
 * Why a track does not come as it is; undefined when it could.
 * @param {StreamInfo | undefined} stream
 */
function whyTranscoded(stream) {
  if (stream === undefined) return undefined;
  if (stream.delivery === 'transcoded') return stream.reason;
  const plays = stream.codecString === undefined || decodes(stream.type, stream.codecString);
  return plays ? undefined : `this browser has no decoder for ${codecName(stream.codec)}`;
}

/**
 * @param {StreamInfo} stream
 * @param {Playback} playback
 */
function trackRow(stream, { qualities, burnIn }) {
  const { left, words } = burntIn(stream, burnIn) ?? delivery(stream, qualities);
  const row = make('div', left ? 'track omitted' : 'track');
  const kind = /** @type {Record<string, string>} */ ({ video: 'Video', audio: 'Audio', subtitle: 'Subtitles' });
  row.append(make('b', undefined, `${kind[stream.type] ?? stream.type}: ${codecName(stream.codec)}`));
  const details = trackDetails(stream).join(', ');
  if (details !== '') row.append(make('p', undefined, details));
  if (words !== '') row.append(make('p', 'delivery', words));
  return row;
}

/**
 * How it gets a track that is drawn into the picture, or can only be so, or the picture into which one is drawn.
 * @param {StreamInfo} stream
 * @param {number | undefined} burnIn
 * @returns {{ left: boolean, words: string } | undefined} undefined when drawing has no part in it
 */
function burntIn({ type, index, delivery, subtitles = [], ignoredFonts = [] }, burnIn) {
  if (type === 'video' && burnIn !== undefined && delivery !== 'omitted')
    return { left: false, words: 'Transcoded, to draw the subtitles into it' };
  if (type !== 'subtitle' || !subtitles.includes('burn-in')) return undefined;
  if (index === burnIn) return { left: false, words: ['Drawn into the picture', ...ignoredFonts].join('. ') };
  if (subtitles.includes('webvtt')) return undefined;
  return { left: false, words: 'Drawn into the picture when chosen' };
}

/**
 * How this browser gets a track, and why so.
 * @param {StreamInfo} stream
 * @param {import('./qualities.js').Qualities} qualities
 * @returns {{ left: boolean, words: string }} `left`: it does not get it
 */
function delivery(stream, qualities) {
  const because = stream.reason ? `: ${stream.reason}` : '';
  const others = (stream.renditions ?? []).filter((name) => name !== 'original' && !/^audio-\d+$/.test(name));
  const to = stream.type === 'audio' ? 'AAC' : others.join(', ');
  if (stream.delivery === 'omitted') return { left: true, words: `Left out${because}` };
  if (stream.delivery === 'converted') return { left: false, words: 'Converted to WebVTT' };
  if (stream.delivery === 'transcoded') return { left: false, words: `Transcoded to ${to}${because}` };
  if (stream.delivery !== 'copied') return { left: false, words: '' };
  if (stream.codecString !== undefined && !decodes(stream.type, stream.codecString)) {
    const why = 'this browser has no decoder for it';
    if (others.length === 0) return { left: true, words: `Copied, but ${why}` };
    return { left: false, words: `Transcoded to ${to}: ${why}` };
  }
  const ladder = stream.type === 'video' && qualities.list.length > 1 ? `; transcoded to ${to} when asked for` : '';
  return { left: false, words: `Copied, not re-encoded${ladder}` };
}

/** @param {StreamInfo} stream */
function trackDetails(stream) {
  const hdr = /** @type {Record<string, string>} */ ({ hdr10: 'HDR10', hlg: 'HLG', 'dolby-vision': 'Dolby Vision' });
  return [
    language(stream.language),
    stream.title,
    stream.width && stream.height ? `${stream.width} × ${stream.height}` : undefined,
    stream.frameRate ? `${Number(stream.frameRate.toFixed(3))} fps` : undefined,
    stream.hdr ? hdr[stream.hdr] : undefined,
    stream.channels ? channelLayout(stream.channels) : undefined,
    stream.sampleRate ? `${stream.sampleRate / 1000} kHz` : undefined,
    stream.default ? 'default' : undefined,
    stream.forced ? 'forced' : undefined,
  ].filter((detail) => detail !== undefined && detail !== '');
}
