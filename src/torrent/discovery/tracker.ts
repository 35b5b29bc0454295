/** What an announcement says, and what it brings. */
import type { Nearness } from '../../lib/addresses.ts';
import type { InfoHash, PeerAddress } from '../protocol.ts';

export interface Announcement {
  readonly infoHash: InfoHash;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where peers reach us; 0: nowhere. */
  readonly port: number;
  readonly event: 'started' | 'stopped' | undefined;
  /** Bytes. */
  readonly uploaded: number;
  readonly downloaded: number;
  readonly left: number;
}

export interface Announced {
  readonly peers: readonly PeerAddress[];
  /** Where who names them is. */
  readonly from: Nearness;
  /** Seconds until the next announcement, as the tracker wishes; undefined when it does not say. */
  readonly interval?: number;
  readonly minInterval?: number;
}

/** A tracker's refusal or silence, in words that continue "the tracker ...". */
export class TrackerError extends Error {}

/** Peers that are asked for. */
export const PEERS_WANTED = 100;
