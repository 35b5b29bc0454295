/** Magnet links (BEP 9) and bare infohashes. */
import { isIP } from 'node:net';
import type { InfoHash, PeerAddress } from './protocol.ts';
import { type Tracker, trackerOf } from './tracker-url.ts';
import { MOST_WEB_SEEDS, webSeedOf } from './web-seed-url.ts';

export interface Magnet {
  readonly infoHash: InfoHash;
  /** `dn`: what the torrent is said to be called, until its metadata tells. */
  readonly name?: string;
  readonly trackers: readonly Tracker[];
  /** `x.pe`, as far as they are addresses and not names. */
  readonly peers: readonly PeerAddress[];
  /** `ws`: servers that have the files (BEP 19). */
  readonly webSeeds: readonly string[];
}

/** The message continues a sentence: "... names no torrent: it has no xt=urn:btih". */
export class MagnetError extends Error {}

const MOST_TRACKERS = 100;
const MOST_PEERS = 200;
const LONGEST_NAME = 1_024;

/** @throws MagnetError. */
export function parseMagnet(text: string): Magnet {
  const bare = infoHashOf(text);
  if (bare !== undefined) return { infoHash: bare, trackers: [], peers: [], webSeeds: [] };
  if (!/^magnet:\?/i.test(text)) throw new MagnetError('is neither a magnet link nor an infohash');
  // Links copied from a page's source have `&amp;` where `&` is meant.
  const fields = new URLSearchParams(text.slice('magnet:?'.length).replace(/&(?:amp;)+/gi, '&'));
  const name = fields
    .get('dn')
    ?.slice(0, LONGEST_NAME)
    .replace(/\p{Cc}/gu, '\ufffd');
  return {
    infoHash: topic(fields),
    ...(name ? { name } : {}),
    trackers: unique(values(fields, 'tr').map(trackerOf), ({ url }) => url).slice(0, MOST_TRACKERS),
    peers: unique(values(fields, 'x.pe').map(parsePeer), ({ host, port }) => `${host} ${port}`).slice(0, MOST_PEERS),
    webSeeds: unique(values(fields, 'ws').map(webSeedOf), (url) => url).slice(0, MOST_WEB_SEEDS),
  };
}

/** All values of a key; `tr.1`, `tr.2`, ... count as `tr`. */
function values(fields: URLSearchParams, key: string): string[] {
  return [...fields].filter(([name]) => name.replace(/\.\d+$/, '') === key).map(([, value]) => value);
}

function topic(fields: URLSearchParams): InfoHash {
  const topics = values(fields, 'xt');
  for (const exact of topics) {
    const hash = /^urn:btih:(.+)$/i.exec(exact)?.[1];
    if (hash === undefined) continue;
    const infoHash = infoHashOf(hash);
    if (infoHash === undefined)
      throw new MagnetError('has an infohash (xt) that is neither 40 hexadecimal digits nor 32 of base32');
    return infoHash;
  }
  if (topics.some((exact) => /^urn:btmh:/i.test(exact)))
    throw new MagnetError('names a BitTorrent v2 torrent only (urn:btmh); only v1 and hybrid torrents are supported');
  throw new MagnetError('names no torrent: xt=urn:btih is missing');
}

function infoHashOf(text: string): InfoHash | undefined {
  if (/^[0-9a-f]{40}$/i.test(text)) return text.toLowerCase();
  if (!/^[a-z2-7]{32}$/i.test(text)) return undefined;
  let bits = 0n;
  for (const digit of text.toLowerCase())
    bits = (bits << 5n) | BigInt('abcdefghijklmnopqrstuvwxyz234567'.indexOf(digit));
  return bits.toString(16).padStart(40, '0');
}

/** `1.2.3.4:6881` or `[2001:db8::1]:6881`. */
export function parsePeer(text: string): PeerAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || isIP(host) === 0 || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

function unique<T>(list: readonly (T | undefined)[], key: (item: T) => string): T[] {
  const found = new Map<string, T>();
  for (const item of list) if (item !== undefined && !found.has(key(item))) found.set(key(item), item);
  return [...found.values()];
}
