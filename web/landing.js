import { sourceOfTorrent } from './api.js';
import { byId, icon, make, setLabel } from './dom.js';
import { clock, sourceName } from './format.js';
import { forget, recents, resumePoint } from './recent.js';

/** The start page: one input, what was played lately, and a place to drop a link. */
export class Landing {
  #root = byId('landing', HTMLElement);
  #input = byId('source', HTMLInputElement);
  #message = byId('open-message', HTMLParagraphElement);
  #recent = byId('recent', HTMLElement);
  #list = byId('recent-list', HTMLUListElement);
  #drop = byId('drop', HTMLDivElement);
  #play;

  /** @param {(source: string, at: number) => void} play */
  constructor(play) {
    this.#play = play;
    if (matchMedia('(max-width: 480px)').matches) this.#input.placeholder = 'Paste a link or a file path';
    byId('open-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit(this.#input.value);
    });
    this.#input.addEventListener('input', () => this.#say(''));
    document.addEventListener('dragover', (event) => this.#over(event));
    document.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) this.#drop.hidden = true;
    });
    document.addEventListener('drop', (event) => this.#dropped(event));
  }

  /** @param {string} [source] what stands in the input, selected */
  show(source) {
    this.#root.hidden = false;
    if (source !== undefined) this.#input.value = source;
    this.#say('');
    this.#draw();
    this.#input.focus({ preventScroll: true });
    this.#input.select();
  }

  hide() {
    this.#root.hidden = true;
  }

  /** @param {string} text */
  #submit(text) {
    // Windows' "Copy as path" and shells put quotes around a path.
    const source = text.trim().replace(/^(["'])(.*)\1$/, '$2');
    if (source === '') {
      this.#say('Paste the link or the path of a video first.');
      this.#input.focus();
      return;
    }
    this.#play(source, 0);
  }

  /** @param {File} file */
  async #upload(file) {
    this.#say(`Opening ${file.name}…`);
    try {
      this.#play(await sourceOfTorrent(file), 0);
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} message */
  #say(message) {
    this.#message.textContent = message;
    this.#message.hidden = message === '';
  }

  #draw() {
    const entries = recents();
    this.#recent.hidden = entries.length === 0;
    this.#list.replaceChildren(
      ...entries.map((entry) => {
        const { name, place } = sourceName(entry.source);
        const at = resumePoint(entry);
        const open = make('button', 'recent-open');
        open.type = 'button';
        open.title = entry.source;
        open.append(make('span', 'recent-name', name), make('span', 'recent-place', place || entry.source));
        if (at > 0) open.append(make('span', 'recent-time', `Resume at ${clock(at)}`));
        else if (entry.duration > 0) open.append(make('span', 'recent-time', clock(entry.duration)));
        open.addEventListener('click', () => this.#play(entry.source, at));
        const remove = make('button', 'recent-forget');
        remove.type = 'button';
        setLabel(remove, `Forget ${name}`);
        remove.append(icon('close'));
        remove.addEventListener('click', () => {
          forget(entry.source);
          this.#draw();
          this.#input.focus();
        });
        const row = make('li');
        row.append(open, remove);
        return row;
      }),
    );
  }

  /** @param {DragEvent} event */
  #over(event) {
    event.preventDefault();
    if (!this.#root.hidden) this.#drop.hidden = false;
  }

  /** @param {DragEvent} event */
  #dropped(event) {
    event.preventDefault();
    this.#drop.hidden = true;
    if (this.#root.hidden || event.dataTransfer === null) return;
    const list = event.dataTransfer.getData('text/uri-list').split(/\r?\n/);
    const text = list.find((line) => line !== '' && !line.startsWith('#')) ?? event.dataTransfer.getData('text/plain');
    const name = event.dataTransfer.files[0]?.name;
    const torrent = [...event.dataTransfer.files].find((file) => /\.torrent$/i.test(file.name));
    if (torrent !== undefined) void this.#upload(torrent);
    else if (text.trim() !== '') this.#submit(text);
    else if (name !== undefined) this.#say(`A browser does not tell where “${name}” lies. Paste its path instead.`);
  }
}
