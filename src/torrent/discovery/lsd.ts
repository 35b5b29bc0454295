/**
 * Local service discovery (BEP 14), IPv4: one multicast socket for all torrents.
 *
 * Invariant: the socket is open from `start` until dispose, or until it fails; then nothing is announced any more and nothing else changes.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Nearness } from '../../lib/addresses.ts';
import { nearnessOf } from '../peer-guard.ts';
import type { InfoHash, PeerAddress } from '../protocol.ts';

const GROUP = '239.192.152.143';
const PORT = 6771;
const LARGEST_PACKET = 1_400;

export class LocalDiscovery implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #cookie = `raffi-${randomBytes(6).toString('hex')}`;
  readonly #onPeers: (infoHash: InfoHash, peers: readonly PeerAddress[], from: Nearness) => void;
  /** What was to be announced before the socket was open. */
  readonly #early = new Map<InfoHash, number>();
  #open = false;
  #closed: Promise<void> | undefined;

  /** Opens the socket behind itself: nobody waits for the local network. */
  constructor(onPeers: (infoHash: InfoHash, peers: readonly PeerAddress[], from: Nearness) => void) {
    this.#onPeers = onPeers;
    this.#socket = createSocket({ type: 'udp4', reuseAddr: true });
    this.#socket.on('message', (packet, from) => this.#receive(packet, from));
    this.#socket.on('error', () => {
      this.#open = false; // no multicast here
    });
    this.#socket.bind(PORT, () => {
      try {
        this.#socket.addMembership(GROUP);
        this.#open = true;
        for (const [infoHash, port] of this.#early) this.announce(infoHash, port);
      } catch {
        // No interface takes part: nobody is heard, and nobody hears us.
      }
      this.#early.clear();
    });
  }

  announce(infoHash: InfoHash, port: number): void {
    if (port === 0) return;
    if (!this.#open) {
      this.#early.set(infoHash, port);
      return;
    }
    const lines = [
      'BT-SEARCH * HTTP/1.1',
      `Host: ${GROUP}:${PORT}`,
      `Port: ${port}`,
      `Infohash: ${infoHash}`,
      `cookie: ${this.#cookie}`,
    ];
    this.#socket.send(`${lines.join('\r\n')}\r\n\r\n\r\n`, PORT, GROUP, () => {});
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const found = packet.length > LARGEST_PACKET ? undefined : readLsd(packet.toString('latin1'));
    if (found === undefined || found.cookie === this.#cookie) return;
    // Who is in this network names itself only. The Internet's datagrams are no multicast of this network.
    const nearness = nearnessOf(from.address);
    if (nearness === 'public') return;
    const peers = [{ host: from.address, port: found.port }];
    for (const infoHash of found.infoHashes) this.#onPeers(infoHash, peers, nearness);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#closed ??= new Promise((resolve) => this.#socket.close(() => resolve()));
    return this.#closed;
  }
}

/** What an announcement says; undefined when it is none. */
export function readLsd(
  text: string,
):
  | { readonly port: number; readonly infoHashes: readonly InfoHash[]; readonly cookie: string | undefined }
  | undefined {
  const [request, ...lines] = text.split('\r\n');
  if (request !== 'BT-SEARCH * HTTP/1.1') return undefined;
  const fields = lines.map((line) => /^([a-z]+):\s*(\S*)\s*$/i.exec(line)).filter((match) => match !== null);
  const all = (name: string): string[] =>
    fields.filter(([, key]) => key?.toLowerCase() === name).map(([, , value]) => value as string);
  const port = Number(all('port')[0]);
  const infoHashes = all('infohash')
    .map((hash) => hash.toLowerCase())
    .filter((hash) => /^[0-9a-f]{40}$/.test(hash));
  if (!Number.isInteger(port) || port < 1 || port > 65_535 || infoHashes.length === 0) return undefined;
  return { port, infoHashes, cookie: all('cookie')[0] };
}
