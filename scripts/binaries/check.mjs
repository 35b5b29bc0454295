/**
 * What can be told of executables without running them: format, processor, signature, and that everything is inside. Only this platform's can be run here.
 *
 *   node scripts/binaries/check.mjs
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';
import { loadCommands } from './macho.mjs';
import { verifySignature } from './signature.mjs';
import { TARGETS } from './targets.mjs';

const OUT = fileURLToPath(new URL('../../dist/', import.meta.url));
/** Where Node looks whether a server is inside; `:1` once it is. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:1';
const CPU = { x64: 0x01000007, arm64: 0x0100000c };

const { assets } = await bundle();
const made = TARGETS.filter(({ file }) => existsSync(join(OUT, file)));
if (made.length === 0) throw new Error('dist/ has no executables: npm run build:binaries');
for (const target of made) {
  const file = readFileSync(join(OUT, target.file));
  const facts = [`${(file.length / 1e6).toFixed(1)} MB`, factsOf(file, target), carried(file)];
  const isOurs = target.platform === process.platform && target.arch === process.arch;
  console.log(`${target.file}: ${facts.join(', ')}${isOurs ? '' : '; not run'}`);
}

/**
 * @param {Buffer} file
 * @param {import('./targets.mjs').Target} target
 */
function factsOf(file, { platform, arch, file: name }) {
  if (platform === 'linux') {
    const isRight = file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file.readUInt16LE(18) === 62;
    if (!isRight) throw new Error(`${name} is no ELF file for x86-64.`);
    return 'ELF x86-64';
  }
  if (platform === 'win32') {
    const header = file.readUInt32LE(0x3c);
    const isRight = file.readUInt32LE(header) === 0x4550 && file.readUInt16LE(header + 4) === 0x8664;
    if (!isRight) throw new Error(`${name} is no PE file for x86-64.`);
    if (file.readUInt32LE(header + 24 + 112 + 4 * 8 + 4) !== 0)
      throw new Error(`${name} has a signature, which can't hold.`);
    return 'PE32+ x86-64, unsigned';
  }
  if (loadCommands(file).length === 0 || file.readUInt32LE(4) !== CPU[/** @type {keyof typeof CPU} */ (arch)]) {
    throw new Error(`${name} is no Mach-O file for ${arch}.`);
  }
  const { identifier, pages } = verifySignature(file);
  return `Mach-O ${arch}, signed ad hoc as ${identifier}, all ${pages} pages as signed`;
}

/** @param {Buffer} file */
function carried(file) {
  if (!file.includes(FUSE)) throw new Error('Node would not look for a server in it.');
  const missing = [...assets].filter(([, bytes]) => !file.includes(bytes)).map(([name]) => name);
  if (missing.length > 0) throw new Error(`It lacks ${missing.join(', ')}.`);
  return `${assets.size} assets inside`;
}
