import { AppError } from '../errors.ts';

/**
 * Which web pages may use a route. `media`: GET and HEAD under an unguessable session id, for every page that knows it. `control`: everything
 * else, for pages of this machine and applications. `beacon`: control, but a request whose address names a session is for everybody, since a page
 * that is being left can say no more, and the id is the secret.
 */
export type Tier = 'media' | 'control' | 'beacon';

/** What a browser says about the page that sends a request. */
export interface OriginFacts {
  readonly tier: Tier;
  /** Header Origin; undefined for clients that are no pages, and for pages that only link here. */
  readonly origin: string | undefined;
  /** Header Sec-Fetch-Site. */
  readonly fetchSite: string | undefined;
  /** Header Host, checked already. */
  readonly host: string;
  /** Whether the address has `?id=`. */
  readonly namesSession: boolean;
  /** A preflight (Fetch, 4.8) cannot carry the token; the request after it must. */
  readonly preflight: boolean;
  readonly hasLaunchToken: boolean;
}

export interface OriginRules {
  /** As browsers write them. */
  readonly allowedOrigins: readonly string[];
  /** Whether there is a launch token at all. */
  readonly launchToken: boolean;
}

const LOOPBACK = /^https?:\/\/(?:localhost|tauri\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/;
const APPLICATION = /^(?:app|raffi|tauri|capacitor):\/\/[a-z0-9._-]*(?::\d{1,5})?$/i;
const NOBODY: ReadonlySet<string | undefined> = new Set(['null', 'file://']);
/** Of requests that a page of another site did not start. */
const OWN_SITES: ReadonlySet<string> = new Set(['same-origin', 'same-site', 'none']);

/** Whether an origin is that of sandboxed frames and of files, anybody's: only the launch token tells who it is. */
export function isNobody(origin: string | undefined): boolean {
  return NOBODY.has(origin);
}

/**
 * @returns the value of Access-Control-Allow-Origin; undefined for none.
 * @throws AppError `origin-not-allowed`.
 */
export function judgeOrigin(facts: OriginFacts, rules: OriginRules): string | undefined {
  const { origin, tier } = facts;
  if (tier === 'media') return '*';
  if (origin !== undefined && isAllowed(origin, facts, rules)) return origin;
  if (tier === 'beacon' && facts.namesSession && !facts.preflight) return undefined;
  if (origin !== undefined) {
    const words = isNobody(origin)
      ? 'A page without an origin of its own needs the launch token in the header X-Raffi-Token.'
      : 'Only pages from this machine and applications may control this server; RAFFI_ALLOWED_ORIGINS names others.';
    throw new AppError('origin-not-allowed', words);
  }
  if (facts.fetchSite !== undefined && !OWN_SITES.has(facts.fetchSite)) {
    throw new AppError(
      'origin-not-allowed',
      'A page of another site led here. If you want to go there, type the address yourself.',
    );
  }
  return undefined;
}

function isAllowed(origin: string, facts: OriginFacts, { allowedOrigins, launchToken }: OriginRules): boolean {
  if (isNobody(origin)) return facts.preflight ? launchToken : facts.hasLaunchToken;
  if (LOOPBACK.test(origin) || APPLICATION.test(origin) || allowedOrigins.includes(origin)) return true;
  // The page that this server itself has served: the Host header is known to be ours.
  return origin === `http://${facts.host}` || origin === `https://${facts.host}`;
}
