/** `node ours.ts TORRENT DIRECTORY PORT...`: our engine as a downloader; ends when it has everything. */
import { readFileSync } from 'node:fs';
import { Engine } from '../../../src/torrent/engine/engine.ts';
import { infoOf } from './info.ts';

const [torrent = '', directory = '', ...ports] = process.argv.slice(2);
const { info, infoHash } = infoOf(readFileSync(torrent));
const finished = Promise.withResolvers<void>();
let missing = Number.POSITIVE_INFINITY;
await using engine = new Engine(
  {
    port: 0,
    listen: true,
    hosts: ['127.0.0.1'],
    utp: false,
    limits: {
      maxConnections: 200,
      maxConnectionsPerTorrent: 100,
      maxHalfOpen: 50,
      uploadBytesPerSecond: null,
      downloadBytesPerSecond: null,
      bufferBytes: 64 * 1024 * 1024,
      encryption: 'allow',
    },
    own: { port: undefined, places: [] },
  },
  {
    event: (event) => {
      if (event.type === 'metadata') missing = Math.ceil(event.totalLength / event.pieceLength);
      if (event.type === 'verified') missing -= event.pieces.length;
      if (missing === 0) finished.resolve();
    },
    crashed: finished.reject,
  },
);
const peers = ports.map((port) => ({ host: '127.0.0.1', port: Number(port) }));
await engine.add({ infoHash, info, directory, keep: false, peers, peersFrom: 'loopback' });
engine.demand(infoHash, { readers: [], index: [], rest: [{ start: 0, end: Number.MAX_SAFE_INTEGER }] });
await finished.promise;
