/** Addresses as trackers, the DHT and peers write them: 4 or 16 bytes and a port, big endian (BEP 23, BEP 7, BEP 5). */
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
