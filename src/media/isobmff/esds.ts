/** ES_Descriptor: ISO/IEC 14496-1, 7.2.6.5 to 7.2.6.7. */
import { bytesOf } from './boxes.ts';

export interface ElementaryStream {
  /** objectTypeIndication. */
  readonly objectType: number;
  readonly decoderSpecificInfo?: Uint8Array;
  /** Bits per second; 0 when unknown. */
  readonly averageBitrate: number;
}

const ES_DESCRIPTOR = 3;
const DECODER_CONFIG = 4;
const DECODER_SPECIFIC_INFO = 5;

interface Descriptor {
  readonly tag: number;
  readonly body: number;
  /** Exclusive, never beyond the box. */
  readonly end: number;
}

/** A descriptor's tag and expandable size (at most four bytes); undefined beyond the box. */
function descriptor(view: DataView, offset: number, limit: number): Descriptor | undefined {
  if (offset + 2 > limit) return undefined;
  const tag = view.getUint8(offset);
  let at = offset + 1;
  let size = 0;
  for (let i = 0; i < 4 && at < limit; i++) {
    const byte = view.getUint8(at++);
    size = (size << 7) | (byte & 0x7f);
    if ((byte & 0x80) === 0) break;
  }
  return { tag, body: at, end: Math.min(limit, at + size) };
}

/** The body of an `esds` box; undefined when it holds no decoder configuration. */
export function parseEsds(view: DataView): ElementaryStream | undefined {
  const limit = view.byteLength;
  let at = 4;
  const first = descriptor(view, at, limit);
  if (first === undefined) return undefined;
  if (first.tag === ES_DESCRIPTOR) {
    if (first.body + 3 > limit) return undefined;
    const flags = view.getUint8(first.body + 2);
    at = first.body + 3;
    if (flags & 0x80) at += 2;
    if (flags & 0x40 && at < limit) at += 1 + view.getUint8(at);
    if (flags & 0x20) at += 2;
  }
  const config = descriptor(view, at, limit);
  if (config === undefined || config.tag !== DECODER_CONFIG || config.body + 13 > config.end) return undefined;
  const info = descriptor(view, config.body + 13, config.end);
  return {
    objectType: view.getUint8(config.body),
    averageBitrate: view.getUint32(config.body + 9),
    ...(info?.tag === DECODER_SPECIFIC_INFO &&
      info.end > info.body && { decoderSpecificInfo: bytesOf(view, info.body, info.end) }),
  };
}
