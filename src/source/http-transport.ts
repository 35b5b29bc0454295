/**
 * One HTTP exchange: a request, its response's head, and the bytes of its body pushed to the caller as they come, under two time
 * limits. It knows neither redirects nor retries nor ranges.
 */
import { Agent, type Dispatcher } from 'undici';
import { AppError } from '../errors.ts';
import { Limiter } from '../lib/limiter.ts';
import type { AddressGuard } from './guard.ts';
import { Connector } from './http-connect.ts';
import type { ResponseHead } from './http-headers.ts';
import type { HttpTuning } from './http-tuning.ts';
import { received } from './received.ts';

/** Exchanges under way at once, in the whole process: each costs a socket, and its origin the same. */
const MOST_EXCHANGES = 128;
/** How long an exchange waits for others to end, ms. */
const QUEUE_MS = 5_000;
const exchanges = new Limiter(MOST_EXCHANGES);

/** No byte came in time. */
export class StallError extends Error {}

export interface ExchangeRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** ms until the response's head, and from one piece of the body to the next. */
  readonly headTimeout: number;
  readonly stallTimeout: number;
}

/** Stops the flow of a body's bytes, and with it the stall clock. Pieces already received may still be delivered. */
export interface Flow {
  pause(): void;
  resume(): void;
}

/** Takes the body; false when it wants no more, which ends the exchange well. A piece may be kept. */
export type BodyConsumer = (chunk: Uint8Array) => boolean;

export class HttpTransport {
  readonly #agent: Agent;
  readonly #connector: Connector;

  constructor(guard: AddressGuard, tuning: HttpTuning) {
    this.#connector = new Connector(guard, tuning.headTimeout);
    this.#agent = new Agent({
      connect: this.#connector.connect,
      connections: tuning.connections,
      pipelining: 1,
      allowH2: false,
      // The exchange has its own clocks, which know about pauses.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 15_000,
    });
  }

  /**
   * @param onHead called once, with the head; returns what takes the body, or undefined to leave the body alone. What it
   * throws ends the exchange.
   * @returns when the body has ended or its consumer has enough.
   * @throws what `onHead` or the consumer threw; StallError; the network's error; the signal's reason; AppError `server-full`.
   */
  async exchange(
    request: ExchangeRequest,
    onHead: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    using _place = await placeOf(signal);
    await new Promise<void>((resolve, reject) => {
      new Exchange(request, onHead, signal, { resolve, reject }).start(this.#agent);
    });
  }

  /** Ends every exchange and closes every socket. */
  async dispose(): Promise<void> {
    await this.#agent.destroy();
    this.#connector.dispose();
  }
}

/** One of the places for exchanges, as soon as there is one. */
async function placeOf(signal: AbortSignal): Promise<Disposable> {
  const waiting = new AbortController();
  const leave = (): void => waiting.abort(signal.reason);
  signal.throwIfAborted();
  const timer = setTimeout(() => {
    const what = `The server is waiting for ${MOST_EXCHANGES} answers of other servers, which is the most.`;
    waiting.abort(new AppError('server-full', what));
  }, QUEUE_MS);
  signal.addEventListener('abort', leave);
  try {
    // Never raced against the signal: a place that came at the last moment must reach its holder.
    return await exchanges.acquire(waiting.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', leave);
  }
}

/** Settles once; from then on the clock is stopped, the listener is gone and the socket is either idle or destroyed. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: ExchangeRequest;
  readonly #onHead: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined;
  readonly #signal: AbortSignal;
  readonly #promise: { resolve: () => void; reject: (reason: unknown) => void };
  #clock: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #consumer: BodyConsumer | undefined;
  #settled = false;
  #paused = false;

  constructor(
    request: ExchangeRequest,
    onHead: (head: ResponseHead, flow: Flow) => BodyConsumer | undefined,
    signal: AbortSignal,
    promise: { resolve: () => void; reject: (reason: unknown) => void },
  ) {
    this.#request = request;
    this.#onHead = onHead;
    this.#signal = signal;
    this.#promise = promise;
  }

  start(agent: Agent): void {
    if (this.#signal.aborted) {
      this.#fail(this.#signal.reason);
      return;
    }
    this.#signal.addEventListener('abort', this.#onAbort);
    this.#startClock(this.#request.headTimeout);
    // A body's last bytes arrive before undici counts its connection as free, which it does in the next turn of the loop: a reader
    // that goes on at once would get a new connection.
    setImmediate(() => this.#dispatch(agent));
  }

  #dispatch(agent: Agent): void {
    if (this.#settled) return;
    const { url, method, headers } = this.#request;
    try {
      agent.dispatch({ origin: url.origin, path: url.pathname + url.search, method, headers: { ...headers } }, this);
    } catch (error) {
      this.#fail(error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // The request was given up while its connection was being made.
    if (this.#settled) controller.abort(new Error('given up'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (this.#settled || status < 200) return;
    this.#startClock(this.#request.stallTimeout);
    try {
      this.#consumer = this.#onHead({ status, headers, url: this.#request.url }, this.#flow);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#consumer === undefined && this.#request.method !== 'HEAD') this.#finish();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    received.http += chunk.length;
    if (this.#settled) return;
    this.#clock?.refresh();
    try {
      if (this.#consumer?.(chunk) === false) this.#finish();
    } catch (error) {
      this.#fail(error);
    }
  }

  onResponseEnd(): void {
    this.#controller = undefined;
    this.#settle(() => this.#promise.resolve());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#controller = undefined;
    this.#fail(error);
  }

  readonly #flow: Flow = {
    pause: () => {
      if (this.#paused || this.#settled) return;
      this.#paused = true;
      clearTimeout(this.#clock);
      this.#controller?.pause();
    },
    resume: () => {
      if (!this.#paused || this.#settled) return;
      this.#paused = false;
      this.#startClock(this.#request.stallTimeout);
      this.#controller?.resume();
    },
  };

  readonly #onAbort = (): void => this.#fail(this.#signal.reason);

  #startClock(limit: number): void {
    clearTimeout(this.#clock);
    this.#clock = setTimeout(() => this.#fail(new StallError('no byte in time')), limit);
  }

  /** Ends well, with a rest of the body that nobody wants: the connection cannot be used again. */
  #finish(): void {
    this.#settle(() => this.#promise.resolve());
    this.#controller?.abort(new Error('has enough'));
  }

  #fail(reason: unknown): void {
    this.#settle(() => this.#promise.reject(reason));
    this.#controller?.abort(new Error('given up'));
  }

  #settle(settle: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#clock);
    this.#signal.removeEventListener('abort', this.#onAbort);
    settle();
  }
}
