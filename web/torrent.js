import { byId, make } from './dom.js';
import { size } from './format.js';

/**
 * @typedef {import('./api.js').SessionInfo} SessionInfo
 * @typedef {import('./api.js').TorrentInfo} TorrentInfo
 */

/** Failures that go when their cause does: the page waits on. */
const PASSING = new Set([
  'torrent-no-metadata',
  'torrent-not-ready',
  'torrent-disk-full',
  'torrent-failed',
  'segment-timeout',
]);

/** @param {string} source */
export function isTorrent(source) {
  return /^magnet:|^(?:[0-9a-f]{40}|[a-z2-7]{32})$|^[^?#]*\.torrent(?:[?#]|$)/i.test(source.trim());
}

/** @param {string | undefined} code */
export function mayPass(code) {
  return code !== undefined && PASSING.has(code);
}

/** How a torrent gets on, over the picture while there is none, and in the panel. */
export class TorrentCard {
  #root = byId('torrent', HTMLElement);
  #message = byId('torrent-message', HTMLParagraphElement);
  #facts = byId('torrent-facts', HTMLParagraphElement);
  #bar;
  #files;
  #video;

  /**
   * @param {HTMLVideoElement} video
   * @param {(fileIdx: number) => void} choose
   */
  constructor(video, choose) {
    this.#video = video;
    this.#bar = new PieceBar(byId('torrent-bar', HTMLDivElement));
    this.#files = new FileChoice(byId('torrent-files', HTMLDivElement), choose);
  }

  /** @param {SessionInfo | undefined} info */
  update(info) {
    const torrent = info?.torrent;
    // Beginning with the link, nothing is known of it yet.
    this.#root.hidden = info !== undefined && !info.isTorrent;
    this.#message.textContent = torrent?.message ?? 'Opening the torrent.';
    this.#facts.textContent = info && torrent ? factsLine(info, torrent).join(' · ') : '';
    this.#bar.draw(info, this.#video);
    this.#files.draw(torrent);
  }

  hide() {
    this.#root.hidden = true;
  }
}

/** The same for the panel: what stays in sight while it plays. */
export class TorrentFacts {
  #root = make('div', 'torrent-section');
  #list = make('div');
  #bar;
  #files;
  #video;

  /**
   * @param {HTMLVideoElement} video
   * @param {(fileIdx: number) => void} choose
   */
  constructor(video, choose) {
    this.#video = video;
    const bar = make('div', 'pieces');
    const files = make('div');
    this.#bar = new PieceBar(bar);
    this.#files = new FileChoice(files, choose);
    this.#root.append(make('h3', undefined, 'Torrent'), bar, this.#list, files);
  }

  /**
   * @param {SessionInfo | undefined} info
   * @returns {HTMLElement | undefined}
   */
  draw(info) {
    const torrent = info?.torrent;
    if (info === undefined || torrent === undefined) return undefined;
    this.#bar.draw(info, this.#video);
    this.#files.draw(torrent);
    const asked = torrent.sources.map(({ label, state, reason }) =>
      state === 'failed' ? `${label} ${reason ?? 'failed'}` : label,
    );
    const rows = /** @type {[string, string][]} */ ([
      ['State', torrent.message],
      ['Peers', `${info.peers} connected, ${torrent.seeds} with all of it; ${torrent.knownPeers} known`],
      ['Speed', `${speed(info.downloadBytesPerSecond)} down, ${speed(torrent.uploadBytesPerSecond)} up`],
      ['At hand', `${info.progress} %`],
      ['Needs', torrent.playsAtBytesPerSecond === undefined ? '' : speed(torrent.playsAtBytesPerSecond)],
      ['Keeps up', torrent.keepsUp === undefined ? '' : torrent.keepsUp ? 'yes' : 'no, it will pause'],
      ['Asked', asked.join('; ')],
    ]);
    const list = make('dl', 'facts');
    for (const [name, value] of rows) {
      if (value === '') continue;
      const row = make('div');
      row.append(make('dt', undefined, name), make('dd', undefined, value));
      list.append(row);
    }
    this.#list.replaceChildren(list);
    return this.#root;
  }
}

/** Which parts of the file are at hand, and where it is being played. */
class PieceBar {
  #root;
  #canvas = make('canvas');
  #head = make('i');

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    root.setAttribute('role', 'img');
    root.append(this.#canvas, this.#head);
  }

  /**
   * @param {SessionInfo | undefined} info
   * @param {HTMLVideoElement} video
   */
  draw(info, video) {
    const sketch = info?.torrent?.sketch ?? '';
    this.#root.setAttribute('aria-label', `${info?.progress ?? 0} % of the file are here`);
    const canvas = this.#canvas;
    canvas.width = Math.max(1, sketch.length);
    canvas.height = 1;
    const context = canvas.getContext('2d');
    if (context === null) return;
    context.fillStyle = getComputedStyle(this.#root).color;
    for (const [n, digit] of [...sketch].entries()) {
      context.globalAlpha = Number(digit) / 9;
      context.fillRect(n, 0, 1, 1);
    }
    // Bytes are near enough to seconds for a bar.
    const at = video.duration > 0 ? Math.min(1, video.currentTime / video.duration) : 0;
    this.#head.style.setProperty('--at', `${(at * 100).toFixed(2)}%`);
  }
}

/** Which of several files is played. */
class FileChoice {
  #root;
  #select = make('select', 'file-choice');
  #listed = '';

  /**
   * @param {HTMLElement} root
   * @param {(fileIdx: number) => void} choose
   */
  constructor(root, choose) {
    this.#root = root;
    this.#select.setAttribute('aria-label', 'File of the torrent');
    this.#select.addEventListener('change', () => choose(Number(this.#select.value)));
    root.append(this.#select);
    root.hidden = true;
  }

  /** @param {TorrentInfo | undefined} torrent */
  draw(torrent) {
    const files = (torrent?.files ?? []).filter(({ kind }) => kind !== 'other');
    this.#root.hidden = files.length < 2;
    const listed = JSON.stringify([files, torrent?.fileIdx]);
    // Never under somebody's hands.
    if (listed === this.#listed || document.activeElement === this.#select) return;
    this.#listed = listed;
    this.#select.replaceChildren(
      ...files.map((file) => {
        const option = make('option', undefined, `${file.name} (${size(file.size)})`);
        option.value = String(file.index);
        option.selected = file.index === torrent?.fileIdx;
        return option;
      }),
    );
  }
}

/**
 * @param {SessionInfo} info
 * @param {TorrentInfo} torrent
 */
function factsLine(info, torrent) {
  const { startsInSeconds, keepsUp, seeds } = torrent;
  return [
    `${info.peers === 1 ? '1 peer' : `${info.peers} peers`}${seeds > 0 ? `, ${seeds} with all` : ''}`,
    speed(info.downloadBytesPerSecond),
    torrent.piecesTotal > 0 ? `${info.progress} %` : '',
    startsInSeconds ? `starts in about ${Math.max(1, Math.round(startsInSeconds))} s` : '',
    keepsUp === false ? 'slower than it plays: it will pause' : '',
  ].filter((fact) => fact !== '');
}

/** @param {number} bytesPerSecond */
function speed(bytesPerSecond) {
  return `${size(bytesPerSecond)}/s`;
}
