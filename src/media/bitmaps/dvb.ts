/** DVB subtitles (ETSI EN 300 743): pages of regions, in which objects are drawn; regions and colours last for an epoch. */
import type { Packet } from '../types.ts';
import type { Display, DisplayDecoder, Size } from './display.ts';
import { drawField } from './dvb-pixels.ts';
import { codeLines } from './pgs.ts';

const SYNC = 0x0f;
const HEADER = 6;
const PAGE = 0x10;
const REGION = 0x11;
const CLUT = 0x12;
const OBJECT = 0x13;
const DISPLAY_DEFINITION = 0x14;
/** Bounds for hostile streams. */
const MAX_REGIONS = 32;
const MAX_REGION_PIXELS = 1920 * 1080;
const MAX_PLACES = 64;

interface Segment {
  readonly type: number;
  readonly body: Uint8Array;
}

interface Region extends Size {
  readonly depth: number;
  clut: number;
  readonly pixels: Uint8Array;
  places: readonly { readonly object: number; readonly x: number; readonly y: number }[];
}

interface Page {
  readonly timeout: number;
  readonly regions: readonly { readonly id: number; readonly x: number; readonly y: number }[];
}

/** With or without what precedes the segments in a PES packet (7.1). */
function* segmentsOf(data: Uint8Array): Generator<Segment> {
  let at = data[0] === 0x20 && data[1] === 0 ? 2 : 0;
  while (data[at] === SYNC && at + HEADER <= data.length) {
    const end = at + HEADER + uint16(data, at + 4);
    if (end > data.length) return;
    yield { type: data[at + 1] as number, body: data.subarray(at + HEADER, end) };
    at = end;
  }
}

/** Whether a page begins here that needs nothing of earlier ones: an acquisition point, or a change of mode. */
export function startsPage(data: Uint8Array): boolean {
  for (const { type, body } of segmentsOf(data))
    if (type === PAGE && body.length >= 2) return (((body[1] as number) >> 2) & 3) !== 0;
  return false;
}

/** Invariant: `#regions` and `#cluts` are those of the present epoch. */
export class DvbDecoder implements DisplayDecoder {
  usualCanvas: Size = { width: 720, height: 576 };
  readonly #regions = new Map<number, Region>();
  readonly #cluts = new Map<number, Map<number, readonly number[]>>();

  push({ data, pts }: Packet): Display[] {
    let page: Page | undefined;
    for (const { type, body } of segmentsOf(data)) {
      if (type === DISPLAY_DEFINITION && body.length >= 5)
        this.usualCanvas = { width: uint16(body, 1) + 1, height: uint16(body, 3) + 1 };
      else if (type === PAGE && body.length >= 2) page = this.#page(body);
      else if (type === REGION && body.length >= 10) this.#region(body);
      else if (type === CLUT) this.#colours(body);
      else if (type === OBJECT && body.length >= 3) this.#object(body);
    }
    if (page === undefined) return [];
    const shown = this.#show(page, pts);
    // A page goes by itself when nothing replaces it.
    return shown.objects.length === 0 ? [shown] : [shown, { ...shown, time: pts + page.timeout, objects: [] }];
  }

  #page(body: Uint8Array): Page {
    if ((((body[1] as number) >> 2) & 3) !== 0) {
      this.#regions.clear();
      this.#cluts.clear();
    }
    const regions = [];
    for (let at = 2; at + 6 <= body.length && regions.length < MAX_REGIONS; at += 6)
      regions.push({ id: body[at] as number, x: uint16(body, at + 2), y: uint16(body, at + 4) });
    return { timeout: Math.max(1, body[0] as number), regions };
  }

  #region(body: Uint8Array): void {
    const id = body[0] as number;
    const [width, height] = [uint16(body, 2), uint16(body, 4)];
    const depth = 1 << (((body[6] as number) >> 2) & 7);
    if (![2, 4, 8].includes(depth) || width * height === 0 || width * height > MAX_REGION_PIXELS) return;
    let region = this.#regions.get(id);
    if (region === undefined || region.width !== width || region.height !== height || region.depth !== depth) {
      if (region === undefined && this.#regions.size >= MAX_REGIONS) return;
      region = { width, height, depth, clut: 0, pixels: new Uint8Array(width * height), places: [] };
      this.#regions.set(id, region);
    }
    region.clut = body[7] as number;
    const codes = body[9] as number;
    const fill = depth === 8 ? (body[8] as number) : depth === 4 ? codes >> 4 : (codes >> 2) & 3;
    if ((body[1] as number) & 8) region.pixels.fill(fill);
    const places = [];
    for (let at = 10; at + 6 <= body.length && places.length < MAX_PLACES; ) {
      const kind = (body[at + 2] as number) >> 6;
      places.push({ object: uint16(body, at), x: uint16(body, at + 2) & 0xfff, y: uint16(body, at + 4) & 0xfff });
      at += kind === 1 || kind === 2 ? 8 : 6;
    }
    region.places = places;
  }

  #colours(body: Uint8Array): void {
    const entries = this.#cluts.get(body[0] as number) ?? new Map<number, readonly number[]>();
    for (let at = 2; at + 4 <= body.length; ) {
      const index = body[at] as number;
      const isFull = ((body[at + 1] as number) & 1) !== 0;
      if (isFull) entries.set(index, colour([...body.subarray(at + 2, at + 6)]));
      else {
        const bits = uint16(body, at + 2);
        entries.set(index, colour([(bits >> 8) & 0xfc, (bits >> 2) & 0xf0, (bits << 2) & 0xf0, (bits & 3) * 85]));
      }
      at += isFull ? 6 : 4;
    }
    if (body.length > 0) this.#cluts.set(body[0] as number, entries);
  }

  #object(body: Uint8Array): void {
    const id = uint16(body, 0);
    // Objects that are text have no pixels.
    if ((((body[2] as number) >> 2) & 3) !== 0 || body.length < 7) return;
    const [top, bottom] = [uint16(body, 3), uint16(body, 5)];
    const upper = body.subarray(7, 7 + top);
    const lower = bottom === 0 ? upper : body.subarray(7 + top, 7 + top + bottom);
    for (const region of this.#regions.values()) {
      for (const { object, x, y } of region.places) {
        if (object !== id) continue;
        drawField(upper, region, x, y);
        drawField(lower, region, x, y + 1);
      }
    }
  }

  /** All regions as one picture, with one palette. */
  #show({ regions }: Page, time: number): Display {
    const canvas = this.usualCanvas;
    const shown = regions.flatMap(({ id, x, y }) => {
      const region = this.#regions.get(id);
      return region && x + region.width <= canvas.width && y + region.height <= canvas.height ? [{ region, x, y }] : [];
    });
    if (shown.length === 0) return { time, canvas, palette: new Uint8Array(0), objects: [] };
    const left = Math.min(...shown.map(({ x }) => x));
    const top = Math.min(...shown.map(({ y }) => y));
    const width = Math.max(...shown.map(({ x, region }) => x + region.width)) - left;
    const height = Math.max(...shown.map(({ y, region }) => y + region.height)) - top;
    const palette = new Palette();
    const pixels = new Uint8Array(width * height).fill(palette.index(CLEAR));
    for (const { region, x, y } of shown) {
      const clut = this.#cluts.get(region.clut);
      const indices = Uint8Array.from({ length: 256 }, () => 0);
      for (let at = 0; at < region.pixels.length; at++) {
        const code = region.pixels[at] as number;
        indices[code] ||= palette.index(clut?.get(code) ?? usualColour(code, region.depth));
        const line = y - top + Math.floor(at / region.width);
        pixels[line * width + x - left + (at % region.width)] = indices[code] as number;
      }
    }
    const data = [codeLines(pixels, width)];
    return {
      time,
      canvas,
      palette: palette.entries(),
      objects: [{ x: left, y: top, width, height, isForced: false, data }],
    };
  }
}

/** Y, Cr, Cb, alpha. */
const CLEAR: readonly number[] = [16, 128, 128, 0];

/** @param values Y, Cr, Cb, transparency; a Y of 0 is transparent too (7.2.4). */
function colour([y = 0, cr = 128, cb = 128, transparency = 0]: readonly number[]): readonly number[] {
  return y === 0 ? CLEAR : [y, cr, cb, 255 - transparency];
}

/** What stands for the default colours (clause 10): the greys among them. */
function usualColour(code: number, depth: number): readonly number[] {
  const most = (1 << depth) - 1;
  return code === 0 ? CLEAR : [16 + Math.round((219 * code) / most), 128, 128, 255];
}

/** Colours by index, from 1 on; what is too much becomes the last one. */
class Palette {
  readonly #indices = new Map<string, number>();
  readonly #colours: (readonly number[])[] = [];

  index(wanted: readonly number[]): number {
    const key = wanted.join();
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    if (this.#colours.length >= 255) return 255;
    const index = this.#colours.push(wanted);
    this.#indices.set(key, index);
    return index;
  }

  entries(): Uint8Array {
    return Uint8Array.from(this.#colours.flatMap((values, i) => [i + 1, ...values]));
  }
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
