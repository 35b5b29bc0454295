import { AppError } from '../errors.ts';
import type { Tier } from './origin-policy.ts';

/** By which right a request is served. `open`: nobody is asked here. `cast`: only to play one session. */
export type Access = 'local' | 'key' | 'open' | 'cast';

export interface GuardFacts {
  readonly loopback: boolean;
  readonly mode: 'guarded' | 'open';
  /** What is there of the API key. */
  readonly apiKey: 'right' | 'wrong' | 'none';
  /** The session that the cast token opens; undefined for one that opens none. */
  readonly cast: { readonly sessionId: string | undefined } | 'none';
  readonly method: string;
  readonly tier: Tier;
  /** Whether even an open network does not suffice. */
  readonly trustedOnly: boolean;
  /** The session that the address names. */
  readonly sessionId: string | undefined;
  /** A preflight (Fetch, 4.8) carries no credentials, and its answer tells nothing. */
  readonly preflight: boolean;
  readonly path: string;
}

/** @throws AppError `unauthorized` on the addresses of sessions, `forbidden` on all others, and for a cast token where it opens nothing. */
export function judgeClient(facts: GuardFacts): Access {
  if (facts.loopback) return 'local';
  if (facts.apiKey === 'right') return 'key';
  if (facts.mode === 'open' && !facts.trustedOnly) return 'open';
  if (facts.preflight) return 'open';
  const reads = facts.tier === 'media' && (facts.method === 'GET' || facts.method === 'HEAD');
  const opens = facts.cast === 'none' ? undefined : facts.cast.sessionId;
  if (opens !== undefined) {
    if (reads && opens === facts.sessionId) return 'cast';
    if (!reads) throw new AppError('forbidden', 'A cast token lets play one session, and nothing else.');
  }
  if (/^\/(?:sessions|stream)(?:\/|$)/.test(facts.path)) {
    throw new AppError(
      'unauthorized',
      'From another machine, this needs a valid cast token for this session, or the API key.',
    );
  }
  throw new AppError(
    'forbidden',
    'From another machine, this needs the API key, unless the network is open (RAFFI_LAN_ACCESS).',
  );
}
