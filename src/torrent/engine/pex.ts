/** Peer exchange (BEP 11), both directions. */
import { isIPv4, isIPv6 } from 'node:net';
import type { PeerAddress } from '../protocol.ts';
import { clock } from './clock.ts';
import type { Peer } from './peer.ts';
import type { Bencoded, BencodedMap } from './wire/bencode.ts';
import { encode } from './wire/bencode.ts';

const INTERVAL_MS = 60_000;
/** Of one message, each of added and dropped; BEP 11 asks for no more. */
const MOST = 50;

/** What a peer has added, at most 50 of each family. Malformed lists count as empty. */
export function decodePexAddresses(message: BencodedMap): PeerAddress[] {
  return [...compact(message.get('added'), 4), ...compact(message.get('added6'), 16)];
}

function compact(value: Bencoded | undefined, size: 4 | 16): PeerAddress[] {
  if (!(value instanceof Uint8Array)) return [];
  const addresses: PeerAddress[] = [];
  for (let at = 0; at + size + 2 <= value.length && addresses.length < MOST; at += size + 2) {
    const port = value[at + size]! * 256 + value[at + size + 1]!;
    if (port === 0) continue;
    const host = size === 4 ? value.subarray(at, at + 4).join('.') : ipv6(value.subarray(at, at + 16));
    addresses.push({ host, port });
  }
  return addresses;
}

function ipv6(bytes: Uint8Array): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((bytes[at]! * 256 + bytes[at + 1]!).toString(16));
  // The canonical form, so that the same address is known under one name.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function bytesOf({ host, port }: PeerAddress): Buffer | undefined {
  const tail = Buffer.from([port >>> 8, port & 255]);
  if (isIPv4(host)) return Buffer.concat([Buffer.from(host.split('.').map(Number)), tail]);
  if (!isIPv6(host)) return undefined;
  const [head = '', rest] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = rest === undefined ? [] : groups(rest);
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Buffer.concat([Buffer.from(all.flatMap((group) => [group >>> 8, group & 255])), tail]);
}

/** Where others can reach a peer; undefined when that is not known. */
export function reachable(peer: Peer): PeerAddress | undefined {
  if (!peer.link.transport.dialable) return undefined;
  if (peer.outgoing) return peer.address;
  return peer.listenPort > 0 ? { host: peer.address.host, port: peer.listenPort } : undefined;
}

export class PexSender {
  readonly #peers: ReadonlySet<Peer>;
  readonly #told = new WeakMap<Peer, { at: number; known: Set<string> }>();

  constructor(peers: ReadonlySet<Peer>) {
    this.#peers = peers;
  }

  /** Tells each peer that wants it, once a minute, who has come and gone. */
  tick(): void {
    let present: Map<string, PeerAddress> | undefined;
    for (const peer of this.#peers) {
      if (peer.pexId === 0) continue;
      const told = this.#told.get(peer) ?? { at: Number.NEGATIVE_INFINITY, known: new Set<string>() };
      if (clock.now - told.at < INTERVAL_MS) continue;
      present ??= this.#present();
      told.at = clock.now;
      this.#told.set(peer, told);
      this.#tell(peer, present, told.known);
    }
  }

  #present(): Map<string, PeerAddress> {
    const present = new Map<string, PeerAddress>();
    for (const peer of this.#peers) {
      const address = reachable(peer);
      if (address !== undefined) present.set(`${address.host} ${address.port}`, address);
    }
    return present;
  }

  #tell(peer: Peer, present: ReadonlyMap<string, PeerAddress>, known: Set<string>): void {
    const own = reachable(peer);
    const added: PeerAddress[] = [];
    const dropped: PeerAddress[] = [];
    for (const [key, address] of present) {
      if (known.has(key) || added.length >= MOST || key === `${own?.host} ${own?.port}`) continue;
      known.add(key);
      added.push(address);
    }
    for (const key of known) {
      if (present.has(key) || dropped.length >= MOST) continue;
      known.delete(key);
      const [host = '', port] = key.split(' ');
      dropped.push({ host, port: Number(port) });
    }
    if (added.length + dropped.length === 0) return;
    const four = listed(added, isIPv4);
    const six = listed(added, isIPv6);
    const message = {
      added: four,
      'added.f': Buffer.alloc(four.length / 6),
      added6: six,
      'added6.f': Buffer.alloc(six.length / 18),
      dropped: listed(dropped, isIPv4),
      dropped6: listed(dropped, isIPv6),
    };
    peer.out.extended(peer.pexId, encode(message));
    peer.flushLater();
  }
}

const listed = (addresses: readonly PeerAddress[], family: (host: string) => boolean): Buffer =>
  Buffer.concat(addresses.filter(({ host }) => family(host)).map((address) => bytesOf(address) ?? Buffer.alloc(0)));
