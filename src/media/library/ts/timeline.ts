/**
 * 33-bit timestamps on one continuous line.
 * Invariant: `jumps` is ascending by position and complete before the first time is told to anyone, so that a time is a function of the
 * packet alone.
 */
import { AppError } from '../../../errors.ts';
import { type Pes, TICKS, unwrap } from './pes.ts';

/** Steps of the clock outside of this are jumps: a file was put together from several. Ticks. */
const BACKWARD = -1 * TICKS;
const FORWARD = 60 * TICKS;
/** Other streams may pass a jump this much earlier or later than the one whose clock counts, bytes. */
const SPREAD = 4 * 1024 * 1024;
const MAX_JUMPS = 10_000;

interface Place {
  readonly position: number;
  /** Continuous ticks of the clock there. */
  readonly at: number;
}

interface Jump extends Place {
  /** Ticks that are added from there on. */
  readonly offset: number;
}

export class Timeline {
  /** Raw ticks around which all others are unwrapped. */
  readonly reference: number;
  /** The PID whose clock decides where a jump is. */
  readonly clockPid: number;
  readonly #jumps: Jump[] = [];
  #first: Place = { position: 0, at: 0 };
  #last: Place = { position: 0, at: 0 };

  constructor(reference: number, clockPid: number) {
    this.reference = reference;
    this.clockPid = clockPid;
  }

  /** Continuous ticks of a 33-bit time in a packet of `pid` that starts at `position`. */
  ticks(raw: number, pes: Pick<Pes, 'pid' | 'position'>): number {
    const plain = unwrap(raw, this.reference);
    if (this.#jumps.length === 0) return plain;
    const passed = this.#passed(pes.position);
    const here = plain + this.#offset(passed);
    if (pes.pid === this.clockPid) return here;
    // A stream beside the clock may still count the old way a little after the jump, or the new way a little before it: what fits best to
    // the place in the file counts.
    const expected = this.#expected(pes.position, passed);
    let best = here;
    const consider = (other: number): void => {
      if (Math.abs(other - expected) < Math.abs(best - expected)) best = other;
    };
    const last = this.#jumps[passed - 1];
    if (last && pes.position - last.position < SPREAD) consider(plain + this.#offset(passed - 1));
    const next = this.#jumps[passed];
    if (next && next.position - pes.position < SPREAD) consider(plain + next.offset);
    return best;
  }

  #offset(passed: number): number {
    return this.#jumps[passed - 1]?.offset ?? 0;
  }

  /** The clock's time at a position, as if the bit rate were even between two jumps. */
  #expected(position: number, passed: number): number {
    const from = this.#jumps[passed - 1] ?? this.#first;
    const to = this.#jumps[passed] ?? this.#last;
    const share = (position - from.position) / Math.max(1, to.position - from.position);
    return from.at + share * (to.at - from.at);
  }

  /** Takes the clock's packets in file order, all of them, before any time is told; adds a jump where its decode time steps too far. */
  jumpFinder(frame: number, label: string): (pes: Pes) => void {
    let previous: number | undefined;
    return (pes) => {
      const raw = pes.dts ?? pes.pts;
      if (raw === undefined) return;
      const offset = this.#jumps.at(-1)?.offset ?? 0;
      let now = unwrap(raw, this.reference) + offset;
      if (previous !== undefined && isJump(now - previous)) {
        if (this.#jumps.length >= MAX_JUMPS) {
          throw new AppError('media-damaged', `${label} has a clock that jumps more than ${MAX_JUMPS} times.`);
        }
        const at = previous + frame;
        this.#jumps.push({ position: pes.position, offset: offset + at - now, at });
        now = at;
      }
      if (previous === undefined) this.#first = { position: pes.position, at: now };
      this.#last = { position: pes.position, at: now };
      previous = now;
    };
  }

  /** How many jumps lie at or before the position. */
  #passed(position: number): number {
    let low = 0;
    let high = this.#jumps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#jumps[middle]!.position <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** @param step ticks from one packet of the clock to the next. */
export function isJump(step: number): boolean {
  return step < BACKWARD || step > FORWARD;
}
