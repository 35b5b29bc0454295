/** SubRip text as Matroska holds it (S_TEXT/UTF8): HTML-like tags, and, as players take it, some of ASS's override tags. */
import { overrides } from './ass.ts';
import type { CueContent } from './cue.ts';
import { CueText, decodeText, type StyleTag, settingsOf } from './cue-text.ts';

/** Tags that mean something, by what they become; other words in angle brackets are text. */
const TAGS: Readonly<Record<string, StyleTag | 'break' | 'dropped'>> = {
  b: 'b',
  strong: 'b',
  i: 'i',
  em: 'i',
  u: 'u',
  br: 'break',
  font: 'dropped',
  s: 'dropped',
  span: 'dropped',
  p: 'dropped',
  div: 'dropped',
};

const TOKEN = /<(\/?)([a-z]{1,6})(?:[\s/][^<>]*)?>|\{(\\[^{}]*)\}/gi;

export function subripContent(data: Uint8Array): CueContent[] {
  const source = decodeText(data);
  const text = new CueText();
  let keypad = 2;
  let from = 0;
  for (const match of source.matchAll(TOKEN)) {
    const [token, slash, name, override] = match;
    const tag = name === undefined ? undefined : lookUp(name);
    if (override === undefined && tag === undefined) continue;
    text.add(source.slice(from, match.index), true);
    from = match.index + token.length;
    if (override !== undefined) keypad = overrides(override).keypad ?? keypad;
    else if (tag === 'break') text.add('\n');
    else if (tag !== undefined && tag !== 'dropped') text.style(tag, slash === '');
  }
  text.add(source.slice(from), true);
  return [{ text: text.finish(), settings: settingsOf(keypad) }];
}

function lookUp(name: string): StyleTag | 'break' | 'dropped' | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(TAGS, key) ? TAGS[key] : undefined;
}
