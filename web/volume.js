import { byId, setIcon, setLabel } from './dom.js';

const KEY = 'raffi.volume';

/** The volume of one video element: its button, its slider, and what is remembered of it. */
export class Volume {
  #mute = byId('mute', HTMLButtonElement);
  #range = byId('volume', HTMLInputElement);
  #video;

  /**
   * @param {HTMLVideoElement} video
   * @param {() => void} changed called when the person has changed it by the button
   */
  constructor(video, changed) {
    this.#video = video;
    this.#restore();
    this.#mute.addEventListener('click', () => {
      this.toggle();
      changed();
    });
    this.#range.addEventListener('input', () => this.set(Number(this.#range.value) / 100));
    video.addEventListener('volumechange', () => this.#mirror());
  }

  /** Mutes, or gives the sound back. */
  toggle() {
    const video = this.#video;
    if (video.muted || video.volume === 0) {
      video.muted = false;
      if (video.volume === 0) video.volume = 0.5;
    } else {
      video.muted = true;
    }
  }

  /** @param {number} volume from 0 to 1 */
  set(volume) {
    this.#video.muted = false;
    this.#video.volume = Math.min(1, Math.max(0, volume));
  }

  /**
   * @param {number} change
   * @returns {number} what it is now, 0 to 100
   */
  change(change) {
    this.set((this.#video.muted ? 0 : this.#video.volume) + change);
    return Math.round(this.#video.volume * 100);
  }

  #restore() {
    try {
      const stored = Number(localStorage.getItem(KEY) ?? '1');
      this.#video.volume = stored >= 0 && stored <= 1 ? stored : 1;
    } catch {
      // no storage: full volume
    }
    this.#mirror();
  }

  #mirror() {
    const { muted, volume } = this.#video;
    const level = muted ? 0 : Math.round(volume * 100);
    this.#range.value = String(level);
    this.#range.style.setProperty('--level', `${level}%`);
    this.#range.setAttribute('aria-valuetext', `${level} %`);
    setIcon(this.#mute, level === 0 ? 'muted' : level < 50 ? 'quiet' : 'volume');
    setLabel(this.#mute, level === 0 ? 'Unmute' : 'Mute');
    try {
      localStorage.setItem(KEY, String(volume));
    } catch {
      // no storage
    }
  }
}
