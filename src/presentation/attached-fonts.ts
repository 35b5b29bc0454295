import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fontExtension, MAX_FONT_BYTES } from '../media/fonts.ts';
import type { Attachment } from '../media/types.ts';
import type { Source } from '../source/source.ts';

/** Of one source. */
const MAX_FONTS = 200;
const MAX_TOTAL_BYTES = 128 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;

/** Fonts as the writers of files declare them; many declare only bytes. */
const FONT_TYPE = /font|opentype|truetype/i;
const FONT_NAME = /\.(?:ttf|otf|ttc|otc)$/i;

function isMeantAsFont({ name, mimeType }: Attachment): boolean {
  return FONT_TYPE.test(mimeType) || FONT_NAME.test(name);
}

/** The attachments that are used as fonts as far as their sizes go, and a sentence for each that is not. */
export function chooseFonts(attachments: readonly Attachment[]): { fonts: Attachment[]; ignored: string[] } {
  const fonts: Attachment[] = [];
  const ignored: string[] = [];
  let room = MAX_TOTAL_BYTES;
  for (const attachment of attachments.filter(isMeantAsFont)) {
    if (attachment.size > MAX_FONT_BYTES)
      ignored.push(`${labelOf(attachment)} is not used: it is larger than ${MAX_FONT_BYTES / MEGABYTE} MB.`);
    else if (fonts.length >= MAX_FONTS || attachment.size > room)
      ignored.push(
        `${labelOf(attachment)} is not used: ${MAX_FONTS} fonts and ${MAX_TOTAL_BYTES / MEGABYTE} MB are the most.`,
      );
    else {
      fonts.push(attachment);
      room -= attachment.size;
    }
  }
  return { fonts, ignored };
}

/**
 * Writes the fonts into a folder, under names of ours.
 * @returns a sentence for each that is no font.
 * @throws AppError `source-*`; the file system's error; the signal's reason.
 */
export async function writeFonts(
  source: Source,
  fonts: readonly Attachment[],
  folder: string,
  signal: AbortSignal,
): Promise<string[]> {
  const ignored: string[] = [];
  for (const [n, font] of fonts.entries()) {
    const bytes = await source.read(font.offset, font.size, signal);
    const extension = bytes.length === font.size ? fontExtension(bytes) : undefined;
    if (extension === undefined)
      ignored.push(`${labelOf(font)} is not used: it is not a sound TrueType or OpenType font.`);
    else await writeFile(join(folder, `${n}.${extension}`), bytes, { mode: 0o600, flag: 'w' });
    source.recycle(bytes);
  }
  return ignored;
}

/** An attachment's name as it may be told: it was chosen by a stranger. */
function labelOf({ name }: Attachment): string {
  return `The font ${JSON.stringify(name.replace(/\p{C}+/gu, ' ').slice(0, 80))}`;
}
