// What an executable runs first: the server, from code that was compiled when the executable was built.
const { getAsset, getRawAsset } = require('node:sea');
const { Script } = require('node:vm');
const { zstdDecompressSync } = require('node:zlib');

/** @param {string} name of what packed.mjs has packed @param {number} size of what comes out, bytes */
const bytes = (name, size) =>
  zstdDecompressSync(new Uint8Array(/** @type {ArrayBuffer} */ (getRawAsset(`${name}.zst`))), { chunkSize: size });

/** In a function, so that nothing of it is held when the server runs. */
function compiled() {
  const { sizes } = JSON.parse(getAsset('executable.json', 'utf8'));
  const cache = sizes['server.cache'] && { cachedData: bytes('server.cache', sizes['server.cache']) };
  const source = bytes('server.cjs', sizes['server.cjs']).toString('latin1');
  const script = new Script(source, { filename: 'raffi-server.cjs', ...cache });
  if (script.cachedDataRejected)
    process.emitWarning('What was compiled when this executable was built does not fit: it starts slower.');
  return script.runInThisContext();
}
compiled()(require);
