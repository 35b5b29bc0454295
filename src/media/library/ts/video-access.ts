/** Which access units are random access points, told from their first bytes. */

/** `undefined`: more bytes are needed to tell. */
export type AccessKind = 'key' | 'delta' | undefined;

/** Offset of the byte after the next start code (00 00 01) at or after `from`; -1 when there is none. */
function nextUnit(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(1, from + 2); at >= 0; at = bytes.indexOf(1, at + 1)) {
    if (bytes[at - 1] === 0 && bytes[at - 2] === 0) return at + 1;
  }
  return -1;
}

/** first_mb_in_slice and slice_type are two short Exp-Golomb codes; only the second is wanted. */
function avcSliceType(bytes: Uint8Array, at: number): number {
  let bit = at * 8;
  const read = (): number => {
    let zeros = 0;
    while (zeros < 24 && ((bytes[bit >> 3] ?? 0xff) & (0x80 >> (bit & 7))) === 0) {
      zeros++;
      bit++;
    }
    let value = 0;
    for (let i = 0; i <= zeros; i++, bit++) value = (value << 1) | (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    return value - 1;
  };
  read();
  return read() % 5;
}

const SLICE_I = 2;
const SLICE_SI = 4;

/**
 * H.264: an IDR picture, or an I picture that a parameter set, a recovery point or random_access_indicator announces (open groups of
 * pictures and broadcasts have no IDR).
 */
function avcAccess(bytes: Uint8Array, randomAccess: boolean): AccessKind {
  let announced = randomAccess;
  for (let at = nextUnit(bytes, 0); at >= 0 && at < bytes.length; at = nextUnit(bytes, at)) {
    const type = bytes[at]! & 0x1f;
    if (type === 5) return 'key';
    if (type === 7) announced = true;
    else if (type === 6 && bytes[at + 1] === 6)
      announced = true; // SEI recovery point
    else if (type === 1 || type === 2) {
      if (!announced) return 'delta';
      if (at + 12 > bytes.length) return undefined;
      const slice = avcSliceType(bytes, at + 1);
      return slice === SLICE_I || slice === SLICE_SI ? 'key' : 'delta';
    }
  }
  return undefined;
}

/** H.265: intra random access points, NAL unit types 16 to 23. */
function hevcAccess(bytes: Uint8Array): AccessKind {
  for (let at = nextUnit(bytes, 0); at >= 0 && at < bytes.length; at = nextUnit(bytes, at)) {
    const type = (bytes[at]! >> 1) & 0x3f;
    if (type < 32) return type >= 16 && type <= 23 ? 'key' : 'delta';
  }
  return undefined;
}

/** MPEG-1 and MPEG-2 video: an I picture. */
function mpegAccess(bytes: Uint8Array): AccessKind {
  for (let at = nextUnit(bytes, 0); at >= 0 && at + 2 < bytes.length; at = nextUnit(bytes, at)) {
    if (bytes[at] === 0) return ((bytes[at + 2]! >> 3) & 7) === 1 ? 'key' : 'delta';
  }
  return undefined;
}

/** @param bytes the access unit from its start, or as much of it as is there. */
export function accessKind(codec: string, bytes: Uint8Array, randomAccess: boolean): AccessKind {
  switch (codec) {
    case 'h264':
      return avcAccess(bytes, randomAccess);
    case 'hevc':
      return hevcAccess(bytes);
    case 'mpeg1video':
    case 'mpeg2video':
      return mpegAccess(bytes);
    default:
      return randomAccess ? 'key' : 'delta';
  }
}
