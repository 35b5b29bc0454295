/** What the engine needs of an info dictionary (BEP 3, 27, 47): how its bytes are divided, and what they must hash to. */
import { createHash } from 'node:crypto';
import type { ByteRange } from '../protocol.ts';
import { chunkLengthOf } from './chunks.ts';
import { type Bencoded, type BencodedMap, decodeDictionary } from './wire/bencode.ts';
import { BLOCK } from './wire/reader.ts';

const MAX_PIECE = 256 * 1024 * 1024;
const MIN_PIECE = 1024;

export interface Layout {
  readonly pieceLength: number;
  readonly pieceCount: number;
  readonly totalLength: number;
  /** 20 bytes for each piece. */
  readonly hashes: Uint8Array;
  /** BEP 27: no peers but the trackers'. */
  readonly private: boolean;
  /** What pad files cover: zeros, in order. */
  readonly padding: readonly ByteRange[];
  readonly chunkLength: number;
  readonly piecesPerChunk: number;
  /** The last piece may be shorter. */
  lengthOf(piece: number): number;
  blocksOf(piece: number): number;
}

export const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest();

/** @throws Error with a sentence, when no torrent can be made of it. */
export function layoutOf(info: Uint8Array): Layout {
  const map = decodeDictionary(info);
  const hashes = map.get('pieces');
  if (hashes === undefined && map.has('meta version'))
    throw new Error('This torrent is for BitTorrent v2 only, which is not supported.');
  const pieceLength = positive(map.get('piece length'), 'piece length');
  if (pieceLength < MIN_PIECE || pieceLength > MAX_PIECE)
    throw new Error(`A piece length of ${pieceLength} is refused.`);
  if (!(hashes instanceof Uint8Array) || hashes.length === 0 || hashes.length % 20 !== 0)
    throw new Error('"pieces" of the torrent is not a list of SHA-1 hashes.');
  const { totalLength, padding } = extent(map);
  const pieceCount = hashes.length / 20;
  if (Math.ceil(totalLength / pieceLength) !== pieceCount)
    throw new Error(`The torrent has ${pieceCount} pieces for ${totalLength} bytes, which do not fit.`);
  const chunkLength = chunkLengthOf(pieceLength);
  const lengthOf = (piece: number): number => Math.min(pieceLength, totalLength - piece * pieceLength);
  return {
    pieceLength,
    pieceCount,
    totalLength,
    hashes,
    private: map.get('private') === 1,
    padding,
    chunkLength,
    piecesPerChunk: chunkLength / pieceLength,
    lengthOf,
    blocksOf: (piece) => Math.ceil(lengthOf(piece) / BLOCK),
  };
}

function extent(map: BencodedMap): { totalLength: number; padding: ByteRange[] } {
  const padding: ByteRange[] = [];
  const files = map.get('files');
  if (files === undefined) return { totalLength: positive(map.get('length'), 'length'), padding };
  if (!Array.isArray(files)) throw new Error('"files" of the torrent is not a list.');
  let totalLength = 0;
  for (const file of files) {
    if (!(file instanceof Map)) throw new Error('A file of the torrent is not a dictionary.');
    const attributes = file.get('attr');
    // A symbolic link (BEP 47) has no bytes, whatever length it names; `metainfo.ts` says so, too.
    const length = attributes instanceof Uint8Array && attributes.includes(0x6c) ? 0 : file.get('length');
    if (typeof length !== 'number' || length < 0) throw new Error('"length" of a file of the torrent is not a size.');
    const start = totalLength;
    totalLength += length;
    if (!Number.isSafeInteger(totalLength)) throw new Error('The torrent is too large.');
    if (attributes instanceof Uint8Array && attributes.includes(0x70) && length > 0)
      padding.push({ start, end: totalLength });
  }
  if (totalLength === 0) throw new Error('The torrent is empty.');
  return { totalLength, padding };
}

function positive(value: Bencoded | undefined, name: string): number {
  if (typeof value !== 'number' || value <= 0) throw new Error(`"${name}" of the torrent is not a positive number.`);
  return value;
}
