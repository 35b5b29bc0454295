import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { canonicalAddress, isLoopback } from '../lib/addresses.ts';

/** Who sends a request. */
export interface Client {
  /** One spelling for each address. */
  readonly address: string;
  /** It runs on this machine, and nothing says that it only passes on what others send. */
  readonly loopback: boolean;
}

/** What proxies add. A client that adds one itself only loses. */
const PASSED_ON = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'via',
] as const;

/** A proxy on this machine speaks for clients of anywhere: they count as clients of other machines. */
export function clientOf({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): Client {
  const peer = socket.remoteAddress ?? '';
  if (!isLoopback(peer)) return { address: canonicalAddress(peer), loopback: false };
  if (!PASSED_ON.some((name) => headers[name] !== undefined))
    return { address: canonicalAddress(peer), loopback: true };
  // The last one is what the proxy itself saw; those before are what it was told.
  const last = [headers['x-forwarded-for'] ?? ''].flat().join(',').split(',').at(-1)?.trim() ?? '';
  return { address: isIP(last) === 0 ? 'behind a proxy' : canonicalAddress(last), loopback: false };
}
