import { getExplanation } from './api.js';
import { make } from './dom.js';
import { listen } from './events.js';
import { milliseconds } from './format.js';

/**
 * @typedef {import('./api.js').Explanation} Explanation
 * @typedef {import('./playback.js').Playback} Playback
 */

/** It is not asked for more often, milliseconds. */
const PACE = 1000;

/** @type {Record<string, string>} */
const STEPS = {
  source: 'Source answers',
  probe: 'What is in it',
  index: 'Key frames',
  prepare: 'Plan',
  player: 'Player asks',
  'first-byte': 'First segment',
};

/** @type {Record<string, string>} */
const TONES = {
  opening: 'waits',
  failed: 'bad',
  copied: 'good',
  'audio-transcoded': 'works',
  'video-transcoded': 'works',
  transcoded: 'works',
};

/** What the server says of why it plays as it does. Asked for while somebody looks, when something has changed. */
export class Doctor {
  /** What it comes to. */
  top = make('section', 'doctor');
  /** How it came to that. */
  work = make('section', 'doctor');
  #playback;
  #explained = /** @type {Explanation | undefined} */ (undefined);
  #drawn = '';
  #asked = 0;
  #segments = 0;
  #timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  #looking = new AbortController();
  #stop = /** @type {(() => void) | undefined} */ (undefined);

  /** @param {Playback} playback */
  constructor(playback) {
    this.#playback = playback;
    this.top.setAttribute('aria-live', 'polite');
  }

  open() {
    this.#looking = new AbortController();
    this.#asked = 0;
    this.#stop = listen((_name, data) => {
      const id = this.#playback.session?.id;
      const sessions = Array.isArray(data.sessions) ? data.sessions : [data.id, data.sessionId];
      if (id !== undefined && (sessions.includes(id) || data.infoHash !== undefined)) this.#ask();
    });
    this.#ask();
  }

  close() {
    this.#looking.abort();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Called now and then while somebody looks: it asks again when there must be something new. */
  tick() {
    const { metrics, session } = this.#playback;
    const told = this.#explained;
    const moving = told?.runs.some(({ state }) => state === 'working') || told?.startup.isOver === false;
    if (told?.id === session?.id && metrics.segments === this.#segments && !moving) return;
    this.#segments = metrics.segments;
    this.#ask();
  }

  /** At once, or when it is time again. */
  #ask() {
    if (this.#timer !== undefined) return;
    const wait = Math.max(0, this.#asked + PACE - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#asked = performance.now();
      void this.#fetch();
    }, wait);
  }

  async #fetch() {
    const { session } = this.#playback;
    if (session === undefined) return;
    const { signal } = this.#looking;
    const told = await getExplanation(session.id, signal).catch(() => undefined);
    if (signal.aborted || this.#playback.session?.id !== session.id) return;
    this.#explained = told;
    this.#draw(told);
  }

  /** @param {Explanation | undefined} told */
  #draw(told) {
    const text = JSON.stringify(told ?? null);
    // What nobody would see is not put under the hands of somebody who selects text.
    if (text === this.#drawn) return;
    this.#drawn = text;
    this.top.replaceChildren(...(told ? verdict(told) : []));
    this.work.replaceChildren(...(told ? [...steps(told), ...runs(told), ...errors(told)] : []));
  }
}

/** @param {Explanation} told */
function verdict({ verdict: word, headline, findings }) {
  const card = make('div', `verdict ${TONES[word] ?? 'waits'}`);
  card.append(make('i'), make('p', undefined, headline));
  const list = make('ul', 'findings');
  list.append(...findings.map(({ level, text }) => make('li', level, text)));
  return findings.length > 0 ? [card, list] : [card];
}

/**
 * Where the time went, as a bar and as a list.
 * @param {Explanation} told
 */
function steps({ startup }) {
  const shown = startup.steps.filter(({ ms, isOver }) => ms > 0 || !isOver);
  const bar = make('div', 'steps');
  bar.setAttribute('role', 'img');
  bar.setAttribute('aria-label', startup.text);
  const list = make('dl', 'facts');
  for (const { step, ms, isOver } of shown) {
    const part = make('i', `step step-${step}${isOver ? '' : ' pending'}`);
    part.style.setProperty('--share', String(Math.max(1, ms)));
    bar.append(part);
    const row = make('div');
    const name = make('dt', undefined, STEPS[step] ?? step);
    name.prepend(make('i', `step step-${step}`));
    row.append(name, make('dd', undefined, isOver ? milliseconds(ms) : `${milliseconds(ms)} so far`));
    list.append(row);
  }
  const title = startup.isOver
    ? `First segment after ${milliseconds(startup.totalMs)}`
    : 'On the way to the first segment';
  return [make('h3', undefined, title), bar, list];
}

/** @param {Explanation} told */
function runs({ runs: all, cache, source }) {
  const title = all.length > 0 ? 'Transcoders' : 'Segments';
  const rows = all.slice(0, 6).map((run) => {
    const row = make('div', `run ${run.state}${run.reason === 'failed' ? ' broken' : ''}`);
    const head = make('p', 'run-head');
    const pace = run.speed === undefined || run.state === 'ended' ? '' : `${run.speed.toFixed(1)}×`;
    head.append(make('b', undefined, run.rendition), make('span', 'pill', runState(run)), make('span', 'pace', pace));
    const bar = make('div', 'run-bar');
    const duration = source.durationSeconds ?? 0;
    if (duration > 0) {
      bar.style.setProperty('--to', `${Math.min(100, (run.position / duration) * 100).toFixed(2)}%`);
      bar.append(make('i'));
    }
    row.append(head, bar, make('p', 'run-words', run.text));
    return row;
  });
  return [make('h3', undefined, title), ...rows, make('p', 'words', cache.text)];
}

/** @param {Explanation['runs'][number]} run */
function runState({ state, reason }) {
  return state === 'ended' ? (reason ?? 'ended') : state;
}

/** @param {Explanation} told */
function errors({ errors: all }) {
  if (all.length === 0) return [];
  const list = make('ul', 'troubles');
  for (const { what, detail, count, at, ffmpeg } of all.slice(0, 8)) {
    const item = make('li');
    const often = count > 1 ? `, ${count} times` : '';
    const time = new Date(at).toLocaleTimeString();
    item.append(make('b', undefined, `${what.charAt(0).toUpperCase()}${what.slice(1)}${often}, ${time}`));
    item.append(make('p', undefined, detail));
    if (ffmpeg !== undefined) item.append(make('pre', undefined, ffmpeg));
    list.append(item);
  }
  return [make('h3', undefined, 'What went wrong'), list];
}
