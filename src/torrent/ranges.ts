import type { ByteRange } from './protocol.ts';

/** The parts of the ranges that lie in none of the chunks, in order. @param chunkLength bytes. */
export function withoutChunks(
  ranges: readonly ByteRange[],
  chunks: ReadonlySet<number>,
  chunkLength: number,
): ByteRange[] {
  let parts = [...ranges];
  for (const chunk of chunks) {
    const from = chunk * chunkLength;
    const to = from + chunkLength;
    parts = parts
      .flatMap(({ start, end }) => [
        { start, end: Math.min(end, from) },
        { start: Math.max(start, to), end },
      ])
      .filter(({ start, end }) => start < end);
  }
  return parts;
}
