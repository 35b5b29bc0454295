/**
 * The socket that the DHT library gets. The library believes what packets say (a number for an infohash or a list for a token makes it throw, out of everybody's
 * reach), so nothing passes that is not a well-formed message of BEP 5. And it sends to whatever address a stranger names as a node, so nothing
 * passes outwards that leads into this machine or network, unless somebody there wrote first or the operator named it.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { kindFromHere, type Nearness } from '../../lib/addresses.ts';
import { type Bencoded, bytesField, type Dictionary, decode, dictionaryField } from '../bencode.ts';
import { farther } from '../peer-guard.ts';

/** Near ones who wrote to us, and are answered; the oldest are forgotten. */
const MOST_CALLERS = 256;
const LARGEST_PACKET = 2_048;
/** Packets a second that are looked at; a node in use gets some tens. */
const MOST_PACKETS = 1_000;
const ID_BYTES = 20;
const MOST_TOKEN_BYTES = 64;
/** BEP 44's `get` and `put` would keep other people's data. */
const QUERIES = new Set(['ping', 'find_node', 'get_peers', 'announce_peer']);

export class FencedSocket extends EventEmitter {
  readonly #socket: Socket;
  readonly #nearest: Nearness;
  readonly #callers = new Set<string>();
  #second = 0;
  #packets = 0;

  /** @param nearest what nodes may be sent to besides the Internet's: whatever others name, and nobody wrote from, is no nearer. */
  constructor(nearest: Nearness) {
    super();
    this.#nearest = nearest;
    this.#socket = createSocket('udp4');
    this.#socket.on('message', (packet, from) => this.#receive(packet, from));
    for (const event of ['listening', 'error', 'close'] as const) {
      this.#socket.on(event, (...args: unknown[]) => this.emit(event, ...args));
    }
  }

  bind(port: number, address: string): void {
    this.#socket.bind(port, address);
  }

  address(): { address: string; port: number } {
    return this.#socket.address();
  }

  /** As the library calls it. What can't be sent is lost, as with any datagram. */
  send(packet: Uint8Array, offset: number, length: number, port: number, address: string, done: () => void): void {
    if (!this.#mayHear(address, port)) {
      done();
      return;
    }
    try {
      this.#socket.send(packet, offset, length, port, address, () => done());
    } catch {
      done(); // closed, or a port or an address that a stranger made up
    }
  }

  close(): void {
    this.#socket.close();
  }

  #mayHear(address: string, port: number): boolean {
    const kind = kindFromHere(address);
    if (kind === 'public') return true;
    if (kind === 'metadata' || kind === 'unusable') return false;
    return farther(kind, this.#nearest) === kind || this.#callers.has(`${address} ${port}`);
  }

  #remember({ address, port }: RemoteInfo): void {
    if (kindFromHere(address) === 'public') return;
    const [oldest] = this.#callers;
    if (this.#callers.size >= MOST_CALLERS && oldest !== undefined) this.#callers.delete(oldest);
    this.#callers.add(`${address} ${port}`);
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#packets = 0;
    }
    if (++this.#packets > MOST_PACKETS || from.port === 0 || !isDhtMessage(packet)) return;
    this.#remember(from);
    try {
      this.emit('message', packet, from);
    } catch {
      // A message that is well-formed and still too much for the library: one packet is lost.
    }
  }
}

/** Whether a packet is a message that the library can take. */
export function isDhtMessage(packet: Uint8Array): boolean {
  if (packet.length > LARGEST_PACKET || packet[0] !== 0x64) return false;
  let message: Bencoded;
  try {
    message = decode(packet);
  } catch {
    return false;
  }
  const transaction = bytesField(message, 't');
  if (transaction === undefined || transaction.length === 0 || transaction.length > 16) return false;
  switch (asText(bytesField(message, 'y'))) {
    case 'q':
      return QUERIES.has(asText(bytesField(message, 'q'))) && isQuery(dictionaryField(message, 'a'));
    case 'r':
      return transaction.length === 2 && isResponse(dictionaryField(message, 'r'));
    case 'e':
      return transaction.length === 2;
    default:
      return false;
  }
}

function isQuery(fields: Dictionary | undefined): boolean {
  if (!isId(fields?.get('id'))) return false;
  for (const key of ['target', 'info_hash']) {
    const id = fields?.get(key);
    if (id !== undefined && !isId(id)) return false;
  }
  return isToken(fields?.get('token'));
}

function isResponse(fields: Dictionary | undefined): boolean {
  if (!isId(fields?.get('id')) || !isToken(fields?.get('token'))) return false;
  const nodes = fields?.get('nodes');
  if (nodes !== undefined && !(nodes instanceof Uint8Array && nodes.length % (ID_BYTES + 6) === 0)) return false;
  const values = fields?.get('values');
  if (values === undefined) return true;
  return Array.isArray(values) && values.every((value) => value instanceof Uint8Array && value.length === 6);
}

const isId = (value: Bencoded | undefined): boolean => value instanceof Uint8Array && value.length === ID_BYTES;

const isToken = (value: Bencoded | undefined): boolean =>
  value === undefined || (value instanceof Uint8Array && value.length <= MOST_TOKEN_BYTES);

const asText = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');
