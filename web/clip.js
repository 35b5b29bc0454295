import { ApiError, deleteClip, startClip } from './api.js';
import { byId, setLabel } from './dom.js';
import { listen } from './events.js';
import { clock } from './format.js';

/**
 * @typedef {import('./api.js').Clip} Clip
 * @typedef {import('./playback.js').Playback} Playback
 *
 * @typedef {object} Player What the card needs of the player.
 * @property {() => number} duration seconds; 0 while it is not known
 * @property {(seconds: number) => void} seek
 * @property {(words: string) => void} tell a line over the picture
 */

/** Seconds that a new clip is long, until somebody says otherwise. */
const USUAL = 30;
/** No clip is shorter, seconds. */
const SHORTEST = 0.1;

/**
 * Cuts a clip: its start and end at the playhead, its name, how the server gets on, where it is.
 *
 * Invariant: `#job` is the clip that was asked for last, and `#stop` ends the listening to events: it is there while the card is open or that clip is not done.
 */
export class ClipCard {
  #root = byId('clip', HTMLFormElement);
  #button = byId('clip-button', HTMLButtonElement);
  #name = byId('clip-name', HTMLInputElement);
  #go = byId('clip-go', HTMLButtonElement);
  #cancel = byId('clip-cancel', HTMLButtonElement);
  #message = byId('clip-message', HTMLParagraphElement);
  #bar = byId('clip-bar', HTMLDivElement);
  #result = byId('clip-result', HTMLDivElement);
  #play = byId('clip-play', HTMLAnchorElement);
  #copy = byId('clip-copy', HTMLButtonElement);
  #range = byId('clip-range', HTMLDivElement);
  #video;
  #playback;
  #player;
  #marks = /** @type {{ start: number, end: number } | undefined} */ (undefined);
  #job = /** @type {Clip | undefined} */ (undefined);
  #asking = false;
  /** Why the server would not. */
  #refusal = '';
  /** What was told of clips before the answer told which one is this. */
  #early = /** @type {Map<string, Clip>} */ (new Map());
  #stop = /** @type {(() => void) | undefined} */ (undefined);

  /**
   * @param {HTMLVideoElement} video
   * @param {Playback} playback
   * @param {Player} player
   */
  constructor(video, playback, player) {
    this.#video = video;
    this.#playback = playback;
    this.#player = player;
    this.#button.addEventListener('click', () => this.toggle());
    byId('clip-close', HTMLButtonElement).addEventListener('click', () => this.close());
    byId('clip-in', HTMLButtonElement).addEventListener('click', () => this.mark('start'));
    byId('clip-out', HTMLButtonElement).addEventListener('click', () => this.mark('end'));
    byId('clip-start', HTMLButtonElement).addEventListener('click', () => player.seek(this.#marks?.start ?? 0));
    byId('clip-end', HTMLButtonElement).addEventListener('click', () => player.seek(this.#marks?.end ?? 0));
    this.#cancel.addEventListener('click', () => void this.cancel());
    this.#copy.hidden = navigator.clipboard === undefined;
    this.#copy.addEventListener('click', () => void this.#copyPath());
    this.#root.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#make();
    });
    this.#root.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.close();
    });
    video.addEventListener('durationchange', () => this.#drawMarks());
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    if (this.isOpen || this.#player.duration() <= 0) return;
    this.#root.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.#marks ??= this.#usual(this.#video.currentTime);
    this.#listen();
    this.#draw();
    byId('clip-in', HTMLButtonElement).focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    const focused = this.#root.contains(document.activeElement);
    this.#root.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    this.#drawMarks();
    if (!isUnderWay(this.#job)) this.#unlisten();
    if (focused) this.#button.focus();
  }

  /** Nothing of what was is wanted any more: another source. */
  reset() {
    this.close();
    this.#marks = undefined;
    this.#job = undefined;
    this.#refusal = '';
    this.#name.value = '';
    this.#unlisten();
    this.#drawMarks();
  }

  /**
   * Puts the start or the end where the playhead is.
   * @param {'start' | 'end'} which
   */
  mark(which) {
    const duration = this.#player.duration();
    if (duration <= 0) return;
    const at = Math.min(this.#video.currentTime, duration);
    const { start, end } = this.#marks ?? this.#usual(at);
    if (which === 'start') this.#marks = at < end - SHORTEST ? { start: at, end } : this.#usual(at);
    else this.#marks = { start: at > start + SHORTEST ? start : Math.max(0, at - USUAL), end: Math.max(at, SHORTEST) };
    // What was made is another clip than the one that is being marked.
    if (!isUnderWay(this.#job)) this.#job = undefined;
    this.#refusal = '';
    if (this.isOpen) this.#draw();
    else this.open();
    this.#player.tell(`Clip ${which === 'start' ? 'from' : 'to'} ${exact(at)}`);
  }

  async cancel() {
    const job = this.#job;
    if (job === undefined || !isUnderWay(job)) return;
    try {
      await deleteClip(job.id);
      this.#take({ ...job, state: 'cancelled' });
    } catch (error) {
      this.#fail(error);
    }
  }

  async #make() {
    const { session } = this.#playback;
    const marks = this.#marks;
    if (session === undefined || marks === undefined || this.#asking || isUnderWay(this.#job)) return;
    this.#asking = true;
    this.#early.clear();
    this.#refusal = '';
    this.#job = undefined;
    this.#draw();
    try {
      const job = await startClip(session.id, { ...marks, name: this.#name.value.trim() });
      this.#take(this.#early.get(job.id) ?? job);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#asking = false;
      this.#draw();
    }
  }

  #listen() {
    this.#stop ??= listen((name, data) => {
      if (name !== 'clip') return;
      const clip = /** @type {Clip} */ (/** @type {unknown} */ (data));
      if (this.#asking) this.#early.set(clip.id, clip);
      if (clip.id === this.#job?.id) this.#take(clip);
    });
  }

  #unlisten() {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** @param {Clip} clip */
  #take(clip) {
    // One that has ended does not go on.
    if (this.#job?.id === clip.id && !isUnderWay(this.#job) && isUnderWay(clip)) return;
    const ended = !isUnderWay(clip) && (this.#job === undefined || isUnderWay(this.#job));
    this.#job = clip;
    this.#draw();
    if (!ended || this.isOpen) return;
    this.#unlisten();
    if (clip.state === 'done') this.#player.tell(`The clip is done: ${fileName(clip)}`);
    if (clip.state === 'failed') this.#player.tell(`The clip failed. ${clip.error ?? ''}`);
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#job = undefined;
    this.#refusal = error instanceof ApiError ? error.message : String(error);
    this.#draw();
  }

  #draw() {
    this.#drawMarks();
    const job = this.#job;
    const busy = this.#asking || isUnderWay(job);
    const share = Math.round((job?.progress ?? 0) * 100);
    this.#root.classList.toggle('failed', job?.state === 'failed' || this.#refusal !== '');
    this.#go.hidden = busy;
    this.#cancel.hidden = !isUnderWay(job);
    this.#bar.hidden = !busy;
    this.#bar.setAttribute('aria-valuenow', String(share));
    this.#bar.style.setProperty('--share', `${share}%`);
    this.#name.disabled = busy;
    this.#result.hidden = job?.state !== 'done';
    this.#message.textContent = this.#refusal || messageOf(job, this.#asking, share);
    const path = job?.outputPath ?? '';
    byId('clip-path', HTMLElement).textContent = path;
    this.#play.href = `/#source=${encodeURIComponent(path)}`;
  }

  #drawMarks() {
    const duration = this.#player.duration();
    const marks = this.#marks;
    this.#range.hidden = marks === undefined || !this.isOpen || duration <= 0;
    if (marks === undefined) return;
    const { start, end } = marks;
    this.#range.style.setProperty('--from', `${((start / duration) * 100).toFixed(3)}%`);
    this.#range.style.setProperty('--width', `${(((end - start) / duration) * 100).toFixed(3)}%`);
    for (const [id, at, word] of /** @type {[string, number, string][]} */ ([
      ['clip-start', start, 'start'],
      ['clip-end', end, 'end'],
    ])) {
      const button = byId(id, HTMLButtonElement);
      button.textContent = exact(at);
      setLabel(button, `Go to the ${word}, ${exact(at)}`);
    }
    byId('clip-length', HTMLSpanElement).textContent = `${(end - start).toFixed(1)} s`;
  }

  /** @param {number} start */
  #usual(start) {
    const duration = this.#player.duration();
    const from = Math.max(0, Math.min(start, duration - SHORTEST));
    return { start: from, end: Math.min(duration, from + USUAL) };
  }

  async #copyPath() {
    await navigator.clipboard.writeText(this.#job?.outputPath ?? '').then(
      () => this.#player.tell('The path is copied'),
      () => this.#player.tell('This browser does not let the path be copied'),
    );
  }
}

/**
 * @param {Clip | undefined} clip
 */
function isUnderWay(clip) {
  return clip?.state === 'queued' || clip?.state === 'running';
}

/**
 * @param {Clip | undefined} job
 * @param {boolean} asking
 * @param {number} share percent
 */
function messageOf(job, asking, share) {
  if (asking && job === undefined) return 'The server is asked…';
  switch (job?.state) {
    case 'queued':
      return 'Waits for other clips to be done.';
    case 'running':
      return `Being cut: ${share} %`;
    case 'failed':
      return job.error ?? 'The clip failed.';
    case 'cancelled':
      return 'Cancelled. Nothing is left of it.';
    case 'done':
      return job.method === 'encoded'
        ? 'Saved; all of it was re-encoded.'
        : 'Saved; whole groups of pictures are exact copies.';
    default:
      return '';
  }
}

/** @param {Clip} clip */
function fileName({ outputPath = '' }) {
  return outputPath.split(/[/\\]/).at(-1) ?? '';
}

/**
 * `1:02.3`: to a tenth of a second.
 * @param {number} seconds
 */
function exact(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${clock(Math.floor(tenths / 10))}.${tenths % 10}`;
}
