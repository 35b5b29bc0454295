/** What benchmarks and tests use of a package that has no types. */
declare module 'webtorrent' {
  interface Wire {
    /** `tcpOutgoing`, `webrtc`, `webSeed`, ... */
    readonly type: string;
  }

  interface TorrentFile {
    [Symbol.asyncIterator](range: { start: number }): AsyncIterator<Uint8Array> & { return(): Promise<unknown> };
  }

  interface Torrent {
    readonly files: readonly [TorrentFile, ...TorrentFile[]];
    /** null: verified. */
    readonly pieces: readonly (object | null)[];
    readonly pieceLength: number;
    /** Bytes of pieces, wasted ones too. */
    readonly received: number;
    addPeer(address: string): void;
    once(event: 'done' | 'infoHash' | 'verified', listener: () => void): void;
    on(event: 'warning', listener: (warning: Error | string) => void): void;
    on(event: 'wire', listener: (wire: Wire) => void): void;
  }

  export default class WebTorrent {
    constructor(options: Record<string, boolean | number | object>);
    /** 0 before it listens. */
    readonly torrentPort: number;
    on(event: 'error', listener: (error: Error) => void): void;
    once(event: 'listening', listener: () => void): void;
    add(
      torrent: string,
      options: { path: string; announce?: readonly string[]; deselect?: boolean },
      added?: (torrent: Torrent) => void,
    ): Torrent;
  }
}
