/**
 * What can be told of executables without running them: format, processor, signature, size, and that everything is inside; and that their archives and sums,
 * where there are some, are theirs. Only this platform's can be run here.
 *
 *   node scripts/binaries/check.mjs
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packedName, SUMS, sumOf } from './archive.mjs';
import { bundle } from './bundle.mjs';
import { loadCommands } from './macho.mjs';
import { packed } from './packed.mjs';
import { verifySignature } from './signature.mjs';
import { TARGETS } from './targets.mjs';

const OUT = fileURLToPath(new URL('../../dist/', import.meta.url));
/** Where Node looks whether a server is inside; `:1` once it is. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:1';
/** Bytes. */
const MOST = { raw: 135e6, packed: 45e6 };
const CPU = { x64: 0x01000007, arm64: 0x0100000c };

const assets = packed((await bundle()).assets);
const made = TARGETS.filter(({ file }) => existsSync(join(OUT, file)));
if (made.length === 0) throw new Error('dist/ has no executables: npm run build:binaries');
const isOurs = (/** @type {import('./targets.mjs').Target} */ { platform, arch }) =>
  platform === process.platform && arch === process.arch;
for (const target of made) {
  const path = join(OUT, target.file);
  const file = readFileSync(path);
  const sizes = [sizeOf(path, MOST.raw), ...packedSize(target.file, file)].join(', ');
  console.log(`${target.file}: ${sizes}, ${factsOf(file, target)}, ${carried(file)}`);
}
for (const sums of Object.values(SUMS))
  if (existsSync(join(OUT, sums))) console.log(`${sums}: ${await checkSums(sums)} files are as it says`);
const others = made.filter((target) => !isOurs(target)).map(({ file }) => file);
if (others.length > 0)
  console.log(
    `NOT RUN, since this is ${process.platform} on ${process.arch}: ${others.join(', ')}. They were looked at only.`,
  );

/** @param {string} path @param {number} most */
function sizeOf(path, most) {
  const { size } = statSync(path);
  const words = `${(size / 1e6).toFixed(1)} MB (at most ${most / 1e6})`;
  if (size > most) throw new Error(`${path}: ${words}`);
  return words;
}

/** @param {string} name @param {Buffer} file what has to come out of its archive */
function packedSize(name, file) {
  const path = join(OUT, packedName(name));
  if (!existsSync(path)) return [];
  if (!execFileSync('tar', ['-xJOf', path, name], { maxBuffer: 512 * 1024 * 1024 }).equals(file))
    throw new Error(`${path} has another executable.`);
  return [`as .tar.xz ${sizeOf(path, MOST.packed)}`];
}

/** @param {string} sums */
async function checkSums(sums) {
  const lines = readFileSync(join(OUT, sums), 'utf8').trimEnd().split('\n');
  for (const line of lines) {
    const [sum, name = ''] = line.split('  ');
    if ((await sumOf(join(OUT, name))) !== sum) throw new Error(`${name} is not what ${sums} says.`);
  }
  return lines.length;
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
  if (missing.length > 0) throw new Error(`It lacks, or has from other sources, ${missing.join(', ')}.`);
  return `${assets.size} assets inside`;
}
