/**
 * The page: a start view and a player, chosen by the address.
 * `/#source=<encoded>` (or `/?source=`) plays at once, `&t=<seconds>` from there; without a source it is the start view. Back leads there.
 */
import { Controls } from './controls.js';
import { byId, make } from './dom.js';
import { sourceName } from './format.js';
import { Landing } from './landing.js';
import { Panel } from './panel.js';
import { Playback } from './playback.js';
import { recents, remember } from './recent.js';
import { announce } from './screen.js';
import { isTorrent, TorrentCard } from './torrent.js';

/**
 * @typedef {import('./failures.js').Failure} Failure
 * @typedef {import('./api.js').SessionInfo} SessionInfo
 */

const root = byId('player', HTMLElement);
const video = makeVideo();
const notice = byId('notice', HTMLDivElement);
let skipTo = /** @type {number | undefined} */ (undefined);
let noticeTimer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);

const playback = new Playback(video, {
  info: showInfo,
  tracks: () => {
    controls.mirrorTracks();
    panel.draw();
  },
  failed: showFailure,
  notice: (words) => say(words, 9000),
  connection: (lost) => {
    notice.classList.toggle('lost', lost);
    if (lost) say('The connection to the server is lost. Trying again…');
    else say('');
  },
  blocked: () => controls.waitForClick(),
});
/** @param {number} fileIdx */
const chooseFile = (fileIdx) => {
  showFailure(undefined);
  void playback.open(playback.source, 0, false, { fileIdx });
};
const panel = new Panel(video, playback, chooseFile);
const torrent = new TorrentCard(video, chooseFile);
const controls = new Controls(video, playback, panel);
const landing = new Landing((source, at) => {
  history.pushState(null, '', `/#source=${encodeURIComponent(source)}`);
  start(source, at);
});

function makeVideo() {
  const element = make('video');
  element.playsInline = true;
  element.preload = 'auto';
  element.tabIndex = -1;
  root.prepend(element);
  return element;
}

/**
 * @param {string} source
 * @param {number} at seconds
 */
function start(source, at) {
  const { name, place } = sourceName(source);
  landing.hide();
  root.hidden = false;
  showFailure(undefined);
  say('');
  byId('title', HTMLHeadingElement).textContent = name;
  byId('subtitle', HTMLParagraphElement).textContent = place;
  byId('audio-title', HTMLSpanElement).textContent = name;
  document.title = `${name} – Raffi`;
  void playback.open(source, at);
  if (isTorrent(source)) torrent.update(undefined);
  else torrent.hide();
  controls.reset();
  announce(name, {
    play: () => playback.play(),
    pause: () => video.pause(),
    skip: (seconds) => controls.skip(seconds),
    seek: (seconds) => controls.seek(seconds),
  });
}

/** Ends what plays and shows the start view. */
function stop() {
  const { source } = playback;
  const failed = root.classList.contains('failed');
  keepPosition();
  playback.close();
  panel.close();
  showFailure(undefined);
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  root.hidden = true;
  document.title = 'Raffi';
  landing.show(failed ? source : '');
}

function goBack() {
  history.pushState(null, '', '/');
  stop();
}

/** Shows the view that the address names. */
function route() {
  // A "+" in a hand-written link is a plus, not a space.
  const text = (location.hash.length > 1 ? location.hash : location.search).slice(1).replaceAll('+', '%2B');
  const parameters = new URLSearchParams(text);
  const source = parameters.get('source')?.trim() ?? '';
  if (source === '') return stop();
  keepPosition();
  start(source, Math.max(0, Number(parameters.get('t')) || 0));
}

function keepPosition() {
  if (playback.session === undefined || playback.metrics.firstFrame === undefined) return;
  remember(playback.source, video.currentTime, Number.isFinite(video.duration) ? video.duration : 0);
}

/** @param {SessionInfo} info */
function showInfo(info) {
  if (info.name) byId('title', HTMLHeadingElement).textContent = info.name;
  controls.setInfo(info);
  if (info.isTorrent) torrent.update(info);
  panel.draw();
  const streams = info.availableStreams ?? [];
  const sound = streams.filter((stream) => stream.type === 'audio');
  const reason = sound.find((stream) => stream.delivery === 'omitted')?.reason;
  if (sound.length > 0 && sound.every((stream) => stream.delivery === 'omitted') && !panel.isOpen) {
    say(`No sound. ${reason ?? ''}`, 9000);
  }
}

/** @param {number} [at] seconds */
function retry(at) {
  showFailure(undefined);
  void playback.retry(at);
}

/** @param {Failure | undefined} failure */
function showFailure(failure) {
  const box = byId('failure', HTMLDivElement);
  box.hidden = failure === undefined;
  root.classList.toggle('failed', failure !== undefined);
  if (failure === undefined) return;
  say('');
  panel.close();
  byId('failure-title', HTMLHeadingElement).textContent = failure.title;
  byId('failure-detail', HTMLParagraphElement).textContent = failure.detail;
  const named = failure.detail.includes(playback.source);
  byId('failure-source', HTMLParagraphElement).textContent = named ? '' : playback.source;
  // The start of the part after the bad one; at the end of the video there is none.
  skipTo = failure.skipTo !== undefined && failure.skipTo < video.duration - 1 ? failure.skipTo + 0.05 : undefined;
  byId('skip', HTMLButtonElement).hidden = skipTo === undefined;
  byId('retry', HTMLButtonElement).focus({ preventScroll: true });
}

/**
 * A line over the picture; empty takes it away.
 * @param {string} words
 * @param {number} [ms] until it goes by itself
 */
function say(words, ms) {
  clearTimeout(noticeTimer);
  notice.textContent = words;
  notice.hidden = words === '';
  if (ms !== undefined) noticeTimer = setTimeout(() => say(''), ms);
}

byId('back', HTMLButtonElement).addEventListener('click', goBack);
byId('another', HTMLButtonElement).addEventListener('click', goBack);
byId('retry', HTMLButtonElement).addEventListener('click', () => retry());
byId('skip', HTMLButtonElement).addEventListener('click', () => retry(skipTo));
video.addEventListener('playing', keepPosition);
video.addEventListener('pause', keepPosition);
addEventListener('popstate', route);
addEventListener('pagehide', () => {
  keepPosition();
  playback.abandon();
});
addEventListener('pageshow', (event) => {
  // Back from the browser's page cache: the session was ended on leaving.
  if (!event.persisted || root.hidden) return;
  const { source } = playback;
  start(source, recents().find((entry) => entry.source === source)?.position ?? 0);
});

/** For tests: the hls.js instance, the video element and the session of what plays now. */
Object.defineProperty(globalThis, '__raffi', {
  value: {
    get hls() {
      return playback.hls;
    },
    video,
    get session() {
      return playback.session;
    },
  },
});

route();
