/** FLAC: RFC 9639, 8 (metadata), 9.1 (frame header); "Encapsulation of FLAC in ISO-BMFF", 3.3.2 (dfLa). */
import type { CodecConfig } from '../types.ts';
import { BitReader, BitstreamError, concatBytes, makeFullBox, slice } from './bits.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

const STREAMINFO_SIZE = 34;
/** fLaC */
const MAGIC = [0x66, 0x4c, 0x61, 0x43];

/** STREAMINFO, which is always the first metadata block. */
function findStreamInfo(data: Uint8Array): Uint8Array {
  if (data.length === STREAMINFO_SIZE) return data;
  const start = MAGIC.every((code, i) => data[i] === code) ? 4 : 0;
  const header = slice(data, start, 4);
  const size = header[1]! * 65_536 + header[2]! * 256 + header[3]!;
  if ((header[0]! & 0x7f) !== 0 || size !== STREAMINFO_SIZE) throw new BitstreamError('STREAMINFO does not come first');
  return slice(data, start + 4, STREAMINFO_SIZE);
}

/** @throws BitstreamError, NotCopiedError */
export function describeFlac(input: CodecInput): CodecConfig {
  if (input.privateData === undefined || input.privateData.length === 0) {
    throw new NotCopiedError('the FLAC audio has no stream information');
  }
  const info = findStreamInfo(input.privateData);
  const bits = new BitReader(info);
  const minBlock = bits.read(16);
  const maxBlock = bits.read(16);
  bits.skip(24 + 24);
  const sampleRate = bits.read(20);
  const channels = bits.read(3) + 1;
  const bitDepth = bits.read(5) + 1;
  if (sampleRate === 0) throw new BitstreamError('the sampling frequency is 0');
  const frameSamples = minBlock === maxBlock && maxBlock >= 16 ? maxBlock : undefined;
  return {
    codec: 'flac',
    sampleEntry: 'fLaC',
    // STREAMINFO alone, marked as the last block: pictures and seek tables have no business in an initialization segment.
    configBox: makeFullBox('dfLa', concatBytes([Uint8Array.of(0x80, 0, 0, STREAMINFO_SIZE), info])),
    codecString: 'fLaC',
    audio: { sampleRate, channels, bitDepth, ...(frameSamples !== undefined && { frameSamples }) },
  };
}

/** Samples of the frame that begins the packet (RFC 9639, 9.1.1 and 9.1.6); undefined when it has no valid header. */
export function flacPacketSamples(packet: Uint8Array): number | undefined {
  if (packet.length < 6 || packet[0] !== 0xff || (packet[1]! & 0xfe) !== 0xf8) return undefined;
  const code = packet[2]! >>> 4;
  if (code === 0) return undefined;
  if (code === 1) return 192;
  if (code <= 5) return 576 << (code - 2);
  if (code >= 8) return 256 << (code - 8);
  // The coded number has as many bytes as its first one begins with ones (none: 1), then comes the uncommon block size.
  const lead = Math.clz32(~(packet[4]! << 24));
  const at = 4 + Math.max(1, lead);
  const high = packet[at];
  if (high === undefined || lead === 1 || lead > 7) return undefined;
  if (code === 6) return high + 1;
  const low = packet[at + 1];
  return low === undefined ? undefined : high * 256 + low + 1;
}
