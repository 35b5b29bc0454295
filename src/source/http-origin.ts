/**
 * The resource that a URL names: requests to it, its redirects and its refusals.
 *
 * Invariant: `#final`, when set, is where the original URL last redirected to; it is dropped as soon as it refuses, since signed
 * links expire, and the original URL is asked again.
 */
import { AppError } from '../errors.ts';
import type { AddressGuard } from './guard.ts';
import { BusyError, statusError, urlLabel } from './http-errors.ts';
import { foreignEncoding, header, type ResponseHead } from './http-headers.ts';
import { type BodyConsumer, type Flow, HttpTransport } from './http-transport.ts';
import type { HttpTuning } from './http-tuning.ts';
import type { Traffic } from './source.ts';

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const BUSY = new Set([429, 502, 503, 504]);
const REFUSALS = new Set([401, 403, 404, 410]);

export interface OriginRequest {
  readonly method: 'GET' | 'HEAD';
  /** `end` is exclusive; undefined asks for everything. */
  readonly range: { readonly start: number; readonly end: number } | undefined;
  readonly headTimeout: number;
  /** Whether a compressed body is welcome, which `onAnswer` then undoes. */
  readonly takesCoded?: boolean;
}

/** A compressed answer to who has asked for none. */
export class CodedAnswer extends Error {
  readonly head: ResponseHead;

  constructor(head: ResponseHead) {
    super('a compressed answer');
    this.head = head;
  }
}

interface SharedWithNeighbours {
  readonly transport: HttpTransport;
  readonly traffic: OriginTraffic;
}

/** Counts what goes over the line. */
class OriginTraffic implements Traffic {
  requests = 0;
  bytes = 0;
  interruptions = 0;
  lastInterruption: string | undefined;
}

export class HttpOrigin {
  readonly url: URL;
  /** Of this resource and its neighbours. */
  readonly traffic: OriginTraffic;
  readonly #guard: AddressGuard;
  readonly #tuning: HttpTuning;
  readonly #transport: HttpTransport;
  readonly #ownsTransport: boolean;
  #final: URL | undefined;

  /** @param shared whose connections it uses, and leaves open; absent: its own. */
  constructor(url: URL, guard: AddressGuard, tuning: HttpTuning, shared?: SharedWithNeighbours) {
    this.url = url;
    this.traffic = shared?.traffic ?? new OriginTraffic();
    this.#guard = guard;
    this.#tuning = tuning;
    this.#transport = shared?.transport ?? new HttpTransport(guard, tuning);
    this.#ownsTransport = shared === undefined;
  }

  /** Another resource under the same rules, over the same connections: it lives no longer than this one. */
  neighbour(url: URL): HttpOrigin {
    return new HttpOrigin(url, this.#guard, this.#tuning, { transport: this.#transport, traffic: this.traffic });
  }

  /** @throws AppError when the guard forbids `url`. */
  check(url: URL): void {
    this.#guard.checkUrl(url);
  }

  get label(): string {
    return urlLabel(this.url);
  }

  /**
   * One request, redirects followed.
   * @param onAnswer called with the head of a 200, 206 or 416; returns what takes the body.
   * @throws BusyError for 429, 502, 503, 504; AppError `source-http-status` for other statuses, `source-unsupported` for a body that is
   * compressed; what the guard, `onAnswer` and the transport throw.
   */
  async request(
    request: OriginRequest,
    onAnswer: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const remembered = this.#final;
    if (remembered !== undefined) {
      const refusal = await this.#follow(remembered, request, onAnswer, signal);
      if (refusal === undefined) return;
      if (!REFUSALS.has(refusal.status)) throw statusError(refusal, this.url);
      if (this.#final === remembered) this.#final = undefined;
    }
    const refusal = await this.#follow(this.url, request, onAnswer, signal);
    if (refusal !== undefined) throw statusError(refusal, this.url);
  }

  async dispose(): Promise<void> {
    if (this.#ownsTransport) await this.#transport.dispose();
  }

  /** @returns the head of an answer with a status that is an error; undefined when `onAnswer` had it. */
  async #follow(
    from: URL,
    request: OriginRequest,
    onAnswer: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined,
    signal: AbortSignal,
  ): Promise<ResponseHead | undefined> {
    let url = from;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      this.#guard.checkUrl(url);
      const other = await this.#once(url, request, onAnswer, signal);
      if (other === undefined) return undefined;
      if (!REDIRECTS.has(other.status)) {
        if (BUSY.has(other.status)) throw new BusyError(other);
        return other;
      }
      url = this.#target(other);
    }
    throw new AppError('source-http-status', `${this.label} redirects more than ${MAX_REDIRECTS} times.`);
  }

  /** @returns the head when `onAnswer` has not been called. */
  async #once(
    url: URL,
    request: OriginRequest,
    onAnswer: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined,
    signal: AbortSignal,
  ): Promise<ResponseHead | undefined> {
    let other: ResponseHead | undefined;
    await this.#transport.exchange(
      {
        method: request.method,
        url,
        headers: this.#headers(url, request),
        headTimeout: request.headTimeout,
        stallTimeout: this.#tuning.stallTimeout,
      },
      (head, flow) => {
        if (head.status !== 200 && head.status !== 206 && head.status !== 416) {
          other = head;
          return undefined;
        }
        const encoding = head.status === 416 ? undefined : foreignEncoding(head);
        if (encoding !== undefined && !request.takesCoded) {
          throw new AppError(
            'source-unsupported',
            `${this.label} sends its content compressed (${encoding}) although it was asked not to.`,
            { cause: new CodedAnswer(head) },
          );
        }
        if (url !== this.url) this.#final = url;
        return onAnswer(head, flow);
      },
      signal,
    );
    return other;
  }

  #target(head: ResponseHead): URL {
    const location = header(head, 'location');
    const target = location === undefined ? null : URL.parse(location, head.url);
    if (target === null) {
      throw new AppError('source-http-status', `${urlLabel(head.url)} redirects (${head.status}) to no valid URL.`);
    }
    target.hash = '';
    return target;
  }

  #headers(url: URL, request: OriginRequest): Record<string, string> {
    const headers: Record<string, string> = {
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'raffi-server',
    };
    if (request.range !== undefined) headers.range = `bytes=${request.range.start}-${request.range.end - 1}`;
    // The credentials of the original URL go to its own origin only.
    const credentials = hasCredentials(url) ? url : url.origin === this.url.origin ? this.url : undefined;
    if (credentials !== undefined && hasCredentials(credentials)) headers.authorization = basic(credentials);
    return headers;
  }
}

function hasCredentials(url: URL): boolean {
  return url.username !== '' || url.password !== '';
}

function basic(url: URL): string {
  return `Basic ${Buffer.from(`${decode(url.username)}:${decode(url.password)}`).toString('base64')}`;
}

/** Percent-decoded where that makes sense, otherwise as it is. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
