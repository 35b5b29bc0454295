/** The part of a source that one request asks for (RFC 9110, 14.1.2): one range of bytes, or everything. */
export interface LoopbackRange {
  /** Inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Whether the answer is 206. */
  readonly partial: boolean;
}

/** What cannot be understood counts as no range, as RFC 9110, 14.2, has it. `size`: of the source, bytes, > 0. */
export function loopbackRange(header: string | undefined, size: number): LoopbackRange | 'unsatisfiable' {
  const whole = { from: 0, to: size, partial: false };
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!match) return whole;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return whole;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { from: size - length, to: size, partial: true };
  }
  const from = Number(first);
  if (last !== '' && Number(last) < from) return whole;
  if (from >= size) return 'unsatisfiable';
  return { from, to: last === '' ? size : Math.min(size, Number(last) + 1), partial: true };
}
