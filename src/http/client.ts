import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { canonicalAddress, clientNetwork, isLoopback } from '../lib/addresses.ts';

/** Who sends a request. */
export interface Client {
  /** One spelling for each address. */
  readonly address: string;
  /** What its limits are counted by: many addresses of IPv6 are one client's. */
  readonly network: string;
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
  if (!isLoopback(peer)) return clientAt(peer, false);
  if (!PASSED_ON.some((name) => headers[name] !== undefined)) return clientAt(peer, true);
  // The last one is what the proxy itself saw; those before are what it was told.
  const last = [headers['x-forwarded-for'] ?? ''].flat().join(',').split(',').at(-1)?.trim() ?? '';
  return clientAt(addressIn(last) ?? 'behind a proxy', false);
}

function clientAt(address: string, loopback: boolean): Client {
  return { address: canonicalAddress(address), network: clientNetwork(address), loopback };
}

/** Some proxies write the port, too, and then IPv6 in brackets. */
function addressIn(text: string): string | undefined {
  const candidates = [text, /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1], /^([\d.]+):\d+$/.exec(text)?.[1]];
  return candidates.find((one) => one !== undefined && isIP(one) !== 0);
}
