import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { ReaderDemand } from '../protocol.ts';
import { clock } from './clock.ts';
import { Lanes, RANK } from './lanes.ts';
import type { Layout } from './layout.ts';

const PIECE = 1000;
const layout = { pieceLength: PIECE, pieceCount: 100 } as Layout;

const waitsFor = (reader: number, ...pieces: number[]): ReaderDemand => ({
  reader,
  waiting: pieces.map((piece) => ({ start: piece * PIECE, end: (piece + 1) * PIECE })),
  ahead: [],
});

describe('readers that wait', () => {
  let lanes: Lanes;
  const order = (): number[] => lanes.byRank[RANK.waiting]!.map(({ pieces }) => pieces[0]!);
  const demand = (...readers: ReaderDemand[]): number[] => lanes.set({ readers, index: [], rest: [] });

  beforeEach(() => {
    clock.now = 100_000;
    lanes = new Lanes(layout);
  });

  test('who comes new goes before one that is being served all the time', () => {
    demand(waitsFor(1, 10));
    lanes.had(10);
    clock.now += 50;
    demand(waitsFor(1, 11));
    clock.now += 50;
    assert.deepEqual(demand(waitsFor(1, 11), waitsFor(2, 50)), [50]);
    assert.deepEqual(order(), [50, 11]);
    assert.ok(lanes.isFirst(50) && !lanes.isFirst(11));
  });

  test('who was given a piece stands back until the others have one', () => {
    demand(waitsFor(1, 10, 11), waitsFor(2, 20, 21), waitsFor(3, 30, 31));
    const served = [10, 20, 30, 11].map((piece) => {
      clock.now += 10;
      lanes.had(piece);
      return order()[0];
    });
    assert.deepEqual(served, [20, 30, 10, 20]);
  });

  test('who comes new goes behind one that has waited for long', () => {
    demand(waitsFor(1, 10));
    lanes.had(10);
    demand(waitsFor(1, 11));
    clock.now += 1500;
    demand(waitsFor(1, 11), waitsFor(2, 50));
    assert.deepEqual(order(), [11, 50]);
  });

  test('who is gone and comes back is new', () => {
    demand(waitsFor(1, 10), waitsFor(2, 20));
    lanes.had(10);
    demand(waitsFor(2, 20));
    clock.now += 10;
    demand(waitsFor(2, 20), waitsFor(1, 11));
    lanes.had(20);
    assert.deepEqual(order(), [11, 20]);
  });
});
