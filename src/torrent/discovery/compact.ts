/** Addresses as trackers, the DHT and peers write them: 4 or 16 bytes and a port, big endian (BEP 23, BEP 7, BEP 5). */
import { BlockList, isIP } from 'node:net';
import type { PeerAddress } from '../protocol.ts';

/** Whole entries only; what is left over is not looked at. */
export function compactPeers(bytes: Uint8Array, family: 4 | 6): PeerAddress[] {
  const length = family === 4 ? 4 : 16;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const peers: PeerAddress[] = [];
  for (let at = 0; at + length + 2 <= bytes.length; at += length + 2) {
    peers.push({ host: family === 4 ? ipv4(view, at) : ipv6(view, at), port: view.getUint16(at + length) });
  }
  return peers;
}

function ipv4(view: DataView, at: number): string {
  return [0, 1, 2, 3].map((n) => view.getUint8(at + n)).join('.');
}

function ipv6(view: DataView, at: number): string {
  return Array.from({ length: 8 }, (_, n) => view.getUint16(at + 2 * n).toString(16)).join(':');
}

/** Nobody's own address: unspecified, multicast, broadcast, documentation. */
const NOBODY = new BlockList();
NOBODY.addSubnet('0.0.0.0', 8);
NOBODY.addSubnet('224.0.0.0', 3);
NOBODY.addAddress('::', 'ipv6');
NOBODY.addSubnet('ff00::', 8, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');
LOOPBACK.addSubnet('169.254.0.0', 16);
LOOPBACK.addSubnet('fe80::', 10, 'ipv6');

/** This machine itself, or the link: where cloud metadata services answer too. */
export function isLocal(host: string): boolean {
  return host === 'localhost' || check(LOOPBACK, host);
}

/**
 * The addresses that may be connected to.
 * @param fromLocal whether who named them is on this machine: strangers must not send us to our own services.
 */
export function usablePeers(peers: readonly PeerAddress[], fromLocal: boolean): PeerAddress[] {
  return peers.filter(
    ({ host, port }) =>
      isIP(host) !== 0 && port > 0 && port <= 65_535 && !check(NOBODY, host) && (fromLocal || !isLocal(host)),
  );
}

function check(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
