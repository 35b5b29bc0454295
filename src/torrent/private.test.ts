import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTorrent } from '../../test/fixtures/torrents.ts';
import { anyAddress } from '../source/guard.ts';
import type { Discovery } from './discovery/discovery.ts';
import type { Engine } from './engine/engine.ts';
import { Swarm } from './swarm.ts';

const torrent = makeTorrent({
  name: 'film.mkv',
  pieceLength: 16_384,
  files: [{ content: Buffer.alloc(5) }],
  isPrivate: true,
});
const turn = () => new Promise((resolve) => setImmediate(resolve));
const nothing = async (): Promise<void> => {};

for (const [title, isJoined] of [
  ['named by a .torrent file while a magnet link is being started', true],
  ['kept from an earlier run', false],
] as const)
  test(`a private torrent is told to its trackers only: ${title}`, async () => {
    const asked: boolean[] = [];
    const engine = Promise.withResolvers<Engine>();
    const seed = { infoHash: torrent.infoHash, trackers: [], peers: [], webSeeds: [] };
    const swarm = new Swarm(seed, {
      engine: () => engine.promise,
      discovery: {
        add: ({ isPrivate }: { isPrivate: boolean }) => asked.push(isPrivate),
        makePrivate: nothing,
        addTrackers() {},
        remove: nothing,
        reports: () => [],
        hurry() {},
      } as unknown as Discovery,
      linksFrom: 'loopback',
      guard: anyAddress,
      directory: async () => '/nowhere',
      keeps: async () => false,
      metadataMs: 60_000,
      mostAhead: () => 1_000_000,
      mayFillUp: () => false,
      grown() {},
      makesRoom: () => false,
      closed() {},
      note() {},
    });
    await turn();
    if (isJoined) swarm.join({ ...seed, info: torrent.info });
    engine.resolve({
      async add() {
        const sizes = { pieceLength: 16_384, totalLength: 5, chunkLength: 16_384 };
        const { info, infoHash } = torrent;
        swarm.event({ type: 'metadata', infoHash, info, ...sizes, have: Uint8Array.of(0) });
      },
      remove: nothing,
      demand() {},
      addPeers() {},
      inform() {},
    } as unknown as Engine);
    await turn();
    await turn();
    await swarm[Symbol.asyncDispose]();
    assert.deepEqual(asked, [true]);
  });
