import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTorrent } from '../../test/fixtures/torrents.ts';
import { anyAddress } from '../source/guard.ts';
import type { Discovery } from './discovery/discovery.ts';
import { chunkFile } from './engine/chunks.ts';
import type { Engine } from './engine/engine.ts';
import type { PeerAddress } from './protocol.ts';
import { Swarm } from './swarm.ts';

const folder = await mkdtemp(join(tmpdir(), 'raffi-swarm-'));
after(() => rm(folder, { recursive: true }));

const content = Buffer.from('the bytes of a film');
const torrent = makeTorrent({ name: 'film.mkv', pieceLength: 16_384, files: [{ content }] });
const turn = () => new Promise((resolve) => setImmediate(resolve));
const nothing = async (): Promise<void> => {};

/** A swarm whose predecessor is still being removed, until `begin`; `named` are the peers that the engine hears of later. */
function waiting(): { swarm: Swarm; begin: () => void; named: PeerAddress[] } & AsyncDisposable {
  const named: PeerAddress[] = [];
  const engine = Promise.withResolvers<Engine>();
  const swarm = new Swarm(
    { infoHash: torrent.infoHash, trackers: [], peers: [], webSeeds: [], info: torrent.info },
    {
      engine: () => engine.promise,
      discovery: {
        add() {},
        addTrackers() {},
        remove: nothing,
        reports: () => [],
        hurry() {},
      } as unknown as Discovery,
      linksFrom: 'loopback',
      guard: anyAddress,
      directory: async () => folder,
      keeps: async () => false,
      metadataMs: 60_000,
      mostAhead: () => 1_000_000,
      mayFillUp: () => false,
      grown() {},
      makesRoom: () => false,
      closed() {},
      note() {},
    },
  );
  const begin = (): void =>
    engine.resolve({
      add: nothing,
      remove: nothing,
      demand() {},
      addPeers: (_infoHash: string, peers: readonly PeerAddress[]) => named.push(...peers),
    } as unknown as Engine);
  const dispose = (): Promise<void> => {
    begin();
    return swarm[Symbol.asyncDispose]();
  };
  return { swarm, begin, named, [Symbol.asyncDispose]: dispose };
}

test('what the engine says of a torrent that is being removed is not taken for its successor’s', async () => {
  await writeFile(chunkFile(folder, 0), content);
  await using waited = waiting();
  const { swarm, begin } = waited;
  const metadata = {
    type: 'metadata',
    infoHash: torrent.infoHash,
    info: torrent.info,
    pieceLength: 16_384,
    totalLength: content.length,
    chunkLength: 16_384,
    have: Uint8Array.of(0x80),
  } as const;
  await turn();
  swarm.event(metadata);
  assert.equal(swarm.content, undefined);
  begin();
  await turn();
  swarm.event(metadata);
  const bytes = new Uint8Array(content.length);
  await swarm.files.read(bytes, 0);
  assert.deepEqual(Buffer.from(bytes), content);
});

test('peers that a second link names are told to the engine also when it does not know the torrent yet', async () => {
  await using waited = waiting();
  const { swarm, begin, named } = waited;
  const peer = { host: '127.0.0.1', port: 7777 };
  swarm.join({ infoHash: torrent.infoHash, trackers: [], peers: [peer], webSeeds: [] });
  begin();
  await turn();
  assert.deepEqual(named, [peer]);
});
