/** Pixel-data sub-blocks of DVB subtitles (ETSI EN 300 743, 7.2.5.1 and 7.2.5.2). */

/** Where a field of an object is drawn. */
export interface Raster {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Bits of a pixel's code: 2, 4 or 8. */
  readonly depth: number;
}

const END_OF_LINE = 0xf0;
/** Default mapping of codes with fewer bits (10.4 to 10.6). */
const TWO_TO_FOUR = [0, 7, 8, 15];
const TWO_TO_EIGHT = [0, 0x77, 0x88, 0xff];

/** Draws one field from `x`, `y` on, every second line. */
export function drawField(data: Uint8Array, { pixels, width, height, depth }: Raster, left: number, top: number): void {
  let [x, y] = [left, top];
  const put = (code: number, run: number): void => {
    if (y < height && x < width) pixels.fill(code, y * width + x, y * width + Math.min(width, x + run));
    x += run;
  };
  const twoBits = depth === 8 ? TWO_TO_EIGHT : depth === 4 ? TWO_TO_FOUR : [0, 1, 2, 3];
  const bits = new BitReader(data);
  while (bits.left >= 8) {
    const type = bits.take(8);
    if (type === 0x10) twoBitString(bits, (code, run) => put(twoBits[code] as number, run));
    else if (type === 0x11) fourBitString(bits, (code, run) => put(depth === 8 ? code * 17 : code, run));
    else if (type === 0x12) eightBitString(bits, put, () => x >= width);
    else if (type === 0x20) bits.take(16);
    else if (type === 0x21) bits.take(32);
    else if (type === 0x22) for (let i = 0; i < 16; i++) bits.take(8);
    else if (type === END_OF_LINE) [x, y] = [left, y + 2];
    // What is left of the end of a string of 8 bits.
    else if (type !== 0) return;
    bits.align();
  }
}

type Put = (code: number, run: number) => void;

function twoBitString(bits: BitReader, put: Put): void {
  while (bits.left > 0) {
    const code = bits.take(2);
    if (code !== 0) {
      put(code, 1);
      continue;
    }
    const isRun = bits.take(1) === 1;
    if (isRun) {
      const run = bits.take(3) + 3;
      put(bits.take(2), run);
      continue;
    }
    const isSingle = bits.take(1) === 1;
    if (isSingle) put(0, 1);
    else {
      const kind = bits.take(2);
      if (kind === 0) return;
      if (kind === 1) put(0, 2);
      else {
        const run = kind === 2 ? bits.take(4) + 12 : bits.take(8) + 29;
        put(bits.take(2), run);
      }
    }
  }
}

function fourBitString(bits: BitReader, put: Put): void {
  while (bits.left > 0) {
    const code = bits.take(4);
    if (code !== 0) {
      put(code, 1);
      continue;
    }
    const isBlank = bits.take(1) === 0;
    if (isBlank) {
      const run = bits.take(3);
      if (run === 0) return;
      put(0, run + 2);
      continue;
    }
    const isShort = bits.take(1) === 0;
    if (isShort) {
      const run = bits.take(2) + 4;
      put(bits.take(4), run);
    } else {
      const kind = bits.take(2);
      if (kind < 2) put(0, kind + 1);
      else {
        const run = kind === 2 ? bits.take(4) + 9 : bits.take(8) + 25;
        put(bits.take(4), run);
      }
    }
  }
}

/** FFmpeg writes half of the signal for the end, of which a line that is full has no need. */
function eightBitString(bits: BitReader, put: Put, isFull: () => boolean): void {
  while (bits.left > 0) {
    if (isFull()) {
      bits.take(8);
      return;
    }
    const code = bits.take(8);
    if (code !== 0) put(code, 1);
    else if (bits.take(1) === 0) {
      const run = bits.take(7);
      if (run === 0) return;
      put(0, run);
    } else {
      const run = bits.take(7);
      put(bits.take(8), run);
    }
  }
}

/** Most significant bit first; zeros past the end. */
class BitReader {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get left(): number {
    return this.#data.length * 8 - this.#at;
  }

  take(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++)
      value = value * 2 + (((this.#data[this.#at >> 3] ?? 0) >> (7 - (this.#at & 7))) & 1);
    return value;
  }

  align(): void {
    this.#at = (this.#at + 7) & ~7;
  }
}
