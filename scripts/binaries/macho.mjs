/** Mach-O of 64 bits, little endian (`mach-o/loader.h`, `mach-o/nlist.h`). */

const MAGIC = 0xfeedfacf;
const HEADER_BYTES = 32;
export const LC = { symtab: 0x2, dysymtab: 0xb, segment: 0x19, codeSignature: 0x1d };
/** `LC_CODE_SIGNATURE` to `LC_DYLD_CHAINED_FIXUPS`: data in `__LINKEDIT` at an offset with a size. */
const LINKEDIT_DATA = new Set([0x1d, 0x1e, 0x26, 0x29, 0x2b, 0x2e, 0x80000033, 0x80000034]);
const SYMBOL_BYTES = 16;
const UNDEFINED = 0;
const TYPE_MASK = 0x0e;
const STAB_MASK = 0xe0;
const INDIRECT_LOCAL = 0x80000000;

/**
 * @typedef {object} LoadCommand
 * @property {number} type
 * @property {Buffer} bytes of the file, to be changed in place
 */

/**
 * @param {Buffer} file
 * @returns {LoadCommand[]}
 */
export function loadCommands(file) {
  if (file.readUInt32LE(0) !== MAGIC) throw new Error('This is no Mach-O file of 64 bits.');
  const commands = [];
  let at = HEADER_BYTES;
  for (let n = 0; n < file.readUInt32LE(16); n++) {
    const size = file.readUInt32LE(at + 4);
    commands.push({ type: file.readUInt32LE(at), bytes: file.subarray(at, at + size) });
    at += size;
  }
  return commands;
}

/**
 * @param {readonly LoadCommand[]} commands
 * @param {number} type
 */
export function command(commands, type) {
  const found = commands.find((one) => one.type === type);
  if (!found) throw new Error(`The file has no load command ${type}.`);
  return found.bytes;
}

/**
 * @param {readonly LoadCommand[]} commands
 * @param {string} name
 */
export function segment(commands, name) {
  const isNamed = (/** @type {Buffer} */ bytes) => bytes.toString('latin1', 8, 24).replace(/\0+$/, '') === name;
  const found = commands.find(({ type, bytes }) => type === LC.segment && isNamed(bytes));
  if (!found) throw new Error(`The file has no segment ${name}.`);
  return found.bytes;
}

/** Offsets of the fields of `segment_command_64`. */
export const SEGMENT = { memorySize: 32, fileOffset: 40, fileSize: 48 };

/**
 * Says that `__LINKEDIT` reaches to here, rounded up to a page in memory.
 * @param {Buffer} linkedit its load command
 * @param {number} end in the file
 */
export function endLinkedit(linkedit, end) {
  const size = BigInt(end) - linkedit.readBigUInt64LE(SEGMENT.fileOffset);
  linkedit.writeBigUInt64LE(size, SEGMENT.fileSize);
  linkedit.writeBigUInt64LE((size + 0x3fffn) & ~0x3fffn, SEGMENT.memorySize);
}

/**
 * Without a signature, which no longer holds once something is put in, and without the symbols that only debuggers and add-ons ask for; what is found
 * when it is loaded is found by other tables (the trie of exports, chained fixups).
 * @param {Buffer} original
 */
export function stripped(original) {
  const file = withoutSignature(original);
  const commands = loadCommands(file);
  const symtab = command(commands, LC.symtab);
  const dysymtab = command(commands, LC.dysymtab);
  const [symbolsAt = 0, count = 0, namesAt = 0, namesSize = 0] = words(symtab, 8, 4);
  const [indirectAt = 0, indirectCount = 0] = words(dysymtab, 56, 2);
  const tail = Math.min(symbolsAt, indirectAt, namesAt);
  const others = commands
    .filter(({ type }) => LINKEDIT_DATA.has(type))
    .map(({ bytes }) => bytes.readUInt32LE(8) + bytes.readUInt32LE(12));
  if (Math.max(...others) > tail) throw new Error('The symbols are not the last of __LINKEDIT.');

  const indirect = words(file, indirectAt, indirectCount);
  const used = new Set(indirect);
  const names = file.subarray(namesAt, namesAt + namesSize);
  /** @type {Buffer[]} */
  const symbols = [];
  const text = [Buffer.from(' \0')]; // as linkers begin it
  let textSize = 2;
  const newIndex = new Map();
  const kept = { defined: 0, undefined: 0 };
  for (let n = 0; n < count; n++) {
    const symbol = Buffer.from(file.subarray(symbolsAt + n * SYMBOL_BYTES, symbolsAt + (n + 1) * SYMBOL_BYTES));
    const kind = symbol.readUInt8(4);
    const isUndefined = (kind & STAB_MASK) === 0 && (kind & TYPE_MASK) === UNDEFINED;
    const isExternal = (kind & 1) === 1;
    if (!isExternal || (!isUndefined && !used.has(n))) continue;
    const start = symbol.readUInt32LE(0);
    const name = names.subarray(start, names.indexOf(0, start) + 1);
    symbol.writeUInt32LE(textSize, 0);
    text.push(name);
    textSize += name.length;
    newIndex.set(n, symbols.length);
    symbols.push(symbol);
    kept[isUndefined ? 'undefined' : 'defined']++;
  }
  const indirectTable = Buffer.alloc(indirectCount * 4);
  for (const [n, old] of indirect.entries())
    indirectTable.writeUInt32LE(newIndex.get(old) ?? Math.max(old, INDIRECT_LOCAL), n * 4);

  /** @type {Buffer[]} */
  const parts = [file.subarray(0, tail), Buffer.alloc(-tail & 7)];
  let end = tail + (-tail & 7);
  const append = (/** @type {readonly Buffer[]} */ buffers) => {
    const start = end;
    const size = buffers.reduce((sum, { length }) => sum + length, 0);
    parts.push(...buffers, Buffer.alloc(-size & 7));
    end += size + (-size & 7);
    return start;
  };
  const written = [append(symbols), symbols.length];
  const indirectStart = append([indirectTable]);
  const textStart = append(text);
  setWords(symtab, 8, [...written, textStart, end - textStart]);
  setWords(dysymtab, 8, [0, 0, 0, kept.defined, kept.defined, kept.undefined]);
  setWords(dysymtab, 56, [indirectStart]);
  endLinkedit(segment(commands, '__LINKEDIT'), end);
  return Buffer.concat(parts);
}

/**
 * A copy.
 * @param {Buffer} original
 */
function withoutSignature(original) {
  const commands = loadCommands(original);
  const last = commands.at(-1);
  if (commands.every(({ type }) => type !== LC.codeSignature)) return Buffer.from(original);
  if (last?.type !== LC.codeSignature) throw new Error('The signature is not the last load command.');
  const start = last.bytes.readUInt32LE(8);
  const file = Buffer.from(original.subarray(0, start));
  const size = last.bytes.length;
  setWords(file, 16, [commands.length - 1, file.readUInt32LE(20) - size]);
  const at = last.bytes.byteOffset - original.byteOffset;
  file.fill(0, at, at + size);
  endLinkedit(segment(loadCommands(file), '__LINKEDIT'), start);
  return file;
}

/**
 * @param {Buffer} bytes
 * @param {number} at
 * @param {number} count
 */
function words(bytes, at, count) {
  return Array.from({ length: count }, (_, n) => bytes.readUInt32LE(at + 4 * n));
}

/**
 * @param {Buffer} bytes
 * @param {number} at
 * @param {readonly number[]} values
 */
export function setWords(bytes, at, values) {
  for (const [n, value] of values.entries()) bytes.writeUInt32LE(value, at + 4 * n);
}
