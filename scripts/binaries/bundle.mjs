/**
 * The server as two scripts, its own and the torrent engine's, and everything else that an executable carries: page, version, licences.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGE_FILES = /\.(?:html|css|js|mjs|svg)$/;
const LICENCE_FILES = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/i;

/**
 * What stands for a package: less than its whole, or the whole only when it is first used. What does not run would cost time at start, and memory.
 * @type {Readonly<Record<string, string>>}
 */
const STAND_INS = {
  // Neither fetch, mocks and caches, nor WebSocket, which only WebRTC needs; and nothing before a source of the web is opened.
  undici: `exports.__esModule = true;
    const late = (name, load) => Object.defineProperty(exports, name, { enumerable: true, get: load });
    late('Agent', () => require('undici/lib/dispatcher/agent.js'));
    late('errors', () => require('undici/lib/core/errors.js'));`,
  // A native part, which src/torrent/webrtc/native.ts says is missing: nobody comes here.
  'node-datachannel': `exports.PeerConnection = undefined;`,
  // What src/media/library uses of it: no writing, no converting.
  mediabunny: `export { CustomSource, EncodedPacketSink, FLAC, Input, MP3, OGG, WAVE } from 'mediabunny';`,
  // Schemas are compiled when they are first used.
  '@fastify/ajv-compiler': `module.exports = () => (...options) => require('@fastify/ajv-compiler')()(...options);`,
  '@fastify/fast-json-stringify-compiler': `module.exports = () => (...options) =>
    require('@fastify/fast-json-stringify-compiler')()(...options);`,
  // Where logs go to a terminal.
  'pino-pretty': `module.exports = (options) => require('pino-pretty')(options);`,
  // Only for a description of the API in YAML, which nobody can ask for.
  yaml: `export function stringify() { throw new Error('The description of the API is JSON.'); }`,
};

/** @type {import('esbuild').Plugin} */
const standIns = {
  name: 'stand-ins',
  setup({ onResolve, onLoad }) {
    const filter = new RegExp(`^(?:${Object.keys(STAND_INS).join('|')})$`);
    onResolve({ filter }, ({ path, namespace }) =>
      namespace === 'stand-in' ? undefined : { path, namespace: 'stand-in' },
    );
    onLoad({ filter, namespace: 'stand-in' }, ({ path }) => ({ contents: STAND_INS[path] ?? '', resolveDir: ROOT }));
  },
};

/**
 * @typedef {object} Bundle
 * @property {Map<string, Uint8Array>} assets what `src/lib/embedded.ts` finds, and `server.cjs`: a function expression that takes `require`
 * @property {string[]} packages names of the npm packages inside
 */

/** @returns {Promise<Bundle>} */
export async function bundle() {
  const server = await script('src/executable.ts', '(function (require) {', '})');
  const worker = await script('src/torrent/engine/worker.ts', '', '');
  const packages = [...new Set([...server.packages, ...worker.packages, 'hls.js'])].sort();
  const pages = readdirSync(join(ROOT, 'web')).filter((name) => PAGE_FILES.test(name));
  const assets = new Map([
    ['server.cjs', server.code],
    ['torrent-worker.cjs', worker.code],
    ['package.json', text(JSON.stringify({ version: JSON.parse(read('package.json').toString()).version }))],
    ['page.json', text(JSON.stringify([...pages, 'vendor/hls.mjs']))],
    ...pages.map((name) => /** @type {[string, Uint8Array]} */ ([`page/${name}`, read(`web/${name}`)])),
    ['page/vendor/hls.mjs', read('node_modules/hls.js/dist/hls.min.mjs')],
    ['licences.txt', text(licences(packages))],
  ]);
  return { assets, packages };
}

/**
 * @param {string} entry
 * @param {string} banner
 * @param {string} footer
 */
async function script(entry, banner, footer) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    outfile: 'out.cjs',
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    minify: true,
    // Names of classes and functions stand in logs.
    keepNames: true,
    charset: 'ascii',
    // A script of node:vm and of a worker can't import; what is imported late is a part of it, or built in.
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': 'undefined', 'import.meta.main': 'false' },
    logOverride: { 'empty-import-meta': 'silent' },
    plugins: [standIns],
    banner: { js: banner },
    footer: { js: footer },
  });
  const inputs = Object.keys(metafile.inputs);
  const native = inputs.filter((path) => path.endsWith('.node'));
  if (native.length > 0) throw new Error(`${native.join(', ')} can't be carried.`);
  const packages = inputs.flatMap((path) => /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
  return { code: /** @type {import('esbuild').OutputFile} */ (outputFiles[0]).contents, packages };
}

/**
 * The licence of everything inside: ours, the packages', the runtime's with all that it carries.
 * @param {string[]} packages
 */
function licences(packages) {
  const runtime = readdirSync(join(ROOT, 'node_modules')).find((name) =>
    /^node(?:-bin)?-(?:linux|darwin|win)-/.test(name),
  );
  if (!runtime) throw new Error('The runtime is not installed: npm run setup');
  const folders = ['.', ...packages.map((name) => `node_modules/${name}`), `node_modules/${runtime}`];
  return folders.map((folder) => licence(folder)).join(`\n${'='.repeat(80)}\n\n`);
}

/** @param {string} folder of a package */
function licence(folder) {
  const { name, version, license, author } = JSON.parse(read(`${folder}/package.json`).toString());
  const files = readdirSync(join(ROOT, folder)).filter((file) => LICENCE_FILES.test(file));
  const texts = files.map((file) => read(`${folder}/${file}`).toString().trim());
  if (texts.length === 0) texts.push(`(The package has no text of its licence.) ${author?.name ?? author ?? ''}`);
  return `${name} ${version}: ${license}\n\n${texts.join('\n\n')}\n`;
}

/** @param {string} path */
function read(path) {
  return readFileSync(join(ROOT, path));
}

/** @param {string} value */
function text(value) {
  return Buffer.from(value);
}
