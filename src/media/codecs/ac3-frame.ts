/** Sync frames of AC-3 (ETSI TS 102 366, 4.3, 4.4) and E-AC-3 (annex E, 1.2 and 1.3). */
import { BitReader, BitstreamError } from './bits.ts';

/** Hz by fscod; 3 is reserved in AC-3 and leads to fscod2 in E-AC-3. */
export const SAMPLE_RATES: readonly number[] = [48_000, 44_100, 32_000];

/** kbit/s by frmsizecod / 2. */
const BIT_RATES = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const BLOCKS = [1, 2, 3, 6] as const;
const HEADER_SIZE = 6;
/** No packet holds more: 8 independent substreams with 8 dependent ones, of up to 6 frames each. */
const MAX_FRAMES = 432;

export interface DolbyFrame {
  readonly bsid: number;
  readonly fscod: number;
  /** Hz. */
  readonly sampleRate: number;
  /** Bytes. */
  readonly size: number;
  /** Audio blocks of 256 samples. */
  readonly blocks: number;
  readonly bsmod: number;
  readonly acmod: number;
  readonly lfeon: number;
  /** AC-3 only: frmsizecod / 2. */
  readonly bitRateCode: number;
  readonly dependent: boolean;
  readonly substream: number;
  /** Custom channel map of a dependent substream; 0 without one. */
  readonly chanmap: number;
  /** complexity_index_type_a when the frame carries joint object coding (TS 103 420, 8.3.2). */
  readonly jocComplexity?: number;
}

function parseAc3(bits: BitReader, bsid: number): DolbyFrame {
  bits.skip(16); // crc1
  const fscod = bits.read(2);
  const sizeCode = bits.read(6);
  const rate = SAMPLE_RATES[fscod];
  const kilobits = BIT_RATES[sizeCode >>> 1];
  if (rate === undefined || kilobits === undefined) throw new BitstreamError('an AC-3 header with reserved values');
  // Table 4.13: words of 16 bits; at 44.1 kHz odd codes have one more.
  const words =
    fscod === 1 ? Math.floor((kilobits * 96_000) / 44_100 + 1e-9) + (sizeCode & 1) : (kilobits * 96_000) / rate;
  bits.skip(5);
  const bsmod = bits.read(3);
  const acmod = bits.read(3);
  if ((acmod & 1) === 1 && acmod !== 1) bits.skip(2);
  if ((acmod & 4) !== 0) bits.skip(2);
  if (acmod === 2) bits.skip(2);
  const lfeon = bits.read(1);
  const sampleRate = rate >> Math.max(0, bsid - 8);
  const fixed = { bitRateCode: sizeCode >>> 1, dependent: false, substream: 0, chanmap: 0, blocks: 6 };
  return { bsid, fscod, sampleRate, size: words * 2, bsmod, acmod, lfeon, ...fixed };
}

interface Eac3Head {
  readonly type: number;
  readonly fscod: number;
  readonly blocksCode: number;
  readonly acmod: number;
  readonly lfeon: number;
}

/** The mixing metadata of annex E, table E.1.2 from after mixmdate. */
function skipMixing(bits: BitReader, { type, blocksCode, acmod, lfeon }: Eac3Head): void {
  if (acmod > 2) bits.skip(2);
  if ((acmod & 1) === 1 && acmod > 2) bits.skip(6);
  if ((acmod & 4) !== 0) bits.skip(6);
  if (lfeon === 1 && bits.flag()) bits.skip(5);
  if (type !== 0) return;
  if (bits.flag()) bits.skip(6); // pgmscl
  if (acmod === 0 && bits.flag()) bits.skip(6);
  if (bits.flag()) bits.skip(6); // extpgmscl
  const definition = bits.read(2);
  if (definition === 1) bits.skip(5);
  else if (definition === 2) bits.skip(12);
  else if (definition === 3) bits.skip(8 * (bits.read(5) + 2));
  if (acmod < 2) {
    if (bits.flag()) bits.skip(14);
    if (acmod === 0 && bits.flag()) bits.skip(14);
  }
  if (!bits.flag()) return; // frmmixcfginfoe
  if (blocksCode === 0) bits.skip(5);
  else for (let block = 0; block < BLOCKS[blocksCode]!; block++) if (bits.flag()) bits.skip(5);
}

/** infomdat; tells bsmod. */
function readInformation(bits: BitReader, { acmod, fscod }: Eac3Head): number {
  const bsmod = bits.read(3);
  bits.skip(2);
  if (acmod === 2) bits.skip(4);
  if (acmod >= 6) bits.skip(2);
  if (bits.flag()) bits.skip(8);
  if (acmod === 0 && bits.flag()) bits.skip(8);
  if (fscod < 3) bits.skip(1);
  return bsmod;
}

/** The end of bsi: bsmod, and the extension that announces joint object coding. */
function readExtension(bits: BitReader, head: Eac3Head): { bsmod: number; jocComplexity?: number } {
  let bsmod = 0;
  try {
    if (bits.flag()) skipMixing(bits, head);
    if (bits.flag()) bsmod = readInformation(bits, head);
    if (head.type === 0 && head.blocksCode !== 3) bits.skip(1); // convsync
    if (head.type === 2 && (head.blocksCode === 3 || bits.flag())) bits.skip(6); // frmsizecod
    if (!bits.flag()) return { bsmod }; // addbsie
    const bytes = bits.read(6) + 1;
    if (bytes >= 2) {
      bits.skip(7);
      if (bits.flag()) return { bsmod, jocComplexity: bits.read(8) };
    }
  } catch (error) {
    // Only the head of the frame was at hand; the two are extras.
    if (!(error instanceof BitstreamError)) throw error;
  }
  return { bsmod };
}

function parseEac3(bits: BitReader): DolbyFrame {
  const type = bits.read(2);
  const substream = bits.read(3);
  const size = (bits.read(11) + 1) * 2;
  const fscod = bits.read(2);
  const code = bits.read(2);
  const blocksCode = fscod === 3 ? 3 : code;
  const full = SAMPLE_RATES[fscod === 3 ? code : fscod];
  if (full === undefined || type === 3) throw new BitstreamError('an E-AC-3 header with reserved values');
  const acmod = bits.read(3);
  const lfeon = bits.read(1);
  const bsid = bits.read(5);
  for (let programme = 0; programme < (acmod === 0 ? 2 : 1); programme++) {
    bits.skip(5);
    if (bits.flag()) bits.skip(8);
  }
  const chanmap = type === 1 && bits.flag() ? bits.read(16) : 0;
  const extension = readExtension(bits, { type, fscod, blocksCode, acmod, lfeon });
  const sampleRate = fscod === 3 ? full / 2 : full;
  const fixed = { bitRateCode: 0, dependent: type === 1, substream, chanmap, blocks: BLOCKS[blocksCode]! };
  return { bsid, fscod, sampleRate, size, acmod, lfeon, ...fixed, ...extension };
}

/** The sync frame at the start of `data`. @throws BitstreamError */
function parseDolbyFrame(data: Uint8Array): DolbyFrame {
  if (data.length < HEADER_SIZE || data[0] !== 0x0b || data[1] !== 0x77) throw new BitstreamError('no sync word');
  const bits = new BitReader(data);
  bits.skip(16);
  const bsid = data[5]! >>> 3;
  if (bsid <= 10) return parseAc3(bits, bsid);
  if (bsid > 16) throw new BitstreamError('the bit stream identification is not that of AC-3 or E-AC-3');
  return parseEac3(bits);
}

/** The sync frames of a packet; stops at the first thing that is none. */
export function splitDolbyFrames(packet: Uint8Array): DolbyFrame[] {
  const frames: DolbyFrame[] = [];
  let at = 0;
  try {
    while (at + HEADER_SIZE <= packet.length && frames.length < MAX_FRAMES) {
      const frame = parseDolbyFrame(packet.subarray(at));
      frames.push(frame);
      at += frame.size;
    }
  } catch (error) {
    if (!(error instanceof BitstreamError)) throw error;
  }
  return frames;
}
