/** What the benchmark uses of a package that has no types. */
declare module 'webtorrent' {
  interface Torrent {
    addPeer(address: string): void;
    once(event: 'done', listener: () => void): void;
  }

  export default class WebTorrent {
    constructor(options: Record<string, boolean | number>);
    add(torrent: string, options: { path: string }, added: (torrent: Torrent) => void): void;
  }
}
