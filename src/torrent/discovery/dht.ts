/** The mainline DHT (BEP 5): a node of our own, by `bittorrent-dht` behind a fence. IPv4 only, as the library is. */
import { once } from 'node:events';
import type { Nearness } from '../../lib/addresses.ts';
import { nearnessOf } from '../peer-guard.ts';
import type { InfoHash, PeerAddress } from '../protocol.ts';
import { FencedSocket } from './dht-fence.ts';

export interface DhtOptions {
  /** 0: one given by the system. */
  readonly port: number;
  readonly host: string;
  /** `host:port` of nodes to begin with. */
  readonly bootstrap: readonly string[];
}

/** `from`: where the node that names them is. */
type OnPeers = (infoHash: InfoHash, peers: readonly PeerAddress[], from: Nearness) => void;
type Library = InstanceType<typeof import('bittorrent-dht')['default']>;

/** A lookup that takes longer goes on by itself and is no longer waited for. */
const LOOKUP_MS = 60_000;

export class DhtNode implements AsyncDisposable {
  readonly #dht: Library;
  readonly #closed = new AbortController();
  readonly #onPeers: OnPeers;

  private constructor(dht: Library, onPeers: OnPeers) {
    this.#dht = dht;
    this.#onPeers = onPeers;
    dht.on('peer', (peer: PeerAddress, infoHash: Buffer, from: { host?: string; address?: string } | null) => {
      this.#onPeers(infoHash.toString('hex'), [peer], nearnessOf(from?.host ?? from?.address ?? ''));
    });
    dht.on('error', () => {}); // of the socket: lookups then end without peers, and are tried again
    dht.on('warning', () => {});
  }

  /** @throws the network's error when the port can't be had. */
  static async start(options: DhtOptions, onPeers: OnPeers): Promise<DhtNode> {
    const { default: Dht } = await import('bittorrent-dht');
    const socket = new FencedSocket(nearest(options.bootstrap));
    // The library first: it wants to see the socket begin.
    const dht = new Dht({ bootstrap: [...options.bootstrap], socket });
    const node = new DhtNode(dht, onPeers);
    const bound = once(socket, 'listening');
    socket.bind(options.port, options.host);
    try {
      await bound;
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get port(): number {
    return this.#dht.address().port;
  }

  /** A node that a peer told of. */
  addNode(node: PeerAddress): void {
    if (!this.#closed.signal.aborted && !node.host.includes(':')) this.#dht.addNode({ ...node });
  }

  /**
   * Looks for peers, which go to `onPeers` as they come, and announces ourselves when `port` is not 0.
   * @returns how many nodes answered. @throws the signal's reason.
   */
  async lookup(infoHash: InfoHash, port: number, signal: AbortSignal): Promise<number> {
    const key = Buffer.from(infoHash, 'hex');
    const ended = AbortSignal.any([signal, this.#closed.signal, AbortSignal.timeout(LOOKUP_MS)]);
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<number>();
    const late = (): void => resolve(0);
    ended.addEventListener('abort', late, { once: true });
    const abandon = this.#dht.lookup(key, (_error, nodes = 0) => resolve(nodes));
    try {
      const nodes = await promise;
      signal.throwIfAborted();
      if (nodes > 0 && port > 0 && !this.#closed.signal.aborted) this.#dht.announce(key, port, () => {});
      return nodes;
    } finally {
      ended.removeEventListener('abort', late);
      abandon();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    await new Promise<void>((resolve) => this.#dht.destroy(resolve));
  }
}

/** As near as the nodes that the operator has named. */
function nearest(bootstrap: readonly string[]): Nearness {
  const hosts = bootstrap.map((node) => node.slice(0, node.lastIndexOf(':')));
  const all = hosts.map((host) => nearnessOf(host === 'localhost' ? '127.0.0.1' : host));
  return all.find((one) => one === 'loopback') ?? all.find((one) => one === 'private') ?? 'public';
}
