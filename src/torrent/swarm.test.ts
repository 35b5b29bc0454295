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
import { Swarm, type TorrentSeed } from './swarm.ts';

interface Told {
  readonly seed?: TorrentSeed;
  readonly announced?: (torrent: { readonly isPrivate: boolean }) => void;
  readonly added?: (swarm: Swarm) => void;
}

const folder = await mkdtemp(join(tmpdir(), 'raffi-swarm-'));
after(() => rm(folder, { recursive: true }));

const content = Buffer.from('the bytes of a film');
const torrent = makeTorrent({ name: 'film.mkv', pieceLength: 16_384, files: [{ content }] });
/** What a magnet link tells. */
const link = ({ infoHash }: { infoHash: string }): TorrentSeed => ({ infoHash, trackers: [], peers: [], webSeeds: [] });
const turn = () => new Promise((resolve) => setImmediate(resolve));
const nothing = async (): Promise<void> => {};

/**
 * A swarm whose predecessor is still being removed, until `begin`; `named` are the peers that the engine hears of later.
 * @param seed a torrent that the link tells all of, unless told; `announced` is what discovery is told of it, `added` is called when the engine is
 */
function waiting({
  seed = { ...link(torrent), info: torrent.info },
  announced = () => {},
  added = () => {},
}: Told = {}): { swarm: Swarm; begin: () => void; named: PeerAddress[] } & AsyncDisposable {
  const named: PeerAddress[] = [];
  const engine = Promise.withResolvers<Engine>();
  const swarm = new Swarm(seed, {
    engine: () => engine.promise,
    discovery: {
      add: announced,
      makePrivate: nothing,
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
  });
  const begin = (): void =>
    engine.resolve({
      add: async () => added(swarm),
      remove: nothing,
      demand() {},
      inform() {},
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
  swarm.join({ ...link(torrent), peers: [peer] });
  begin();
  await turn();
  assert.deepEqual(named, [peer]);
});

for (const [title, isJoined] of [
  ['named by a .torrent file while a magnet link is being started', true],
  ['kept from an earlier run', false],
] as const)
  test(`a private torrent is told to its trackers only: ${title}`, async () => {
    const hidden = makeTorrent({ name: 'film.mkv', pieceLength: 16_384, files: [{ content }], isPrivate: true });
    const asked: boolean[] = [];
    await using waited = waiting({
      seed: link(hidden),
      announced: ({ isPrivate }) => asked.push(isPrivate),
      added: (swarm) => {
        const sizes = { pieceLength: 16_384, totalLength: content.length, chunkLength: 16_384 };
        const { info, infoHash } = hidden;
        swarm.event({ type: 'metadata', infoHash, info, ...sizes, have: Uint8Array.of(0) });
      },
    });
    await turn();
    if (isJoined) waited.swarm.join({ ...link(hidden), info: hidden.info });
    waited.begin();
    await turn();
    await turn();
    assert.deepEqual(asked, [true]);
  });
