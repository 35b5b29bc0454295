/** Containers that none of our readers knows and FFmpeg does, told by how their files begin. */
const ASF = Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex');

/** Their common name; undefined for everything else. @param head the first bytes of a file, 16 or more. */
export function foreignContainer(head: Uint8Array): string | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const begins = (text: string): boolean => bytes.toString('latin1', 0, text.length) === text;
  if (begins('RIFF') && bytes.toString('latin1', 8, 12) === 'AVI ') return 'AVI';
  if (bytes.subarray(0, ASF.length).equals(ASF)) return 'ASF (WMV, WMA)';
  if (begins('FLV\x01')) return 'FLV';
  if (begins('\0\0\x01\xba')) return 'MPEG programme stream';
  if (begins('.RMF\0\0')) return 'RealMedia';
  return undefined;
}
