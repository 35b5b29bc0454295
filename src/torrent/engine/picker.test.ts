/** Whose blocks are taken over by a peer that has nothing else to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BitField } from './bit-field.ts';
import type { Link } from './handshake.ts';
import type { Layout } from './layout.ts';
import { Peer } from './peer.ts';
import { KnownPeer } from './peer-book.ts';
import { Picker } from './picker.ts';
import { SlabPool } from './slab-pool.ts';
import { BLOCK } from './wire/reader.ts';

const BLOCKS = 4;
const layout: Layout = {
  pieceLength: BLOCKS * BLOCK,
  pieceCount: 1,
  totalLength: BLOCKS * BLOCK,
  hashes: Buffer.alloc(20),
  private: false,
  padding: [],
  chunkLength: BLOCKS * BLOCK,
  piecesPerChunk: 1,
  lengthOf: () => BLOCKS * BLOCK,
  blocksOf: () => BLOCKS,
};

/** A peer that has everything. @param rate bytes per second. */
function peerOf(rate: number): Peer {
  const link = { transport: { write: () => {} } } as unknown as Link;
  const peer = new Peer(link, new KnownPeer({ host: '127.0.0.1', port: 1 }, true), true, 1);
  peer.choking = false;
  peer.have = new BitField(1);
  peer.have.fill();
  peer.counted(BLOCK);
  peer.rate = rate;
  return peer;
}

/** Asks the slow one for all of a piece that a playhead comes to, then the fast one. @returns what each has been asked for in the end. */
function ask(slow: Peer, fast: Peer): { slow: number; fast: number } {
  const picker = new Picker(layout, new BitField(1), new SlabPool(1024 * 1024), new Uint16Array(1), {
    activated: () => {},
    reclaim: () => {},
    restart: (piece) => {
      for (const { block, peer } of piece.abandon()) peer.cancel(block, 0, block * BLOCK, BLOCK);
      picker.finished(piece);
    },
    isOffered: () => true,
    isOfferedByUseful: () => true,
  });
  picker.lanes.set({
    readers: [{ reader: 1, waiting: [], ahead: [{ start: 0, end: layout.totalLength }] }],
    index: [],
    rest: [],
  });
  assert.equal(picker.fill(slow, BLOCKS), BLOCKS);
  picker.fill(fast, BLOCKS);
  return { slow: slow.asked.size, fast: fast.asked.size };
}

test('what comes of a slower peer soon is left to it: it would come twice', () => {
  assert.deepEqual(ask(peerOf(200_000), peerOf(20_000_000)), { slow: BLOCKS, fast: 0 });
});

test('what a slower peer will be long about is taken from it', () => {
  assert.deepEqual(ask(peerOf(20_000), peerOf(20_000_000)), { slow: 0, fast: BLOCKS });
});

test('of a slower peer, what is far behind in its queue is taken', () => {
  assert.deepEqual(ask(peerOf(100_000), peerOf(20_000_000)), { slow: BLOCKS - 1, fast: 1 });
});

for (const [title, rate, expected] of [
  ['what a peer makes alone is begun anew by one that overtakes it by far', 20_000, { slow: 0, fast: BLOCKS }],
  ['what a peer that makes it alone has soon is left to it', 200_000, { slow: BLOCKS, fast: 0 }],
] as const)
  test(title, () => {
    const [slow, fast] = [peerOf(rate), peerOf(20_000_000)];
    slow.known.suspected = true;
    fast.known.useful = true;
    assert.deepEqual(ask(slow, fast), expected);
  });
