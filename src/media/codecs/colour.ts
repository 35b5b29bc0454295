import type { ColourInfo, HdrKind } from '../types.ts';

/** CICP: "image characteristics are unknown or determined by the application". */
export const UNSPECIFIED = 2;

/** HDR kind by the transfer characteristics (ISO/IEC 23091-2: 16 is SMPTE ST 2084, 18 is ARIB STD-B67). Dolby Vision is told by the container. */
export function hdrKind(colour: ColourInfo | undefined, options: { dolbyVision?: boolean } = {}): HdrKind {
  if (options.dolbyVision === true) return 'dolby-vision';
  if (colour?.transfer === 16) return 'hdr10';
  if (colour?.transfer === 18) return 'hlg';
  return 'sdr';
}

/** The bitstream's colour; code points that it leaves unspecified come from the container. Undefined when neither tells anything. */
export function mergeColour(
  bitstream: ColourInfo | undefined,
  container: ColourInfo | undefined,
): ColourInfo | undefined {
  if (bitstream === undefined || container === undefined) return bitstream ?? container;
  const pick = (own: number, other: number) => (own === UNSPECIFIED || own === 0 ? other : own);
  return {
    primaries: pick(bitstream.primaries, container.primaries),
    transfer: pick(bitstream.transfer, container.transfer),
    matrix: bitstream.matrix === UNSPECIFIED ? container.matrix : bitstream.matrix,
    fullRange: bitstream.fullRange,
  };
}
