/**
 * A peer that is far away behind a slow line: a TCP relay on loopback, for machines whose kernel can't shape traffic (netem).
 * Every byte takes half a round trip each way; what comes back passes at `rate`, and no more than a line holds is taken from the peer.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface SlowRelay extends Disposable {
  readonly port: number;
}

/** Beyond rate times round trip: what a home router holds. */
const QUEUE_BYTES = 64 * 1024;
const TURN_MS = 2;

/** @param rate bytes per second, from the peer, all connections together. */
export async function slowRelay(port: number, rate: number, rttMs: number): Promise<SlowRelay> {
  const sockets = new Set<Socket>();
  const lines = new Set<Line>();
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    let budget = ((now - last) / 1000) * rate;
    last = now;
    for (const line of lines) budget = line.pass(now, budget);
  }, TURN_MS);
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    const line = new Line(near, far, rttMs, QUEUE_BYTES + (rate * rttMs) / 1000);
    lines.add(line);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        sockets.delete(socket);
        lines.delete(line);
        near.destroy();
        far.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.dispose]: () => {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

class Line {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #up: { at: number; bytes: Buffer }[] = [];
  readonly #queue: Buffer[] = [];
  readonly #flying: { at: number; bytes: Buffer }[] = [];
  #queued = 0;
  #credit = 0;
  readonly #half: number;

  constructor(near: Socket, far: Socket, rttMs: number, most: number) {
    this.#near = near;
    this.#far = far;
    this.#half = rttMs / 2;
    // The connection itself takes a round trip, which loopback doesn't.
    const open = performance.now() + rttMs;
    near.on('data', (bytes: Buffer) => this.#up.push({ at: Math.max(open, performance.now()) + this.#half, bytes }));
    far.on('data', (bytes: Buffer) => {
      this.#queue.push(bytes);
      this.#queued += bytes.length;
      if (this.#queued > most) far.pause();
    });
  }

  /** @returns what is left of the budget for other connections. */
  pass(now: number, budget: number): number {
    while (this.#up[0] !== undefined && this.#up[0].at <= now) this.#far.write(this.#up.shift()!.bytes);
    this.#credit = this.#queue.length === 0 ? 0 : this.#credit + budget;
    for (let next = this.#queue[0]; next !== undefined && this.#credit > 0; next = this.#queue[0]) {
      const taken = next.subarray(0, Math.ceil(this.#credit));
      if (taken.length === next.length) this.#queue.shift();
      else this.#queue[0] = next.subarray(taken.length);
      this.#credit -= taken.length;
      this.#queued -= taken.length;
      this.#flying.push({ at: now + this.#half, bytes: taken });
    }
    if (this.#queued < QUEUE_BYTES) this.#far.resume();
    while (this.#flying[0] !== undefined && this.#flying[0].at <= now) this.#near.write(this.#flying.shift()!.bytes);
    return this.#queue.length === 0 ? budget : 0;
  }
}
