/**
 * Where bytes of torrent space lie on the disk (protocol.ts): chunk files of whole pieces, about 16 MiB each, so that the
 * disk space of what is far behind every playhead can be given back by deleting files. Pure; both threads use it.
 */
import { join } from 'node:path';

const CHUNK_BYTES = 16 * 1024 * 1024;

/** Bytes per chunk file: as many whole pieces as fit into 16 MiB, at least one. */
export function chunkLengthOf(pieceLength: number): number {
  return Math.max(1, Math.floor(CHUNK_BYTES / pieceLength)) * pieceLength;
}

/** The path of chunk `index`, which holds `[index * chunkLength, (index + 1) * chunkLength)` of torrent space. */
export function chunkFile(directory: string, index: number): string {
  return join(directory, `chunk-${String(index).padStart(6, '0')}`);
}
