/**
 * Cast tokens: each lets a device of the local network play one session, for a while.
 *
 * Invariant: a token is in `#grants` from its making until its session ends or newer ones push it out, expired or not, since a device that still
 * uses an old one is no intruder. The store knows tokens by their digests only. At most `MOST_PER_SESSION` per session, so that what is kept is bounded
 * by the sessions.
 */
import { createHash, randomBytes } from 'node:crypto';

/** Bytes: 256 bits. */
const TOKEN_BYTES = 32;
const MOST_PER_SESSION = 64;

/** What a token looks like: base64url of 32 bytes. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

interface Grant {
  readonly sessionId: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
}

export function isCastToken(text: string): boolean {
  return TOKEN.test(text);
}

export class CastTokens {
  /** Digest -> grant, the oldest first. */
  readonly #grants = new Map<string, Grant>();
  readonly #now: () => number;

  /** @param now ms since the epoch; for tests. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Tokens that are kept, expired ones included. */
  get size(): number {
    return this.#grants.size;
  }

  /** A new token for a session. @param ttlMs how long it is good for. */
  issue(sessionId: string, ttlMs: number): { token: string; expiresAt: Date } {
    const others = [...this.#grants].filter(([, grant]) => grant.sessionId === sessionId);
    if (others.length >= MOST_PER_SESSION) this.#grants.delete((others[0] as (typeof others)[0])[0]);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const expiresAt = this.#now() + ttlMs;
    this.#grants.set(digestOf(token), { sessionId, expiresAt });
    return { token, expiresAt: new Date(expiresAt) };
  }

  /** What a token was made for, and how many ms it is good for: 0 or less, its time is over. Undefined for any other text. */
  find(token: string): { readonly sessionId: string; readonly leftMs: number } | undefined {
    const grant = isCastToken(token) ? this.#grants.get(digestOf(token)) : undefined;
    return grant && { sessionId: grant.sessionId, leftMs: grant.expiresAt - this.#now() };
  }

  /** Ends all tokens of a session. */
  revoke(sessionId: string): void {
    for (const [digest, grant] of this.#grants) if (grant.sessionId === sessionId) this.#grants.delete(digest);
  }
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
