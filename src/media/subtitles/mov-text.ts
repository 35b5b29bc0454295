/** Timed text of MP4 (3GPP TS 26.245, `tx3g`) and QuickTime's `text`: a length in 16 bits, the text, then boxes with styles. */
import type { CueContent } from './cue.ts';
import { CueText, decodeText } from './cue-text.ts';

const STYLE_RECORD = 12;
const BOX_HEADER = 8;

interface StyleRecord {
  /** Characters, from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  /** 1 bold, 2 italic, 4 underlined. */
  readonly face: number;
}

/** A sample; one without text shows nothing. */
export function movTextContent(data: Uint8Array): CueContent[] {
  if (data.length < 2) return [];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = Math.min(2 + view.getUint16(0), data.length);
  const characters = [...decodeSample(data.subarray(2, end))];
  const records = styleRecords(view, end);
  const text = new CueText();
  let from = 0;
  for (const record of records) {
    if (record.from < from || record.to <= record.from) continue;
    addStyled(text, characters.slice(from, record.from), 0);
    addStyled(text, characters.slice(record.from, record.to), record.face);
    from = record.to;
  }
  addStyled(text, characters.slice(from), 0);
  return [{ text: text.finish(), settings: '' }];
}

function addStyled(text: CueText, characters: readonly string[], face: number): void {
  text.style('b', (face & 1) !== 0);
  text.style('i', (face & 2) !== 0);
  text.style('u', (face & 4) !== 0);
  text.add(characters.join(''));
}

/** UTF-8, or UTF-16 behind a byte order mark. */
function decodeSample(bytes: Uint8Array): string {
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  return decodeText(bytes);
}

/** The records of the `styl` boxes behind the text. */
function styleRecords(view: DataView, start: number): StyleRecord[] {
  const records: StyleRecord[] = [];
  let at = start;
  while (at + BOX_HEADER <= view.byteLength) {
    const size = view.getUint32(at);
    if (size < BOX_HEADER || at + size > view.byteLength) break;
    const isStyle = view.getUint32(at + 4) === 0x7374796c; // styl
    if (isStyle && size >= BOX_HEADER + 2) {
      const room = Math.floor((size - BOX_HEADER - 2) / STYLE_RECORD);
      const count = Math.min(view.getUint16(at + BOX_HEADER), room);
      for (let i = 0; i < count; i++) {
        const record = at + BOX_HEADER + 2 + i * STYLE_RECORD;
        records.push({ from: view.getUint16(record), to: view.getUint16(record + 2), face: view.getUint8(record + 6) });
      }
    }
    at += size;
  }
  return records.sort((a, b) => a.from - b.from);
}
