/**
 * The addresses known for one torrent: whom to try next, when to try again, whom never.
 *
 * Invariant: an address is in `#known` once; it is `connected` (or being connected) or waiting for `nextTry`. A banned one
 * stays, so that it is not learnt anew.
 */
import { isIP } from 'node:net';
import type { PeerAddress } from '../protocol.ts';
import { clock } from './clock.ts';

const MOST_KNOWN = 2000;
/** Milliseconds until the next try after the n-th failure in a row; for one that was of use it is never longer than the second. */
const PATIENCE = [2000, 10_000, 30_000, 60_000, 120_000, 300_000];
const PATIENCE_USEFUL = 5000;
/** Breaking the protocol that often ends in a ban. */
const MOST_OFFENCES = 3;

export class KnownPeer {
  readonly address: PeerAddress;
  /** false: it came to us, and the port is not one that it can be reached at. */
  readonly dialable: boolean;
  /** It is asked for what others don't give (protocol.ts `stream`). */
  readonly isReserve: boolean;
  connected = false;
  failures = 0;
  nextTry = 0;
  /** It has sent a verified piece. */
  useful = false;
  /** It had everything when it was last seen. */
  seeds = false;
  banned = false;
  /** Alone to blame for a bad piece, or suspected: it gets pieces to itself until it is cleared. */
  suspected = false;
  offences = 0;
  /** The last handshake failed in this manner: the other one is tried next. */
  encrypted: boolean | undefined;

  constructor(address: PeerAddress, dialable: boolean, isReserve = false) {
    this.address = address;
    this.isReserve = isReserve;
    this.dialable = dialable;
  }

  misbehaved(): void {
    this.offences += 1;
    if (this.offences >= MOST_OFFENCES) this.banned = true;
  }

  failed(): void {
    this.connected = false;
    const step = Math.min(this.failures, PATIENCE.length - 1);
    this.failures += 1;
    const wait = this.useful ? Math.min(PATIENCE[step]!, PATIENCE_USEFUL) : PATIENCE[step]!;
    this.nextTry = clock.now + wait;
  }

  /** The connection was of use until it ended. */
  ended(): void {
    this.failures = 0;
    this.failed();
  }
}

const keyOf = ({ host, port }: PeerAddress): string => `${host} ${port}`;
const isLoopback = (host: string): boolean => host.startsWith('127.') || host === '::1';

export class PeerBook {
  readonly #known = new Map<string, KnownPeer>();
  /** Hosts that are banned with all their ports; of this machine only single ports are. */
  readonly #bannedHosts = new Set<string>();
  #banned = 0;

  get size(): number {
    return this.#known.size - this.#banned;
  }

  get banned(): number {
    return this.#banned;
  }

  /** @returns whether it is new and may be tried. */
  learn(address: PeerAddress): boolean {
    const { host, port } = address;
    if (isIP(host) === 0 || !Number.isInteger(port) || port < 1 || port > 65535) return false;
    const key = keyOf(address);
    if (this.#known.has(key) || this.#bannedHosts.has(host)) return false;
    if (this.#known.size >= MOST_KNOWN && !this.#makeRoom()) return false;
    this.#known.set(key, new KnownPeer({ host, port }, true));
    return true;
  }

  /** The hopeless goes first. */
  #makeRoom(): boolean {
    let worst: [string, KnownPeer] | undefined;
    for (const entry of this.#known) {
      const [, known] = entry;
      if (known.connected || known.banned || known.useful) continue;
      if (known.failures > (worst?.[1].failures ?? 0)) worst = entry;
    }
    return worst !== undefined && this.#known.delete(worst[0]);
  }

  /** The entry of somebody who connected to us; undefined when it is banned. */
  visitor(address: PeerAddress, dialable: boolean, isReserve = false): KnownPeer | undefined {
    if (this.#bannedHosts.has(address.host)) return undefined;
    const known = this.#known.get(keyOf(address));
    if (known?.banned) return undefined;
    return new KnownPeer(address, dialable, isReserve);
  }

  isBanned({ known, address }: { known: KnownPeer; address: PeerAddress }): boolean {
    return known.banned || this.#bannedHosts.has(address.host);
  }

  /** Whether a peer that says it listens there is banned or connected already. */
  find(address: PeerAddress): KnownPeer | undefined {
    return this.#known.get(keyOf(address));
  }

  /** The next address to try: never tried ones first, then those whose time has come. @param seeding seeds are of no use. */
  next(seeding: boolean): KnownPeer | undefined {
    let best: KnownPeer | undefined;
    for (const known of this.#known.values()) {
      if (known.connected || known.banned || known.nextTry > clock.now) continue;
      if (seeding && known.seeds) continue;
      if (best === undefined || known.nextTry < best.nextTry) best = known;
      if (best.nextTry === 0) break;
    }
    return best;
  }

  ban(known: KnownPeer): void {
    known.banned = true;
    const { host } = known.address;
    if (!isLoopback(host) && isIP(host) !== 0) this.#bannedHosts.add(host);
    const key = keyOf(known.address);
    if (!this.#known.has(key)) this.#known.set(key, known);
    this.#banned = [...this.#known.values()].filter(({ banned }) => banned).length;
  }
}
