/** Names of clips as files: whatever somebody types, what comes out is the name of a new file in one folder, on any system. */
import { AppError } from '../errors.ts';

/** Bytes of UTF-8: file systems allow 255, of which ` (9999)` and the extension need some. */
const MOST_BYTES = 200;

/** Device names of Windows, with any extension, spaces before it or not (Microsoft, Naming Files, Paths, and Namespaces). */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?= *(?:\.|$))/i;
const EXTENSION = /\.(mp4|m4v|mov|mkv|webm|avi|ts)$/i;

/** What a request says about the name. */
export interface NameWish {
  readonly name?: string | undefined;
  /** A path of which only the last component counts. */
  readonly outputPath?: string | undefined;
}

/**
 * The name of a clip's file, without extension.
 * @param otherwise for a request that wishes nothing. @throws AppError `bad-request` where nothing of what is wished may stand in a name.
 */
export function clipStem(wish: NameWish, otherwise: string): string {
  const { name, outputPath } = wish;
  if (outputPath !== undefined) return wished(outputPath.split(/[/\\]/).at(-1) as string, 'outputPath');
  if (name !== undefined) return wished(name, 'name');
  return safeStem(otherwise) || 'clip';
}

function wished(text: string, field: string): string {
  const stem = safeStem(text);
  if (stem === '')
    throw new AppError('bad-request', `body/${field}: has nothing that may stand in the name of a file.`);
  return stem;
}

function safeStem(text: string): string {
  const plain = text
    .toWellFormed()
    .normalize('NFC')
    // Of what is not seen, only joiners mean something: in Persian, in emoji.
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\ufffd]|(?![\u200c\u200d])\p{Cf}/gu, '')
    .replace(/[<>:"/\\|?*]/g, '-')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(EXTENSION, '');
  const stem = ended(shortened(ended(plain)));
  return RESERVED.test(stem) ? `_${stem}` : stem;
}

/** A name begins with no dot, which would hide it, and ends with neither dot nor space, which Windows drops. */
function ended(text: string): string {
  return text.replace(/^[-. ]+/, '').replace(/[. ]+$/, '');
}

/** As many whole characters, as people see them, as fit. */
function shortened(text: string): string {
  if (Buffer.byteLength(text) <= MOST_BYTES) return text;
  let short = '';
  let bytes = 0;
  for (const { segment } of new Intl.Segmenter().segment(text.slice(0, MOST_BYTES))) {
    bytes += Buffer.byteLength(segment);
    if (bytes > MOST_BYTES) break;
    short += segment;
  }
  return short;
}

/** Name of a clip that has none: that of its source, and from when to when. */
export function usualStem(sourceName: string, start: number, end: number): string {
  const title = sourceName.replace(/\.[a-z0-9]{2,4}$/i, '') || 'clip';
  return `${title.slice(0, 120)} ${clock(start)}-${clock(end)}`;
}

/** `1.02.03` of seconds. */
function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}.${two(Math.floor(whole / 60) % 60)}.${two(whole % 60)}`;
}
