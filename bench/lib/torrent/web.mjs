/** `node web.mjs TORRENT DIRECTORY PORT...`: npm's webtorrent as a downloader; ends when it has everything. */
import WebTorrent from 'webtorrent';

const [torrent = '', path = '', ...ports] = process.argv.slice(2);
const client = new WebTorrent({
  dht: false,
  lsd: false,
  tracker: false,
  utp: false,
  natUpnp: false,
  natPmp: false,
  maxConns: 200,
});
client.add(torrent, { path }, (added) => {
  for (const port of ports) added.addPeer(`127.0.0.1:${port}`);
  added.once('done', () => process.exit(0));
});
