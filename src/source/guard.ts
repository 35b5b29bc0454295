import { lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { AppError } from '../errors.ts';
import { type AddressKind, kindFromHere } from '../lib/addresses.ts';

/**
 * The one place that decides where a source may lead. `checkUrl` sees every URL before it is requested: the one the
 * client gave and each redirect's. `checkAddress` sees every address before a socket connects to it, whether it came
 * from DNS or stands in the URL: what is checked is what is connected to, so a name that changes its address gains nothing.
 */
export interface AddressGuard {
  /** Names are looked up with it; the system's resolver by default. */
  readonly lookup?: LookupFunction;
  /** @throws AppError when this URL must not be requested. */
  checkUrl(url: URL): void;
  /**
   * @param origin scheme, host and port of the connection.
   * @param address the IPv4 or IPv6 address about to be connected to, without brackets.
   * @throws AppError when it must not be connected to.
   */
  checkAddress(origin: URL, address: string): void;
}

/** Allows http and https to any address. */
export const anyAddress: AddressGuard = {
  checkUrl(url) {
    if (url.protocol === 'http:' || url.protocol === 'https:') return;
    throw new AppError(
      'source-unsupported',
      `The source leads to a "${url.protocol}" address; only http and https are allowed.`,
    );
  },
  checkAddress() {},
};

/** How names become addresses, and which addresses are whose: the system's, except in tests. */
export interface Network {
  readonly lookup: LookupFunction;
  readonly kind: (address: string) => AddressKind;
}

export const systemNetwork: Network = { lookup, kind: kindFromHere };

export interface GuardRules {
  readonly network: Network;
  /** What the client gave: only this place may be private, and only if `allowPrivate`. */
  readonly typed: URL;
  readonly allowPrivate: boolean;
  /** Whether this host (a name or an address) and port are this server's own. */
  readonly isOwn: (host: string, port: number) => boolean;
}

/** The guard of one source. Its errors are `source-forbidden` and `source-unsupported`. */
export function sourceGuard({ network, typed, allowPrivate, isOwn }: GuardRules): AddressGuard {
  const check = (origin: URL, address: string): void => {
    const kind = network.kind(address);
    if (isOwn(address, portOf(origin))) throw forbidden(origin, 'leads to this server itself');
    if (kind === 'public') return;
    if (kind === 'metadata') throw forbidden(origin, 'leads to an address at which machines keep their credentials');
    if (kind === 'unusable') throw forbidden(origin, 'leads to an address that no host has');
    const what = kind === 'loopback' ? 'this machine' : 'the local network';
    if (!isLocalName(hostOf(origin))) throw forbidden(origin, `is a public name that leads into ${what}`);
    if (!allowPrivate) throw forbidden(origin, `leads into ${what}, which this client may not use as a source`);
    if (!isSamePlace(origin, typed, kind)) {
      throw forbidden(
        origin,
        `is where ${typed.host} leads, in ${what}: only an address that you give yourself may be there`,
      );
    }
  };
  return {
    lookup: network.lookup,
    checkUrl(url) {
      anyAddress.checkUrl(url);
      const host = hostOf(url);
      if (isOwn(host, portOf(url))) throw forbidden(url, 'leads to this server itself');
      if (isIP(host) !== 0) check(url, host);
    },
    checkAddress: check,
  };
}

/** Endings of names that are never registered in public: RFC 6761, RFC 8375, the ICANN's `.internal`, and what routers give out. */
const LOCAL_ENDINGS = [
  'localhost',
  'local',
  'lan',
  'home',
  'home.arpa',
  'internal',
  'intranet',
  'localdomain',
  'private',
];

/** An address, or a name that means something on this network only. */
function isLocalName(host: string): boolean {
  const name = host.replace(/\.$/, '').toLowerCase();
  return isIP(host) !== 0 || !name.includes('.') || LOCAL_ENDINGS.some((ending) => name.endsWith(`.${ending}`));
}

/** On this machine, every port is another program; elsewhere, a host may lead to its own other ports (https, a media server). */
function isSamePlace(origin: URL, typed: URL, kind: AddressKind): boolean {
  return hostOf(origin) === hostOf(typed) && (kind !== 'loopback' || portOf(origin) === portOf(typed));
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
}

function forbidden(url: URL, why: string): AppError {
  return new AppError('source-forbidden', `${url.host} ${why}.`);
}
