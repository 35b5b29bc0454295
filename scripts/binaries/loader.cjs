// What an executable runs first: the server, from code that was compiled when the executable was built.
const { getAsset, getRawAsset } = require('node:sea');
const { Script } = require('node:vm');

/** @param {string} name */
const bytes = (name) => Buffer.from(/** @type {ArrayBuffer} */ (getRawAsset(name)));
const { hasCache } = JSON.parse(getAsset('executable.json', 'utf8'));
const options = { filename: 'raffi-server.cjs', ...(hasCache ? { cachedData: bytes('server.cache') } : {}) };
const script = new Script(bytes('server.cjs').toString('latin1'), options);
if (script.cachedDataRejected)
  process.emitWarning('What was compiled when this executable was built does not fit: it starts slower.');
script.runInThisContext()(require);
