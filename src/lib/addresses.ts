/** IP addresses by what they lead to: the IANA special-purpose registries (RFC 6890) and what clouds have added to them. */
import { isIP } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/**
 * `loopback`: this machine. `private`: this network, or one that is not the Internet. `metadata`: link-local addresses and others at which clouds
 * hand out credentials. `unusable`: no single host has it.
 */
export type AddressKind = 'public' | 'private' | 'loopback' | 'metadata' | 'unusable';

/** How near to this machine somebody is; what is `metadata` or `unusable` is nobody. */
export type Nearness = Extract<AddressKind, 'public' | 'private' | 'loopback'>;

/** The first match counts. */
const IPV4: readonly (readonly [network: string, bits: number, kind: AddressKind])[] = [
  ['100.100.100.200', 32, 'metadata'], // Alibaba
  ['168.63.129.16', 32, 'metadata'], // Azure
  ['192.0.0.192', 32, 'metadata'], // Oracle
  ['169.254.0.0', 16, 'metadata'],
  ['0.0.0.0', 32, 'loopback'], // where connecting to it leads
  ['0.0.0.0', 8, 'unusable'],
  ['127.0.0.0', 8, 'loopback'],
  ['10.0.0.0', 8, 'private'],
  ['172.16.0.0', 12, 'private'],
  ['192.168.0.0', 16, 'private'],
  ['100.64.0.0', 10, 'private'],
  ['192.0.0.0', 24, 'private'],
  ['198.18.0.0', 15, 'private'],
  // For documentation; virtual machines use them all the same.
  ['192.0.2.0', 24, 'private'],
  ['198.51.100.0', 24, 'private'],
  ['203.0.113.0', 24, 'private'],
  ['192.88.99.0', 24, 'unusable'],
  ['224.0.0.0', 3, 'unusable'],
];

/** A number: the address of IPv4 that counts starts at this byte. */
const IPV6: readonly (readonly [network: string, bits: number, kind: AddressKind | number])[] = [
  ['::', 127, 'loopback'], // :: leads to ::1
  ['::ffff:0:0', 96, 12],
  ['::ffff:0:0:0', 96, 12],
  ['::', 96, 12],
  ['64:ff9b::', 96, 12],
  ['2002::', 16, 2],
  ['64:ff9b:1::', 48, 'private'],
  ['100::', 64, 'unusable'],
  ['2001::', 32, 'unusable'], // Teredo: the address inside is hidden
  ['2001:db8::', 32, 'private'],
  ['fd00:ec2::', 32, 'metadata'], // Amazon
  ['fd20:ce::', 32, 'metadata'], // Google
  ['fc00::', 7, 'private'],
  ['fe80::', 9, 'private'], // link-local, and what was site-local
  ['ff00::', 8, 'unusable'],
];

const IPV4_TABLE = IPV4.map(([network, bits, kind]) => ({ network: bytesOf(network), bits, kind }));
const IPV6_TABLE = IPV6.map(([network, bits, kind]) => ({ network: bytesOf(network), bits, kind }));

/** What an address leads to; `unusable` for what is none. A zone (`%eth0`) has no say. */
export function addressKind(address: string): AddressKind {
  const text = withoutZone(address);
  return isIP(text) === 0 ? 'unusable' : kindOf(bytesOf(text));
}

export function isLoopback(address: string): boolean {
  return addressKind(address) === 'loopback';
}

/** Whether what a server listens on is for programs of its own machine only; the wildcard addresses are not. */
export function isLocalHost(host: string): boolean {
  return host === 'localhost' || (host !== '::' && host !== '0.0.0.0' && isLoopback(host));
}

/** One spelling for each address: no zone, IPv4 where it is mapped into IPv6, IPv6 as 32 hexadecimal digits. */
export function canonicalAddress(address: string): string {
  const text = withoutZone(address);
  if (isIP(text) === 0) return address.toLowerCase();
  const bytes = bytesOf(text);
  if (bytes.length === 16 && isIn(bytes, bytesOf('::ffff:0:0'), 96)) return bytes.slice(12).join('.');
  return bytes.length === 4 ? bytes.join('.') : Buffer.from(bytes).toString('hex');
}

/** An interface's network counts as this one's neighbourhood only if it is no larger: tunnels may claim half of the Internet. */
const LARGEST_NETWORK = { 4: 16, 6: 32 } as const;

/**
 * `addressKind` as seen from this machine with the interfaces that it has now: an interface's own address is `loopback` however public it looks, for
 * behind it are all the services of this machine; other addresses in an interface's network are `private`, for no firewall stands between.
 * Taking it once for many addresses saves asking the system for each.
 */
export function kindsFromHere(interfaces = networkInterfaces()): (address: string) => AddressKind {
  const own = Object.values(interfaces).flatMap((list) => list ?? []);
  const addresses = new Set(own.map(({ address }) => canonicalAddress(address)));
  const networks = own.flatMap(networkOf);
  return (address) => {
    const kind = addressKind(address);
    if (kind !== 'public' && kind !== 'private') return kind;
    if (addresses.has(canonicalAddress(address))) return 'loopback';
    const bytes = bytesOf(withoutZone(address));
    return networks.some((one) => one.bytes.length === bytes.length && isIn(bytes, one.bytes, one.bits))
      ? 'private'
      : kind;
  };
}

let known = { second: -1, kindOf: addressKind };

/** The same, which asks the system at most once a second: for addresses that strangers send, as many as they like. */
export function kindFromHere(address: string): AddressKind {
  const second = Math.floor(performance.now() / 1_000);
  if (known.second !== second) known = { second, kindOf: kindsFromHere() };
  return known.kindOf(address);
}

function networkOf({ address, cidr, internal }: NetworkInterfaceInfo): { bytes: number[]; bits: number }[] {
  const bits = Number(cidr?.split('/')[1]);
  if (internal || !(bits >= LARGEST_NETWORK[isIP(address) === 6 ? 6 : 4])) return [];
  return [{ bytes: bytesOf(withoutZone(address)), bits }];
}

/** What counts as one client: an IPv4 address, or the 64 bits that a household or a machine has of IPv6 (RFC 4291, 2.5.4), however many addresses it makes of them. */
export function clientNetwork(address: string): string {
  const canonical = canonicalAddress(address);
  return /^[0-9a-f]{32}$/.test(canonical) && canonical !== LOOPBACK_V6 ? canonical.slice(0, 16) : canonical;
}

const LOOPBACK_V6 = '1'.padStart(32, '0');

/** Whether connecting to an address leads to this machine. */
export function isOwnAddress(address: string): boolean {
  return isLoopback(address) || isInterfaceAddress(address);
}

/** Whether a network interface has this address now. */
export function isInterfaceAddress(address: string): boolean {
  const wanted = canonicalAddress(address);
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((one) => canonicalAddress(one.address) === wanted),
  );
}

function kindOf(bytes: readonly number[]): AddressKind {
  const table = bytes.length === 4 ? IPV4_TABLE : IPV6_TABLE;
  const kind = table.find(({ network, bits }) => isIn(bytes, network, bits))?.kind ?? 'public';
  return typeof kind === 'number' ? kindOf(bytes.slice(kind, kind + 4)) : kind;
}

function isIn(bytes: readonly number[], network: readonly number[], bits: number): boolean {
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = bits - bit >= 8 ? 0xff : (0xff00 >> (bits - bit)) & 0xff;
    if (((bytes[bit / 8] as number) & mask) !== ((network[bit / 8] as number) & mask)) return false;
  }
  return true;
}

/** 4 or 16 bytes. @param address valid, without a zone. */
function bytesOf(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number);
  // The last 32 bits may be written as IPv4 (RFC 4291, 2.2).
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [, front = '', ...last] = dotted ?? [];
  const pair = (high: string | undefined, low: string | undefined): string =>
    ((Number(high) << 8) | Number(low)).toString(16);
  const text = dotted ? `${front}${pair(last[0], last[1])}:${pair(last[2], last[3])}` : address;
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const before = words(head);
  const after = tail === undefined ? [] : words(tail);
  const whole = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return whole.flatMap((word) => [word >> 8, word & 0xff]);
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0] as string;
}
