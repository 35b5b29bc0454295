/** Whether bytes are a font that libass may be given. Fonts come from strangers: what does not add up stays out. */

/** Bytes. The largest CJK collections exceed it; a film that brings one is drawn with the system's fonts. */
export const MAX_FONT_BYTES = 32 * 1024 * 1024;
const MAX_TABLES = 128;
const MAX_COLLECTION = 64;
const TABLE_RECORD = 16;
const DIRECTORY = 12;
/** sfnt versions (OpenType specification, "Font file"): TrueType, Apple's name for it, CFF. */
const VERSIONS: ReadonlySet<number> = new Set([0x00010000, 0x74727565, 0x4f54544f]);
const COLLECTION = 0x74746366;
/** Without them nothing can be drawn. */
const REQUIRED = ['cmap', 'head', 'hhea', 'hmtx', 'maxp', 'name'];

/** How the name of a font's file should end; undefined for what is no sound TrueType or OpenType font or collection of them. */
export function fontExtension(bytes: Uint8Array): 'ttf' | 'otf' | 'ttc' | undefined {
  if (bytes.length < DIRECTORY || bytes.length > MAX_FONT_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(0);
  if (version !== COLLECTION) return isSound(view, 0) ? (version === 0x4f54544f ? 'otf' : 'ttf') : undefined;
  const count = view.getUint32(8);
  if (count < 1 || count > MAX_COLLECTION || DIRECTORY + 4 * count > bytes.length) return undefined;
  for (let i = 0; i < count; i++) if (!isSound(view, view.getUint32(DIRECTORY + 4 * i))) return undefined;
  return 'ttc';
}

/** Whether the table directory at `at` has what it needs, all of it within the file. */
function isSound(view: DataView, at: number): boolean {
  if (at + DIRECTORY > view.byteLength || !VERSIONS.has(view.getUint32(at))) return false;
  const count = view.getUint16(at + 4);
  if (count < 1 || count > MAX_TABLES || at + DIRECTORY + count * TABLE_RECORD > view.byteLength) return false;
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const record = at + DIRECTORY + i * TABLE_RECORD;
    if (view.getUint32(record + 8) + view.getUint32(record + 12) > view.byteLength) return false;
    names.add(String.fromCharCode(...[0, 1, 2, 3].map((j) => view.getUint8(record + j))));
  }
  return REQUIRED.every((name) => names.has(name));
}
