import type { ChunkFiles } from './chunk-files.ts';
import type { Metainfo } from './metainfo.ts';
import type { PieceMap } from './piece-map.ts';

/** What the metadata of a torrent tell, and what is at hand of it. */
export interface Content {
  readonly metainfo: Metainfo;
  readonly pieces: PieceMap;
  readonly files: ChunkFiles;
  /** Bytes. */
  readonly chunkLength: number;
}
