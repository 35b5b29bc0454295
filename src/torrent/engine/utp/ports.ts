/**
 * uTP beside TCP: the same port number at the same addresses; where nothing listens, a port of its own from which we call only.
 *
 * Invariant: `#sockets` are open from `open` until `close`.
 */
import { isIPv6 } from 'node:net';
import type { EngineOptions, PeerAddress } from '../../protocol.ts';
import type { Transport } from '../transport.ts';
import { UtpSocket } from './socket.ts';

export class UtpPorts {
  readonly #hosts: readonly string[];
  readonly #accepted: ((transport: Transport) => void) | undefined;
  readonly #sockets: { readonly socket: UtpSocket; readonly six: boolean }[] = [];
  #closed = false;

  constructor({ listen, hosts }: EngineOptions, accepted: (transport: Transport) => void) {
    this.#hosts = listen ? hosts : ['0.0.0.0', '::'];
    this.#accepted = listen ? accepted : undefined;
  }

  /** @param port that of TCP; 0: any. What can't be had is left out: TCP is there. */
  async open(port: number): Promise<void> {
    for (const host of this.#hosts) {
      const socket = await UtpSocket.bind(host, port, this.#accepted).catch(() => undefined);
      if (socket === undefined) continue;
      if (this.#closed) await socket.close();
      else this.#sockets.push({ socket, six: isIPv6(host) });
    }
  }

  /** @see UtpSocket.dial @returns undefined where there is no way. */
  dial(
    remote: PeerAddress,
    timeoutMs: number,
    opened: (transport: Transport) => void,
    failed: () => void,
  ): { cancel: () => void } | undefined {
    const six = isIPv6(remote.host);
    return this.#sockets.find((one) => one.six === six)?.socket.dial(remote, timeoutMs, opened, failed);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#sockets.splice(0).map(({ socket }) => socket.close()));
  }
}
