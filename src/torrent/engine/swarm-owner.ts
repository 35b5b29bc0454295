/** What the engine shares among its torrents. */
import type { EngineEvent, OwnPlaces } from '../protocol.ts';
import type { Dial } from './dial.ts';
import type { SlabPool } from './slab-pool.ts';

/** Memory and rates. */
export interface Traffic {
  readonly pool: SlabPool;
  downloadAllowance(): number;
  downloadSpent(bytes: number): void;
  uploadAllowance(): number;
  uploadSpent(bytes: number): void;
}

export interface SwarmOwner extends Traffic {
  readonly peerId: Buffer;
  readonly own: OwnPlaces;
  /** 0: nobody can connect to us. */
  readonly listenPort: number;
  readonly encryption: 'allow' | 'prefer' | 'require';
  readonly maxConnectionsPerTorrent: number;
  /** undefined: there is no uTP. */
  readonly dialUtp: Dial | undefined;
  tell(event: EngineEvent): void;
  /** A connection ended or an address came up: somebody else may be called. */
  dialMore(): void;
  /** Statistics are told before their time. */
  tellStats(): void;
}
