/**
 * H.264 of two encoders in one track (docs/decisions/0019): what is copied keeps its parameter sets, what is encoded anew gets sets with an id that
 * the source does not use, and one AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3) lists them all.
 */
import type { CodecConfig } from '../types.ts';
import { BitReader, BitstreamError, hexByte, makeBox } from './bits.ts';
import { makeAvcConfiguration, parseAvcConfiguration, parseAvcSps } from './h264.ts';
import { packetUnits, unescapeRbsp } from './nal.ts';

const BOX_HEADER = 8;
const NAL_IDR = 5;
const NAL_SPS = 7;
const NAL_PPS = 8;
const LENGTH_SIZE = 4;
const PROFILES: Readonly<Record<number, AvcSplice['profile']>> = { 66: 'baseline', 77: 'main', 100: 'high' };

/** What an encoder must be told so that its pictures fit between those of a source. */
export interface AvcSplice {
  readonly profile: 'baseline' | 'main' | 'high';
  /** level_idc. */
  readonly level: number;
  /** seq_parameter_set_id and pic_parameter_set_id that the source does not use, 0..31. */
  readonly id: number;
  readonly width: number;
  readonly height: number;
}

/** Undefined where pictures of libx264 would not fit in: fields, other than 8 bits of 4:2:0, rare profiles, sets that contradict each other. */
export function avcSplice(config: CodecConfig): AvcSplice | undefined {
  if (config.codec !== 'h264') return undefined;
  try {
    const { lengthSize, sps, pps } = parseAvcConfiguration(config.configBox.subarray(BOX_HEADER));
    const [first, ...others] = sps.map(parseAvcSps);
    const profile = first && PROFILES[first.profile];
    if (!first || !profile || lengthSize !== LENGTH_SIZE) return undefined;
    const { width, height, level } = first;
    if (others.some((other) => other.width !== width || other.height !== height)) return undefined;
    if (!first.frameMbsOnly || first.chromaFormat !== 1 || first.bitDepth !== 8 || first.bitDepthChroma !== 8)
      return undefined;
    const used = new Set([first, ...others].map((set) => set.id));
    for (const unit of pps) used.add(ppsId(unit));
    const id = Array.from({ length: 32 }, (_, n) => n).find((n) => !used.has(n));
    return id === undefined ? undefined : { profile, level, id, width, height };
  } catch (error) {
    if (error instanceof BitstreamError) return undefined;
    throw error;
  }
}

function ppsId(unit: Uint8Array): number {
  return new BitReader(unescapeRbsp(unit.subarray(1, 16))).ueMax(255, 'pic_parameter_set_id');
}

/**
 * The source's sample description with the parameter sets of what was encoded to fit in.
 * @param encoded AVCDecoderConfigurationRecord of the encoder. @throws BitstreamError when it is damaged.
 */
export function splicedConfig(source: CodecConfig, encoded: Uint8Array): CodecConfig {
  const ours = parseAvcConfiguration(source.configBox.subarray(BOX_HEADER));
  const theirs = parseAvcConfiguration(encoded);
  const record = makeAvcConfiguration([...ours.sps, ...theirs.sps, ...ours.pps, ...theirs.pps], LENGTH_SIZE);
  if (!record) throw new BitstreamError('no parameter sets');
  const sets = [...ours.sps, ...theirs.sps].map(parseAvcSps);
  // 5.3.3.1.1: a profile and a level to which all of the stream conforms; flags that all sets have.
  record[2] = sets.reduce((flags, { constraints }) => flags & constraints, 0xff);
  record[3] = Math.max(...sets.map(({ level }) => level));
  const codecString = `avc1.${[record[1], record[2], record[3]].map((byte) => hexByte(byte as number)).join('')}`;
  return { ...source, configBox: makeBox('avcC', record), codecString };
}

/** Whether decoding can start with a packet without any memory of what came before: it has a slice of an IDR picture. */
export function isIdr(packet: Uint8Array): boolean {
  return packetUnits(packet, LENGTH_SIZE).some((unit) => ((unit[0] as number) & 0x1f) === NAL_IDR);
}

/** Whether a packet brings parameter sets of its own that have this id: they would replace those of the encoder. */
export function bringsParameterSet(packet: Uint8Array, id: number): boolean {
  return packetUnits(packet, LENGTH_SIZE).some((unit) => {
    const type = (unit[0] as number) & 0x1f;
    if (type !== NAL_SPS && type !== NAL_PPS) return false;
    try {
      return (type === NAL_SPS ? parseAvcSps(unit).id : ppsId(unit)) === id;
    } catch (error) {
      // What cannot be read might be it.
      if (error instanceof BitstreamError) return true;
      throw error;
    }
  });
}
