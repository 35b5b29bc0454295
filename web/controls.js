import { ClipCard } from './clip.js';
import { byId, setIcon, setLabel } from './dom.js';
import { clock } from './format.js';
import { handleKey } from './keys.js';
import { Menu } from './menu.js';
import { audioItems, qualityItems, qualityLabel } from './quality-menu.js';
import { canFullScreen, canPictureInPicture, toggleFullScreen, togglePictureInPicture } from './screen.js';
import { Scrubber } from './scrubber.js';
import { hasSubtitles, subtitleItems, toggleSubtitles } from './subtitle-menu.js';
import { Volume } from './volume.js';

/**
 * @typedef {import('./playback.js').Playback} Playback
 * @typedef {import('./panel.js').Panel} Panel
 * @typedef {import('./api.js').SessionInfo} SessionInfo
 */

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const IDLE_MS = 2600;

/** The player's own controls over one video element. The video element is the truth; the controls only mirror it. */
export class Controls {
  #root = byId('player', HTMLElement);
  #play = byId('play', HTMLButtonElement);
  #bigPlay = byId('big-play', HTMLButtonElement);
  #elapsed = byId('elapsed', HTMLSpanElement);
  #total = byId('total', HTMLSpanElement);
  #chapter = byId('chapter', HTMLSpanElement);
  #audioButton = byId('audio-button', HTMLButtonElement);
  #subtitleButton = byId('subtitle-button', HTMLButtonElement);
  #qualityButton = byId('quality-button', HTMLButtonElement);
  #speedButton = byId('speed-button', HTMLButtonElement);
  #flash = byId('flash', HTMLDivElement);
  #help = byId('help', HTMLDialogElement);
  #video;
  #playback;
  #panel;
  #volume;
  #clip;
  #remaining = false;
  #idleTimer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  #flashTimer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  #lastTap = { time: 0, side: 0 };

  /**
   * @param {HTMLVideoElement} video
   * @param {Playback} playback
   * @param {Panel} panel
   */
  constructor(video, playback, panel) {
    this.#video = video;
    this.#playback = playback;
    this.#panel = panel;
    this.scrubber = new Scrubber(video, () => this.wake());
    this.#volume = new Volume(video, () => this.wake());
    this.#clip = new ClipCard(video, playback, {
      duration: () => this.scrubber.duration,
      seek: (seconds) => this.seek(seconds),
      tell: (words) => this.#tell(words),
    });
    this.#bindButtons();
    this.#bindVideo();
    this.#bindPointer();
    new Menu(this.#audioButton, byId('audio-menu', HTMLDivElement), () => this.#audioItems());
    new Menu(this.#subtitleButton, byId('subtitle-menu', HTMLDivElement), () =>
      subtitleItems(playback, (words) => this.#tell(words)),
    );
    new Menu(this.#qualityButton, byId('quality-menu', HTMLDivElement), () => this.#qualityItems());
    new Menu(this.#speedButton, byId('speed-menu', HTMLDivElement), () => this.#speedItems());
    document.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Empties the controls for a new source. */
  reset() {
    Menu.current?.close();
    this.#help.close();
    this.#clip.reset();
    this.scrubber.setChapters([]);
    this.scrubber.setDuration(0);
    this.#audioButton.hidden = true;
    this.#subtitleButton.hidden = true;
    this.#qualityButton.hidden = true;
    this.#root.classList.remove('ended', 'waiting-for-click', 'sound');
    this.#video.playbackRate = 1;
    this.#mirrorTime();
    this.wake();
  }

  /** @param {SessionInfo} info */
  setInfo(info) {
    this.scrubber.setChapters(info.chapters ?? []);
    if (!Number.isFinite(this.#video.duration) && info.durationSeconds) this.scrubber.setDuration(info.durationSeconds);
    this.mirrorTracks();
    this.#mirrorTime();
  }

  /** The buttons are there when there is a choice. */
  mirrorTracks() {
    this.#subtitleButton.hidden = !hasSubtitles(this.#playback);
    const { qualities } = this.#playback;
    this.#audioButton.hidden = qualities.tracks.length < 2;
    this.#qualityButton.hidden = qualities.list.length < 2;
    const { current, chosen } = qualities;
    const label = current === undefined ? 'Auto' : qualityLabel(current);
    this.#qualityButton.textContent = /\d+p/.exec(label)?.[0] ?? label;
    setLabel(this.#qualityButton, `Quality: ${chosen === '' ? 'auto, now ' : ''}${label}`);
  }

  /** The browser wants a click first. */
  waitForClick() {
    this.#root.classList.add('waiting-for-click');
    this.#mirrorState();
  }

  /** Shows the bars, and hides them again once nothing happens while it plays. */
  wake() {
    clearTimeout(this.#idleTimer);
    this.#root.classList.remove('idle');
    this.#idleTimer = setTimeout(() => this.#sleep(), IDLE_MS);
  }

  #sleep() {
    const loading = this.#video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
    const open = Menu.current !== undefined || this.#panel.isOpen || this.#help.open || this.#clip.isOpen;
    const busy = loading || open;
    if (!this.#video.paused && !busy) this.#root.classList.add('idle');
  }

  #bindButtons() {
    const video = this.#video;
    this.#play.addEventListener('click', () => this.toggle());
    this.#bigPlay.addEventListener('click', () => this.toggle());
    byId('time', HTMLButtonElement).addEventListener('click', () => {
      this.#remaining = !this.#remaining;
      setLabel(byId('time', HTMLButtonElement), this.#remaining ? 'Show the duration' : 'Show the remaining time');
      this.#mirrorTime();
    });
    const full = byId('full', HTMLButtonElement);
    full.hidden = !canFullScreen(video);
    full.addEventListener('click', () => toggleFullScreen(this.#root, video));
    document.addEventListener('fullscreenchange', () => {
      const on = document.fullscreenElement === this.#root;
      setIcon(full, on ? 'unfull' : 'full');
      setLabel(full, on ? 'Leave full screen' : 'Full screen');
    });
    const pip = byId('pip', HTMLButtonElement);
    pip.hidden = !canPictureInPicture();
    pip.addEventListener('click', () => togglePictureInPicture(video));
    // After a click with the pointer the keys belong to the player again, not to the button.
    this.#root.addEventListener('click', (event) => {
      const button = event.target instanceof Element ? event.target.closest('.chrome button, .big-play') : null;
      if (event.detail > 0 && button instanceof HTMLElement && Menu.current === undefined) button.blur();
    });
  }

  #bindVideo() {
    const video = this.#video;
    for (const name of [
      'play',
      'pause',
      'playing',
      'waiting',
      'seeking',
      'seeked',
      'ended',
      'canplay',
      'emptied',
      'loadstart',
    ]) {
      video.addEventListener(name, () => this.#mirrorState());
    }
    video.addEventListener('playing', () => this.wake());
    for (const name of ['timeupdate', 'seeking', 'scrub']) video.addEventListener(name, () => this.#mirrorTime());
    video.addEventListener('durationchange', () => {
      if (Number.isFinite(video.duration)) this.scrubber.setDuration(video.duration);
      this.#mirrorTime();
    });
    video.addEventListener('ratechange', () => {
      this.#speedButton.textContent = `${video.playbackRate}×`;
      setLabel(this.#speedButton, `Speed: ${video.playbackRate}×`);
    });
    video.addEventListener('loadeddata', () => this.#root.classList.toggle('sound', video.videoWidth === 0));
    video.addEventListener('resize', () => this.#root.classList.toggle('sound', video.videoWidth === 0));
  }

  #bindPointer() {
    const stage = byId('stage', HTMLDivElement);
    this.#root.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'touch') this.wake();
    });
    this.#root.addEventListener('pointerdown', (event) => {
      const { target } = event;
      if (target instanceof Node && Menu.current?.contains(target) === false) Menu.current.close();
      if (target !== stage) this.wake();
    });
    this.#root.addEventListener('focusin', () => this.wake());
    stage.addEventListener('click', (event) => {
      if (event.pointerType === 'touch') this.#tap(event);
      else this.toggle();
    });
    stage.addEventListener('dblclick', (event) => {
      // The first click of the pair paused it, the second went on: nothing to undo.
      if (event instanceof PointerEvent && event.pointerType === 'touch') return;
      if (!matchMedia('(pointer: coarse)').matches) toggleFullScreen(this.#root, this.#video);
    });
  }

  /**
   * A tap shows or hides the bars; a second one at the side skips.
   * @param {PointerEvent} event
   */
  #tap(event) {
    const share = event.clientX / Math.max(1, this.#root.clientWidth);
    const side = share < 0.35 ? -1 : share > 0.65 ? 1 : 0;
    const again = event.timeStamp - this.#lastTap.time < 350 && side !== 0 && side === this.#lastTap.side;
    this.#lastTap = { time: event.timeStamp, side };
    if (again) this.skip(side * 10);
    else if (this.#root.classList.contains('idle') || this.#video.paused) this.wake();
    else this.#root.classList.add('idle');
  }

  toggle() {
    const video = this.#video;
    if (video.paused || video.ended) this.#playback.play();
    else video.pause();
    this.wake();
  }

  /** @param {number} seconds */
  skip(seconds) {
    this.seek(this.#video.currentTime + seconds);
    this.#say(`${seconds > 0 ? '+' : '−'}${Math.abs(seconds)} s`);
  }

  /** @param {number} seconds */
  seek(seconds) {
    const { duration } = this.scrubber;
    if (duration <= 0) return;
    // The very end would end it: stay a frame or two before.
    this.#video.currentTime = Math.min(Math.max(0, seconds), Math.max(0, duration - 0.1));
    this.wake();
  }

  /**
   * One word flashes; a sentence stays for as long as it takes to read.
   * @param {string} words
   */
  #tell(words) {
    if (words.includes('. ')) this.#playback.tell(words);
    else this.#say(words);
  }

  /** @param {string} words */
  #say(words) {
    clearTimeout(this.#flashTimer);
    this.#flash.textContent = words;
    this.#flash.classList.add('shown');
    this.#flashTimer = setTimeout(() => this.#flash.classList.remove('shown'), 700);
  }

  #mirrorState() {
    const video = this.#video;
    const { classList } = this.#root;
    if (!video.paused) classList.remove('waiting-for-click');
    classList.toggle('ended', video.ended);
    const starved = video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !video.ended;
    classList.toggle('busy', starved && (video.seeking || !video.paused) && !classList.contains('waiting-for-click'));
    const label = video.ended ? 'Play again' : video.paused ? 'Play' : 'Pause';
    for (const button of [this.#play, this.#bigPlay]) {
      setIcon(button, video.ended ? 'replay' : video.paused ? 'play' : 'pause');
      setLabel(button, label);
    }
    if (video.paused) this.wake();
    if ('mediaSession' in navigator) navigator.mediaSession.playbackState = video.paused ? 'paused' : 'playing';
  }

  #mirrorTime() {
    const { time, duration } = this.scrubber;
    this.#elapsed.textContent = clock(time);
    this.#total.textContent = this.#remaining ? `−${clock(Math.max(0, duration - time))}` : clock(duration);
    const chapter = this.scrubber.chapterAt(time);
    if (this.#chapter.textContent !== chapter) this.#chapter.textContent = chapter;
  }

  #qualityItems() {
    return qualityItems(this.#playback.qualities, (label) => {
      this.mirrorTracks();
      this.#say(`Quality: ${label}`);
    });
  }

  #audioItems() {
    const { qualities, info } = this.#playback;
    return audioItems(qualities, info, (label) => this.#say(`Audio: ${label}`));
  }

  #nextAudio() {
    const items = this.#audioItems();
    if (items.length > 1) items[(items.findIndex((item) => item.checked) + 1) % items.length]?.choose();
  }

  /** @returns {import('./menu.js').MenuItem[]} */
  #speedItems() {
    return SPEEDS.map((speed) => ({
      label: speed === 1 ? 'Normal' : `${speed}×`,
      checked: this.#video.playbackRate === speed,
      choose: () => this.#setSpeed(speed),
    }));
  }

  /** @param {number} speed */
  #setSpeed(speed) {
    this.#video.playbackRate = speed;
    this.#say(`${speed}×`);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { target } = event;
    const typing = target instanceof HTMLInputElement || this.#root.hidden || this.#help.open;
    if (typing || this.#root.classList.contains('failed')) return;
    // Before anything else, so that Tab finds the bars visible.
    this.wake();
    const scrolling =
      target instanceof Element && target.closest('.panel-body') !== null && /^(Arrow|Home|End| )/.test(event.key);
    if (scrolling || !handleKey(event, this.#actions)) return;
    event.preventDefault();
  }

  /** @type {import('./keys.js').KeyActions} */
  #actions = {
    toggle: () => this.toggle(),
    skip: (seconds) => this.skip(seconds),
    seek: (seconds) => this.seek(seconds),
    seekShare: (share) => this.seek(this.scrubber.duration * share),
    louder: (change) => this.#say(`Volume ${this.#volume.change(change)} %`),
    faster: (direction) => {
      const next = SPEEDS[SPEEDS.indexOf(this.#video.playbackRate) + direction];
      if (next !== undefined) this.#setSpeed(next);
    },
    mute: () => {
      this.#volume.toggle();
      this.wake();
    },
    full: () => toggleFullScreen(this.#root, this.#video),
    pictureInPicture: () => togglePictureInPicture(this.#video),
    nextAudio: () => this.#nextAudio(),
    subtitles: () => toggleSubtitles(this.#playback, (words) => this.#tell(words)),
    clip: () => this.#clip.toggle(),
    markClip: (which) => this.#clip.mark(which),
    panel: () => this.#panel.toggle(),
    help: () => this.#help.showModal(),
    escape: () => {
      const open = this.#clip.isOpen ? this.#clip : this.#panel;
      const wasOpen = open.isOpen;
      open.close();
      return wasOpen;
    },
  };
}
