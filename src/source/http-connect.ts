/**
 * Opens the sockets of one HTTP source; every address passes the guard before it is connected to.
 *
 * Invariant: `#sockets` holds every socket that was opened and has not closed; dispose destroys them, so that none that
 * is still connecting outlives the source.
 */
import { lookup } from 'node:dns';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { buildConnector } from 'undici';
import type { AddressGuard } from './guard.ts';

/** A failure to get a connection within the time. */
export class ConnectTimeout extends Error {}

export class Connector {
  readonly #guard: AddressGuard;
  readonly #timeout: number;
  readonly #sockets = new Set<Socket>();

  /** @param timeout ms for name, connection and TLS together. */
  constructor(guard: AddressGuard, timeout: number) {
    this.#guard = guard;
    this.#timeout = timeout;
  }

  /** As undici's `Agent` wants it. */
  readonly connect: buildConnector.connector = (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '');
    const secure = options.protocol === 'https:';
    const port = Number(options.port) || (secure ? 443 : 80);
    const origin = new URL(`${options.protocol}//${isIP(host) === 6 ? `[${host}]` : host}:${port}`);
    let socket: Socket;
    try {
      // No lookup happens for an address that stands in the URL.
      if (isIP(host) !== 0) this.#guard.checkAddress(origin, host);
      const common = { host, port, lookup: this.#lookup(origin), noDelay: true, keepAlive: true };
      const servername = isIP(host) === 0 ? { servername: host } : {};
      socket = secure ? connectTls({ ...common, ...servername, ALPNProtocols: ['http/1.1'] }) : connectTcp(common);
    } catch (error) {
      callback(error as Error, null);
      return;
    }
    this.#settle(socket, secure ? 'secureConnect' : 'connect', callback);
  };

  dispose(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #settle(socket: Socket, event: 'connect' | 'secureConnect', callback: buildConnector.Callback): void {
    this.#sockets.add(socket);
    let settled = false;
    const settle = (error: Error | null) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (error === null) callback(null, socket);
      else callback(error, null);
    };
    const timer = setTimeout(() => {
      const error = new ConnectTimeout('no connection in time');
      settle(error);
      socket.destroy();
    }, this.#timeout);
    socket.once(event, () => settle(null));
    socket.on('error', settle);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      settle(new Error('closed while connecting'));
    });
  }

  #lookup(origin: URL): LookupFunction {
    return (hostname, options, callback) => {
      (this.#guard.lookup ?? lookup)(hostname, options, (error, address, family) => {
        if (error === null) {
          try {
            for (const one of Array.isArray(address) ? address : [{ address }]) {
              this.#guard.checkAddress(origin, one.address);
            }
          } catch (refusal) {
            callback(refusal as NodeJS.ErrnoException, '', 0);
            return;
          }
        }
        callback(error, address, family);
      });
    };
  }
}
