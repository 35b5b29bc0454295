/**
 * What keeps slow and greedy clients from using up the server: bounds on connections, and on how slowly an answer may be taken.
 *
 * Invariant: `#open` counts the sockets of each client (`clientNetwork`) that have not closed.
 */
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { AppError } from '../errors.ts';
import { clientNetwork, isLoopback } from '../lib/addresses.ts';

export interface ConnectionLimits {
  /** Connections at once: of one client of this machine, of one elsewhere, and in all; beyond all, they are closed unheard. */
  readonly local: number;
  readonly remote: number;
  readonly all: number;
  /** Milliseconds without a byte taken. A television that pauses stops reading, and can come back for the rest. */
  readonly stalledReader: number;
  /** An answer that is held in memory must be taken at this rate on the average (bytes per second), after a grace (ms). */
  readonly slowest: number;
  readonly grace: number;
}

const LIMITS: ConnectionLimits = {
  local: 2_048,
  remote: 128,
  all: 4_096,
  stalledReader: 120_000,
  slowest: 32 * 1024,
  grace: 60_000,
};

/** Bytes that the kernel takes at once, so that nobody waits for the reader. */
const SMALL = 64 * 1024;

/** For requests: milliseconds. */
export const REQUEST_TIMEOUTS = { headers: 10_000, whole: 30_000, checkedEvery: 2_500 };

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #open = new Map<string, number>();

  constructor(limits: ConnectionLimits = LIMITS) {
    this.#limits = limits;
  }

  register(app: FastifyInstance): void {
    app.server.maxConnections = this.#limits.all;
    app.server.on('connection', (socket) => this.#count(socket));
    app.addHook('onRequest', async (request, reply) => {
      const address = request.raw.socket.remoteAddress ?? '';
      const most = isLoopback(address) ? this.#limits.local : this.#limits.remote;
      if ((this.#open.get(clientNetwork(address)) ?? 0) <= most) return;
      reply.header('connection', 'close');
      throw new AppError('server-full', `${most} connections of one client are the most.`);
    });
    app.addHook('onSend', async (_request, reply, payload) => {
      const isWhole = Buffer.isBuffer(payload) || typeof payload === 'string';
      this.#watchReader(reply, isWhole ? Buffer.byteLength(payload) : undefined);
      return payload;
    });
  }

  #count(socket: Socket): void {
    const client = clientNetwork(socket.remoteAddress ?? '');
    this.#open.set(client, (this.#open.get(client) ?? 0) + 1);
    socket.once('close', () => {
      const left = (this.#open.get(client) ?? 1) - 1;
      if (left > 0) this.#open.set(client, left);
      else this.#open.delete(client);
    });
  }

  /** @param bytes of an answer that is held in memory until it is taken. */
  #watchReader({ raw }: FastifyReply, bytes: number | undefined): void {
    const { stalledReader, slowest, grace } = this.#limits;
    // Of the socket, from now until the answer's end: Node gives it back its own limits then.
    raw.setTimeout(stalledReader, () => {
      // Nothing to take: it is not the reader who is slow.
      if (raw.socket && raw.socket.writableLength > 0) raw.socket.destroy();
    });
    if (bytes === undefined || bytes < SMALL) return;
    const timer = setTimeout(() => raw.destroy(), grace + (bytes / slowest) * 1000);
    timer.unref();
    raw.once('close', () => clearTimeout(timer));
  }
}
