/**
 * Presentation Graphics of Blu-ray (PGS), as Matroska and transport streams hold them: segments of type, length and body, a display set ending with END.
 * FFmpeg's decoder takes what is written here; so does any other.
 */
import { concatBytes } from '../codecs/bits.ts';
import type { Packet } from '../types.ts';
import type { Display, DisplayDecoder, DisplayObject, Size } from './display.ts';

const PALETTE = 0x14;
const OBJECT = 0x15;
const COMPOSITION = 0x16;
const WINDOWS = 0x17;
const END = 0x80;

const HEADER = 3;
const COMPOSITION_HEAD = 11;
const EPOCH_START = 0x80;
const CROPPED = 0x80;
const FORCED = 0x40;
const FIRST_PART = 0x80;
const LAST_PART = 0x40;
/** Objects of a composition: the format has no more. */
const MAX_SHOWN = 2;
/** Bounds for hostile streams. */
const MAX_OBJECTS = 128;
const MAX_OBJECT_BYTES = 8 * 1024 * 1024;
const MAX_EPOCH_BYTES = 32 * 1024 * 1024;
const MAX_SIDE = 8192;
/** A segment's length is a 16-bit number. */
const MAX_PART = 0xff00;

interface Segment {
  readonly type: number;
  readonly body: Uint8Array;
}

function* segmentsOf(data: Uint8Array): Generator<Segment> {
  for (let at = 0; at + HEADER <= data.length; ) {
    const length = uint16(data, at + 1);
    const end = at + HEADER + length;
    if (end > data.length) return;
    yield { type: data[at] as number, body: data.subarray(at + HEADER, end) };
    at = end;
  }
}

/** Whether what is shown from this packet on needs nothing of earlier ones: a start of an epoch, or a point for tuning in. */
export function startsEpoch(data: Uint8Array): boolean {
  const first = segmentsOf(data).next();
  if (first.done || first.value.type !== COMPOSITION) return false;
  return first.value.body.length >= COMPOSITION_HEAD && (first.value.body[7] as number) >> 6 !== 0;
}

interface Composition {
  readonly time: number;
  readonly canvas: Size;
  readonly palette: number;
  readonly objects: readonly {
    readonly id: number;
    readonly isForced: boolean;
    readonly x: number;
    readonly y: number;
  }[];
}

interface StoredObject extends Size {
  readonly data: Uint8Array[];
  bytes: number;
  /** Its last part is here. */
  isWhole: boolean;
}

/** Invariant: `#palettes` and `#objects` are those of the present epoch. */
export class PgsDecoder implements DisplayDecoder {
  readonly usualCanvas: Size = { width: 1920, height: 1080 };
  readonly #palettes = new Map<number, Map<number, Uint8Array>>();
  readonly #objects = new Map<number, StoredObject>();
  #bytes = 0;
  #composition: Composition | undefined;

  push({ data, pts }: Packet): Display[] {
    const displays: Display[] = [];
    for (const { type, body } of segmentsOf(data)) {
      if (type === COMPOSITION) this.#compose(body, pts);
      else if (type === PALETTE) this.#addPalette(body);
      else if (type === OBJECT) this.#addObject(body);
      else if (type === END && this.#composition) {
        displays.push(this.#show(this.#composition));
        this.#composition = undefined;
      }
    }
    return displays;
  }

  #compose(body: Uint8Array, time: number): void {
    if (body.length < COMPOSITION_HEAD) return;
    if ((body[7] as number) >> 6 !== 0) this.#forget();
    const objects = [];
    let at = COMPOSITION_HEAD;
    for (let i = 0; i < (body[10] as number) && at + 8 <= body.length; i++) {
      const flags = body[at + 3] as number;
      const isForced = (flags & FORCED) !== 0;
      objects.push({ id: uint16(body, at), isForced, x: uint16(body, at + 4), y: uint16(body, at + 6) });
      at += flags & CROPPED ? 16 : 8;
    }
    const canvas = { width: uint16(body, 0), height: uint16(body, 2) };
    this.#composition = { time, canvas, palette: body[9] as number, objects };
  }

  #forget(): void {
    this.#palettes.clear();
    this.#objects.clear();
    this.#bytes = 0;
  }

  #addPalette(body: Uint8Array): void {
    const id = body[0];
    if (id === undefined) return;
    const entries = this.#palettes.get(id) ?? new Map<number, Uint8Array>();
    for (let at = 2; at + 5 <= body.length; at += 5) entries.set(body[at] as number, body.slice(at, at + 5));
    this.#palettes.set(id, entries);
  }

  #addObject(body: Uint8Array): void {
    if (body.length < 4) return;
    const id = uint16(body, 0);
    const isLast = ((body[3] as number) & LAST_PART) !== 0;
    if ((body[3] as number) & FIRST_PART) {
      this.#drop(id);
      const [width, height] = [uint16(body, 7), uint16(body, 9)];
      if (body.length < 11 || !isSide(width) || !isSide(height) || this.#objects.size >= MAX_OBJECTS) return;
      this.#objects.set(id, { width, height, data: [], bytes: 0, isWhole: false });
      this.#append(id, body.subarray(11), isLast);
    } else {
      this.#append(id, body.subarray(4), isLast);
    }
  }

  #append(id: number, part: Uint8Array, isLast: boolean): void {
    const object = this.#objects.get(id);
    if (object === undefined || object.isWhole) return;
    object.data.push(part.slice());
    object.bytes += part.length;
    object.isWhole = isLast;
    this.#bytes += part.length;
    if (object.bytes > MAX_OBJECT_BYTES || this.#bytes > MAX_EPOCH_BYTES) this.#drop(id);
  }

  #drop(id: number): void {
    this.#bytes -= this.#objects.get(id)?.bytes ?? 0;
    this.#objects.delete(id);
  }

  #show({ time, canvas, palette, objects }: Composition): Display {
    const colours = this.#palettes.get(palette);
    const shown: DisplayObject[] = [];
    for (const { id, isForced, x, y } of objects.slice(0, MAX_SHOWN)) {
      const object = this.#objects.get(id);
      if (!object?.isWhole || colours === undefined) continue;
      shown.push({ width: object.width, height: object.height, data: [...object.data], isForced, x, y });
    }
    return { time, canvas, palette: concatBytes([...(colours?.values() ?? [])]), objects: shown };
  }
}

function isSide(length: number): boolean {
  return length > 0 && length <= MAX_SIDE;
}

/** A display as a display set of its own: an epoch that starts with it. */
export function displaySet({ canvas, palette, objects }: Display): Uint8Array {
  const shown = objects.slice(0, MAX_SHOWN);
  const composition = [
    ...[...pair(canvas.width), ...pair(canvas.height), 0x10, 0, 0, EPOCH_START, 0, 0, shown.length],
    ...shown.flatMap(({ isForced, x, y }, i) => [...pair(i), i, isForced ? FORCED : 0, ...pair(x), ...pair(y)]),
  ];
  const windows = [
    shown.length,
    ...shown.flatMap(({ x, y, width, height }, i) => [i, ...pair(x), ...pair(y), ...pair(width), ...pair(height)]),
  ];
  return concatBytes([
    segment(COMPOSITION, Uint8Array.from(composition)),
    ...(shown.length === 0
      ? []
      : [
          segment(WINDOWS, Uint8Array.from(windows)),
          segment(PALETTE, concatBytes([Uint8Array.of(0, 0), palette.subarray(0, 5 * 256)])),
          ...shown.flatMap((object, i) => objectSegments(object, i)),
        ]),
    segment(END, new Uint8Array(0)),
  ]);
}

function objectSegments({ width, height, data }: DisplayObject, id: number): Uint8Array[] {
  const coded = concatBytes(data);
  const length = coded.length + 4;
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < coded.length; at += MAX_PART) {
    const flags = (at === 0 ? FIRST_PART : 0) | (at + MAX_PART >= coded.length ? LAST_PART : 0);
    const head = [...pair(id), 0, flags];
    if (at === 0) head.push(length >> 16, ...pair(length & 0xffff), ...pair(width), ...pair(height));
    parts.push(segment(OBJECT, concatBytes([Uint8Array.from(head), coded.subarray(at, at + MAX_PART)])));
  }
  return parts;
}

/** Palette indices, one byte per pixel, as the run lengths of an object. Index 0 is for no use here. */
export function codeLines(pixels: Uint8Array, width: number): Uint8Array {
  const out: number[] = [];
  for (let line = 0; line < pixels.length; line += width) {
    for (let x = 0; x < width; ) {
      const colour = pixels[line + x] as number;
      let run = 1;
      while (x + run < width && pixels[line + x + run] === colour) run += 1;
      if (run <= 2) out.push(...new Array<number>(run).fill(colour));
      else if (run < 64) out.push(0, 0x80 | run, colour);
      else out.push(0, 0xc0 | (run >> 8), run & 0xff, colour);
      x += run;
    }
    out.push(0, 0);
  }
  return Uint8Array.from(out);
}

function segment(type: number, body: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(type, ...pair(body.length)), body]);
}

function pair(value: number): [number, number] {
  const bounded = Math.min(Math.max(0, Math.round(value)), 0xffff);
  return [bounded >> 8, bounded & 0xff];
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
