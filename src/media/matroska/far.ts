import type { Source } from '../../source/source.ts';

/** Whether reads had better be few and large: each costs a round trip, and bytes cost nothing beside it. */
export function isFar({ latency, isScarce }: Source): boolean {
  return latency === 'remote' && !isScarce;
}
