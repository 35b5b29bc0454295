/** Fragmented MP4 (ISO/IEC 14496-12, 8.8) as FFmpeg writes it into a pipe, taken apart. */
import { AppError } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';

/** Bytes of an initialization segment, of a fragment, and of any box. */
const LIMIT = 64 * 1024 * 1024;

export interface Fragment {
  /** Of the first track, in units of its timescale. */
  readonly baseMediaDecodeTime: number;
  /** `moof` and `mdat`. */
  readonly bytes: Uint8Array;
}

export type FragmentOrInit = { readonly init: Uint8Array } | Fragment;

interface BoxHeader {
  readonly type: string;
  /** Of the whole box, header included. */
  readonly size: number;
  /** As it was read: 8 or 16 bytes. */
  readonly header: Uint8Array;
}

function broken(what: string): AppError {
  return new AppError('transcode-failed', `FFmpeg's output is broken: ${what}.`);
}

/**
 * First the initialization segment (`ftyp` and `moov`), then each `moof` with its `mdat`; other boxes (`styp`, `sidx`, `free`, `mfra`) are left out. Each value
 * has memory of its own. Ending early ends `bytes`.
 * @throws AppError `transcode-failed` when `bytes` is no fragmented MP4, ends within a box or before the first `moov`, or has a box larger than 64 MB; what
 * `bytes` throws.
 */
export async function* fragments(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<FragmentOrInit, void> {
  const reader = new ByteReader(bytes);
  try {
    yield { init: await readInit(reader) };
    for (;;) {
      const box = await readHeader(reader);
      if (box === undefined) return;
      if (box.type === 'moof') yield await readFragment(reader, box);
      else if (['moov', 'mdat'].includes(box.type)) throw broken(`a ${box.type} box stands where none may`);
      else await skipBody(reader, box);
    }
  } finally {
    await reader.close();
  }
}

async function readInit(reader: ByteReader): Promise<Uint8Array> {
  let ftyp: Uint8Array | undefined;
  for (;;) {
    const box = await readHeader(reader);
    if (box === undefined) throw broken('it ends before its first moov box');
    if (box.type === 'ftyp' && !ftyp) ftyp = await readBox(reader, box, new Uint8Array(0));
    else if (box.type === 'moov' && ftyp) return readBox(reader, box, ftyp);
    else if (['ftyp', 'moov', 'moof', 'mdat'].includes(box.type))
      throw broken(`a ${box.type} box stands where none may`);
    else await skipBody(reader, box);
  }
}

async function readFragment(reader: ByteReader, header: BoxHeader): Promise<Fragment> {
  const moof = await readBox(reader, header, new Uint8Array(0));
  const baseMediaDecodeTime = decodeTime(moof.subarray(header.header.length));
  const next = await readHeader(reader);
  if (next?.type !== 'mdat') throw broken('a moof box has no mdat box behind it');
  return { baseMediaDecodeTime, bytes: await readBox(reader, next, moof) };
}

/** Undefined at the end of the bytes. */
async function readHeader(reader: ByteReader): Promise<BoxHeader | undefined> {
  if (!(await reader.fill(8))) {
    if (reader.available === 0) return undefined;
    throw cutShort();
  }
  let header = reader.take(8);
  const view = viewOf(header);
  const type = String.fromCharCode(...header.subarray(4));
  let size = view.getUint32(0);
  if (size === 1) {
    if (!(await reader.fill(8))) throw cutShort();
    header = Uint8Array.of(...header, ...reader.take(8));
    size = Number(viewOf(header).getBigUint64(8));
  }
  if (size < header.length || size > LIMIT) throw broken(`a box of ${size} bytes`);
  return { type, size, header };
}

/** `before`, then the whole box. */
async function readBox(reader: ByteReader, box: BoxHeader, before: Uint8Array): Promise<Uint8Array> {
  const size = before.length + box.size;
  if (size > LIMIT) throw broken(`boxes of ${size} bytes`);
  const bytes = new Uint8Array(size);
  bytes.set(before);
  bytes.set(box.header, before.length);
  if (!(await reader.readInto(bytes.subarray(before.length + box.header.length)))) throw cutShort();
  return bytes;
}

async function skipBody(reader: ByteReader, { size, header }: BoxHeader): Promise<void> {
  if (!(await reader.skip(size - header.length))) throw cutShort();
}

function cutShort(): AppError {
  return broken('it ends in the middle of a box');
}

/** `tfdt` of the first `traf` (8.8.12). */
function decodeTime(moofBody: Uint8Array): number {
  const traf = child(moofBody, 'traf');
  const tfdt = traf && child(traf, 'tfdt');
  const version = tfdt?.[0];
  if (!tfdt || tfdt.length < (version === 1 ? 12 : 8)) throw broken('a fragment has no decode time');
  const view = viewOf(tfdt);
  const time = version === 1 ? Number(view.getBigUint64(4)) : view.getUint32(4);
  if (!Number.isSafeInteger(time)) throw broken(`a fragment has the decode time ${time}`);
  return time;
}

/** The body of the first box of a type. */
function child(body: Uint8Array, type: string): Uint8Array | undefined {
  const view = viewOf(body);
  for (let at = 0; at + 8 <= body.length; ) {
    const size = view.getUint32(at);
    if (size < 8 || size > body.length - at) throw broken('the boxes of a fragment do not fit into it');
    if (String.fromCharCode(...body.subarray(at + 4, at + 8)) === type) return body.subarray(at + 8, at + size);
    at += size;
  }
  return undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
