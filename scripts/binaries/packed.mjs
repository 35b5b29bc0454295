/**
 * The two largest assets are carried compressed, and unpacked by the loaders: what lies in the file as it is counts as resident memory for as long as the
 * server runs, 4 MB of it, and unpacking takes some milliseconds.
 */
import { constants, zstdCompressSync } from 'node:zlib';

const PACKED = new Set(['server.cjs', 'server.cache']);
const LEVEL = 19;

/** @param {ReadonlyMap<string, Uint8Array>} assets @returns {Map<string, Uint8Array>} as an executable carries them; the same bytes each time */
export function packed(assets) {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL };
  return new Map(
    [...assets].map(([name, bytes]) =>
      PACKED.has(name) ? [`${name}.zst`, zstdCompressSync(bytes, { params })] : [name, bytes],
    ),
  );
}
