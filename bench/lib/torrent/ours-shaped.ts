/** Our engine as bench/torrent-shaped.ts measures it. */
import { Engine } from '../../../src/torrent/engine/engine.ts';
import type { ByteRange, PeerAddress, TorrentStats } from '../../../src/torrent/protocol.ts';
import type { Shaped } from './others-shaped.ts';

const MB = 1024 * 1024;

export async function oursShaped(
  infoHash: string,
  directory: string,
  peers: readonly PeerAddress[],
  pieceLength: number,
): Promise<Shaped> {
  const have = new Set<number>();
  let wake = (): void => {};
  let stats: TorrentStats | undefined;
  let size = 0;
  await using engine = new Engine(
    {
      port: 0,
      listen: false,
      hosts: [],
      utp: false,
      limits: {
        maxConnections: 100,
        maxConnectionsPerTorrent: 100,
        maxHalfOpen: 50,
        uploadBytesPerSecond: null,
        downloadBytesPerSecond: null,
        bufferBytes: 64 * MB,
        encryption: 'allow',
      },
      own: { port: undefined, places: [] },
    },
    {
      event: (event) => {
        if (event.type === 'metadata') size = event.totalLength;
        else if (event.type === 'verified') for (const piece of event.pieces) have.add(piece);
        else if (event.type === 'stats') stats = event.stats[0];
        wake();
      },
      crashed: (error) => {
        throw error;
      },
    },
  );
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  await engine.remove(infoHash, false); // the worker has started when it answers
  const began = performance.now();
  await engine.add({ infoHash, directory, keep: false, peers, peersFrom: 'loopback' });
  await until(() => size > 0);
  const ask = (start: number): void => {
    const waiting: ByteRange = { start, end: start + 64 * 1024 };
    const index = [
      { start: 0, end: 8 * MB },
      { start: size - 8 * MB, end: size },
    ];
    const ahead = [{ start, end: Math.min(size, start + 32 * MB) }];
    engine.demand(infoHash, { readers: [{ reader: start, waiting: [waiting], ahead }], index, rest: [] });
  };
  ask(0);
  await until(() => have.has(0));
  const first = performance.now() - began;
  await until(() => have.size >= 6); // the pipelines are full of what comes next
  const middle = Math.floor(size / pieceLength / 2);
  const seekAt = performance.now();
  ask(middle * pieceLength);
  await until(() => have.has(middle));
  const seek = performance.now() - seekAt;
  const told = have.size;
  await until(() => (stats?.downloadedBytes ?? 0) >= told * pieceLength);
  const inWindows = [...have].filter((piece) => piece * pieceLength < 32 * MB || piece >= middle).length;
  const share = (inWindows * pieceLength) / stats!.downloadedBytes;
  await engine.remove(infoHash, true);
  return { first, seek, share };
}
