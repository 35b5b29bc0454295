/** Advanced SubStation Alpha and SSA as Matroska holds them: styles in the codec private data, one event per packet. */
import type { CueContent } from './cue.ts';
import { CueText, decodeText, type StyleTag, settingsOf } from './cue-text.ts';

/** Fields before the text: ReadOrder, Layer (SSA: Marked), Style, Name, MarginL, MarginR, MarginV, Effect. */
const FIELDS = 8;
const STYLE_FIELD = 2;
const MAX_STYLES = 10_000;
const MAX_PRIVATE = 4 * 1024 * 1024;

interface AssStyle {
  readonly tags: ReadonlySet<StyleTag>;
  /** Position as `\an` counts. */
  readonly keypad: number;
}

const PLAIN: AssStyle = { tags: new Set(), keypad: 2 };

/** The styles that a script's header defines, by name. */
export function assStyles(codecPrivate: Uint8Array | undefined): ReadonlyMap<string, AssStyle> {
  const styles = new Map<string, AssStyle>();
  if (codecPrivate === undefined) return styles;
  const header = new TextDecoder().decode(codecPrivate.subarray(0, MAX_PRIVATE));
  let section = '';
  let format: string[] = [];
  for (const line of header.split(/\r\n?|\n/)) {
    if (line.startsWith('[')) section = line.trim().toLowerCase();
    if (section !== '[v4+ styles]' && section !== '[v4 styles]') continue;
    const colon = line.indexOf(':');
    const kind = line.slice(0, colon).trim().toLowerCase();
    const values = line
      .slice(colon + 1)
      .split(',')
      .map((value) => value.trim());
    if (kind === 'format') format = values.map((name) => name.toLowerCase());
    if (kind !== 'style' || styles.size >= MAX_STYLES) continue;
    const value = (name: string): string => values[format.indexOf(name)] ?? '';
    const name = value('name').replace(/^\*+/, '');
    if (name !== '') styles.set(name, styleOf(value, section === '[v4 styles]'));
  }
  return styles;
}

function styleOf(value: (name: string) => string, old: boolean): AssStyle {
  const isOn = (name: string): boolean => !['', '0'].includes(value(name));
  const tags = new Set<StyleTag>();
  if (isOn('bold')) tags.add('b');
  if (isOn('italic')) tags.add('i');
  if (isOn('underline')) tags.add('u');
  const alignment = Number.parseInt(value('alignment'), 10);
  return { tags, keypad: (old ? fromOldAlignment(alignment) : asKeypad(alignment)) ?? PLAIN.keypad };
}

function asKeypad(value: number): number | undefined {
  return value >= 1 && value <= 9 ? value : undefined;
}

/** SSA counts 1 to 3 at the bottom, 5 to 7 at the top, 9 to 11 in the middle. */
function fromOldAlignment(value: number): number | undefined {
  const column = value % 4;
  if (!(value >= 1 && value <= 11) || column === 0) return undefined;
  return column + [0, 6, 3][Math.floor(value / 4)]!;
}

/** What a block of override tags says, of what WebVTT can show. */
interface Overrides {
  /** In their order: a style switched, or `undefined` as the tag for a reset to the event's style, or to the style of that name. */
  readonly styles: readonly { readonly tag: StyleTag | undefined; readonly on: boolean; readonly name?: string }[];
  readonly keypad?: number;
  /** Whether what follows is a drawing, not text. */
  readonly drawing?: boolean;
}

/** Reads the inside of `{...}`. */
export function overrides(block: string): Overrides {
  const styles: { tag: StyleTag | undefined; on: boolean; name?: string }[] = [];
  let keypad: number | undefined;
  let drawing: boolean | undefined;
  // Animations hold tags of their own, which are not for now.
  for (const part of block
    .replace(/\\t\([^)]*\)?/g, '')
    .split('\\')
    .slice(1)) {
    const tag = part.trim();
    const match = /^(an|a|b|i|u|p)(\d{0,4})$/.exec(tag);
    const value = Number(match?.[2] ?? 0);
    switch (match?.[1]) {
      case 'an':
        keypad ??= asKeypad(value);
        break;
      case 'a':
        keypad ??= fromOldAlignment(value);
        break;
      case 'p':
        drawing = value > 0;
        break;
      case 'b':
        styles.push({ tag: 'b', on: value === 1 || value >= 600 });
        break;
      case 'i':
      case 'u':
        styles.push({ tag: match[1], on: value === 1 });
        break;
      default:
        if (/^r(?!nd)/.test(tag)) styles.push({ tag: undefined, on: false, name: tag.slice(1) });
    }
  }
  return { styles, ...(keypad !== undefined && { keypad }), ...(drawing !== undefined && { drawing }) };
}

/** An event; nothing for comments of other formats, drawings and what is no event. */
export function assContent(data: Uint8Array, styles: ReadonlyMap<string, AssStyle>): CueContent[] {
  const event = decodeText(data);
  const fields: string[] = [];
  let from = 0;
  while (fields.length < FIELDS) {
    const comma = event.indexOf(',', from);
    if (comma < 0) return [];
    fields.push(event.slice(from, comma).trim());
    from = comma + 1;
  }
  const named = (name: string): AssStyle | undefined => styles.get(name.replace(/^\*+/, ''));
  const base = named(fields[STYLE_FIELD]!) ?? PLAIN;
  const text = new CueText();
  const apply = (style: AssStyle): void => {
    for (const tag of ['b', 'i', 'u'] as const) text.style(tag, style.tags.has(tag));
  };
  apply(base);
  let keypad: number | undefined;
  let drawing = false;
  for (const { plain, block } of stretches(event.slice(from))) {
    if (block === undefined) {
      if (!drawing) text.add(plain.replace(/\\[Nn]/g, '\n').replaceAll('\\h', '\u00a0'));
      continue;
    }
    const said = overrides(block);
    keypad ??= said.keypad;
    drawing = said.drawing ?? drawing;
    for (const { tag, on, name } of said.styles) {
      if (tag === undefined) apply((name && named(name)) || base);
      else text.style(tag, on);
    }
  }
  return [{ text: text.finish(), settings: settingsOf(keypad ?? base.keypad) }];
}

/** Plain text and the insides of braces by turns; a brace that is not closed is text. */
function* stretches(text: string): Generator<{ readonly plain: string; readonly block?: string }> {
  let from = 0;
  for (;;) {
    const open = text.indexOf('{', from);
    const close = open < 0 ? -1 : text.indexOf('}', open);
    if (close < 0) break;
    yield { plain: text.slice(from, open) };
    yield { plain: '', block: text.slice(open + 1, close) };
    from = close + 1;
  }
  yield { plain: text.slice(from) };
}
