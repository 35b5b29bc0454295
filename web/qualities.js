/**
 * The qualities of the picture and the tracks of the sound, as people choose them. The playlist has a variant for each pair of a
 * picture and a codec of the sound, and hls.js knows only variants ("levels"), the tracks of the current one's group and an ABR of
 * its own that never changes codecs; this file translates.
 *
 * @typedef {import('./vendor/hls.mjs').Level} Level
 * @typedef {import('./vendor/hls.mjs').FragBufferedData} FragBufferedData
 * @typedef {import('./vendor/hls.mjs').MediaPlaylist} MediaPlaylist
 * @typedef {{ name: string, level: Level }} Quality `name`: the path component of the rendition, `original` or `720p`.
 */
import Hls from './vendor/hls.mjs';

const KEY = 'raffi.quality';
/** More than a segment lasts. */
const KEPT_SECONDS = 12;

/**
 * The rendition whose media playlist this is.
 * @param {string} uri
 */
function renditionName(uri) {
  return /([^/]+)\/playlist\.m3u8(?:\?|$)/.exec(uri)?.[1] ?? '';
}

/** @param {Level | undefined} level */
export function isOriginal(level) {
  return level !== undefined && renditionName(level.uri) === 'original';
}

/**
 * The position of a track among the source's audio tracks.
 * @param {MediaPlaylist | undefined} track
 */
export function sourceIndex(track) {
  const found = /^audio-(\d+)(-aac)?$/.exec(renditionName(track?.url ?? ''));
  return found === null ? undefined : Number(found[1]);
}

/**
 * Whether the server re-encodes this track.
 * @param {MediaPlaylist | undefined} track
 */
export function isTranscoded(track) {
  return track !== undefined && renditionName(track.url).endsWith('-aac');
}

/** @returns {string} the remembered quality, empty for auto */
function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // no storage
  }
}

/**
 * What is chosen for one hls.js instance. Invariant: `#name` is a quality that the playlist has, or empty for auto; while a group is
 * set, every level that hls.js loads is of that group, and every track that it plays in it is of `#track`.
 */
export class Qualities {
  #hls = /** @type {Hls | undefined} */ (undefined);
  #usual;
  #name = '';
  #group = /** @type {string | undefined} */ (undefined);
  #track = /** @type {number | undefined} */ (undefined);

  /** @param {string} [usual] what is played unless another one was chosen; empty for auto */
  constructor(usual = '') {
    this.#usual = usual;
  }

  /** The ABR of hls.js, kept to the chosen group and to what is of use. */
  get abrController() {
    const fit = (/** @type {number} */ level) => this.#fit(level);
    const start = () => this.#start();
    return class extends Hls.DefaultConfig.abrController {
      /** @override */
      get firstAutoLevel() {
        const first = start();
        return first >= 0 ? first : super.firstAutoLevel;
      }
      /** @override */
      get nextAutoLevel() {
        return fit(super.nextAutoLevel);
      }
      /** @override */
      set nextAutoLevel(level) {
        super.nextAutoLevel = level;
      }
      /**
       * What the server takes to make a segment says nothing about the line.
       * @override
       * @param {import('./vendor/hls.mjs').Events.FRAG_BUFFERED} event
       * @param {FragBufferedData} data
       */
      onFragBuffered(event, data) {
        const { loading } = data.frag.stats;
        const { start } = loading;
        loading.start = Math.max(start, loading.first);
        try {
          super.onFragBuffered(event, data);
        } finally {
          loading.start = start;
        }
      }
    };
  }

  /**
   * @param {Hls} hls not yet loading
   * @param {number} [track] the source's audio track to begin with, instead of the default
   */
  attach(hls, track) {
    this.#hls = hls;
    this.#group = undefined;
    this.#track = track;
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.#parsed(hls));
    hls.on(Hls.Events.AUDIO_TRACKS_UPDATED, () => this.#keepTrack());
  }

  /** @param {Hls} hls */
  #parsed(hls) {
    const tracks = hls.allAudioTracks;
    const wantedTrack = this.#track ?? sourceIndex(tracks.find((one) => one.default) ?? tracks[0]);
    const track = preferred(tracks, wantedTrack);
    this.#track = sourceIndex(track);
    this.#group = track?.groupId;
    for (const level of hls.levels) {
      // Its ABR keeps to what it takes for one family of codecs, and to one range: the original must be left for H.264 on a slow line.
      Object.assign(level, { codecSet: level.audioGroupIds?.[0] ?? 'none' });
      if (level.attrs['VIDEO-RANGE'] !== undefined) level.attrs['VIDEO-RANGE'] = 'SDR';
    }
    // hls.js 1.7 compares a new codec with the one that the playlist told of the first track, and so never goes back to that from Opus or
    // FLAC. Without it, it compares what the segments say. Packed MP3 says nothing.
    for (const one of tracks) if (one.audioCodec !== 'mp4a.40.34') Object.assign(one, { audioCodec: undefined });
    const has = (/** @type {string} */ wanted) => this.list.some(({ name }) => name === wanted);
    this.#name = [remembered(), this.#usual].find(has) ?? '';
    hls.startLevel = this.#name === '' ? this.#start() : this.#level(this.#name);
    if (this.#name !== '') hls.loadLevel = hls.startLevel;
  }

  /** Every quality of the picture once, the original first, then from the best; empty for sound alone. */
  get list() {
    const byName = new Map((this.#hls?.levels ?? []).map((level) => [renditionName(level.uri), level]));
    return [...byName]
      .filter(([, { height, videoCodec }]) => height > 0 || videoCodec !== undefined)
      .map(([name, level]) => ({ name, level }))
      .sort(
        (a, b) =>
          Number(isOriginal(b.level)) - Number(isOriginal(a.level)) ||
          b.level.height - a.level.height ||
          b.level.bitrate - a.level.bitrate,
      );
  }

  /** The chosen quality; empty for auto. */
  get chosen() {
    return this.#name;
  }

  /** What is shown now, or will be first. */
  get current() {
    const hls = this.#hls;
    const level = hls?.levels[hls.currentLevel] ?? hls?.levels[hls.loadLevel];
    return level === undefined ? undefined : { name: renditionName(level.uri), level };
  }

  /**
   * From the next segment on.
   * @param {string} name empty for auto
   */
  choose(name) {
    const hls = this.#hls;
    if (hls === undefined || name === this.#name) return;
    this.#name = name;
    try {
      sessionStorage.setItem(KEY, name);
    } catch {
      // no storage: it is forgotten with the video
    }
    this.#apply(hls);
  }

  /**
   * Does without the original from now on: this browser's decoder fails at it.
   * @returns {boolean} false when it was not shown, or nothing else is there
   */
  leaveOriginal() {
    const hls = this.#hls;
    if (hls === undefined || !isOriginal(this.current?.level) || this.list.length < 2) return false;
    for (let at = hls.levels.length - 1; at >= 0; at -= 1) if (isOriginal(hls.levels[at])) hls.removeLevel(at);
    if (this.#name === 'original') this.#name = '';
    hls.loadLevel = this.#name === '' ? this.#start() : this.#level(this.#name);
    if (this.#name === '') hls.loadLevel = -1;
    return true;
  }

  /** Every audio track of the source once, in its order, as it is best delivered to this browser. */
  get tracks() {
    const all = this.#hls?.allAudioTracks ?? [];
    const indices = [...new Set(all.map(sourceIndex))].filter((index) => index !== undefined).sort((a, b) => a - b);
    return indices.map((index) => preferred(all, index)).filter((track) => track !== undefined);
  }

  /** What is heard now; undefined when the playlist names no tracks. */
  get playedTrack() {
    const hls = this.#hls;
    return hls?.audioTracks[hls.audioTrack];
  }

  /**
   * Plays another track, in the same quality of the picture.
   * @param {MediaPlaylist} track
   */
  chooseTrack(track) {
    const hls = this.#hls;
    if (hls === undefined) return;
    this.#track = sourceIndex(track);
    const here = hls.audioTracks.findIndex(({ url }) => url === track.url);
    if (here >= 0) {
      this.#group = track.groupId;
      hls.audioTrack = here;
      return;
    }
    this.#group = track.groupId;
    this.#apply(hls);
  }

  /** @param {Hls} hls */
  #apply(hls) {
    if (this.#name !== '') {
      hls.nextLevel = this.#level(this.#name);
      forgetOthers(hls);
      return;
    }
    hls.loadLevel = -1;
    if (hls.nextAutoLevel !== hls.currentLevel) hls.nextLevel = -1;
  }

  /** hls.js takes a track of its own choice when the group changes. */
  #keepTrack() {
    const hls = this.#hls;
    if (hls === undefined || this.#track === undefined) return;
    const at = hls.audioTracks.findIndex((track) => sourceIndex(track) === this.#track);
    if (at >= 0 && at !== hls.audioTrack) hls.audioTrack = at;
  }

  /**
   * @param {string} name
   * @returns {number} the level of this quality in the group; -1 when there is none
   */
  #level(name) {
    const levels = this.#hls?.levels ?? [];
    const inGroup = levels.findIndex((level) => renditionName(level.uri) === name && this.#inGroup(level));
    return inGroup >= 0 ? inGroup : levels.findIndex((level) => renditionName(level.uri) === name);
  }

  /** @param {Level} level */
  #inGroup(level) {
    return this.#group === undefined || level.audioGroups === undefined || level.hasAudioGroup(this.#group);
  }

  /** Where auto starts: the best that the line is believed to carry, the original before what is re-encoded. */
  #start() {
    const hls = this.#hls;
    if (hls === undefined) return -1;
    const fitting = this.list.map(({ name }) => this.#level(name));
    if (fitting.length === 0) return hls.levels.findIndex((level) => this.#inGroup(level));
    return fitting.find((at) => (hls.levels[at]?.bitrate ?? 0) <= hls.bandwidthEstimate * 0.8) ?? fitting.at(-1) ?? -1;
  }

  /**
   * The level to take for the one that the ABR took: the same in the chosen group; never one that is re-encoded for as many bits as the
   * original has.
   * @param {number} at
   */
  #fit(at) {
    const level = this.#hls?.levels[at];
    if (level === undefined) return at;
    if (level.height === 0 && level.videoCodec === undefined) return this.#start();
    const same = this.#level(renditionName(level.uri));
    const original = this.#level('original');
    const bits = (/** @type {number} */ index) => this.#hls?.levels[index]?.bitrate ?? Number.POSITIVE_INFINITY;
    return original >= 0 && bits(original) <= bits(same) ? original : same;
  }
}

/**
 * hls.js leaves what is buffered apart from the playhead in the quality that it had: that would be shown again after a seek.
 * @param {Hls} hls
 */
function forgetOthers(hls) {
  const { media } = hls;
  if (media === null) return;
  const { buffered, currentTime } = media;
  const flush = (/** @type {number} */ startOffset, /** @type {number} */ endOffset) =>
    hls.trigger(Hls.Events.BUFFER_FLUSHING, { startOffset, endOffset, type: 'video' });
  // The segment that is shown stays whole.
  if (currentTime > KEPT_SECONDS) flush(0, currentTime - KEPT_SECONDS);
  for (let i = 0; i < buffered.length; i += 1)
    if (buffered.start(i) > currentTime) flush(buffered.start(i), buffered.end(i));
}

/**
 * The rendition of a track that this browser gets: the copy if it decodes it, else AAC.
 * @param {readonly MediaPlaylist[]} tracks those that it decodes
 * @param {number | undefined} index
 */
function preferred(tracks, index) {
  const same = tracks.filter((track) => sourceIndex(track) === index);
  return same.find((track) => !isTranscoded(track)) ?? same[0];
}
