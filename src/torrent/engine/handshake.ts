/**
 * From a fresh connection to one on which peer messages flow: encryption, then the BitTorrent handshake (BEP 3), on
 * either side, within 5 s.
 */
import { ByteQueue } from './byte-queue.ts';
import { accept, type Ciphers, initiate } from './mse.ts';
import type { Rc4 } from './rc4.ts';
import type { Transport } from './transport.ts';

const PROTOCOL = Buffer.from('\x13BitTorrent protocol', 'latin1');
const HANDSHAKE_BYTES = 68;
const TIMEOUT_MS = 5000;
const PLAIN: Ciphers = { encrypt: undefined, decrypt: undefined };

/** The other side says nothing: it would not say more if it were spoken to otherwise. */
export class HandshakeTimeout extends Error {}

export interface Identity {
  readonly infoHash: Buffer;
  readonly peerId: Buffer;
}

/** A connection after its handshake. `rest` came with it and is the beginning of the messages; nobody has read it yet. */
export interface Link {
  readonly transport: Transport;
  readonly encrypt: Rc4 | undefined;
  readonly decrypt: Rc4 | undefined;
  readonly infoHash: Buffer;
  readonly peerId: Buffer;
  /** BEP 6, 10 and 5. */
  readonly fast: boolean;
  readonly extended: boolean;
  readonly dht: boolean;
  readonly rest: Buffer;
}

export interface HandshakeRules {
  /** Whether the stream after the handshake may be plain. */
  readonly allowPlain: boolean;
  /** For the side that connects: whether it begins encrypted. */
  readonly beginEncrypted: boolean;
}

function handshakeOf({ infoHash, peerId }: Identity): Buffer {
  const reserved = Buffer.alloc(8);
  reserved[5] = 0x10; // BEP 10
  reserved[7] = 0x04 | 0x01; // BEP 6 and 5
  return Buffer.concat([PROTOCOL, reserved, infoHash, peerId]);
}

/** @throws Error when it fails, the connection is destroyed then. */
export function callPeer(transport: Transport, identity: Identity, rules: HandshakeRules): Promise<Link> {
  return within(transport, async (queue) => {
    const ours = handshakeOf(identity);
    const stream = { queue, write: (bytes: Uint8Array) => transport.write(Buffer.from(bytes)) };
    let ciphers = PLAIN;
    if (rules.beginEncrypted) ciphers = await initiate(stream, identity.infoHash, ours, rules.allowPlain);
    else transport.write(ours);
    const theirs = await readHandshake(queue);
    if (!theirs.infoHash.equals(identity.infoHash)) throw new Error('another torrent');
    return { transport, ...ciphers, ...theirs, rest: queue.rest() };
  });
}

/** @throws Error when it fails, or `find` knows none of ours; the connection is destroyed then. */
export function answerPeer(
  transport: Transport,
  find: (matches: (infoHash: Buffer) => boolean) => Identity | undefined,
  rules: HandshakeRules,
): Promise<Link> {
  return within(transport, async (queue) => {
    let ciphers = PLAIN;
    if (!(await queue.peek(PROTOCOL.length)).equals(PROTOCOL)) {
      const stream = { queue, write: (bytes: Uint8Array) => transport.write(Buffer.from(bytes)) };
      ciphers = await accept(stream, (matches) => find(matches)?.infoHash, rules.allowPlain);
    } else if (!rules.allowPlain) throw new Error('a plain connection');
    const theirs = await readHandshake(queue);
    const identity = find((infoHash) => infoHash.equals(theirs.infoHash));
    if (identity === undefined) throw new Error('a torrent that is not here');
    const ours = handshakeOf(identity);
    ciphers.encrypt?.apply(ours, 0, ours.length);
    transport.write(ours);
    return { transport, ...ciphers, ...theirs, rest: queue.rest() };
  });
}

async function readHandshake(queue: ByteQueue): Promise<Omit<Link, 'transport' | 'encrypt' | 'decrypt' | 'rest'>> {
  const bytes = Buffer.from(await queue.take(HANDSHAKE_BYTES));
  if (!bytes.subarray(0, PROTOCOL.length).equals(PROTOCOL)) throw new Error('another protocol');
  return {
    fast: (bytes[27]! & 0x04) !== 0,
    dht: (bytes[27]! & 0x01) !== 0,
    extended: (bytes[25]! & 0x10) !== 0,
    infoHash: bytes.subarray(28, 48),
    peerId: bytes.subarray(48, 68),
  };
}

async function within(transport: Transport, shake: (queue: ByteQueue) => Promise<Link>): Promise<Link> {
  const queue = new ByteQueue();
  transport.handler = {
    received: (data, from, end) => queue.push(data.subarray(from, end)),
    closed: () => queue.end(new Error('closed')),
    drained: () => {},
  };
  const timer = setTimeout(() => queue.end(new HandshakeTimeout('no handshake in time')), TIMEOUT_MS);
  try {
    return await shake(queue);
  } catch (error) {
    transport.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
