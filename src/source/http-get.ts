/** Small resources that are fetched whole in one request: redirects are followed, every address passes the guard, nothing is retried. */
import { AppError } from '../errors.ts';
import type { AddressGuard } from './guard.ts';
import { urlLabel } from './http-errors.ts';
import { header, type ResponseHead } from './http-headers.ts';
import { HttpTransport } from './http-transport.ts';
import { defaultTuning } from './http-tuning.ts';

const MOST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface GetOptions {
  readonly guard: AddressGuard;
  /** Lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes of a body, as it comes over the wire, inclusive. */
  readonly limit: number;
  /** ms until an answer's head, connecting included, and from one piece of its body to the next. */
  readonly headTimeout: number;
  readonly stallTimeout: number;
}

export interface GetAnswer {
  readonly head: ResponseHead;
  /** As it came: a content coding is not undone. */
  readonly body: Buffer;
}

/** A body that is larger than its limit. */
export class BodyTooLarge extends Error {
  constructor(limit: number) {
    super(`answered with more than ${limit} bytes`);
  }
}

/**
 * The answer, whatever its status, of the address or of where that redirects to.
 * @throws BodyTooLarge; what the guard throws; AppError `source-http-status` for redirects without end; the network's error; the signal's reason.
 */
export async function getWhole(first: URL, options: GetOptions, signal: AbortSignal): Promise<GetAnswer> {
  const { guard, headTimeout, stallTimeout } = options;
  const transport = new HttpTransport(guard, { ...defaultTuning, headTimeout, stallTimeout, connections: 1 });
  try {
    let url = first;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
      guard.checkUrl(url);
      const answer = await getOnce(transport, url, options, signal);
      const location = REDIRECTS.has(answer.head.status) ? header(answer.head, 'location') : undefined;
      if (location === undefined) return answer;
      const target = URL.parse(location, url);
      if (target === null) return answer;
      url = target;
    }
  } finally {
    await transport.dispose();
  }
  throw new AppError('source-http-status', `${urlLabel(first)} redirects more than ${MOST_REDIRECTS} times.`);
}

async function getOnce(
  transport: HttpTransport,
  url: URL,
  { headers, limit, headTimeout, stallTimeout }: GetOptions,
  signal: AbortSignal,
): Promise<GetAnswer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let answered: ResponseHead | undefined;
  const take = (chunk: Uint8Array): boolean => {
    length += chunk.length;
    if (length > limit) throw new BodyTooLarge(limit);
    chunks.push(chunk);
    return true;
  };
  const own = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'raffi-server' };
  await transport.exchange(
    { method: 'GET', url, headers: { ...own, ...headers }, headTimeout, stallTimeout },
    (head) => {
      answered = head;
      return take;
    },
    signal,
  );
  if (answered === undefined) throw new AppError('internal', `${urlLabel(url)} gave no answer.`);
  return { head: answered, body: Buffer.concat(chunks, length) };
}
