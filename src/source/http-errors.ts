/** What goes wrong with an HTTP source, in words. Every sentence names the URL without its credentials and query. */
import { STATUS_CODES } from 'node:http';
import { errors } from 'undici';
import { AppError } from '../errors.ts';
import { ConnectTimeout } from './http-connect.ts';
import { type ResponseHead, retryAfter } from './http-headers.ts';
import { StallError } from './http-transport.ts';

/** A URL as messages show it: no credentials, no query, no fragment, which may all hold secrets. */
export function urlLabel(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The origin is there and asks us to come later: 429, 502, 503, 504. */
export class BusyError extends Error {
  readonly head: ResponseHead;
  /** ms; undefined when it does not say. */
  readonly wait: number | undefined;

  constructor(head: ResponseHead) {
    super(`status ${head.status}`);
    this.head = head;
    this.wait = retryAfter(head);
  }
}

/** The body ended, in good order, before the bytes it had promised. */
export class EarlyEnd extends Error {
  readonly at: number;

  constructor(at: number) {
    super(`ended at byte ${at}`);
    this.at = at;
  }
}

/** Nobody is there, or something that does not speak HTTP: at the opening there is no reason to try again. */
export function isAbsent(error: unknown): boolean {
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) return true;
  return ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'].includes(codeOf(error));
}

/** The server's certificate, or its TLS, will not get better by trying again. */
export function isTlsFailure(error: unknown): boolean {
  const code = codeOf(error);
  return /^(?:ERR_SSL_|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code) || code === 'HOSTNAME_MISMATCH';
}

/** An AppError that a guard threw inside a connection attempt, or the error itself. */
export function appErrorIn(error: unknown): AppError | undefined {
  for (let depth = 0, one = error; depth < 4 && one instanceof Error; depth += 1, one = one.cause) {
    if (one instanceof AppError) return one;
    if (one instanceof AggregateError) {
      const found = one.errors.find((inner) => inner instanceof AppError);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

export function statusError(head: ResponseHead, original: URL): AppError {
  const words = STATUS_CODES[head.status];
  const status = words === undefined ? `${head.status}` : `${head.status} ${words}`;
  const via = head.url.href === original.href ? '' : ` (redirected to ${urlLabel(head.url)})`;
  const wait = retryAfter(head);
  const later = wait === undefined || wait === 0 ? '' : ` and asks to wait ${Math.ceil(wait / 1000)} s`;
  return new AppError('source-http-status', `${urlLabel(original)}${via} answered ${status}${later}.`);
}

/** The failure that ended a download, as the user is told. */
export function downloadError(error: unknown, original: URL, patience: number): AppError {
  const found = appErrorIn(error);
  if (found !== undefined) return found;
  const label = urlLabel(original);
  const seconds = Math.round(patience / 1000);
  if (error instanceof BusyError) return statusError(error.head, original);
  if (error instanceof StallError) {
    return new AppError('source-stalled', `${label} has sent nothing for ${seconds} seconds.`, { cause: error });
  }
  if (error instanceof EarlyEnd) {
    return new AppError('source-truncated', `${label} ends at byte ${error.at}, before the size it declares.`, {
      cause: error,
    });
  }
  return new AppError('source-unreachable', `${label} cannot be reached: ${networkWords(error, original)}.`, {
    cause: error,
  });
}

/** One attempt of several that failed, in a sentence. */
export function interruptionWords(error: unknown, original: URL): string {
  const found = appErrorIn(error);
  if (found !== undefined) return found.detail;
  if (error instanceof BusyError) return statusError(error.head, original).detail;
  if (error instanceof StallError) return 'It stopped sending.';
  if (error instanceof EarlyEnd) return `It ended its answer at byte ${error.at}, before what was asked for.`;
  const words = networkWords(error, original);
  return words === KEEPS_BREAKING ? 'It broke the connection.' : `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

const KEEPS_BREAKING = 'it keeps breaking the connection';

function networkWords(error: unknown, url: URL): string {
  if (error instanceof ConnectTimeout) return `${url.hostname} does not answer`;
  if (isTlsFailure(error)) return `its secure connection failed (${codeOf(error)})`;
  switch (codeOf(error)) {
    case 'ECONNREFUSED':
      return `nothing listens at ${url.host}`;
    case 'ENOTFOUND':
      return `there is no host named ${url.hostname}`;
    case 'EAI_AGAIN':
      return `the name ${url.hostname} could not be looked up`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no route to ${url.hostname}`;
    case 'ETIMEDOUT':
      return `${url.hostname} does not answer`;
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return KEEPS_BREAKING;
    default:
      return isAbsent(error) ? 'it does not answer in correct HTTP' : 'the connection failed';
  }
}

/** The error's code; of an error that gathers several attempts, the first one's. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code = (error as NodeJS.ErrnoException).code;
  if (typeof code === 'string' && code !== '') return code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error.cause === undefined ? '' : codeOf(error.cause);
}
