/** Portable executables (Microsoft's "PE Format"). */

const SECURITY = 4;

/**
 * Without its signature, which would not hold for what is made of it, and without the checksum, which only drivers need.
 * @param {Buffer} original
 */
export function unsigned(original) {
  const header = original.readUInt32LE(0x3c);
  if (original.toString('latin1', 0, 2) !== 'MZ' || original.readUInt32LE(header) !== 0x4550)
    throw new Error('This is no PE file.');
  const optional = header + 24;
  if (original.readUInt16LE(optional) !== 0x20b) throw new Error('This is no PE file of 64 bits.');
  const directory = optional + 112 + SECURITY * 8;
  const [start, size] = [original.readUInt32LE(directory), original.readUInt32LE(directory + 4)];
  if (size > 0 && start + size !== original.length) throw new Error('The signature is not at the end of the file.');
  const file = Buffer.from(size > 0 ? original.subarray(0, start) : original);
  file.writeBigUInt64LE(0n, directory);
  file.writeUInt32LE(0, optional + 64);
  return file;
}
