/** Subtitles of DVDs (VobSub): subpicture units of four colours, with control sequences that say when they are shown, where and in which colours. */
import type { Packet } from '../types.ts';
import type { Display, DisplayDecoder, DisplayObject, Size } from './display.ts';
import { codeLines } from './pgs.ts';

/** Dates of control sequences count in these, seconds. */
const DATE_SECONDS = 1024 / 90_000;
const COLOURS = 4;
const PALETTE_SIZE = 16;
const MAX_PIXELS = 2048 * 2048;
const MAX_SEQUENCES = 64;
/** The indices of the four colours in our palette: 0 means no pixel in run lengths. */
const FIRST_INDEX = 1;
/** By command. */
const ARGUMENT_BYTES = [0, 0, 0, 2, 2, 6, 4];
const USUAL: Size = { width: 720, height: 576 };

interface Colour {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
}

/** What the control sequences have said so far. */
interface State {
  colours: readonly number[];
  /** 0 to 15. */
  alphas: readonly number[];
  area?: { readonly x: number; readonly y: number } & Size;
  /** Where the coded lines of each field begin. */
  fields?: readonly [number, number];
}

export class VobsubDecoder implements DisplayDecoder {
  readonly usualCanvas: Size;
  readonly #palette: readonly Colour[];

  /** @param codecPrivate the head of the .idx file, or the 16 colours of MP4. @param picture size of the coded video: of the canvas too, unless that is told. */
  constructor(codecPrivate: Uint8Array | undefined, picture: Size | undefined) {
    const text = new TextDecoder().decode(codecPrivate?.subarray(0, 65_536));
    const [, width, height] = /^[ \t]*size:[ \t]*(\d{2,4})x(\d{2,4})/m.exec(text) ?? [];
    const usual = picture && picture.width <= 720 && picture.height <= 576 ? picture : USUAL;
    this.usualCanvas = width && height ? { width: Number(width), height: Number(height) } : usual;
    this.#palette = textPalette(text) ?? binaryPalette(codecPrivate) ?? GREYS;
  }

  push({ data, pts, duration }: Packet): Display[] {
    const displays = this.#sequences(data, pts);
    const last = displays.at(-1);
    // Some units have no command that hides them: the container's duration says it.
    if (last && last.objects.length > 0 && duration > 0) displays.push({ ...last, time: pts + duration, objects: [] });
    return displays;
  }

  #sequences(data: Uint8Array, pts: number): Display[] {
    const displays: Display[] = [];
    const state: State = { colours: [0, 1, 2, 3], alphas: [0, 15, 15, 15] };
    let isShown = false;
    for (let at = uint16(data, 2), count = 0; at + 4 <= data.length && count < MAX_SEQUENCES; count++) {
      const time = pts + uint16(data, at) * DATE_SECONDS;
      const said = runSequence(data, at + 4, state);
      if (said !== undefined) isShown = said;
      const objects = isShown ? picture(data, state) : [];
      if (isShown || displays.length > 0)
        displays.push({ time, canvas: this.usualCanvas, palette: this.#colours(state), objects });
      const next = uint16(data, at + 2);
      if (next <= at) break;
      at = next;
    }
    return displays;
  }

  #colours({ colours, alphas }: State): Uint8Array {
    const entries = colours.flatMap((colour, i) => {
      const alpha = Math.round(((alphas[i] as number) * 255) / 15);
      return [FIRST_INDEX + i, ...yCrCb(this.#palette[colour] as Colour, this.usualCanvas.height > 576), alpha];
    });
    return Uint8Array.from(entries);
  }
}

/** Carries out one control sequence. @returns whether the picture is shown from now on, undefined when it does not say. */
function runSequence(data: Uint8Array, from: number, state: State): boolean | undefined {
  let isShown: boolean | undefined;
  for (let at = from; at < data.length; ) {
    const command = data[at++] as number;
    if (command === 0 || command === 1) isShown = true;
    else if (command === 2) isShown = false;
    else if (command === 3) state.colours = nibbles(data, at);
    else if (command === 4) state.alphas = nibbles(data, at);
    else if (command === 5) state.area = area(data, at);
    else if (command === 6) state.fields = [uint16(data, at), uint16(data, at + 2)];
    // Changes of colour within the picture, or the end.
    else if (command === 7) at += uint16(data, at);
    else break;
    at += ARGUMENT_BYTES[command] ?? 0;
  }
  return isShown;
}

/** Four values, the one for index 0 first. */
function nibbles(data: Uint8Array, at: number): number[] {
  const both = uint16(data, at);
  return [both & 15, (both >> 4) & 15, (both >> 8) & 15, both >> 12];
}

function area(data: Uint8Array, at: number): { x: number; y: number } & Size {
  const pair = (place: number): [number, number] => {
    const bits = (uint16(data, place) << 8) | (data[place + 2] ?? 0);
    return [bits >> 12, bits & 0xfff];
  };
  const [left, right] = pair(at);
  const [top, bottom] = pair(at + 3);
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

function picture(data: Uint8Array, { area, fields }: State): DisplayObject[] {
  if (!area || !fields || area.width < 1 || area.height < 1 || area.width * area.height > MAX_PIXELS) return [];
  const { width, height } = area;
  const pixels = new Uint8Array(width * height).fill(FIRST_INDEX);
  for (const [field, start] of fields.entries()) {
    let nibble = start * 2;
    for (let y = field; y < height && nibble < data.length * 2; y += 2)
      nibble = line(data, nibble, pixels, y * width, width);
  }
  return [{ ...area, isForced: false, data: [codeLines(pixels, width)] }];
}

/** Decodes one line. @returns where the next one of the field begins, in half bytes. */
function line(data: Uint8Array, from: number, pixels: Uint8Array, to: number, width: number): number {
  let at = from;
  const next = (): number => {
    const byte = data[at >> 1] ?? 0;
    return at++ & 1 ? byte & 15 : byte >> 4;
  };
  for (let x = 0; x < width; ) {
    let code = next();
    // A code has as many half bytes as it has leading zeros in pairs, and one more.
    for (let limit = 4; code < limit && limit <= 64; limit *= 4) code = (code << 4) | next();
    const run = code < COLOURS ? width - x : Math.min(code >> 2, width - x);
    pixels.fill(FIRST_INDEX + (code & 3), to + x, to + x + run);
    x += run;
  }
  return at + (at & 1);
}

function textPalette(text: string): Colour[] | undefined {
  const list = /^[ \t]*palette:[ \t]*([0-9a-f ,]+)/im.exec(text)?.[1];
  const colours = list?.match(/[0-9a-f]{6}/gi)?.map((hex) => {
    const value = Number.parseInt(hex, 16);
    return { red: value >> 16, green: (value >> 8) & 255, blue: value & 255 };
  });
  return colours && colours.length >= PALETTE_SIZE ? colours : undefined;
}

/** Y, Cr and Cb behind a byte of nothing, sixteen times. */
function binaryPalette(bytes: Uint8Array | undefined): Colour[] | undefined {
  if (bytes?.length !== PALETTE_SIZE * 4) return undefined;
  const clamp = (value: number): number => Math.min(255, Math.max(0, Math.round(value)));
  return Array.from({ length: PALETTE_SIZE }, (_, i) => {
    const [, y, cr, cb] = bytes.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
    const luma = 1.164 * (y - 16);
    return {
      red: clamp(luma + 1.596 * (cr - 128)),
      green: clamp(luma - 0.813 * (cr - 128) - 0.392 * (cb - 128)),
      blue: clamp(luma + 2.017 * (cb - 128)),
    };
  });
}

const GREYS: readonly Colour[] = Array.from({ length: PALETTE_SIZE }, (_, i) => ({
  red: i * 17,
  green: i * 17,
  blue: i * 17,
}));

/** Limited range. @param isHigh BT.709 instead of BT.601: by the canvas, as decoders of PGS choose. */
function yCrCb({ red, green, blue }: Colour, isHigh: boolean): [number, number, number] {
  const [kr, kb] = isHigh ? [0.2126, 0.0722] : [0.299, 0.114];
  const luma = (kr * red + (1 - kr - kb) * green + kb * blue) / 255;
  const cr = (red / 255 - luma) / (2 * (1 - kr));
  const cb = (blue / 255 - luma) / (2 * (1 - kb));
  return [Math.round(16 + 219 * luma), Math.round(128 + 224 * cr), Math.round(128 + 224 * cb)];
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
