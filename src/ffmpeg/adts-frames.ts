/** Raw AAC frames from an ADTS stream (ISO/IEC 14496-3, 1.A.3.2). */
import { AppError } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';

const HEADER = 7;
const CRC = 2;

/**
 * Each AAC frame without its ADTS header and CRC: a view of the chunk that holds it all, else a copy. Ending early ends `bytes`.
 * @throws AppError `transcode-failed` where no ADTS frame follows the one before, or the last one is incomplete; what `bytes` throws.
 */
export async function* adtsFrames(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = new ByteReader(bytes);
  try {
    for (;;) {
      if (reader.available < HEADER && !(await reader.fill(HEADER))) break;
      const header = reader.take(HEADER);
      const body = bodyLength(header);
      if (reader.available < body && !(await reader.fill(body))) throw broken('it ends in the middle of a frame');
      const frame = reader.take(body);
      yield hasCrc(header) ? frame.subarray(CRC) : frame;
    }
    if (reader.available > 0) throw broken('it ends in the middle of a frame');
  } finally {
    await reader.close();
  }
}

/** What follows the header's seven bytes: the CRC, if there is one, and one frame. */
function bodyLength(header: Uint8Array): number {
  const byte = (index: number): number => header[index] ?? 0;
  // 12 bits of sync, one of the MPEG version, two of the layer, which is 0.
  if (byte(0) !== 0xff || (byte(1) & 0xf6) !== 0xf0) throw broken('a frame does not begin where the one before ends');
  if ((byte(6) & 3) !== 0) throw broken('several frames share one header');
  const length = ((byte(3) & 3) << 11) | (byte(4) << 3) | (byte(5) >> 5);
  if (length <= HEADER + (hasCrc(header) ? CRC : 0)) throw broken('a frame is empty');
  return length - HEADER;
}

/** `protection_absent` is 0. */
function hasCrc(header: Uint8Array): boolean {
  return ((header[1] ?? 0) & 1) === 0;
}

function broken(what: string): AppError {
  return new AppError('transcode-failed', `FFmpeg's output is broken: ${what}.`);
}
