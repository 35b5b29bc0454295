// What the executable runs that is only built to compile: starts the server, writes down what was compiled until it listened, and ends.
const { writeFileSync } = require('node:fs');
const { getRawAsset } = require('node:sea');
const { Script } = require('node:vm');
const { zstdDecompressSync } = require('node:zlib');

const packed = new Uint8Array(/** @type {ArrayBuffer} */ (getRawAsset('server.cjs.zst')));
const source = zstdDecompressSync(packed).toString('latin1');
const script = new Script(source, { filename: 'raffi-server.cjs' });
const file = process.argv.pop() ?? '';
process.stdout.write = () => {
  writeFileSync(file, script.createCachedData());
  process.exit();
};
script.runInThisContext()(require);
