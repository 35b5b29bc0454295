/**
 * Which addresses of peers may be called. All of them are other people's words: a link's, a tracker's, the DHT's, another peer's. The rule is that nobody
 * leads us nearer than they are themselves: the Internet names no address of this network, this network none of this machine; and nobody names
 * this server, or where clouds keep credentials.
 */
import { isIP } from 'node:net';
import { canonicalAddress, kindFromHere, type Nearness } from '../lib/addresses.ts';
import type { OwnPlaces, PeerAddress } from './protocol.ts';

const RANK: Readonly<Record<Nearness, number>> = { public: 0, private: 1, loopback: 2 };

/** Those that may be called. @param from where who names them is. */
export function usablePeers(peers: readonly PeerAddress[], from: Nearness, own: OwnPlaces): PeerAddress[] {
  return peers.filter(({ host, port }) => {
    if (isIP(host) === 0 || !Number.isInteger(port) || port < 1 || port > 65_535) return false;
    const kind = kindFromHere(host);
    if (kind === 'metadata' || kind === 'unusable' || RANK[kind] > RANK[from]) return false;
    if (kind === 'loopback' && port === own.port) return false;
    return !own.places.some((place) => place.port === port && canonicalAddress(place.host) === canonicalAddress(host));
  });
}

/** How near somebody is whose address is known; a stranger where there is none. */
export function nearnessOf(address: string): Nearness {
  const kind = kindFromHere(address);
  return kind === 'loopback' || kind === 'private' ? kind : 'public';
}

/** The farther of two: words that passed several hands are worth as much as the farthest. */
export function farther(one: Nearness, other: Nearness): Nearness {
  return RANK[one] < RANK[other] ? one : other;
}
