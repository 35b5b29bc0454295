import type { Source } from '../../source/source.ts';

/** Whether reads had better be few and large: each costs a round trip, and bytes cost nothing beside it. */
export function isFar({ latency, isScarce }: Source): boolean {
  return latency === 'remote' && !isScarce;
}

/**
 * Where a read ends that must reach `needed` and had better reach `most` (positions, exclusive): where bytes are scarce, with what comes together with those that are
 * needed, since what lies behind it has to be waited for as well.
 */
export function reach(source: Source, needed: number, most: number): number {
  if (!source.isScarce || source.boundaryAfter === undefined || needed <= 0 || needed >= most) return most;
  return Math.max(needed, Math.min(most, source.boundaryAfter(needed - 1)));
}
