/** What we use of `bittorrent-dht`, which has no types of its own. */
declare module 'bittorrent-dht' {
  import type { EventEmitter } from 'node:events';

  interface DhtOptions {
    /** `host:port`. */
    readonly bootstrap: readonly string[];
    /** Instead of a socket of its own. */
    readonly socket: EventEmitter;
  }

  export default class DHT extends EventEmitter {
    constructor(options: DhtOptions);
    listen(port: number, address: string): void;
    /** The callback comes when nothing is left to ask, or, after `destroy`, never. */
    lookup(infoHash: Buffer, callback: (error: Error | null, nodes?: number) => void): () => void;
    announce(infoHash: Buffer, port: number, callback: (error: Error | null) => void): void;
    addNode(node: { host: string; port: number }): void;
    address(): { port: number };
    destroy(callback: () => void): void;
  }
}
