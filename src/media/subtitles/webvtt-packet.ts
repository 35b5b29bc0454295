/**
 * WebVTT in containers. Three forms share FFmpeg's name `webvtt` and are told apart by their bytes:
 * - `wvtt` of MP4 (ISO/IEC 14496-30): boxes, `vttc` for each cue that is shown, `vtte` for none;
 * - `D_WEBVTT/...` of WebM: the lines identifier, settings, then the text. A cue's text has no blank line, so an empty first or second line, or
 *   settings in the second, give it away;
 * - `S_TEXT/WEBVTT` of Matroska: the text alone (the settings are in block additions, which the reader does not give).
 */
import type { CueContent } from './cue.ts';
import { cleanCharacters, decodeText, tidyText } from './cue-text.ts';

const BOX_HEADER = 8;
const VTTC = 0x76747463;
const VTTE = 0x76747465;
const VTTA = 0x76747461;
const PAYL = 0x7061796c;
const STTG = 0x73747467;

/** Cues in one sample that are looked at. */
const MAX_CUES = 256;

const SETTING_NAME = /^(?:vertical|line|position|size|align|region):/;
const SETTING = /^(?:vertical:(?:rl|lr)|(?:line|position|size|align):[-\w.,%]{1,40})$/;

export function webvttContent(data: Uint8Array): CueContent[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (isSample(view)) return sampleContent(data, view);
  const source = decodeText(data).replace(/\r\n?/g, '\n');
  const lines = source.split('\n');
  const settings = lines[1] ?? '';
  const isSettings = settings.split(/\s+/).every((part) => part === '' || SETTING_NAME.test(part));
  const isWebm = lines.length > 2 && (lines[0] === '' || isSettings);
  if (!isWebm) return [{ text: cleanText(source), settings: '' }];
  return [{ text: cleanText(lines.slice(2).join('\n')), settings: cleanSettings(settings) }];
}

/** Whether it begins with a box of a `wvtt` sample; text cannot begin with a zero byte. */
function isSample(view: DataView): boolean {
  if (view.byteLength < BOX_HEADER || view.getUint8(0) !== 0) return false;
  return [VTTC, VTTE, VTTA].includes(view.getUint32(4));
}

function sampleContent(data: Uint8Array, view: DataView): CueContent[] {
  const contents: CueContent[] = [];
  for (const cue of boxes(view, 0, view.byteLength)) {
    if (cue.type !== VTTC || contents.length >= MAX_CUES) continue;
    let text = '';
    let settings = '';
    for (const { type, start, end } of boxes(view, cue.start, cue.end)) {
      if (type === PAYL) text = cleanText(decodeText(data.subarray(start, end)));
      else if (type === STTG) settings = cleanSettings(decodeText(data.subarray(start, end)));
    }
    contents.push({ text, settings });
  }
  return contents;
}

/** The boxes in [from, to); it ends where one does not fit. */
function* boxes(view: DataView, from: number, to: number): Generator<{ type: number; start: number; end: number }> {
  let at = from;
  while (at + BOX_HEADER <= to) {
    const size = view.getUint32(at);
    if (size < BOX_HEADER || at + size > to) return;
    yield { type: view.getUint32(at + 4), start: at + BOX_HEADER, end: at + size };
    at += size;
  }
}

/** Those settings that are well formed; regions are defined in a header that we don't have. */
function cleanSettings(settings: string): string {
  const parts = settings.split(/\s+/).filter((setting) => SETTING.test(setting));
  return parts.join(' ');
}

const NO_ENTITY = /&(?!#?[a-z0-9]{1,31};)/gi;
const TAG = /<[^<>\n]*>/g;
const KNOWN_START = /^<(?:c|i|b|u|ruby|rt|v|lang)(?:\.[^\s.<>&]+)*(?:[ \t][^<>]*)?>$/;
const KNOWN_END = /^<\/(?:c|i|b|u|ruby|rt|v|lang)?>$/;

/** Cue text with the tags of WebVTT alone; inner timestamps, which count from somewhere else, go. */
function cleanText(raw: string): string {
  // Before tags are told from text: a break or an arrow must not come about within one afterwards.
  const text = cleanCharacters(raw);
  let clean = '';
  let from = 0;
  const plain = (part: string): string =>
    part.replace(NO_ENTITY, '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  for (const match of text.matchAll(TAG)) {
    clean += plain(text.slice(from, match.index));
    // An annotation may end in what, with the bracket, is an arrow.
    const isKnown = KNOWN_START.test(match[0]) || KNOWN_END.test(match[0]);
    if (isKnown && !match[0].endsWith('-->')) clean += match[0];
    from = match.index + match[0].length;
  }
  return tidyText(clean + plain(text.slice(from)));
}
