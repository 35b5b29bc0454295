/**
 * uTP connections (BEP 29) of one address and UDP port, told apart by who sends and by number.
 *
 * Invariant: a connection is in `#connections` from its beginning until `gone`; after `close` there is none, and nothing is sent.
 */
import { randomInt } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { PeerAddress } from '../../protocol.ts';
import type { Transport } from '../transport.ts';
import { UtpConnection, type UtpWire } from './connection.ts';
import { type Packet, readPacket, TYPE, writePacket } from './packet.ts';

const MOST_CONNECTIONS = 400;
/** Answers "there is no such connection" in one second. */
const MOST_RESETS = 50;
/** Of those who call, as long as it is not sure that they are where they say. */
const MOST_UNCONFIRMED = 100;
const NOBODY: Transport['handler'] = { received: () => {}, closed: () => {}, drained: () => {} };
const BUFFER_BYTES = 1024 * 1024;

export class UtpSocket implements UtpWire {
  readonly #socket: Socket;
  readonly #accepted: ((transport: Transport) => void) | undefined;
  readonly #connections = new Map<string, UtpConnection>();
  #unconfirmed = 0;
  #resets = 0;
  #second = 0;
  #closed = false;

  private constructor(socket: Socket, accepted: ((transport: Transport) => void) | undefined) {
    this.#socket = socket;
    this.#accepted = accepted;
    socket.on('message', (bytes, from) => this.#receive(bytes, from));
    socket.on('error', () => {}); // of single datagrams
  }

  /**
   * @param accepted gets those who call us; undefined: nobody may.
   * @throws the network's error when the port can't be had.
   */
  static async bind(
    host: string,
    port: number,
    accepted: ((transport: Transport) => void) | undefined,
  ): Promise<UtpSocket> {
    const six = isIPv6(host);
    const socket = createSocket({ type: six ? 'udp6' : 'udp4', ipv6Only: six });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once('error', reject);
    socket.bind(port, host, resolve);
    try {
      await promise;
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.off('error', reject);
    socket.setRecvBufferSize(BUFFER_BYTES);
    socket.setSendBufferSize(BUFFER_BYTES);
    return new UtpSocket(socket, accepted);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** One attempt to connect. Either `opened` or `failed` is called, once; after `cancel` neither. */
  dial(
    remote: PeerAddress,
    timeoutMs: number,
    opened: (transport: Transport) => void,
    failed: () => void,
  ): { cancel: () => void } {
    const id = this.#freeId(remote);
    if (this.#closed || id === undefined) {
      queueMicrotask(failed);
      return { cancel: () => {} };
    }
    const connection = UtpConnection.call(remote, this, id, () => {
      clearTimeout(timer);
      connection.handler = NOBODY;
      opened(connection);
    });
    const timer = setTimeout(() => connection.destroy(), timeoutMs);
    connection.handler = {
      ...NOBODY,
      closed: () => {
        clearTimeout(timer);
        failed();
      },
    };
    this.#connections.set(keyOf(remote, connection.receiveId), connection);
    return {
      cancel: () => {
        clearTimeout(timer);
        connection.handler = NOBODY;
        connection.destroy();
      },
    };
  }

  #freeId(remote: PeerAddress): number | undefined {
    if (this.#connections.size >= MOST_CONNECTIONS) return undefined;
    const id = randomInt(0x10000);
    return this.#connections.has(keyOf(remote, id)) ? undefined : id;
  }

  /** @see UtpWire */
  send(bytes: Buffer, to: PeerAddress): void {
    if (this.#closed) return;
    try {
      this.#socket.send(bytes, to.port, to.host, () => {});
    } catch {
      // An address that this socket can't reach: as good as lost.
    }
  }

  /** @see UtpWire */
  gone(connection: UtpConnection): void {
    this.#connections.delete(keyOf(connection.remote, connection.receiveId));
  }

  #receive(bytes: Buffer, { address, port }: RemoteInfo): void {
    const packet = readPacket(bytes);
    if (packet === undefined || port === 0 || this.#closed) return;
    const from = { host: address, port };
    const connection = this.#find(from, packet);
    if (connection !== undefined) connection.receive(packet, bytes);
    else if (packet.type === TYPE.syn) this.#answer(packet, from);
    else if (packet.type !== TYPE.reset) this.#refuse(packet, from);
  }

  #find(from: PeerAddress, { type, connection: id }: Packet): UtpConnection | undefined {
    if (type === TYPE.syn) return this.#connections.get(keyOf(from, id + 1));
    const found = this.#connections.get(keyOf(from, id));
    if (found !== undefined || type !== TYPE.reset) return found;
    // Some refuse with the number that they were sent.
    return [id - 1, id + 1].map((other) => this.#connections.get(keyOf(from, other))).find((one) => one?.sendId === id);
  }

  #answer(syn: Packet, from: PeerAddress): void {
    if (this.#connections.size >= MOST_CONNECTIONS || this.#unconfirmed >= MOST_UNCONFIRMED) return;
    const accepted = this.#accepted;
    if (accepted === undefined) return;
    this.#unconfirmed += 1;
    const connection: UtpConnection = UtpConnection.answer(from, this, syn, randomInt(0x10000), () => {
      this.#unconfirmed -= 1;
      connection.handler = NOBODY;
      accepted(connection);
    });
    connection.handler = {
      ...NOBODY,
      closed: () => {
        this.#unconfirmed -= 1;
      },
    };
    this.#connections.set(keyOf(from, connection.receiveId), connection);
  }

  #refuse({ connection, seq }: Packet, to: PeerAddress): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#resets = 0;
    this.#second = second;
    this.#resets += 1;
    if (this.#resets > MOST_RESETS) return;
    const nothing = { sentAt: 0, delay: 0, window: 0, selective: undefined };
    this.send(writePacket({ ...nothing, type: TYPE.reset, connection, seq: 0, ack: seq }, 0), to);
  }

  /** Ends all connections, then the socket. */
  async close(): Promise<void> {
    for (const connection of this.#connections.values()) connection.destroy();
    this.#closed = true;
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

function keyOf({ host, port }: PeerAddress, id: number): string {
  return `${host} ${port} ${id & 0xffff}`;
}
