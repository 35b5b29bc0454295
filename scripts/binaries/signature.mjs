/**
 * Code signatures of Mach-O files (`osfmk/kern/cs_blobs.h`), ad hoc as linkers make them: hashes of all pages and no identity. Macs with Apple's processors run
 * nothing without one.
 */
import { createHash } from 'node:crypto';
import { command, endLinkedit, LC, loadCommands, SEGMENT, segment, setWords } from './macho.mjs';

const SUPER_BLOB = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
const SUPER_BLOB_BYTES = 20;
const DIRECTORY_BYTES = 88;
const VERSION = 0x20400;
const AD_HOC_BY_LINKER = 0x20002;
const MAIN_BINARY = 1n;
const SHA256 = 2;
const HASH_BYTES = 32;
const PAGE_BITS = 12;
const PAGE = 2 ** PAGE_BITS;
const COMMAND_BYTES = 16;

/**
 * @param {Buffer} original without a signature
 * @param {string} identifier ASCII
 */
export function signed(original, identifier) {
  if (loadCommands(original).some(({ type }) => type === LC.codeSignature))
    throw new Error('There is a signature already.');
  const start = original.length + (-original.length & 15);
  const name = Buffer.from(`${identifier}\0`);
  const pages = Math.ceil(start / PAGE);
  const size = SUPER_BLOB_BYTES + DIRECTORY_BYTES + name.length + pages * HASH_BYTES;
  const file = Buffer.concat([original], start + size);
  addCommand(file, start, size);
  const commands = loadCommands(file);
  endLinkedit(segment(commands, '__LINKEDIT'), start + size);
  const text = segment(commands, '__TEXT');

  const blob = file.subarray(start);
  const big = (/** @type {number[]} */ values, /** @type {number} */ at) => {
    for (const [n, value] of values.entries()) blob.writeUInt32BE(value, at + 4 * n);
  };
  big([SUPER_BLOB, size, 1, 0, SUPER_BLOB_BYTES], 0);
  const at = SUPER_BLOB_BYTES;
  const hashes = DIRECTORY_BYTES + name.length;
  // magic, length, version, flags, where hashes and identifier begin, special slots, slots, end of what is hashed
  big([CODE_DIRECTORY, size - at, VERSION, AD_HOC_BY_LINKER, hashes, DIRECTORY_BYTES, 0, pages, start], at);
  blob.set([HASH_BYTES, SHA256, 0, PAGE_BITS], at + 36);
  blob.writeBigUInt64BE(text.readBigUInt64LE(SEGMENT.fileOffset), at + 64);
  blob.writeBigUInt64BE(text.readBigUInt64LE(SEGMENT.fileSize), at + 72);
  blob.writeBigUInt64BE(MAIN_BINARY, at + 80);
  blob.set(name, at + DIRECTORY_BYTES);
  for (let page = 0; page < pages; page++) blob.set(hashOf(file, page, start), at + hashes + page * HASH_BYTES);
  return file;
}

/**
 * Checks it as the kernel does. @throws Error that says what is wrong
 * @param {Buffer} file
 * @returns {{ identifier: string, pages: number }}
 */
export function verifySignature(file) {
  const signature = command(loadCommands(file), LC.codeSignature);
  const [start, size] = [signature.readUInt32LE(8), signature.readUInt32LE(12)];
  if (start + size !== file.length) throw new Error('The signature is not at the end of the file.');
  const blob = file.subarray(start);
  if (blob.readUInt32BE(0) !== SUPER_BLOB || blob.readUInt32BE(4) > size)
    throw new Error('The signature has no blobs.');
  const directory = blob.subarray(blob.readUInt32BE(16));
  if (directory.readUInt32BE(0) !== CODE_DIRECTORY) throw new Error('The signature has no code directory.');
  const [hashes = 0, name = 0] = [directory.readUInt32BE(16), directory.readUInt32BE(20)];
  const [pages, limit] = [directory.readUInt32BE(28), directory.readUInt32BE(32)];
  if (limit !== start || pages !== Math.ceil(limit / PAGE)) throw new Error('The signature does not cover the file.');
  for (let page = 0; page < pages; page++) {
    const said = directory.subarray(hashes + page * HASH_BYTES, hashes + (page + 1) * HASH_BYTES);
    if (!said.equals(hashOf(file, page, limit))) throw new Error(`Page ${page} is not the one that was signed.`);
  }
  return { identifier: directory.toString('latin1', name, directory.indexOf(0, name)), pages };
}

/**
 * @param {Buffer} file
 * @param {number} page
 * @param {number} limit
 */
function hashOf(file, page, limit) {
  return createHash('sha256')
    .update(file.subarray(page * PAGE, Math.min(limit, (page + 1) * PAGE)))
    .digest();
}

/**
 * Appends `LC_CODE_SIGNATURE` to the load commands.
 * @param {Buffer} file
 * @param {number} start
 * @param {number} size
 */
function addCommand(file, start, size) {
  const [count, bytes] = [file.readUInt32LE(16), file.readUInt32LE(20)];
  const at = 32 + bytes;
  if (file.subarray(at, at + COMMAND_BYTES).some((byte) => byte !== 0))
    throw new Error('There is no room for another load command.');
  setWords(file, at, [LC.codeSignature, COMMAND_BYTES, start, size]);
  setWords(file, 16, [count + 1, bytes + COMMAND_BYTES]);
}
