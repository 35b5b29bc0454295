/** Where peers can connect to: one port, IPv4 and IPv6. */
import { createServer, isIPv6, type Server } from 'node:net';
import type { EngineOptions } from '../protocol.ts';
import { acceptedTcp, type Transport } from './transport.ts';

export class Listener {
  readonly #servers: Server[] = [];
  readonly #accepted: (transport: Transport) => void;
  #closed = false;
  port = 0;
  /** Resolves when it is known whether anything listens; `port` 0 and `error` when nothing does. */
  readonly ready: Promise<{ port: number; error?: string }>;

  constructor({ listen, hosts, port }: EngineOptions, accepted: (transport: Transport) => void) {
    this.#accepted = accepted;
    this.ready = listen ? this.#listen(hosts, port) : Promise.resolve({ port: 0 });
  }

  /** The first host decides the port when the system is to give one; the others take the same. */
  async #listen(hosts: readonly string[], wanted: number): Promise<{ port: number; error?: string }> {
    let error = '';
    for (const host of hosts) {
      try {
        await this.#one(host, this.port || wanted);
      } catch (cause) {
        error = cause instanceof Error ? cause.message : String(cause);
      }
    }
    if (this.port === 0) return { port: 0, error };
    return { port: this.port };
  }

  async #one(host: string, port: number): Promise<void> {
    if (this.#closed) return;
    const server = createServer({ noDelay: true }, (socket) => {
      const transport = acceptedTcp(socket);
      if (transport !== undefined) this.#accepted(transport);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, ipv6Only: isIPv6(host) }, () => {
        server.off('error', reject);
        server.on('error', () => {}); // of single connections, e.g. too many open files
        resolve();
      });
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.port = address.port;
    this.#servers.push(server);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.ready;
    await Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}
