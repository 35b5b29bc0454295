/**
 * Text messages over a WebSocket (RFC 6455), connected through the one guard of addresses.
 *
 * Invariant: `handlers.closed` is called once for a connection that was open, however it ends. `close` leaves no socket.
 */
import { Agent, WebSocket } from 'undici';
import { waitFor } from '../lib/abort.ts';
import type { AddressGuard } from './guard.ts';
import { Connector } from './http-connect.ts';
import { appErrorIn } from './http-errors.ts';

export interface WebSocketHandlers {
  message(text: string): void;
  closed(): void;
}

/** A longer message ends the connection, bytes. */
const LARGEST_MESSAGE = 256 * 1024;
/** What waits to leave may be as long; who reads nothing is left. */
const MOST_WAITING = 1024 * 1024;
const CONNECT_MS = 15_000;

export class GuardedWebSocket {
  readonly #agent: Agent;
  readonly #connector: Connector;
  readonly #socket: WebSocket;
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  /** Of who is at the other end, as far as our network tells; '' before there is a connection. */
  remoteAddress = '';

  /**
   * @param url `ws:` or `wss:`.
   * @throws AppError when the guard refuses; Error when nobody answers; the signal's reason.
   */
  static async open(
    url: URL,
    guard: AddressGuard,
    handlers: WebSocketHandlers,
    signal: AbortSignal,
  ): Promise<GuardedWebSocket> {
    signal.throwIfAborted();
    guard.checkUrl(new URL(url.href.replace(/^ws/i, 'http')));
    const socket = new GuardedWebSocket(url, guard, handlers);
    try {
      await waitFor(socket.#opened.promise, signal);
    } catch (error) {
      await socket.close(AbortSignal.abort());
      throw appErrorIn(error) ?? error;
    }
    return socket;
  }

  private constructor(url: URL, guard: AddressGuard, handlers: WebSocketHandlers) {
    const connector = new Connector(guard, CONNECT_MS);
    this.#connector = connector;
    let failure: unknown;
    this.#agent = new Agent({
      // undici's WebSocket doesn't tell why there is no connection.
      connect: (options, callback) =>
        connector.connect(options, (...result) => {
          failure ??= result[0];
          this.remoteAddress = result[1]?.remoteAddress ?? '';
          callback(...result);
        }),
      connections: 1,
      allowH2: false,
      headersTimeout: CONNECT_MS,
      webSocket: { maxPayloadSize: LARGEST_MESSAGE },
    });
    let isOpen = false;
    this.#socket = new WebSocket(url, { dispatcher: this.#agent });
    this.#socket.addEventListener('open', () => {
      isOpen = true;
      this.#opened.resolve();
    });
    this.#socket.addEventListener('error', (event) => {
      failure ??= event.error;
    });
    this.#socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') handlers.message(data);
      else this.#socket.close();
    });
    this.#socket.addEventListener('close', () => {
      this.#opened.reject(failure ?? new Error('closed while connecting'));
      this.#closed.resolve();
      if (isOpen) handlers.closed();
    });
  }

  /** Nothing happens when the connection has ended. */
  send(text: string): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount > MOST_WAITING) this.#socket.close();
    else this.#socket.send(text);
  }

  /** Ends it in good order, or, when the signal aborts, at once. Resolves when nothing of it is left. */
  async close(signal: AbortSignal): Promise<void> {
    this.#socket.close();
    await waitFor(this.#closed.promise, signal).catch(() => {});
    await this.#agent.destroy();
    this.#connector.dispose();
  }
}
