import type { CodecConfig } from '../types.ts';
import { packetUnits } from './nal.ts';

/** Length of a box header (ISO/IEC 14496-12, 4.2). */
const HEADER = 8;

/**
 * Tells of a packet whether no other picture is predicted from what is in it, so that a decoder may be spared it; undefined where the codec's packets do not tell
 * that at a glance. In doubt the answer is no.
 */
export function unreferencedTest(config: CodecConfig | undefined): ((data: Uint8Array) => boolean) | undefined {
  if (config?.codec === 'h264') {
    const lengthSize = ((config.configBox[HEADER + 4] ?? 3) & 3) + 1;
    return (data) => everyPicture(data, lengthSize, isUnreferencedAvc);
  }
  if (config?.codec !== 'hevc') return undefined;
  const packed = config.configBox[HEADER + 21] ?? 0;
  const layers = (packed >> 3) & 7;
  return layers === 0
    ? undefined
    : (data) => everyPicture(data, (packed & 3) + 1, (unit) => isUnreferencedHevc(unit, layers));
}

/** Does `test` say yes to each unit with picture data, and is there one? It says undefined to other units. */
function everyPicture(data: Uint8Array, lengthSize: number, test: (unit: Uint8Array) => boolean | undefined): boolean {
  let found = false;
  for (const unit of packetUnits(data, lengthSize)) {
    const answer = test(unit);
    if (answer === false) return false;
    found ||= answer === true;
  }
  return found;
}

/** ISO/IEC 14496-10, 7.4.1: nal_ref_idc of 0; units 1 to 5 are slices. */
function isUnreferencedAvc([header = 0]: Uint8Array): boolean | undefined {
  const type = header & 31;
  return type >= 1 && type <= 5 ? ((header >> 5) & 3) === 0 : undefined;
}

/**
 * ISO/IEC 23008-2, 7.4.2.2: the even types up to RSV_VCL_N14 are not referred to by pictures of their own temporal sub-layer, and of the highest one there is
 * no other.
 */
function isUnreferencedHevc([first = 0, second = 0]: Uint8Array, layers: number): boolean | undefined {
  const type = (first >> 1) & 63;
  if (type >= 32) return undefined;
  return type <= 14 && type % 2 === 0 && (second & 7) === layers;
}
