import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { clock } from './clock.ts';
import type { Link } from './handshake.ts';
import { Peer } from './peer.ts';
import type { KnownPeer } from './peer-book.ts';
import { BLOCK } from './wire/reader.ts';

const TICK_MS = 250;

/** A peer behind a line: blocks come one after the other, at `rate` bytes per second, the first of them a round trip after it was asked for. */
class Far {
  readonly peer: Peer;
  readonly #rate: number;
  readonly #rttMs: number;
  /** It sends so often only. */
  readonly #everyMs: number;
  #next = 0;
  #free = clock.now;
  #measured = clock.now;
  readonly #coming: { begins: number; at: number; key: number }[] = [];

  constructor(rate: number, rttMs: number, others: number, everyMs = 0) {
    this.#rate = rate;
    this.#rttMs = rttMs;
    this.#everyMs = everyMs;
    const link = { transport: { write: () => {} } } as unknown as Link;
    this.peer = new Peer(link, {} as KnownPeer, true, others);
  }

  /** @returns the most that was asked for at once. */
  run(ms: number): number {
    const end = clock.now + ms;
    let most = 0;
    for (; clock.now < end; clock.now += 1) {
      for (const { begins, key } of this.#coming) if (begins <= clock.now) this.peer.answers(key);
      for (let next = this.#coming[0]; next !== undefined && next.at <= clock.now; next = this.#coming[0]) {
        this.#coming.shift();
        this.peer.counted(BLOCK);
        this.peer.answered(next.key);
      }
      while (this.peer.room > 0) this.#ask();
      most = Math.max(most, this.peer.asked.size);
      if (clock.now - this.#measured < TICK_MS) continue;
      this.peer.measure((clock.now - this.#measured) / 1000);
      this.#measured = clock.now;
    }
    return most;
  }

  #ask(): void {
    const key = this.#next++;
    this.peer.ask(key, 0, key * BLOCK, BLOCK);
    const begins = Math.max(this.#free, clock.now + this.#rttMs);
    this.#free = begins + (BLOCK / this.#rate) * 1000;
    const every = this.#everyMs;
    const wait = every === 0 ? 0 : Math.ceil(this.#free / every) * every - this.#free;
    this.#coming.push({ begins: begins + wait, at: this.#free + wait, key });
  }
}

/** At least 95 % of its `rate`, bytes per second, for `ms` milliseconds after the first `warm`. */
function givesAll(far: Far, rate: number, warm: number, ms: number): void {
  far.run(warm);
  const before = far.peer.downloaded;
  far.run(ms);
  const most = rate * (ms / 1000);
  assert.ok(far.peer.downloaded - before >= most * 0.95, `${far.peer.downloaded - before} of ${most}`);
}

describe('since when a peer owes an answer', () => {
  const nobody = { transport: { write: () => {} } } as unknown as Link;

  /** Asks, cancels after so long, and asks again. @returns for how long it has owed an answer then, ms. */
  function owesAfter(ms: number): number {
    const peer = new Peer(nobody, {} as KnownPeer, true, 1);
    peer.ask(0, 0, 0, BLOCK);
    clock.now += ms;
    peer.cancel(0, 0, 0, BLOCK);
    clock.now += 10_000;
    peer.ask(1, 0, BLOCK, BLOCK);
    return clock.now - peer.waitingSince;
  }

  test('since the first request that it did not answer, also when that was cancelled', () => {
    assert.equal(owesAfter(3000), 3000);
  });

  test('not for one that was cancelled soon', () => {
    assert.equal(owesAfter(200), 0);
  });
});

describe('how much a peer is asked for', () => {
  beforeEach(() => {
    clock.now = 50_000;
  });

  test('a slow one, at no time more than a quarter of a second and a round trip: what is asked for can hardly be called back', () => {
    const rate = 375_000;
    const far = new Far(rate, 40, 8);
    assert.ok(far.run(3000) * BLOCK <= rate * 0.4, 'at first, when its rate is not known yet');
    assert.ok(far.run(3000) * BLOCK <= rate * 0.25, 'when it is');
    assert.ok(far.peer.downloaded >= rate * 5.7, `${far.peer.downloaded} of ${rate * 6}: it is never idle`);
  });

  test('a fast one soon gives all that it can', () => {
    const rate = 12_000_000;
    const far = new Far(rate, 40, 8);
    givesAll(far, rate, 1000, 1000);
  });

  test('a fast one that is far away gives all that it can too', () => {
    const rate = 3_000_000;
    const far = new Far(rate, 300, 1);
    givesAll(far, rate, 3000, 1000);
  });

  test('one that sends in bursts soon gives all that it can too, as clients do whose upload is limited', () => {
    const rate = 1_000_000;
    for (const others of [1, 8]) {
      const far = new Far(rate, 10, others, 500);
      givesAll(far, rate, 4000, 4000);
    }
  });
});
