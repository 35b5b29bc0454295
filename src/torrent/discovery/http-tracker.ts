/** Announcing over HTTP (BEP 3, compact answers of BEP 23 and BEP 7), through the one fetcher that judges addresses. */
import { isIP } from 'node:net';
import { AppError } from '../../errors.ts';
import type { Nearness } from '../../lib/addresses.ts';
import type { AddressGuard } from '../../source/guard.ts';
import { BodyTooLarge, getWhole } from '../../source/http-get.ts';
import { type Bencoded, BencodeError, bytesField, decode, integerField, listField } from '../bencode.ts';
import { farther, nearnessOf } from '../peer-guard.ts';
import type { PeerAddress } from '../protocol.ts';
import { compactPeers } from './compact.ts';
import { type Announced, type Announcement, PEERS_WANTED, TrackerError } from './tracker.ts';

const LARGEST_ANSWER = 512 * 1024;
const MOST_PEERS = 1_000;
const TIMES = { headTimeout: 15_000, stallTimeout: 10_000 };

/** @throws TrackerError; the signal's reason. */
export async function announceHttp(
  tracker: string,
  announcement: Announcement,
  guard: AddressGuard,
  signal: AbortSignal,
): Promise<Announced> {
  let from: Nearness = 'loopback';
  const watching: AddressGuard = {
    ...guard,
    checkAddress(origin, address) {
      guard.checkAddress(origin, address);
      from = farther(from, nearnessOf(address));
    },
  };
  try {
    const url = new URL(announceUrl(tracker, announcement));
    const answer = readAnswer(await fetchBody(url, watching, signal));
    // Only now: every address on the way has its say.
    return { ...answer, from };
  } catch (error) {
    if (signal.aborted || error instanceof TrackerError) throw error;
    if (error instanceof BodyTooLarge) throw new TrackerError(error.message, { cause: error });
    throw new TrackerError(error instanceof AppError ? error.detail : `cannot be reached (${wordsOf(error)})`, {
      cause: error,
    });
  }
}

function wordsOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' ? code : error instanceof Error ? error.message : 'no reason given';
}

function announceUrl(tracker: string, announcement: Announcement): string {
  const { infoHash, peerId, port, event, uploaded, downloaded, left } = announcement;
  const fields = [
    `info_hash=${percentEncoded(Buffer.from(infoHash, 'hex'))}`,
    `peer_id=${percentEncoded(peerId)}`,
    // Nobody is told to call at port 0, which some trackers refuse: 1 is where nobody listens.
    `port=${port || 1}`,
    `uploaded=${uploaded}`,
    `downloaded=${downloaded}`,
    `left=${left}`,
    `numwant=${event === 'stopped' ? 0 : PEERS_WANTED}`,
    'compact=1',
    'supportcrypto=1',
    ...(event === undefined ? [] : [`event=${event}`]),
  ];
  return `${tracker}${tracker.includes('?') ? '&' : '?'}${fields.join('&')}`;
}

function percentEncoded(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

/** Trackers tell why they refuse in the body, whatever the status. */
async function fetchBody(url: URL, guard: AddressGuard, signal: AbortSignal): Promise<Uint8Array> {
  const { head, body } = await getWhole(url, { guard, limit: LARGEST_ANSWER, ...TIMES }, signal);
  if (head.status === 200 || body[0] === 0x64) return body;
  throw new TrackerError(`answered with status ${head.status}`);
}

/** @throws TrackerError. */
export function readAnswer(bytes: Uint8Array): Omit<Announced, 'from'> {
  let answer: Bencoded;
  try {
    answer = decode(bytes);
  } catch (error) {
    if (!(error instanceof BencodeError)) throw error;
    throw new TrackerError('answered with what is not bencoded', { cause: error });
  }
  const failure = bytesField(answer, 'failure reason');
  if (failure)
    throw new TrackerError(
      `refused: ${Buffer.from(failure)
        .toString('utf8')
        .slice(0, 200)
        .replace(/\p{Cc}/gu, ' ')}`,
    );
  const compact = bytesField(answer, 'peers');
  const compact6 = bytesField(answer, 'peers6');
  const peers = [
    ...(compact ? compactPeers(compact, 4) : (listField(answer, 'peers') ?? []).flatMap(listedPeer)),
    ...(compact6 ? compactPeers(compact6, 6) : []),
  ];
  const interval = integerField(answer, 'interval');
  const minInterval = integerField(answer, 'min interval');
  return {
    peers: peers.filter(({ host }) => isIP(host) !== 0).slice(0, MOST_PEERS),
    ...(interval === undefined ? {} : { interval }),
    ...(minInterval === undefined ? {} : { minInterval }),
  };
}

function listedPeer(entry: Bencoded): PeerAddress[] {
  const host = bytesField(entry, 'ip');
  const port = integerField(entry, 'port');
  if (host === undefined || port === undefined) return [];
  return [{ host: Buffer.from(host).toString('latin1'), port }];
}
