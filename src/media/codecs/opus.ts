/** Opus: RFC 6716, 3.1 (TOC), RFC 7845, 5.1 (OpusHead), "Encapsulation of Opus in ISO-BMFF", 4.3.2 (dOps). */
import type { CodecConfig } from '../types.ts';
import { BitstreamError, concatBytes, makeBox, slice } from './bits.ts';
import { type CodecInput, NotCopiedError } from './input.ts';

/** Packets count in 48 kHz, whatever the input's rate was. */
const OPUS_RATE = 48_000;
const MAGIC = [...'OpusHead'].map((letter) => letter.charCodeAt(0));
const FIXED_SIZE = 11;

interface OpusHead {
  readonly channels: number;
  readonly preSkip: number;
  readonly inputSampleRate: number;
  /** Two bytes as a signed number. */
  readonly gain: number;
  readonly family: number;
  /** Stream count, coupled count and mapping; empty for family 0. */
  readonly mapping: Uint8Array;
}

/** OpusHead (version 1, little endian; its magic may be missing) or the body of dOps (version 0, big endian). */
function parseOpusHead(data: Uint8Array): OpusHead {
  const head = MAGIC.every((code, i) => data[i] === code) ? data.subarray(MAGIC.length) : data;
  slice(head, 0, FIXED_SIZE);
  const version = head[0]!;
  // Major versions (the upper four bits) above 0 are incompatible; dOps is version 0.
  if (version > 15) throw new BitstreamError('an unknown version of OpusHead');
  const little = version !== 0 || head !== data;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const channels = head[1]!;
  const family = head[10]!;
  if (channels === 0 || (family === 0 && channels > 2)) throw new BitstreamError('the channel count is out of range');
  // Family 3 (ambisonics, RFC 8486) carries a demixing matrix for which dOps has no room.
  if (family === 3) throw new NotCopiedError('ambisonic Opus audio cannot be copied into HLS without re-encoding');
  const mapping = family === 0 ? new Uint8Array(0) : slice(head, FIXED_SIZE, 2 + channels);
  const fixed = { channels, family, mapping };
  const preSkip = view.getUint16(2, little);
  return { ...fixed, preSkip, inputSampleRate: view.getUint32(4, little), gain: view.getInt16(8, little) };
}

function makeDops(head: OpusHead): Uint8Array {
  const fixed = new Uint8Array(FIXED_SIZE);
  const view = new DataView(fixed.buffer);
  fixed[1] = head.channels;
  view.setUint16(2, head.preSkip);
  view.setUint32(4, head.inputSampleRate);
  view.setInt16(8, head.gain);
  fixed[10] = head.family;
  return makeBox('dOps', concatBytes([fixed, head.mapping]));
}

/** @throws BitstreamError, NotCopiedError */
export function describeOpus(input: CodecInput): CodecConfig {
  const { privateData, channels } = input;
  let head: OpusHead;
  if (privateData !== undefined && privateData.length > 0) {
    head = parseOpusHead(privateData);
  } else if (channels === 1 || channels === 2) {
    // Family 0 needs no more than the channel count (RFC 7845, 5.1.1.1).
    head = { channels, preSkip: 0, inputSampleRate: OPUS_RATE, gain: 0, family: 0, mapping: new Uint8Array(0) };
  } else {
    throw new NotCopiedError('the Opus audio has no header');
  }
  return {
    codec: 'opus',
    sampleEntry: 'Opus',
    configBox: makeDops(head),
    codecString: 'opus',
    audio: { sampleRate: OPUS_RATE, channels: head.channels },
  };
}

/** Samples of one frame at 48 kHz by the configuration number of the TOC (RFC 6716, table 2). */
function frameSamples(config: number): number {
  if (config < 12) return [480, 960, 1920, 2880][config & 3]!;
  if (config < 16) return [480, 960][config & 1]!;
  return [120, 240, 480, 960][config & 3]!;
}

/** Seconds; undefined when the packet is empty or breaks RFC 6716 (more than 120 ms). */
export function opusPacketDuration(packet: Uint8Array): number | undefined {
  const toc = packet[0];
  if (toc === undefined) return undefined;
  const code = toc & 3;
  const count = code === 0 ? 1 : code < 3 ? 2 : (packet[1] ?? 0) & 0x3f;
  const samples = count * frameSamples(toc >>> 3);
  return samples === 0 || samples > 5760 ? undefined : samples / OPUS_RATE;
}
