import { icon, make } from './dom.js';

/**
 * @typedef {{ label: string, note?: string | undefined, checked: boolean, choose: () => void }} MenuItem
 */

/** A button that opens a menu of choices, one of which is checked. Only one menu is open at a time. */
export class Menu {
  static #open = /** @type {Menu | undefined} */ (undefined);
  #button;
  #list;
  #items;

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} list
   * @param {() => MenuItem[]} items asked for whenever it opens
   */
  constructor(button, list, items) {
    this.#button = button;
    this.#list = list;
    this.#items = items;
    button.addEventListener('click', () => (this.isOpen ? this.close() : this.open()));
    list.addEventListener('keydown', (event) => this.#key(event));
  }

  static get current() {
    return Menu.#open;
  }

  get isOpen() {
    return Menu.#open === this;
  }

  /** @param {Node} node */
  contains(node) {
    return this.#list.contains(node) || this.#button.contains(node);
  }

  open() {
    Menu.#open?.close();
    Menu.#open = this;
    this.#list.replaceChildren(...this.#items().map((item) => this.#entry(item)));
    this.#list.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.#entries()
      .find((entry) => entry.getAttribute('aria-checked') === 'true')
      ?.focus();
  }

  close() {
    if (!this.isOpen) return;
    Menu.#open = undefined;
    const focused = this.#list.contains(document.activeElement);
    this.#list.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    if (focused) this.#button.focus();
  }

  /** @param {MenuItem} item */
  #entry(item) {
    const entry = make('button');
    entry.type = 'button';
    entry.setAttribute('role', 'menuitemradio');
    entry.setAttribute('aria-checked', String(item.checked));
    entry.tabIndex = -1;
    entry.append(icon('check'), make('span', undefined, item.label));
    if (item.note !== undefined) entry.append(make('small', undefined, item.note));
    entry.addEventListener('click', () => {
      this.close();
      item.choose();
    });
    return entry;
  }

  #entries() {
    return [...this.#list.querySelectorAll('button')];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const entries = this.#entries();
    const at = document.activeElement instanceof HTMLButtonElement ? entries.indexOf(document.activeElement) : -1;
    const moves = /** @type {Record<string, number>} */ ({
      ArrowDown: (at + 1) % entries.length,
      ArrowUp: (at - 1 + entries.length) % entries.length,
      Home: 0,
      End: entries.length - 1,
    });
    const next = moves[event.key];
    if (next !== undefined) entries[next]?.focus();
    else if (event.key === 'Escape') this.close();
    else if (event.key === 'Tab') return this.close();
    else if (event.key !== 'Enter' && event.key !== ' ') return;
    event.stopPropagation();
    if (event.key !== 'Enter' && event.key !== ' ') event.preventDefault();
  }
}
