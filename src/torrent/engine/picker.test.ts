/** Whose blocks are taken over by a peer that has nothing else to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReaderDemand } from '../protocol.ts';
import { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
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

/** A peer that has everything. @param rate bytes per second; 0: it has sent nothing yet. */
function peerOf(rate: number): Peer {
  const link = { transport: { write: () => {} } } as unknown as Link;
  const peer = new Peer(link, new KnownPeer({ host: '127.0.0.1', port: 1 }, true), true, 1);
  peer.choking = false;
  peer.have = new BitField(1);
  peer.have.fill();
  if (rate > 0) peer.counted(BLOCK);
  peer.rate = rate;
  return peer;
}

function pickerOf(reader: Pick<ReaderDemand, 'waiting' | 'ahead'>): Picker {
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
  picker.lanes.set({ readers: [{ reader: 1, ...reader }], index: [], rest: [] });
  return picker;
}

const ALL = [{ start: 0, end: layout.totalLength }];

/** Asks the slow one for all of a piece that a playhead comes to, then the fast one. @returns what each has been asked for in the end. */
function ask(slow: Peer, fast: Peer): { slow: number; fast: number } {
  const picker = pickerOf({ waiting: [], ahead: ALL });
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

/** What a read waits for is asked of each of these, a second after the one before. @returns what each has been asked for in the end. */
function askOneByOne(...peers: Peer[]): number[] {
  const picker = pickerOf({ waiting: ALL, ahead: [] });
  for (const peer of peers) {
    picker.fill(peer, BLOCKS);
    clock.now += 1000;
  }
  return peers.map(({ asked }) => asked.size);
}

test('two peers that send nothing do not keep what a read waits for from a third one, which sends', () => {
  assert.deepEqual(askOneByOne(peerOf(0), peerOf(0), peerOf(20_000_000)), [0, BLOCKS, BLOCKS]);
});

test('nor do two that are slow', () => {
  const [slow = 0, slower = 0, fast] = askOneByOne(peerOf(3000), peerOf(2000), peerOf(20_000_000));
  assert.equal(fast, BLOCKS);
  assert.equal(slow + slower, BLOCKS, 'each block is asked of two');
});

test('what has been asked twice is not asked of a third peer that has sent nothing either', () => {
  assert.deepEqual(askOneByOne(peerOf(0), peerOf(0), peerOf(0)), [BLOCKS, BLOCKS, 0]);
});

test('a block that is taken from a peer while it sends it does not go into the memory of the one that sends it now', () => {
  const [stalled, fast] = [peerOf(200_000), peerOf(20_000_000)];
  const picker = pickerOf({ waiting: [], ahead: ALL });
  picker.fill(stalled, BLOCKS);
  stalled.receiving = picker.active[0];
  let dropped = 0;
  stalled.dropSink = () => {
    dropped += 1;
  };
  clock.now += 10_000;
  picker.fill(fast, BLOCKS);
  assert.equal(fast.asked.size, BLOCKS);
  assert.deepEqual([stalled.receiving, dropped], [undefined, 1]);
});
