/**
 * What the main thread and the torrent engine's worker tell each other.
 *
 * A torrent is one row of bytes in the worker: its files end to end, as its pieces see them ("torrent space"). What the
 * bytes mean, which file they belong to and what it is called is the main thread's. So no name out of a torrent ever
 * reaches the disk: data lies in numbered chunk files (`chunkFile`), `<directory>/chunk-000123`, each the bytes
 * `[n * chunkLength, (n + 1) * chunkLength)` of torrent space, whole pieces each. Chunk files are sparse, and exist
 * as soon as one of their pieces is being written; only verified pieces may be read.
 *
 * Bit fields are BEP 3's: piece 0 is the highest bit of byte 0, spare bits are zero.
 */

import type { Nearness } from '../lib/addresses.ts';

/** 40 lower-case hexadecimal digits. */
export type InfoHash = string;

/** A numeric IPv4 or IPv6 address, never a name; port 1-65535. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** Bytes of torrent space: `start` inclusive, `end` exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ReaderDemand {
  /** The same number for one reader as long as it lives. */
  readonly reader: number;
  /** What reads of it wait for now, most urgent first. Everything else stands back for these. */
  readonly waiting: readonly ByteRange[];
  /** What it will want next: from its playhead on, in order (32 MB or 20 s of the bit rate). */
  readonly ahead: readonly ByteRange[];
}

/** All that is wanted of one torrent. Each message replaces the one before; empty means: download nothing. */
export interface Demand {
  readonly readers: readonly ReaderDemand[];
  /** Wanted when no reader wants anything that can be had: head and tail of the file, in this order. */
  readonly index: readonly ByteRange[];
  /** Wanted after all of that, rarest piece first: the whole file, if it shall be kept. */
  readonly rest: readonly ByteRange[];
}

/** Of the whole engine. */
export interface EngineLimits {
  /** Established and half-open connections of all torrents together. */
  readonly maxConnections: number;
  readonly maxConnectionsPerTorrent: number;
  /** Outgoing connections that are being made at once. */
  readonly maxHalfOpen: number;
  /** Bytes per second to peers, all torrents together; null: no limit, 0: nothing is uploaded. */
  readonly uploadBytesPerSecond: number | null;
  /** Bytes per second from peers, all torrents together; null: no limit. */
  readonly downloadBytesPerSecond: number | null;
  /** Bytes of pieces in the making that may lie in memory, whatever the pieces' size. */
  readonly bufferBytes: number;
  /** Message stream encryption: `allow` tries plain first and takes either, `prefer` tries encrypted first, `require` refuses plain. */
  readonly encryption: 'allow' | 'prefer' | 'require';
}

/** A torrent that the engine shall have. */
export interface AddTorrent {
  readonly infoHash: InfoHash;
  /** Absolute; made when missing, used by nothing else. With `keep`, what an earlier run left here is taken up again. */
  readonly directory: string;
  /** The bencoded info dictionary, when it is known; else peers are asked (BEP 9). */
  readonly info?: Uint8Array;
  /** Metadata and bit field are kept in the directory, so that another run need not hash unchanged data again. */
  readonly keep: boolean;
  readonly peers: readonly PeerAddress[];
  /** Where who names these peers is (`peer-guard.ts`). */
  readonly peersFrom: Nearness;
}

export type Command =
  | { readonly type: 'limits'; readonly limits: EngineLimits }
  | { readonly type: 'add'; readonly id: number; readonly torrent: AddTorrent }
  /** Peers may come from any discovery, in any order, again and again. `from`: where who names them is. */
  | {
      readonly type: 'peers';
      readonly infoHash: InfoHash;
      readonly peers: readonly PeerAddress[];
      readonly from: Nearness;
    }
  /** What is in the torrent, which somebody else knew. */
  | { readonly type: 'info'; readonly infoHash: InfoHash; readonly info: Uint8Array }
  /**
   * A connection that the main thread made by other means (WebRTC, web seeds), as a port: each message is a `Uint8Array` of the
   * stream, `null` its end; a number answers how many bytes the main thread has passed on (back-pressure). What passes is
   * plain: where it needs encryption, it is encrypted beneath. The engine begins the BitTorrent handshake.
   */
  | {
      readonly type: 'stream';
      readonly infoHash: InfoHash;
      readonly port: import('node:worker_threads').MessagePort;
      /** What the peer is known by, and banned by: its address, or the name of a server. */
      readonly remote: { readonly host: string; readonly port: number };
      /** Asked only for what a reader waits for now, what others are late with, and what nobody else has. */
      readonly isReserve: boolean;
    }
  | { readonly type: 'demand'; readonly infoHash: InfoHash; readonly demand: Demand }
  /**
   * Gives the disk space of these chunks back. Their pieces are not had any more, from the moment the command is sent: the
   * sender forgets them first. They may be demanded again.
   */
  | { readonly type: 'forget'; readonly id: number; readonly infoHash: InfoHash; readonly chunks: readonly number[] }
  /** Ends the torrent: connections, files, timers; then, if asked, deletes its directory. */
  | { readonly type: 'remove'; readonly id: number; readonly infoHash: InfoHash; readonly deleteFiles: boolean }
  /** Ends everything; the worker exits by itself afterwards. */
  | { readonly type: 'stop'; readonly id: number };

/** Why a torrent doesn't go on. It goes on by itself when the cause is gone: it is tried every 5 s, and with each `demand` and `forget`. */
export type TorrentFault =
  | 'disk-full'
  | 'disk-failed'
  /** The info dictionary has the right hash, and is not one that can be used: v2 only, sizes that don't add up, ... Final. */
  | 'metadata-invalid';

export interface TorrentStats {
  readonly infoHash: InfoHash;
  /** Connected and through the handshake. */
  readonly peers: number;
  /** Of these, how many have everything. */
  readonly seeds: number;
  /** Addresses that are known, connected or not, bans excluded. */
  readonly knownPeers: number;
  /** Connections being made. */
  readonly connecting: number;
  /** Bytes per second of piece data, smoothed over some seconds. */
  readonly downloadBytesPerSecond: number;
  readonly uploadBytesPerSecond: number;
  /** Bytes of piece data since `add`: all that came, what was verified, what was thrown away (bad, or twice). */
  readonly downloadedBytes: number;
  readonly verifiedBytes: number;
  readonly wastedBytes: number;
  readonly uploadedBytes: number;
  /** Pieces that failed their hash, and peers banned for it or for breaking the protocol. */
  readonly badPieces: number;
  readonly bannedPeers: number;
  /** How many of the connected peers have each piece is not told; this is: pieces that no connected peer has and we lack. */
  readonly unavailablePieces: number;
}

export type EngineEvent =
  /** The TCP port that peers can reach us at, for discovery to announce; 0: listening failed, `error` says why. */
  | { readonly type: 'listening'; readonly port: number; readonly error?: string }
  /**
   * Once per torrent, before any `verified`: the info dictionary (its SHA-1 is the infohash), and what is had already.
   */
  | {
      readonly type: 'metadata';
      readonly infoHash: InfoHash;
      readonly info: Uint8Array;
      readonly pieceLength: number;
      readonly totalLength: number;
      readonly chunkLength: number;
      readonly have: Uint8Array;
    }
  /** These pieces are verified and on the disk: they may be read from their chunk files. */
  | { readonly type: 'verified'; readonly infoHash: InfoHash; readonly pieces: readonly number[] }
  /** At most once a second while something moves, once when it stops, and when a torrent has its first peer. */
  | { readonly type: 'stats'; readonly stats: readonly TorrentStats[] }
  | { readonly type: 'banned'; readonly infoHash: InfoHash; readonly peer: PeerAddress; readonly reason: string }
  /** A peer told the port of its DHT node (BEP 5). */
  | { readonly type: 'dht-node'; readonly node: PeerAddress }
  | {
      readonly type: 'fault';
      readonly infoHash: InfoHash;
      readonly fault: TorrentFault;
      /** A sentence. */ readonly message: string;
    }
  /** The fault before is over: something could be written again. */
  | { readonly type: 'recovered'; readonly infoHash: InfoHash }
  /** The answer to a command with an `id`. */
  | { readonly type: 'done'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string };

/** Where this server itself answers: no peers are there. */
export interface OwnPlaces {
  /** On every address of this machine; undefined: nowhere. */
  readonly port: number | undefined;
  /** Elsewhere, forwarded to it. */
  readonly places: readonly PeerAddress[];
}

/** What the worker is started with (`workerData`). */
export interface EngineOptions {
  /** 0: one given by the system. */
  readonly port: number;
  /** false: no connections are taken, so that nothing listens. */
  readonly listen: boolean;
  /** Addresses to listen at, e.g. `['0.0.0.0', '::']`; one that can't be had is left out as long as another can. */
  readonly hosts: readonly string[];
  /** Peers are called, and taken, by uTP (BEP 29) as well as by TCP, on the same port number. */
  readonly utp: boolean;
  readonly limits: EngineLimits;
  readonly own: OwnPlaces;
}
