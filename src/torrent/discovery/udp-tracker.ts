/** Announcing over UDP (BEP 15). One socket for one announcement, connected, so that only the tracker's own packets reach it. */
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { AppError } from '../../errors.ts';
import { waitFor } from '../../lib/abort.ts';
import type { AddressGuard } from '../../source/guard.ts';
import { nearnessOf } from '../peer-guard.ts';
import { compactPeers } from './compact.ts';
import { type Announced, type Announcement, PEERS_WANTED, TrackerError } from './tracker.ts';

const PROTOCOL_ID = 0x41727101980n;
const CONNECT = 0;
const ANNOUNCE = 1;
const ERROR = 3;
const EVENTS = { started: 2, stopped: 3 } as const;
/** Waits for an answer before a request is sent again; BEP 15's 15 s and more are for those who are in no hurry. */
const RETRANSMIT_MS = [1_500, 3_000, 6_000, 12_000];

/** @throws TrackerError; the signal's reason. */
export async function announceUdp(
  tracker: string,
  announcement: Announcement,
  guard: AddressGuard,
  signal: AbortSignal,
): Promise<Announced> {
  const url = new URL(tracker);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  try {
    const { address, family } = await waitFor(lookup(host), signal);
    guard.checkAddress(url, address);
    await using exchange = await UdpExchange.open(address, Number(url.port), family === 6 ? 6 : 4);
    const connected = await exchange.ask(CONNECT, connectRequest, 16, signal);
    const connectionId = connected.getBigUint64(8);
    const request = (transaction: number): Buffer => announceRequest(announcement, connectionId, transaction);
    const answer = await exchange.ask(ANNOUNCE, request, 20, signal);
    const bytes = new Uint8Array(answer.buffer, answer.byteOffset + 20, answer.byteLength - 20);
    return {
      interval: answer.getUint32(8),
      peers: compactPeers(bytes, family === 6 ? 6 : 4),
      from: nearnessOf(address),
    };
  } catch (error) {
    if (signal.aborted || error instanceof TrackerError) throw error;
    const words =
      error instanceof AppError ? error.detail : `cannot be reached (${(error as NodeJS.ErrnoException).code})`;
    throw new TrackerError(words, { cause: error });
  }
}

/** The tracker as a place to send a request to until it is answered. */
class UdpExchange implements AsyncDisposable {
  readonly #socket: Socket;
  /** What the network said: there is nobody at that port, ... */
  #failure: Error | undefined;
  #received: (() => void) | undefined;
  readonly #packets: Buffer[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (packet: Buffer) => {
      if (this.#packets.length < 8) this.#packets.push(packet);
      this.#received?.();
    });
    socket.on('error', (error) => {
      this.#failure = error;
      this.#received?.();
    });
  }

  static async open(address: string, port: number, family: 4 | 6): Promise<UdpExchange> {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const exchange = new UdpExchange(socket);
    try {
      socket.connect(port, address);
      await once(socket, 'connect');
      return exchange;
    } catch (error) {
      await exchange[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The answer to a request. @param least bytes that it has at least. */
  async ask(
    action: number,
    request: (transaction: number) => Buffer,
    least: number,
    signal: AbortSignal,
  ): Promise<DataView> {
    for (const patience of RETRANSMIT_MS) {
      const transaction = randomInt(2 ** 32);
      this.#socket.send(request(transaction));
      const answer = await this.#answer(transaction, patience, signal);
      if (answer === undefined) continue;
      const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
      if (view.getUint32(0) === ERROR) {
        const reason = answer
          .subarray(8, 208)
          .toString('utf8')
          .replace(/\p{Cc}/gu, ' ');
        throw new TrackerError(`refused: ${reason}`);
      }
      if (view.getUint32(0) !== action || answer.length < least)
        throw new TrackerError('answered with what is no answer');
      return view;
    }
    throw new TrackerError('does not answer');
  }

  async #answer(transaction: number, patience: number, signal: AbortSignal): Promise<Buffer | undefined> {
    const deadline = performance.now() + patience;
    for (;;) {
      if (this.#failure) throw this.#failure;
      for (const packet of this.#packets.splice(0)) {
        if (packet.length >= 8 && packet.readUInt32BE(4) === transaction) return packet;
      }
      const left = deadline - performance.now();
      if (left <= 0) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#received = resolve;
      const timer = setTimeout(resolve, left);
      await waitFor(promise, signal).finally(() => clearTimeout(timer));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

function connectRequest(transaction: number): Buffer {
  const packet = Buffer.alloc(16);
  packet.writeBigUInt64BE(PROTOCOL_ID, 0);
  packet.writeUInt32BE(CONNECT, 8);
  packet.writeUInt32BE(transaction, 12);
  return packet;
}

function announceRequest(announcement: Announcement, connectionId: bigint, transaction: number): Buffer {
  const { infoHash, peerId, event, downloaded, left, uploaded, port } = announcement;
  const packet = Buffer.alloc(98);
  packet.writeBigUInt64BE(connectionId, 0);
  packet.writeUInt32BE(ANNOUNCE, 8);
  packet.writeUInt32BE(transaction, 12);
  packet.write(infoHash, 16, 'hex');
  packet.set(peerId, 36);
  packet.writeBigUInt64BE(BigInt(downloaded), 56);
  packet.writeBigUInt64BE(BigInt(left), 64);
  packet.writeBigUInt64BE(BigInt(uploaded), 72);
  packet.writeUInt32BE(event === undefined ? 0 : EVENTS[event], 80);
  // IP address: the packet's own. Key: none, since we never announce from two addresses at once.
  packet.writeUInt32BE(event === 'stopped' ? 0 : PEERS_WANTED, 92);
  packet.writeUInt16BE(port || 1, 96);
  return packet;
}
