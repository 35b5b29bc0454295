/** The pieces that a choked peer is given all the same, so that it has something to trade (BEP 6). */
import { isIPv4 } from 'node:net';
import { sha1 } from './layout.ts';

const SIZE = 10;

/** @returns the set of BEP 6 for this address; none for IPv6, for which there is no rule. */
export function allowedFastSet(host: string, infoHash: Buffer, pieceCount: number, size = SIZE): number[] {
  if (!isIPv4(host)) return [];
  const [a = 0, b = 0, c = 0] = host.split('.').map(Number);
  const set = new Set<number>();
  const wanted = Math.min(size, pieceCount);
  for (let hash = sha1(Buffer.concat([Buffer.from([a, b, c, 0]), infoHash])); set.size < wanted; hash = sha1(hash))
    for (let at = 0; at < 20 && set.size < wanted; at += 4) set.add(hash.readUInt32BE(at) % pieceCount);
  return [...set];
}
