import {
  ApiError,
  abandonSession,
  createSession,
  deleteSession,
  getSession,
  problemFrom,
  sessionError,
} from './api.js';
import { answeredProblem, describeCodecs, describeError, describeMediaError, describeProblem } from './failures.js';
import { Metrics } from './metrics.js';
import { Qualities, sourceIndex } from './qualities.js';
import { keepSegmentTimes } from './segment-times.js';
import { restoreSubtitles } from './subtitle-tracks.js';
import { isTorrent, mayPass } from './torrent.js';
import Hls from './vendor/hls.mjs';

/**
 * @typedef {import('./api.js').Session} Session
 * @typedef {import('./api.js').SessionInfo} SessionInfo
 * @typedef {import('./failures.js').Failure} Failure
 * @typedef {import('./vendor/hls.mjs').ErrorData} ErrorData
 * @typedef {import('./vendor/hls.mjs').LoadPolicy} LoadPolicy
 *
 * @typedef {object} PlaybackEvents
 * @property {(info: SessionInfo) => void} info The session's info came, or came anew.
 * @property {() => void} tracks The qualities, the audio or subtitle tracks, or the choice among them, changed.
 * @property {(failure: Failure) => void} failed It cannot go on by itself.
 * @property {(notice: string) => void} notice Something worth a line that stops nothing.
 * @property {(lost: boolean) => void} connection The server is out of reach, or back.
 * @property {() => void} blocked The browser wants a click before it plays.
 */

/** How long a torrent is expected to begin to play at any moment, ms. */
const SOON_MS = 15_000;

/**
 * @param {number} ms
 * @param {AbortSignal} signal ends it at once
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
  });
}

/**
 * One source being played: its session on the server and the hls.js instance that feeds the video element.
 * Invariant: `#attempt` stands for the newest `open`; whatever an older one still brings finds its signal aborted and is dropped,
 * and a session is either `this.session` or ended.
 */
export class Playback {
  #video;
  #on;
  #attempt = new AbortController();
  #recoveries = /** @type {number[]} */ ([]);
  #reopened = 0;
  #lost = false;
  /** Where `retry` starts: seconds, kept while the player shows no picture of its own. */
  #position = 0;
  /** Whether it was opened to stand still. */
  #paused = false;

  hls = /** @type {Hls | undefined} */ (undefined);
  session = /** @type {Session | undefined} */ (undefined);
  info = /** @type {SessionInfo | undefined} */ (undefined);
  source = '';
  /** Index of the subtitle track that the server draws into the picture. */
  burnIn = /** @type {number | undefined} */ (undefined);
  /** The one before it was turned off. */
  lastBurnIn = /** @type {number | undefined} */ (undefined);
  /** Which file of a torrent; undefined: the server's choice. */
  fileIdx = /** @type {number | undefined} */ (undefined);
  metrics = new Metrics();
  qualities = new Qualities();

  /**
   * @param {HTMLVideoElement} video
   * @param {PlaybackEvents} on
   */
  constructor(video, on) {
    this.#video = video;
    this.#on = on;
    video.addEventListener('error', () => void this.#nativeError());
  }

  /**
   * Ends what was played and plays this. The player is attached before the server has answered, and starts before the info is there.
   * @param {string} source
   * @param {number} at seconds
   * @param {boolean} [paused] start without playing
   * @param {{ burnIn?: number | undefined, fileIdx?: number | undefined }} [choice] the subtitle track that is to be drawn into the picture; the file of a torrent,
   *   which is the one that was chosen for this source before, when left out
   */
  async open(source, at, paused = false, choice = {}) {
    const { burnIn, fileIdx = source === this.source ? this.fileIdx : undefined } = choice;
    this.close();
    if (source !== this.source) this.lastBurnIn = undefined;
    this.source = source;
    this.burnIn = burnIn;
    this.fileIdx = fileIdx;
    const attempt = this.#begin(at, paused);
    try {
      const session = await createSession(source, fileIdx);
      if (attempt.signal.aborted) return deleteSession(session.id);
      this.session = session;
      if (isTorrent(source)) return void (await this.#openTorrent(session, at, paused));
      this.#load(this.#streamUrl(session), at, paused);
      await this.refresh();
    } catch (error) {
      if (!attempt.signal.aborted) this.#fail(describeProblem(error));
    }
  }

  /**
   * Goes on in the same session at the same place, with this subtitle track drawn into the picture, or with none.
   * @param {number | undefined} index
   */
  burnInSubtitles(index) {
    const { session, position } = this;
    const { paused, playbackRate } = this.#video;
    if (session === undefined || index === this.burnIn) return;
    const track = sourceIndex(this.qualities.playedTrack);
    this.lastBurnIn = index ?? this.burnIn;
    this.burnIn = index;
    this.#unload();
    this.#begin(position, paused, track);
    this.#video.playbackRate = playbackRate;
    this.#load(this.#streamUrl(session), position, paused);
  }

  /**
   * A line over the picture.
   * @param {string} words
   */
  tell(words) {
    this.#on.notice(words);
  }

  /**
   * Makes the player ready for a playlist.
   * @param {number} at seconds
   * @param {boolean} paused
   * @param {number} [track] the source's audio track to begin with
   */
  #begin(at, paused, track) {
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#position = at;
    this.#paused = paused;
    this.metrics = new Metrics();
    this.metrics.watch(this.#video, attempt.signal);
    if (Hls.isSupported()) this.hls = this.#attach(at, track);
    if (!paused && this.hls !== undefined) this.play();
    return attempt;
  }

  /** @param {Session} session */
  #streamUrl({ streamUrl }) {
    if (this.burnIn === undefined) return streamUrl;
    return `${streamUrl}${streamUrl.includes('?') ? '&' : '?'}subtitle=${this.burnIn}`;
  }

  /**
   * A torrent takes as long as it takes: its stream is loaded once there is one, and how it gets on is asked for again and again.
   * @param {Session} session
   * @param {number} at
   * @param {boolean} paused
   */
  async #openTorrent(session, at, paused) {
    const { signal } = this.#attempt;
    const soon = performance.now() + SOON_MS;
    let loaded = false;
    while (!signal.aborted) {
      await this.refresh();
      const { status = 'created', errorCode } = this.info ?? {};
      if (signal.aborted) return;
      if (!loaded && (status === 'ready' || status === 'streaming')) {
        loaded = true;
        this.#load(this.#streamUrl(session), at, paused);
      } else if (!loaded && status === 'error' && !mayPass(errorCode)) {
        return this.#fail(describeProblem(new ApiError(500, errorCode ?? '', sessionError(this.info) ?? '')));
      }
      // Most that play at all begin within seconds: there each look that comes late is time until the picture.
      await pause(loaded ? 1000 : performance.now() < soon ? 200 : 400, signal);
    }
  }

  /** Fetches the session's info again; a session that failed says why in it. */
  async refresh() {
    const { signal } = this.#attempt;
    if (this.session === undefined) return;
    try {
      const info = await getSession(this.session.id, signal);
      if (signal.aborted) return;
      this.info = info;
      this.#on.info(info);
    } catch (error) {
      // The stream itself tells when the session is gone; without its info it still plays.
      if (!signal.aborted && error instanceof ApiError) this.metrics.failed(error.message);
    }
  }

  /** Ends the session and frees the player. */
  close() {
    const { session } = this;
    this.#detach();
    if (session !== undefined) deleteSession(session.id);
  }

  /** The same while the page goes away. */
  abandon() {
    const { session } = this;
    this.#detach();
    if (session !== undefined) abandonSession(session.id);
  }

  play() {
    const { signal } = this.#attempt;
    this.#video.play().catch((/** @type {unknown} */ error) => {
      const blocked = error instanceof DOMException && error.name === 'NotAllowedError';
      if (blocked && !signal.aborted) this.#on.blocked();
    });
  }

  /**
   * Plays the same source with a new session.
   * @param {number} [at] seconds; where it was, when left out
   */
  retry(at = this.position) {
    // What never showed a picture with these subtitles may show one without.
    const burnIn = this.metrics.firstFrame === undefined ? undefined : this.burnIn;
    return this.open(this.source, at, false, { burnIn });
  }

  /** Seconds: where it is, or where it was meant to start while there is no picture yet. */
  get position() {
    return this.metrics.firstFrame === undefined ? this.#position : this.#video.currentTime;
  }

  #detach() {
    this.#unload();
    this.session = undefined;
    this.info = undefined;
  }

  /** Empties the player; the session stays. */
  #unload() {
    this.#attempt.abort();
    this.hls?.destroy();
    this.hls = undefined;
    this.#recoveries = [];
    this.#setLost(false);
    this.#video.removeAttribute('src');
    this.#video.load();
  }

  /**
   * @param {number} at
   * @param {number} [track]
   */
  #attach(at, track) {
    // A smaller picture is made of the same bytes: where they are slow to come, it comes no sooner.
    const qualities = new Qualities(isTorrent(this.source) ? 'original' : '');
    this.qualities = qualities;
    const hls = new Hls({
      abrController: qualities.abrController,
      // A copied segment may start a little before the playlist says; the default skips to the next one near a boundary.
      maxFragLookUpTolerance: 0,
      lowLatencyMode: false,
      // fMP4 needs no transmuxing: a worker would only delay the first frame.
      enableWorker: false,
      startFragPrefetch: true,
      testBandwidth: false,
      abrEwmaDefaultEstimate: 50_000_000,
      // Half-lives in seconds of loading, of which a fast line has few: with the defaults it takes minutes to believe that a line is fast again.
      abrEwmaFastVoD: 1,
      abrEwmaSlowVoD: 2,
      maxBufferLength: 30,
      maxMaxBufferLength: 90,
      backBufferLength: 60,
      startPosition: at > 0 ? at : -1,
      manifestLoadPolicy: this.#policy(30_000, 40_000, 0),
      playlistLoadPolicy: this.#policy(30_000, 40_000, 0),
      fragLoadPolicy: this.#policy(25_000, 120_000, 1),
    });
    hls.on(Hls.Events.ERROR, (_event, data) => this.#error(data));
    hls.on(Hls.Events.AUDIO_TRACKS_UPDATED, () => this.#on.tracks());
    hls.on(Hls.Events.AUDIO_TRACK_SWITCHED, () => this.#on.tracks());
    keepSegmentTimes(hls);
    qualities.attach(hls, track);
    hls.on(Hls.Events.LEVEL_SWITCHED, () => this.#on.tracks());
    hls.on(Hls.Events.MANIFEST_PARSED, () => restoreSubtitles(hls));
    hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, () => this.#on.tracks());
    hls.on(Hls.Events.FRAG_LOADED, (_event, { frag }) => {
      const { loading, loaded } = frag.stats;
      this.metrics.segmentLoaded(loading.end - loading.start, loaded);
      this.#setLost(false);
    });
    hls.attachMedia(this.#video);
    return hls;
  }

  /**
   * A lost connection is tried again until it is back. An answer of the server is final, for the server has already done its own
   * retries; only a segment gets one more try.
   * @param {number} maxTimeToFirstByteMs
   * @param {number} maxLoadTimeMs
   * @param {number} tries
   * @returns {LoadPolicy}
   */
  #policy(maxTimeToFirstByteMs, maxLoadTimeMs, tries) {
    return {
      default: {
        maxTimeToFirstByteMs,
        maxLoadTimeMs,
        timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
        errorRetry: {
          maxNumRetry: 1,
          retryDelayMs: 400,
          maxRetryDelayMs: 3000,
          shouldRetry: (_config, count, timeout, response) => {
            const code = response?.code ?? 0;
            if (timeout) return count < 1;
            // Its peers may be slow: the server answers in time and is asked again.
            if (this.info?.isTorrent && (code === 503 || code === 504)) return true;
            if (code === 0) this.#setLost(true);
            return code === 0 || (code >= 500 && count < tries);
          },
        },
      },
    };
  }

  /**
   * @param {string} url
   * @param {number} at
   * @param {boolean} paused
   */
  #load(url, at, paused) {
    if (this.hls !== undefined) {
      this.hls.loadSource(url);
      return;
    }
    // No Media Source Extensions (older iPhones): the browser plays HLS itself.
    const video = this.#video;
    video.src = url;
    if (at > 0) {
      const start = () => {
        video.currentTime = at;
      };
      video.addEventListener('loadedmetadata', start, { once: true, signal: this.#attempt.signal });
    }
    if (!paused) this.play();
  }

  /** @param {ErrorData} data */
  #error(data) {
    const problem = answeredProblem(data);
    if (data.details !== Hls.ErrorDetails.BUFFER_STALLED_ERROR && (data.fatal || problem !== undefined)) {
      this.metrics.failed(problem?.message ?? describeError(data).detail);
    }
    if (!data.fatal) return;
    if (problem?.status === 404 && this.metrics.firstFrame !== undefined) return this.#sessionGone(problem);
    if (data.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) return void this.#incompatible(data);
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && this.#recover()) return;
    this.#fail(describeError(data));
  }

  /** At most two attempts in half a minute to go on after a decoder's error: as before, then with what the server re-encodes. */
  #recover() {
    const now = performance.now();
    this.#recoveries = this.#recoveries.filter((time) => now - time < 30_000);
    const { hls } = this;
    if (this.#recoveries.length >= 2 || hls === undefined) return false;
    if (this.#recoveries.length > 0 && this.qualities.leaveOriginal()) {
      this.#on.notice('This browser failed at decoding the original picture. The server re-encodes it now.');
    }
    this.#recoveries.push(now);
    const { paused } = this.#video;
    hls.recoverMediaError();
    // Another source stops the element.
    if (!paused) this.play();
    return true;
  }

  /**
   * The server forgot the session (idle for too long, or the server was restarted): a new one goes on at the same place.
   * @param {ApiError} problem
   */
  #sessionGone(problem) {
    const now = performance.now();
    if (this.#reopened > 0 && now - this.#reopened < 10_000) return this.#fail(describeProblem(problem));
    this.#reopened = now;
    void this.open(this.source, this.position, this.#video.paused, { burnIn: this.burnIn });
  }

  /** @param {ErrorData} data */
  async #incompatible(data) {
    const { signal } = this.#attempt;
    if (this.info === undefined) await this.refresh();
    if (signal.aborted || this.session === undefined) return;
    const { failure, videoOnly } = describeCodecs(data, this.info);
    if (!videoOnly) return this.#fail(failure);
    this.#on.notice(`No sound. ${failure.detail}`);
    const base = new URL(this.session.streamUrl, location.href);
    // Another source empties the video element, which stops it.
    if (!this.#paused) this.hls?.once(Hls.Events.MANIFEST_PARSED, () => this.play());
    this.hls?.loadSource(new URL('original/playlist.m3u8', base).href);
  }

  /** Of the video element's own errors, where hls.js feeds it, only the decoder's count: hls.js hears of them when it appends again, which may be never. */
  async #nativeError() {
    const { signal } = this.#attempt;
    if (this.session === undefined || signal.aborted) return;
    const { error } = this.#video;
    if (this.hls !== undefined) {
      if (error?.code === MediaError.MEDIA_ERR_DECODE && !this.#recover()) this.#fail(describeMediaError(error));
      return;
    }
    const response = await fetch(this.session.streamUrl, { signal }).catch(() => undefined);
    const body = (await response?.text().catch(() => '')) ?? '';
    if (signal.aborted) return;
    if (response !== undefined && !response.ok) return this.#fail(describeProblem(problemFrom(response.status, body)));
    this.#fail(describeMediaError(this.#video.error));
  }

  /** @param {Failure} failure */
  #fail(failure) {
    const { signal } = this.#attempt;
    this.metrics.failed(failure.detail);
    this.hls?.stopLoad();
    this.#video.pause();
    this.#on.failed(failure);
    void this.refresh().then(() => {
      const said = sessionError(this.info);
      if (!signal.aborted && said !== undefined && said !== failure.detail)
        this.#on.failed({ ...failure, detail: said });
    });
  }

  /** @param {boolean} lost */
  #setLost(lost) {
    if (this.#lost === lost) return;
    this.#lost = lost;
    this.#on.connection(lost);
  }
}
