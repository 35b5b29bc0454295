import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { BitField } from './bit-field.ts';
import { clock } from './clock.ts';
import type { Link } from './handshake.ts';
import type { Layout } from './layout.ts';
import { Offers } from './offers.ts';
import { Peer } from './peer.ts';
import { KnownPeer } from './peer-book.ts';
import { Picker } from './picker.ts';
import { SlabPool } from './slab-pool.ts';
import { BLOCK } from './wire/reader.ts';

const PIECES = 12;
const layout: Layout = {
  pieceLength: BLOCK,
  pieceCount: PIECES,
  totalLength: PIECES * BLOCK,
  hashes: Buffer.alloc(20 * PIECES),
  private: false,
  padding: [],
  chunkLength: BLOCK,
  piecesPerChunk: 1,
  lengthOf: () => BLOCK,
  blocksOf: () => 1,
};

/** A reader waits for the last piece, which nobody has; one peer has all others. */
class World {
  readonly have = new BitField(PIECES);
  readonly availability = new Uint16Array(PIECES);
  readonly peer: Peer;
  readonly picker: Picker;
  readonly offers: Offers;
  withdrawn = 0;

  constructor() {
    const link = { transport: { write: () => {} } } as unknown as Link;
    this.peer = new Peer(link, new KnownPeer({ host: '127.0.0.1', port: 1 }, true), true, 1);
    this.peer.choking = false;
    this.peer.have = new BitField(PIECES);
    for (let piece = 0; piece < PIECES - 1; piece += 1) {
      this.peer.have.set(piece);
      this.availability[piece] = 1;
    }
    this.picker = new Picker(layout, this.have, new SlabPool(1024 * 1024), this.availability, {
      activated: () => {},
      reclaim: () => {},
      restart: () => {},
      isOffered: () => true,
      isOfferedByUseful: () => true,
    });
    const waiting = [{ start: (PIECES - 1) * BLOCK, end: PIECES * BLOCK }];
    this.picker.lanes.set({ readers: [{ reader: 1, waiting, ahead: [] }], index: [], rest: [] });
    this.offers = new Offers(this.have, this.availability, this.picker, new Set([this.peer]), () => {
      this.withdrawn += 1;
    });
  }

  /** @returns how many pieces the peer is asked for `ms` later. */
  later(ms: number): number {
    this.offers.tick(true);
    clock.now += ms;
    this.offers.tick(true);
    return this.picker.fill(this.peer, 100);
  }
}

beforeEach(() => {
  clock.now = 100_000;
});

test('who shows one piece after the other is asked for what it shows, some at once, and each only once', () => {
  const world = new World();
  assert.equal(world.later(500), 0, 'whoever has the other may be about to say so');
  const arrived: number[] = [];
  for (let asked = world.later(2_000); asked > 0; asked = world.later(250)) {
    assert.ok(asked <= 4, `${asked} at once`);
    for (const { index } of [...world.picker.making]) {
      const piece = world.picker.active[index]!;
      world.peer.answered(world.picker.keyOf(index, 0));
      world.picker.finished(piece);
      world.offers.had(index); // and given up at once, since the disk is full: it is not had
      arrived.push(index);
    }
  }
  assert.deepEqual(
    arrived.sort((a, b) => a - b),
    Array.from({ length: PIECES - 1 }, (_, piece) => piece),
  );
});

test('who began with a bit field is not', () => {
  const world = new World();
  world.peer.toldField = true;
  assert.equal(world.later(10_000), 0);
});

test('nothing is offered any more when somebody has what the read waits for', () => {
  const world = new World();
  assert.ok(world.later(2_000) > 0);
  world.availability[PIECES - 1] = 1;
  assert.equal(world.later(250), 0);
  assert.equal(world.withdrawn, 1);
  assert.equal(world.picker.lanes.rankOf[0], 0);
});
