import { createHash } from 'node:crypto';
import { decodePrefix } from '../../../src/torrent/engine/wire/bencode.ts';

/** The info dictionary of a .torrent file that libtorrent made, and its hash. */
export function infoOf(torrent: Buffer): { info: Buffer; infoHash: string } {
  const at = torrent.indexOf('4:infod') + 6;
  const { end } = decodePrefix(torrent.subarray(at));
  const info = torrent.subarray(at, at + end);
  return { info, infoHash: createHash('sha1').update(info).digest('hex') };
}
