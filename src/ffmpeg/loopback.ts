/**
 * The only address that FFmpeg is ever given: a source's bytes over HTTP/1.1 on 127.0.0.1, while its presentation lives.
 *
 * Invariant: every answer belongs to a loan that is in `#loans`; a loan that ends takes its answers with it, and the reader takes its loans. Paths are
 * 256 random bits, one per loan; every other path and every other Host is told nothing.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError, toAppError } from '../errors.ts';
import { waitFor } from '../lib/abort.ts';
import type { Source } from '../source/source.ts';
import type { Supply, SupplyOpener } from './feed.ts';
import { loopbackRange } from './loopback-range.ts';

const ADDRESS = '127.0.0.1';
/** Bytes of the first read of an answer (FFmpeg often wants a header and seeks on), and of the largest: each is twice the one before. */
const READ_BYTES = { first: 64 * 1024, most: 1024 * 1024 };
/** Milliseconds in which a request's head must have come. */
const HEAD_MS = 5_000;

export class LoopbackReader implements AsyncDisposable {
  readonly #source: Source;
  readonly #server: Server;
  readonly #host: string;
  readonly #loans = new Map<string, Loan>();

  private constructor(source: Source, server: Server) {
    this.#source = source;
    this.#server = server;
    this.#host = `${ADDRESS}:${(server.address() as AddressInfo).port}`;
    server.on('request', (request, response) => this.#answer(request, response));
  }

  /** Listens on a port of the system's choice. The source stays the caller's, and must outlive the reader. */
  static async open(source: Source): Promise<LoopbackReader> {
    const server = createServer({ maxHeaderSize: 8192, headersTimeout: HEAD_MS, requestTimeout: HEAD_MS });
    server.listen(0, ADDRESS);
    await once(server, 'listening');
    return new LoopbackReader(source, server);
  }

  /** Lends the source to one process, until the loan is disposed of. */
  lend(): Loan {
    const path = `/${randomBytes(32).toString('base64url')}`;
    const loan = new Loan(`http://${this.#host}${path}`, this.#source, () => this.#loans.delete(path));
    this.#loans.set(path, loan);
    return loan;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const loan of this.#loans.values()) loan[Symbol.dispose]();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader('connection', 'close');
    const loan = request.headers.host === this.#host ? this.#loans.get(request.url ?? '') : undefined;
    if (loan === undefined) {
      response.writeHead(404).end();
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else {
      void loan.answer(request, response);
    }
  }
}

/** One process's right to read the source. Disposing of it ends its answers and its address. */
export class Loan implements SupplyOpener, Disposable {
  readonly url: string;
  readonly #source: Source;
  readonly #forget: () => void;
  readonly #owner = new AbortController();
  readonly #failed = Promise.withResolvers<void>();
  #failure: AppError | undefined;
  #reads = 0;
  #onChange: () => void = () => {};

  constructor(url: string, source: Source, forget: () => void) {
    this.url = url;
    this.#source = source;
    this.#forget = forget;
    this.#failed.promise.catch(() => {});
  }

  /** Why the source could not be read, the first time that it could not. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  supply(onChange: () => void): Supply {
    this.#onChange = onChange;
    const waits = (): boolean => this.#reads > 0;
    return {
      get waitingForInput() {
        return waits();
      },
      run: () => this.#failed.promise,
      stop: async () => this[Symbol.dispose](),
    };
  }

  [Symbol.dispose](): void {
    if (this.#owner.signal.aborted) return;
    this.#forget();
    this.#owner.abort(new AppError('server-closing', 'The source is no longer lent.'));
    this.#failed.resolve();
  }

  /** Answers GET or HEAD. Never throws: a source that fails breaks the connection, and `failure` tells. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { size } = this.#source;
    const range = loopbackRange(request.headers.range, size);
    if (range === 'unsatisfiable') {
      response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
      return;
    }
    const { from, to, partial } = range;
    response.writeHead(partial ? 206 : 200, {
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'content-length': to - from,
      ...(partial ? { 'content-range': `bytes ${from}-${to - 1}/${size}` } : {}),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    response.once('close', leave);
    response.on('error', leave);
    const end = (): void => {
      response.destroy();
    };
    this.#owner.signal.addEventListener('abort', end, { once: true });
    try {
      if (this.#owner.signal.aborted) end();
      await this.#send(response, from, to, gone.signal);
    } catch {
      response.destroy(); // the source failed, which is told already, or the reader is gone
    } finally {
      this.#owner.signal.removeEventListener('abort', end);
    }
  }

  async #send(response: ServerResponse, from: number, to: number, signal: AbortSignal): Promise<void> {
    let length = READ_BYTES.first;
    for (let at = from; at < to; ) {
      const bytes = await this.#read(at, Math.min(length, to - at), signal);
      const sent = Promise.withResolvers<void>();
      response.write(bytes, (error) => (error ? sent.reject(error) : sent.resolve()));
      await waitFor(sent.promise, signal);
      at += bytes.length;
      this.#source.recycle(bytes);
      length = Math.min(READ_BYTES.most, length * 2);
    }
    response.end();
  }

  /** @throws what `failure` then tells, unless the signal aborts. */
  async #read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    this.#count(1);
    try {
      const bytes = await this.#source.read(offset, length, signal);
      if (bytes.length > 0) return bytes;
      const { label, size } = this.#source;
      throw new AppError('source-truncated', `${label} ends at byte ${offset} instead of ${size}.`);
    } catch (error) {
      if (!signal.aborted) this.#fail(toAppError(error));
      throw error;
    } finally {
      this.#count(-1);
    }
  }

  #count(step: 1 | -1): void {
    this.#reads += step;
    this.#onChange();
  }

  #fail(error: AppError): void {
    this.#failure ??= error;
    this.#failed.reject(error);
  }
}
