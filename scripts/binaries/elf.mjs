/** ELF of 64 bits, little endian (System V ABI, chapter 4). */

const HEADER = { sections: 40, sectionSize: 58, sectionCount: 60, namesIndex: 62 };
const SECTION = { type: 4, flags: 8, offset: 24, size: 32, link: 40, bytes: 64 };
const NOBITS = 8;
const ALLOC = 2n;

/**
 * Without what is not loaded when it runs: symbols and what debuggers want, 33 MB of Node's.
 * @param {Buffer} file
 */
export function stripped(file) {
  const isElf = file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
  if (!isElf || file.readUInt16LE(HEADER.sectionSize) !== SECTION.bytes)
    throw new Error('This is no ELF file of 64 bits.');
  const table = Number(file.readBigUInt64LE(HEADER.sections));
  const headers = Array.from({ length: file.readUInt16LE(HEADER.sectionCount) }, (_, n) =>
    Buffer.from(file.subarray(table + n * SECTION.bytes, table + (n + 1) * SECTION.bytes)),
  );
  const names = /** @type {Buffer<ArrayBuffer>} */ (headers[file.readUInt16LE(HEADER.namesIndex)]);
  // What is loaded stays where it is; behind it, the names of the sections alone.
  const kept = headers.filter(
    (header, n) => n === 0 || header === names || (header.readBigUInt64LE(SECTION.flags) & ALLOC) !== 0n,
  );
  const ends = kept.map((header) =>
    header === names || header.readUInt32LE(SECTION.type) === NOBITS ? 0 : endOf(header),
  );
  const end = Math.max(...ends);
  const nameBytes = file.subarray(Number(names.readBigUInt64LE(SECTION.offset)), endOf(names));
  for (const header of kept) {
    const linked = /** @type {Buffer<ArrayBuffer>} */ (headers[header.readUInt32LE(SECTION.link)]);
    header.writeUInt32LE(Math.max(0, kept.indexOf(linked)), SECTION.link);
  }
  names.writeBigUInt64LE(BigInt(end), SECTION.offset);
  const padding = Buffer.alloc(-(end + nameBytes.length) & 7);
  const result = Buffer.concat([file.subarray(0, end), nameBytes, padding, ...kept]);
  result.writeBigUInt64LE(BigInt(end + nameBytes.length + padding.length), HEADER.sections);
  result.writeUInt16LE(kept.length, HEADER.sectionCount);
  result.writeUInt16LE(kept.indexOf(names), HEADER.namesIndex);
  return result;
}

/**
 * Where a section ends in the file.
 * @param {Buffer} header
 */
function endOf(header) {
  return Number(header.readBigUInt64LE(SECTION.offset)) + Number(header.readBigUInt64LE(SECTION.size));
}
