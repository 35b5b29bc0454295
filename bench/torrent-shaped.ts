/**
 * The torrent engine beside other clients in slow swarms: 1 seeder of 3 MB/s, 8 of 375 KB/s each, round trips of 40 ms (`--rtt`) (libtorrent behind
 * relays, see slow-relay.ts). From a magnet link to the first piece; from a seek to the middle to the piece there, while the
 * first reader's window still downloads; how much of what came was what readers had asked for.
 *
 *   node bench/torrent-shaped.ts [--megabytes 400] [--piece 1048576] [--rounds 3] [--clients ours,libtorrent,webtorrent,aria2]
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { infoOf } from './lib/torrent/info.ts';
import {
  aria2Shaped,
  libtorrentShaped,
  type Shaped,
  type ShapedTask,
  webtorrentShaped,
} from './lib/torrent/others-shaped.ts';
import { oursShaped } from './lib/torrent/ours-shaped.ts';
import { type SlowRelay, slowRelay } from './lib/torrent/slow-relay.ts';
import { seed, torrentOf } from './lib/torrent/swarm.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '400' },
    piece: { type: 'string', default: '1048576' },
    rtt: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: 'ours,libtorrent,webtorrent,aria2' },
    folder: { type: 'string', default: join(tmpdir(), 'raffi-bench-torrent') },
  },
});
const RTT_MS = Number(values.rtt);
const pieceLength = Number(values.piece);
const { file, torrent } = await torrentOf(values.folder, Number(values.megabytes), pieceLength);
const { infoHash } = infoOf(await readFile(torrent));
const content = await readFile(file);
const known = {
  magnet: `magnet:?xt=urn:btih:${infoHash}`,
  size: content.length,
  name: basename(file),
  pieceLength,
  firstHash: createHash('sha1').update(content.subarray(0, pieceLength)).digest(),
};

const CLIENTS: Record<string, (task: ShapedTask) => Promise<Shaped>> = {
  ours: ({ directory, peers }) => oursShaped(infoHash, directory, peers, pieceLength),
  libtorrent: libtorrentShaped,
  webtorrent: webtorrentShaped,
  aria2: aria2Shaped,
};

for (const [count, rate] of [
  [1, 3_000_000],
  [8, 375_000],
] as const) {
  await using seeders = await seed({ torrent, save: join(values.folder, 'seed'), count });
  using relays = new DisposableStack();
  const peers: { host: string; port: number }[] = [];
  for (const port of seeders.ports) {
    const relay: SlowRelay = relays.use(await slowRelay(port, rate, RTT_MS));
    peers.push({ host: '127.0.0.1', port: relay.port });
  }
  for (let round = 0; round < Number(values.rounds); round += 1)
    for (const client of values.clients.split(',')) {
      const directory = await mkdtemp(join(values.folder, 'leech-'));
      const { first, seek, share } = await CLIENTS[client]!({ ...known, directory, peers });
      await rm(directory, { recursive: true, force: true });
      const limit = (pieceLength / (count * rate)) * 1000 + 300;
      const words = [
        `${count} x ${rate / 1000} KB/s  ${client.padEnd(11)} magnet to first bytes ${Math.round(first)} ms`,
      ];
      if (seek !== undefined) words.push(`seek ${Math.round(seek)} ms (a piece and 300 ms: ${Math.round(limit)})`);
      if (share !== undefined) words.push(`asked for ${Math.round(share * 100)} %`);
      console.log(words.join('; '));
    }
}
