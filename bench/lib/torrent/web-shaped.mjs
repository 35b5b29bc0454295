/**
 * `node web-shaped.mjs MAGNET DIRECTORY SIZE`: npm's webtorrent as bench/torrent-shaped.ts measures it: prints {"first", "seek"} in ms and "share".
 */
import WebTorrent from 'webtorrent';

const [magnet = '', path = '', length = ''] = process.argv.slice(2);
const size = Number(length);
const WINDOW = 32 * 1024 * 1024;
const client = new WebTorrent({ dht: false, lsd: false, tracker: false, utp: false, natUpnp: false, natPmp: false });
const began = performance.now();
client.add(magnet, { path, deselect: true }, async (torrent) => {
  const [file] = torrent.files;
  /** Reads on from there. @param {number} start */
  const read = (start) => {
    const bytes = file[Symbol.asyncIterator]({ start });
    const first = bytes.next();
    const rest = async () => {
      for (let at = start; at < start + WINDOW; ) {
        const { value, done } = await bytes.next();
        if (done) return;
        at += value.length;
      }
    };
    void first.then(rest).catch(() => {});
    return { first, leave: () => bytes.return() };
  };
  const has = () => torrent.pieces.flatMap((piece, index) => (piece === null ? [index] : []));
  const reader = read(0);
  await reader.first;
  const first = performance.now() - began;
  while (has().length < 6) await new Promise((resolve) => torrent.once('verified', () => resolve(undefined)));
  const { pieceLength } = torrent;
  const middle = Math.floor(size / pieceLength / 2);
  const asked = performance.now();
  reader.leave();
  await read(middle * pieceLength).first;
  const seek = performance.now() - asked;
  const wanted = has().filter((piece) => piece * pieceLength < WINDOW || piece >= middle);
  process.stdout.write(JSON.stringify({ first, seek, share: (wanted.length * pieceLength) / torrent.received }));
  process.exit(0);
});
