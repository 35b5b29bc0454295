/** Building WebVTT cue text (W3C WebVTT, section 4.2.2) out of text that may hold anything. */

export type StyleTag = 'b' | 'i' | 'u';

const ORDER: readonly StyleTag[] = ['b', 'i', 'u'];

/** Entities that writers of plain text formats use as such. */
const BARE_AMPERSAND = /&(?!(?:amp|lt|gt|nbsp|lrm|rlm);)/g;

/** More of a packet is not looked at: nobody reads so much in one subtitle. Bytes. */
const MAX_TEXT = 64 * 1024;

const UTF8 = new TextDecoder();

/** UTF-8 up to the first zero byte; what is no UTF-8 comes as replacement characters. */
export function decodeText(bytes: Uint8Array): string {
  const head = bytes.subarray(0, MAX_TEXT);
  const zero = head.indexOf(0);
  return UTF8.decode(zero < 0 ? head : head.subarray(0, zero));
}

/** Text with bold, italic and underlined stretches, written down escaped and balanced. */
export class CueText {
  #out = '';
  #open: StyleTag[] = [];
  readonly #wanted = new Set<StyleTag>();

  style(tag: StyleTag, on: boolean): void {
    if (on) this.#wanted.add(tag);
    else this.#wanted.delete(tag);
  }

  /** @param entities whether `&amp;` and its kind in the text are entities, not to be escaped again. */
  add(text: string, entities = false): void {
    if (text === '') return;
    // Around blanks tags are closed, but opened only before the next letter.
    this.#restyle(text.trim() === '' ? this.#open : ORDER);
    const escaped = text.replace(entities ? BARE_AMPERSAND : /&/g, '&amp;').replaceAll('<', '&lt;');
    this.#out += escaped.replaceAll('>', '&gt;');
  }

  /** The cue text; empty when there is nothing to see. */
  finish(): string {
    this.#wanted.clear();
    this.#restyle(ORDER);
    return tidyText(this.#out);
  }

  /** Makes those of `tags` that are wanted the open ones. */
  #restyle(tags: readonly StyleTag[]): void {
    const wanted = tags.filter((tag) => this.#wanted.has(tag));
    if (wanted.join() === this.#open.join()) return;
    for (const tag of this.#open.toReversed()) this.#out += `</${tag}>`;
    for (const tag of wanted) this.#out += `<${tag}>`;
    this.#open = wanted;
  }
}

/** One kind of line break, and no other control characters than tabs. */
export function cleanCharacters(text: string): string {
  const lines = text.replace(/\r\n?|[\u2028\u0085\v\f]/g, '\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are just what must go
  return lines.replace(/[\u0000-\u0008\u000e-\u001f\u007f\ufeff]/g, '');
}

/** One kind of line break, no control characters, no blank lines (one would end the cue); empty when there is nothing to see. */
export function tidyText(text: string): string {
  const lines = cleanCharacters(text).split('\n');
  const kept = lines.map(withoutMargins).filter((line) => line !== '');
  const tidy = kept.join('\n');
  return /\S/.test(tidy.replace(/<[^>]*>|&(?:nbsp|lrm|rlm);/g, '')) ? tidy : '';
}

/** Without blanks at both ends; no-break spaces stay, they are there to take room. By hand: a pattern takes quadratic time on a line of blanks. */
function withoutMargins(line: string): string {
  const isBlank = (at: number): boolean => line[at] === ' ' || line[at] === '\t';
  let from = 0;
  let to = line.length;
  while (from < to && isBlank(from)) from += 1;
  while (to > from && isBlank(to - 1)) to -= 1;
  return line.slice(from, to);
}

/** Cue settings for a position on the numeric keypad, as ASS counts (`\an`); empty for the bottom centre, where cues stand anyway. */
export function settingsOf(keypad: number): string {
  const settings: string[] = [];
  if (keypad >= 7) settings.push('line:0');
  else if (keypad >= 4) settings.push('line:50%');
  if (keypad % 3 === 1) settings.push('align:left');
  else if (keypad % 3 === 0) settings.push('align:right');
  return settings.join(' ');
}
