/** Asks one catalogue of add-ons, with revalidation (RFC 9110, 13.1): its answer is checked here, and believed in nothing. */
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { AddressGuard } from '../source/guard.ts';
import { BodyTooLarge, getWhole } from '../source/http-get.ts';
import { header, type ResponseHead } from '../source/http-headers.ts';
import { uncoded } from '../source/http-web.ts';
import { type CheckedEntries, checkCatalogue } from './descriptor.ts';

/** Milliseconds. */
export interface UpstreamTimes {
  /** For the whole answer. */
  readonly whole: number;
  readonly head: number;
  readonly stall: number;
}

/** What a later request may name, so that what has not changed need not be sent again. */
export interface Validators {
  /** Weak ones too: they say that the add-ons are the same, if not the bytes. */
  readonly etag?: string;
  readonly lastModified?: string;
}

export type UpstreamAnswer = { readonly changed: false } | ({ readonly changed: true } & Validators & CheckedEntries);

/** The message goes on after the address: `answers with status 500`. */
export class UpstreamError extends Error {}

/** Bytes, compressed or not. */
const LARGEST_ANSWER = 8 * 1024 * 1024;

/** @throws UpstreamError; the signal's reason. */
export async function askUpstream(
  url: URL,
  known: Validators | undefined,
  guard: AddressGuard,
  times: UpstreamTimes,
  signal: AbortSignal,
): Promise<UpstreamAnswer> {
  const late = (): Error => new UpstreamError(`has not answered within ${times.whole / 1000} s`);
  try {
    return await withDeadline(signal, times.whole, late, async (ended) => {
      const headers = { accept: 'application/json', 'accept-encoding': 'gzip', ...conditions(known) };
      const limits = { limit: LARGEST_ANSWER, headTimeout: times.head, stallTimeout: times.stall };
      const { head, body } = await getWhole(url, { guard, headers, ...limits }, ended);
      if (head.status === 304 && known !== undefined) return { changed: false };
      if (head.status !== 200) throw new UpstreamError(`answers with status ${head.status}`);
      const entries = entriesOf(await uncoded(body, head, 'It', LARGEST_ANSWER));
      return { changed: true, ...validatorsOf(head), ...entries };
    });
  } catch (error) {
    if (signal.aborted || error instanceof UpstreamError) throw error;
    throw new UpstreamError(words(error, times), { cause: error });
  }
}

function conditions({ etag, lastModified }: Validators = {}): Record<string, string> {
  if (etag !== undefined) return { 'if-none-match': etag };
  return lastModified === undefined ? {} : { 'if-modified-since': lastModified };
}

function entriesOf(body: Uint8Array): CheckedEntries {
  const text = new TextDecoder().decode(body);
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    const what = /^\s*</.test(text) ? 'a web page instead of JSON' : 'what is not JSON';
    throw new UpstreamError(`answers with ${what}`, { cause });
  }
  const checked = checkCatalogue(answer);
  if (checked === undefined) throw new UpstreamError('answers with JSON that is no list of add-ons');
  const dropped = Object.entries(checked.dropped);
  // Such an answer is no reason to give up what it said before.
  if (checked.descriptors.length === 0 && dropped.length > 0) {
    const reasons = dropped.map(([reason, count]) => `${count} × ${reason}`).join(', ');
    throw new UpstreamError(`lists nothing that is an add-on (${reasons})`);
  }
  return checked;
}

/** They are sent back, so they must be fit for a header. */
function validatorsOf(head: ResponseHead): Validators {
  const etag = header(head, 'etag')?.trim();
  const lastModified = header(head, 'last-modified')?.trim();
  return {
    ...(etag !== undefined && /^(?:W\/)?"[\x21\x23-\x7e]{0,500}"$/.test(etag) ? { etag } : {}),
    ...(lastModified !== undefined && /^[\w ,:+-]{1,60}$/.test(lastModified) ? { lastModified } : {}),
  };
}

function words(error: unknown, { head }: UpstreamTimes): string {
  if (error instanceof BodyTooLarge) return error.message;
  if (error instanceof AppError) return `cannot be asked: ${error.detail.replace(/\.$/, '')}`;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ECONNREFUSED') return 'is not there: nothing listens at its address';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'is not found: its name cannot be looked up';
  if (typeof code === 'string') return `cannot be reached (${code})`;
  return `has sent nothing for ${head / 1000} s`;
}
