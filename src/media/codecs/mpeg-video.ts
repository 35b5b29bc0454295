/** MPEG-1 and MPEG-2 video: what a sequence header tells (ISO/IEC 11172-2, 2.4.2.3; ISO/IEC 13818-2, 6.2.2.1 and 6.2.2.3). */
import { BitReader } from './bits.ts';

export interface MpegSequence {
  readonly width: number;
  readonly height: number;
  /** Display aspect ratio, width by height; absent for square samples. */
  readonly aspect?: number;
  /** Frames per second. */
  readonly frameRate?: number;
}

const SEQUENCE_HEADER = 0xb3;
const EXTENSION = 0xb5;
const SEQUENCE_EXTENSION = 1;
const ASPECTS: Readonly<Record<number, number>> = { 2: 4 / 3, 3: 16 / 9, 4: 2.21 };
const RATES = [0, 24_000 / 1001, 24, 25, 30_000 / 1001, 30, 50, 60_000 / 1001, 60];

/** The first sequence header in the bytes of a picture; undefined when there is none. Never throws. */
export function parseMpegSequence(bytes: Uint8Array): MpegSequence | undefined {
  const at = startCode(bytes, SEQUENCE_HEADER, 0);
  if (at < 0 || at + 8 > bytes.length) return undefined;
  const bits = new BitReader(bytes.subarray(at, at + 8));
  let width = bits.read(12);
  let height = bits.read(12);
  const aspectCode = bits.read(4);
  const frameRate = RATES[bits.read(4)];
  const extension = startCode(bytes, EXTENSION, at);
  const isMpeg2 = extension >= 0 && extension + 4 <= bytes.length && bytes[extension]! >> 4 === SEQUENCE_EXTENSION;
  if (isMpeg2) {
    const more = new BitReader(bytes.subarray(extension, extension + 4));
    more.skip(4 + 8 + 1 + 2); // identifier, profile and level, progressive_sequence, chroma_format
    width += more.read(2) * 4096;
    height += more.read(2) * 4096;
  }
  if (width === 0 || height === 0) return undefined;
  // MPEG-1 counts the same codes as sample aspect ratios that nobody writes but 1.
  const aspect = isMpeg2 ? ASPECTS[aspectCode] : undefined;
  return { width, height, ...(aspect !== undefined && { aspect }), ...(frameRate && { frameRate }) };
}

/** Position behind 00 00 01 and the code; -1 when there is none within the bytes before the first slice. */
function startCode(bytes: Uint8Array, code: number, from: number): number {
  for (let at = bytes.indexOf(1, from + 2); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(1, at + 1)) {
    if (bytes[at - 1] !== 0 || bytes[at - 2] !== 0) continue;
    const found = bytes[at + 1]!;
    if (found === code) return at + 2;
    if (found >= 0x01 && found <= 0xaf) return -1;
  }
  return -1;
}
