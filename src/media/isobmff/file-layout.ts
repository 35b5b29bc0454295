/** Finds the movie box among the top-level boxes (ISO/IEC 14496-12, 4.2 and 6.2.3) with as few reads as the source's latency asks for. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { fourCC, u64, viewOf } from './boxes.ts';

const HEAD = { local: 64 * 1024, remote: 256 * 1024 };
/** Over a network, everything from the end of the media data to the end of the file is read at once up to this size. */
const MAX_TAIL = 64 * 1024 * 1024;
const MAX_MOOV = 512 * 1024 * 1024;
/** Files have a handful of top-level boxes before `moov`; recorders that leave one mdat per minute have hundreds. */
const MAX_BOXES = 10_000;

const FIRST_BOXES = new Set([
  'ftyp',
  'moov',
  'mdat',
  'moof',
  'styp',
  'sidx',
  'free',
  'skip',
  'wide',
  'pnot',
  'uuid',
  'prfl',
  'pdin',
]);
/** Too common as words to be proof by themselves: they must be followed by another box. */
const WEAK_BOXES = new Set(['free', 'skip', 'wide', 'uuid', 'pnot']);

const PRINTABLE = /^[\x20-\x7e\xa9]{4}$/;

export interface TopLevelBox {
  readonly type: string;
  readonly offset: number;
  readonly headerSize: number;
  /** Exclusive; may lie beyond the end of a truncated file. */
  readonly end: number;
}

/** Whether the first bytes of a file (16 or more) begin an ISO base media or QuickTime file. */
export function isIsobmff(head: Uint8Array): boolean {
  const view = viewOf(head);
  let offset = 0;
  for (let i = 0; i < 8; i++) {
    if (offset + 8 > view.byteLength) return i > 0;
    const box = headerAt(view, offset, 0, Number.POSITIVE_INFINITY);
    if (box === undefined || !FIRST_BOXES.has(box.type)) return false;
    if (!WEAK_BOXES.has(box.type)) return true;
    offset = box.end;
  }
  return false;
}

/** The box whose header stands at `offset` of the view; `base` is the view's position in the file. Undefined when it is no box. */
function headerAt(view: DataView, offset: number, base: number, fileSize: number): TopLevelBox | undefined {
  if (offset + 8 > view.byteLength) return undefined;
  let size = view.getUint32(offset);
  let headerSize = 8;
  if (size === 1) {
    if (offset + 16 > view.byteLength) return undefined;
    size = u64(view, offset + 8);
    headerSize = 16;
  } else if (size === 0) {
    size = fileSize - base - offset;
  }
  if (size < headerSize) return undefined;
  return { type: fourCC(view, offset + 4), offset: base + offset, headerSize, end: base + offset + size };
}

/** The top-level box whose header `bytes` begin with; they stand at `offset` of the file. Undefined where no box is. */
export function headerOf(bytes: Uint8Array, offset: number, fileSize: number): TopLevelBox | undefined {
  const box = headerAt(viewOf(bytes), 0, offset, fileSize);
  return box !== undefined && PRINTABLE.test(box.type) ? box : undefined;
}

/** What was read of a file while it is opened: requests inside of it cost nothing. */
export class Window {
  readonly source: Source;
  readonly #signal: AbortSignal;
  #parts: { offset: number; bytes: Uint8Array }[] = [];

  constructor(source: Source, signal: AbortSignal) {
    this.source = source;
    this.#signal = signal;
  }

  /** `length` bytes at `offset`, fewer only at the end of the file. When they must be read, `ahead` bytes are read instead. */
  async bytes(offset: number, length: number, ahead = length): Promise<Uint8Array> {
    const held = this.held(offset, length);
    if (held !== undefined) return held;
    const end = Math.min(offset + length, this.source.size);
    if (offset >= end) return new Uint8Array(0);
    const bytes = await this.source.read(
      offset,
      Math.max(end - offset, Math.min(ahead, this.source.size - offset)),
      this.#signal,
    );
    this.#parts.push({ offset, bytes });
    if (this.#parts.length > 4) this.#parts.splice(1, 1);
    return bytes.subarray(0, end - offset);
  }

  /** Forgets all that was read but what `view` lies in. */
  keepOnly(view: DataView): void {
    this.#parts = this.#parts.filter(({ bytes }) => bytes.buffer === view.buffer);
  }

  /**
   * Gives the memory of what is held back for other reads: a film's movie box has megabytes, and a server that opens one after the other should not wait for
   * the garbage collector to find out. Nothing may look at any view of it from now on.
   */
  recycle(): void {
    for (const { bytes } of this.#parts.splice(0)) this.source.recycle(bytes);
  }

  /** As `bytes`, when they were read before; else undefined. */
  held(offset: number, length: number): Uint8Array | undefined {
    const end = Math.min(offset + length, this.source.size);
    for (const part of this.#parts) {
      if (offset >= part.offset && end <= part.offset + part.bytes.length) {
        return part.bytes.subarray(offset - part.offset, Math.max(offset, end) - part.offset);
      }
    }
    return undefined;
  }

  /** The top-level box at `offset`, or undefined at the end of the file and where no box is. */
  async box(offset: number, ahead = 16): Promise<TopLevelBox | undefined> {
    const bytes = await this.bytes(offset, 16, ahead);
    return headerAt(viewOf(bytes), 0, offset, this.source.size);
  }
}

export interface FileLayout {
  /** The body of `moov`. */
  readonly moov: DataView;
  readonly moovEnd: number;
  /** `mov` when the file calls itself QuickTime, or says nothing. */
  readonly container: 'mp4' | 'mov';
}

/**
 * Reads the movie box.
 * @throws AppError `media-damaged` when there is none, `source-*`.
 */
export async function readLayout(window: Window): Promise<FileLayout> {
  const { source } = window;
  await window.bytes(0, Math.min(HEAD[source.latency], source.size));
  let container: FileLayout['container'] = 'mov';
  let offset = 0;
  let isSegment = false;
  for (let i = 0; i < MAX_BOXES; i++) {
    const rest = source.size - offset;
    if (rest < 8) break;
    const ahead = source.latency === 'local' ? 16 : rest <= MAX_TAIL ? rest : 1024 * 1024;
    const box = await window.box(offset, ahead);
    if (box === undefined) throw notABox(source, offset);
    if (box.type === 'ftyp') container = await brandOf(window, box);
    if (box.type === 'moof' || box.type === 'styp') isSegment = true;
    if (box.type === 'moov') return { moov: await readMoov(window, box), moovEnd: box.end, container };
    if (!PRINTABLE.test(box.type)) throw notABox(source, offset);
    offset = box.end;
  }
  const why = isSegment
    ? 'has no index (moov): it is a piece of a stream, and the piece with the index is missing'
    : 'ends before its index (moov): the recording or download is incomplete';
  throw new AppError('media-damaged', `${source.label}: the file ${why}.`);
}

function notABox(source: Source, offset: number): AppError {
  return new AppError(
    'media-damaged',
    `${source.label}: the file has no index (moov) up to byte ${offset}, and what stands there is damaged.`,
  );
}

async function brandOf(window: Window, box: TopLevelBox): Promise<'mp4' | 'mov'> {
  const brand = await window.bytes(box.offset + box.headerSize, 4);
  return brand.length === 4 && fourCC(viewOf(brand), 0) === 'qt  ' ? 'mov' : 'mp4';
}

async function readMoov(window: Window, box: TopLevelBox): Promise<DataView> {
  const { source } = window;
  const size = box.end - box.offset;
  if (box.end > source.size) {
    throw new AppError(
      'media-damaged',
      `${source.label}: the file ends within its index (moov): the recording or download is incomplete.`,
    );
  }
  if (size > MAX_MOOV) {
    throw new AppError(
      'media-damaged',
      `${source.label}: its index (moov) claims ${size} bytes, more than any film needs.`,
    );
  }
  const bytes = await window.bytes(box.offset + box.headerSize, size - box.headerSize);
  if (bytes.length < size - box.headerSize) {
    throw new AppError('source-truncated', `${source.label} ended while its index (moov) was read.`);
  }
  // The tables are kept while the file is open: not inside of a much larger buffer.
  const kept = bytes.buffer.byteLength > 2 * bytes.length + 65536 ? bytes.slice() : bytes;
  return viewOf(kept);
}
