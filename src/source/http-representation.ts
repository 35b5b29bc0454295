/** Whether an answer holds the bytes that were asked for, of the version that was opened. */
import { AppError } from '../errors.ts';
import { contentLength, contentRange, type ResponseHead, sameVersion, type Validators } from './http-headers.ts';

/** The version of a resource that was opened. */
export interface Representation {
  readonly label: string;
  /** Bytes. */
  readonly size: number;
  readonly validators: Validators;
}

/** An origin that sends everything although a part was asked for: up to here that part is read past. */
const MAX_SKIP = 8 * 1024 * 1024;

/**
 * No `If-Range` is sent: the validators that `known` holds came from an answer of the same kind, so every answer can be checked against
 * them, while origins that compare If-Range wrongly would send everything.
 * @param start the first byte that was asked for.
 * @returns how many bytes of the body come before `start`.
 * @throws AppError `source-changed`, `source-no-range`.
 */
export function checkAnswer(known: Representation, head: ResponseHead, versionOf: Validators, start: number): number {
  const range = contentRange(head);
  const total = head.status === 200 ? contentLength(head) : range?.total;
  if (!sameVersion(known.validators, versionOf) || (total !== undefined && total !== known.size)) {
    const sizes = total === undefined || total === known.size ? '' : ` (${known.size} bytes then, ${total} now)`;
    throw new AppError('source-changed', `${known.label} has been changed since it was opened${sizes}.`);
  }
  if (head.status === 200) {
    if (start <= MAX_SKIP) return start;
    throw noRange(known.label, 'has stopped answering requests for a part of the file');
  }
  if (range === undefined) throw noRange(known.label, 'does not say which part of the file it sends');
  if (range.first === undefined) throw noRange(known.label, 'refuses a part of the file that it has');
  if (range.first > start || range.last < start) {
    throw noRange(known.label, `was asked for byte ${start} and sends bytes ${range.first} to ${range.last}`);
  }
  if (start - range.first > MAX_SKIP) throw noRange(known.label, 'sends far more than it is asked for');
  return start - range.first;
}

export function noRange(label: string, what: string): AppError {
  return new AppError('source-no-range', `${label} ${what}; it cannot be played from there.`);
}
