/** One byte range: first and last position, both inclusive, as in Content-Range. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

const MOST_RANGES = 8;

/**
 * Reads a Range header (RFC 9110, 14.1.2) for a representation of `size` bytes. `undefined`: send everything, since the header is absent, of another unit,
 * malformed, or names several ranges (a server may ignore those, 14.2). `unsatisfiable` and `too-many`: answer 416; nobody who means well asks
 * for this many at once (14.2 too).
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | undefined | 'unsatisfiable' | 'too-many' {
  if ((header ?? '').split(',', MOST_RANGES + 1).length > MOST_RANGES) return 'too-many';
  const match = /^bytes=\s*(?:(\d+)-(\d*)|-(\d+))\s*$/i.exec(header ?? '');
  if (!match) return undefined;
  const [, from, to, suffix] = match;
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to ? Math.min(Number(to), size - 1) : size - 1;
  if (to && Number(to) < first) return undefined; // invalid, hence ignored
  return first >= size ? 'unsatisfiable' : { first, last };
}
