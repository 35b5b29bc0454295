import { byId, make } from './dom.js';
import { clock, spokenTime } from './format.js';

/** @typedef {import('./api.js').Chapter} Chapter */

/**
 * The scrub bar. While it is dragged, `#dragged` is the time under the pointer and the picture follows only where it is
 * buffered; letting go seeks there.
 */
export class Scrubber {
  #video;
  #bar = byId('scrub', HTMLDivElement);
  #buffered = byId('buffered', HTMLDivElement);
  #ticks = byId('ticks', HTMLDivElement);
  #tooltip = byId('tooltip', HTMLDivElement);
  #chapters = /** @type {Chapter[]} */ ([]);
  #duration = 0;
  #dragged = /** @type {number | undefined} */ (undefined);

  /**
   * @param {HTMLVideoElement} video
   * @param {() => void} activity called while the pointer is at work here
   */
  constructor(video, activity) {
    this.#video = video;
    const bar = this.#bar;
    bar.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || this.#duration <= 0) return;
      bar.setPointerCapture(event.pointerId);
      bar.classList.add('dragging');
      this.#drag(event);
    });
    bar.addEventListener('pointermove', (event) => {
      activity();
      if (this.#dragged !== undefined) this.#drag(event);
      else if (event.pointerType !== 'touch') this.#hover(event);
    });
    bar.addEventListener('pointerup', () => this.#drop(true));
    bar.addEventListener('pointercancel', () => this.#drop(false));
    bar.addEventListener('pointerleave', () => bar.classList.remove('hovered'));
    for (const name of ['timeupdate', 'seeking', 'seeked']) video.addEventListener(name, () => this.update());
    for (const name of ['progress', 'durationchange', 'emptied'])
      video.addEventListener(name, () => this.#drawBuffered());
  }

  /** Seconds; the server's duration until the player knows its own. */
  get duration() {
    return this.#duration;
  }

  get time() {
    return this.#dragged ?? this.#video.currentTime;
  }

  /** @param {number} seconds */
  setDuration(seconds) {
    if (seconds === this.#duration) return;
    this.#duration = seconds;
    this.#bar.setAttribute('aria-valuemax', String(Math.floor(seconds)));
    this.#drawTicks();
    this.#drawBuffered();
    this.update();
  }

  /** @param {Chapter[]} chapters */
  setChapters(chapters) {
    this.#chapters = chapters;
    this.#drawTicks();
  }

  /**
   * The chapter that contains a time.
   * @param {number} seconds
   */
  chapterAt(seconds) {
    return this.#chapters.findLast((chapter) => chapter.startTime <= seconds + 0.01)?.title ?? '';
  }

  update() {
    const { time } = this;
    this.#bar.style.setProperty('--at', this.#percent(time));
    this.#bar.setAttribute('aria-valuenow', String(Math.floor(time)));
    const chapter = this.chapterAt(time);
    const said = `${spokenTime(time)} of ${spokenTime(this.#duration)}`;
    this.#bar.setAttribute('aria-valuetext', chapter === '' ? said : `${said}, ${chapter}`);
  }

  /** @param {PointerEvent} event */
  #timeAt(event) {
    const { left, width } = this.#bar.getBoundingClientRect();
    const share = width > 0 ? (event.clientX - left) / width : 0;
    return Math.min(1, Math.max(0, share)) * this.#duration;
  }

  /** @param {PointerEvent} event */
  #hover(event) {
    if (this.#duration <= 0) return;
    const time = this.#timeAt(event);
    this.#bar.classList.add('hovered');
    this.#bar.style.setProperty('--hover', this.#percent(time));
    const [at, chapter] = [this.#tooltip.querySelector('b'), this.#tooltip.querySelector('span')];
    if (at !== null) at.textContent = clock(time);
    if (chapter !== null) chapter.textContent = this.chapterAt(time);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const time = this.#timeAt(event);
    this.#dragged = time;
    this.#hover(event);
    if (!this.#video.seeking && this.#isBuffered(time)) this.#video.currentTime = time;
    this.update();
    this.#video.dispatchEvent(new Event('scrub'));
  }

  /** @param {boolean} seek */
  #drop(seek) {
    const time = this.#dragged;
    this.#dragged = undefined;
    this.#bar.classList.remove('dragging', 'hovered');
    if (seek && time !== undefined) this.#video.currentTime = time;
    this.update();
  }

  /** @param {number} time */
  #isBuffered(time) {
    const { buffered } = this.#video;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= time && time < buffered.end(i)) return true;
    }
    return false;
  }

  /** @param {number} seconds */
  #percent(seconds) {
    const share = this.#duration > 0 ? Math.min(1, Math.max(0, seconds / this.#duration)) : 0;
    return `${(share * 100).toFixed(3)}%`;
  }

  #drawBuffered() {
    const { buffered } = this.#video;
    while (this.#buffered.children.length > buffered.length) this.#buffered.lastElementChild?.remove();
    for (let i = 0; i < buffered.length; i += 1) {
      const piece = this.#buffered.children[i] ?? this.#buffered.appendChild(make('i'));
      if (piece instanceof HTMLElement) this.#place(piece, buffered.start(i), buffered.end(i));
    }
  }

  #drawTicks() {
    const starts = this.#chapters
      .map((chapter) => chapter.startTime)
      .filter((time) => time > 0.5 && time < this.#duration);
    this.#ticks.replaceChildren(
      ...starts.map((time) => {
        const tick = make('i');
        this.#place(tick, time, time);
        return tick;
      }),
    );
  }

  /**
   * @param {HTMLElement} piece
   * @param {number} from
   * @param {number} to
   */
  #place(piece, from, to) {
    piece.style.setProperty('--from', this.#percent(from));
    piece.style.setProperty('--width', this.#percent(to - from));
  }
}
