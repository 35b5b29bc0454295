/** esds: ISO/IEC 14496-14, 5.6 and 14496-1, 7.2.6 (ES_Descriptor). */
import { BitstreamError, concatBytes, makeFullBox } from './bits.ts';

const ES_DESCRIPTOR = 3;
const DECODER_CONFIG_DESCRIPTOR = 4;
const DECODER_SPECIFIC_INFO = 5;
const SL_CONFIG_DESCRIPTOR = 6;
/** streamType 5 (audio), upStream 0, reserved 1. */
const AUDIO_STREAM = 0x15;

/** A descriptor with its size in the four-byte form, which is what other writers use. */
function descriptor(tag: number, ...body: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(body);
  const size = content.length;
  if (size >= 2 ** 28) throw new BitstreamError('the decoder configuration is too long');
  const length = [size >>> 21, size >>> 14, size >>> 7].map((part) => 0x80 | (part & 0x7f));
  return concatBytes([Uint8Array.of(tag, ...length, size & 0x7f), content]);
}

/** The esds box of an audio stream; buffer size and bit rates are left at 0, unknown. */
export function makeEsds(objectTypeIndication: number, decoderSpecificInfo?: Uint8Array): Uint8Array {
  const specific = decoderSpecificInfo ? [descriptor(DECODER_SPECIFIC_INFO, decoderSpecificInfo)] : [];
  const rates = new Uint8Array(3 + 4 + 4);
  const config = descriptor(
    DECODER_CONFIG_DESCRIPTOR,
    Uint8Array.of(objectTypeIndication, AUDIO_STREAM),
    rates,
    ...specific,
  );
  const slConfig = descriptor(SL_CONFIG_DESCRIPTOR, Uint8Array.of(2));
  return makeFullBox('esds', descriptor(ES_DESCRIPTOR, Uint8Array.of(0, 0, 0), config, slConfig));
}
