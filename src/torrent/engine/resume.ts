/**
 * What of a torrent outlives a run (`keep`): `metadata`, the info dictionary, and `resume`, the bit field with size and time of each
 * chunk file at the moment of writing. A chunk that has not changed since is believed; every other one is hashed again, all of it: a run
 * that was killed has written more than it has noted.
 */
import { open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BitField } from './bit-field.ts';
import { chunkFile } from './chunks.ts';
import { type Layout, sha1 } from './layout.ts';
import { MAX_METADATA } from './metadata-fetch.ts';

interface Saved {
  readonly version: 1;
  /** Base64. */
  readonly have: string;
  /** Chunk number -> size and modification time in milliseconds. */
  readonly chunks: Record<string, readonly [size: number, mtimeMs: number]>;
}

export interface Resumed {
  readonly have: BitField;
  /** Pieces that may be there, in chunks that have changed since. */
  readonly doubtful: readonly number[];
}

/** The info dictionary that an earlier run left; undefined when there is none, or it is another's. */
export async function readMetadata(directory: string, infoHash: Buffer): Promise<Buffer | undefined> {
  const path = join(directory, 'metadata');
  try {
    const { size } = await stat(path);
    if (size > MAX_METADATA) return undefined;
    const info = await readFile(path);
    return sha1(info).equals(infoHash) ? info : undefined;
  } catch {
    return undefined;
  }
}

export function writeMetadata(directory: string, info: Uint8Array): Promise<void> {
  return replace(join(directory, 'metadata'), info);
}

/** A file is there whole or not at all. */
async function replace(path: string, bytes: Uint8Array | string): Promise<void> {
  await writeFile(`${path}.new`, bytes);
  await rename(`${path}.new`, path);
}

export const nothingHad = (layout: Layout): Resumed => ({ have: new BitField(layout.pieceCount), doubtful: [] });

export async function readResume(directory: string, layout: Layout): Promise<Resumed> {
  const have = new BitField(layout.pieceCount);
  const doubtful: number[] = [];
  const saved = await readSaved(directory);
  const before = saved && BitField.from(Buffer.from(saved.have, 'base64'), layout.pieceCount);
  for (let chunk = 0; chunk * layout.piecesPerChunk < layout.pieceCount; chunk += 1) {
    const now = await shapeOf(directory, chunk);
    if (now === undefined) continue;
    const believed = before !== undefined && isUnchanged(now, saved?.chunks[chunk]);
    const end = Math.min(layout.pieceCount, (chunk + 1) * layout.piecesPerChunk);
    for (let piece = chunk * layout.piecesPerChunk; piece < end; piece += 1) {
      if (!believed) doubtful.push(piece);
      else if (before.has(piece)) have.set(piece);
    }
  }
  return { have, doubtful };
}

async function readSaved(directory: string): Promise<Saved | undefined> {
  try {
    const saved: unknown = JSON.parse(await readFile(join(directory, 'resume'), 'utf8'));
    return isSaved(saved) ? saved : undefined;
  } catch {
    return undefined;
  }
}

function isSaved(value: unknown): value is Saved {
  if (typeof value !== 'object' || value === null || !('version' in value && 'have' in value && 'chunks' in value))
    return false;
  return (
    value.version === 1 && typeof value.have === 'string' && typeof value.chunks === 'object' && value.chunks !== null
  );
}

function isUnchanged(now: readonly [number, number], saved: unknown): boolean {
  return Array.isArray(saved) && now[0] === saved[0] && now[1] === saved[1];
}

async function shapeOf(directory: string, chunk: number): Promise<[number, number] | undefined> {
  try {
    const { size, mtimeMs } = await stat(chunkFile(directory, chunk));
    return [size, mtimeMs];
  } catch {
    return undefined;
  }
}

/** Chunks may change meanwhile: those that do are not believed when it is read. `have` is what is had at every moment. */
export async function writeResume(directory: string, layout: Layout, have: BitField): Promise<void> {
  const chunks: Record<string, [number, number]> = {};
  for (let chunk = 0; chunk * layout.piecesPerChunk < layout.pieceCount; chunk += 1) {
    const shape = await shapeOf(directory, chunk);
    // Somebody else has cut it off: it is to be hashed.
    if (shape !== undefined && shape[0] >= leastSize(layout, have, chunk)) chunks[chunk] = shape;
  }
  // Only now: what has come, or gone, since a chunk was looked at has changed the chunk. The other way round, a chunk that was given up and begun anew would be believed.
  const saved: Saved = { version: 1, have: Buffer.from(have.bytes).toString('base64'), chunks };
  await replace(join(directory, 'resume'), JSON.stringify(saved));
}

/** Bytes that the file of a chunk has at least, by what is had of it. */
function leastSize(layout: Layout, have: BitField, chunk: number): number {
  const first = chunk * layout.piecesPerChunk;
  let piece = Math.min(layout.pieceCount, first + layout.piecesPerChunk) - 1;
  while (piece >= first && !have.has(piece)) piece -= 1;
  return piece < first ? 0 : (piece - first) * layout.pieceLength + layout.lengthOf(piece);
}

/** Whether a piece on the disk has its hash; false when it can't be read. */
export async function hashMatches(directory: string, layout: Layout, piece: number): Promise<boolean> {
  const bytes = Buffer.allocUnsafe(layout.lengthOf(piece));
  const start = piece * layout.pieceLength;
  const chunk = Math.floor(start / layout.chunkLength);
  try {
    await using file = await open(chunkFile(directory, chunk), 'r');
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start - chunk * layout.chunkLength);
    return bytesRead === bytes.length && sha1(bytes).equals(layout.hashes.subarray(piece * 20, piece * 20 + 20));
  } catch {
    return false;
  }
}
