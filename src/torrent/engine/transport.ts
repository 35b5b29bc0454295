/** Byte streams to peers: TCP, and connections that the main thread made (protocol.ts `stream`). */
import { connect, isIPv6, type Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import type { PeerAddress } from '../protocol.ts';

interface TransportHandler {
  /** `data[from, end)` is the receiver's to change, during the call only. */
  received(data: Buffer, from: number, end: number): void;
  /** Once, and nothing after it. */
  closed(): void;
  /** What was written has left; only after `backlog` was above zero. */
  drained(): void;
}

export interface Transport {
  readonly remote: PeerAddress;
  /** Connections that the main thread made have no address that others could connect to. */
  readonly dialable: boolean;
  /** Encrypted beneath, or not leaving this process: message stream encryption would add nothing. */
  readonly sealed?: boolean;
  handler: TransportHandler;
  /** Takes the bytes over: they are not to be changed any more. */
  write(bytes: Buffer): void;
  /** Bytes written that have not left yet. */
  readonly backlog: number;
  /** `handler.closed` follows. */
  destroy(): void;
}

const NOBODY: TransportHandler = { received: () => {}, closed: () => {}, drained: () => {} };

/** 64 KB: measured; 256 KB starved the loop. One for all sockets: each read is used up before the next one begins. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

class TcpTransport implements Transport {
  readonly remote: PeerAddress;
  readonly dialable = true;
  handler = NOBODY;
  readonly #socket: Socket;

  constructor(socket: Socket, remote: PeerAddress) {
    this.#socket = socket;
    this.remote = remote;
    socket.setNoDelay(true);
    socket.on('drain', () => this.handler.drained());
    socket.on('close', () => this.handler.closed());
    socket.on('error', () => {}); // 'close' follows
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** One attempt to connect. Either `opened` or `failed` is called, once; after `cancel` neither. */
export function dialTcp(
  remote: PeerAddress,
  timeoutMs: number,
  opened: (transport: Transport) => void,
  failed: () => void,
): { cancel: () => void } {
  let transport: TcpTransport | undefined;
  const socket = connect({
    host: remote.host,
    port: remote.port,
    family: isIPv6(remote.host) ? 6 : 4,
    onread: {
      buffer: readBuffer,
      callback: (bytes) => {
        transport?.handler.received(readBuffer, 0, bytes);
        return true;
      },
    },
  });
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const lost = (): void => {
    clearTimeout(timer);
    failed();
  };
  socket.once('close', lost);
  socket.on('error', () => {});
  socket.once('connect', () => {
    clearTimeout(timer);
    socket.off('close', lost);
    transport = new TcpTransport(socket, remote);
    opened(transport);
  });
  return {
    cancel: () => {
      clearTimeout(timer);
      socket.off('close', lost);
      socket.destroy();
    },
  };
}

/** A connection that somebody made to us. */
export function acceptedTcp(socket: Socket): Transport | undefined {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) {
    socket.destroy();
    return undefined;
  }
  // An IPv4 peer at a dual-stack listener.
  const host = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  const transport = new TcpTransport(socket, { host, port: remotePort });
  socket.on('data', (data: Buffer) => transport.handler.received(data, 0, data.length));
  return transport;
}

/** A message port as a stream; its other side answers each number of bytes that it has passed on (protocol.ts `stream`). */
class PortTransport implements Transport {
  readonly dialable = false;
  readonly sealed = true;
  readonly remote: PeerAddress;
  handler = NOBODY;
  backlog = 0;
  readonly #port: MessagePort;
  #closed = false;

  constructor(port: MessagePort, remote: PeerAddress) {
    this.#port = port;
    this.remote = remote;
    port.on('message', (message: unknown) => this.#message(message));
    port.on('close', () => this.#close());
  }

  write(bytes: Buffer): void {
    if (this.#closed) return;
    this.backlog += bytes.length;
    this.#port.postMessage(new Uint8Array(bytes));
  }

  destroy(): void {
    if (!this.#closed) this.#port.postMessage(null);
    this.#close();
  }

  #message(message: unknown): void {
    if (this.#closed) return;
    if (message instanceof Uint8Array) {
      const data = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
      this.handler.received(data, 0, data.length);
    } else if (typeof message === 'number') {
      this.backlog = Math.max(0, this.backlog - message);
      if (this.backlog === 0) this.handler.drained();
    } else this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.close();
    queueMicrotask(() => this.handler.closed());
  }
}

export function portTransport(port: MessagePort, remote: PeerAddress): Transport {
  return new PortTransport(port, remote);
}
