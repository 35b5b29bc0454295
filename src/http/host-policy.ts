import { isIP } from 'node:net';
import { AppError } from '../errors.ts';
import { canonicalAddress, isInterfaceAddress, isLocalHost, isLoopback } from '../lib/addresses.ts';
import { type Authority, parseAuthority } from '../lib/authority.ts';

/** What a request says about the server that it wants. */
export interface HostFacts {
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** The request target (RFC 9112, 3.2). */
  readonly target: string;
  /** Where the connection arrived. */
  readonly localAddress: string;
  readonly localPort: number;
  /** The name or address that the server listens on, in lower case. */
  readonly listenHost: string;
}

const WILDCARDS: ReadonlySet<string> = new Set([canonicalAddress('::'), '0.0.0.0']);
const LOCAL_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);

/**
 * Refuses requests for other servers, and with them DNS rebinding: exactly one Host header with one of our addresses and our port, or a name that the
 * operator allows. An absolute target must say the same (RFC 9112, 3.2.2).
 * @param names that are allowed besides our addresses; with any port when they have none.
 * @param isInterface whether a network interface has an address.
 * @throws AppError `bad-request` when it is missing, `misdirected` for everything else (docs/decisions/0017).
 */
export function checkHost(facts: HostFacts, names: readonly Authority[], isInterface = isInterfaceAddress): void {
  const hosts = facts.rawHeaders.filter((_, n) => n % 2 === 1 && facts.rawHeaders[n - 1]?.toLowerCase() === 'host');
  if (hosts.length === 0) throw new AppError('bad-request', 'header Host: is missing.');
  if (hosts.length > 1) throw new AppError('misdirected', 'header Host: there must be exactly one.');
  const text = (hosts[0] as string).toLowerCase();
  const host = parseAuthority(text);
  if (host === undefined || !isOurs(host, facts, names, isInterface)) {
    throw new AppError(
      'misdirected',
      'header Host: is none of the addresses of this server, nor in RAFFI_ALLOWED_HOSTS.',
    );
  }
  if (facts.target.startsWith('/') || facts.target === '*') return;
  if (/^https?:\/\/([^/?#]*)/i.exec(facts.target)?.[1]?.toLowerCase() !== text) {
    throw new AppError('misdirected', 'The address of the request names another server than its header Host.');
  }
}

function isOurs(
  host: Authority,
  facts: HostFacts,
  names: readonly Authority[],
  isInterface: typeof isInterfaceAddress,
): boolean {
  if (names.some((name) => name.host === host.host && (name.port ?? host.port) === host.port)) return true;
  if ((host.port ?? 80) !== facts.localPort) return false;
  if (LOCAL_NAMES.has(host.host)) return true;
  // What stands for all addresses is the address of none, and leads pages from elsewhere here ("0.0.0.0 day").
  if (WILDCARDS.has(canonicalAddress(host.host))) return false;
  if (host.host === facts.listenHost) return true;
  if (isLocalHost(facts.listenHost) || isIP(host.host) === 0 || isLoopback(host.host)) return false;
  // Nearly always it is the address that was connected to: asking for all of them takes longer.
  return canonicalAddress(host.host) === canonicalAddress(facts.localAddress) || isInterface(host.host);
}
