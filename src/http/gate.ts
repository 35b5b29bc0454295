/**
 * The gate that every request passes before any route sees it: is it for this server, may its page, may its client, and does it come too often. The
 * rules are in the files beside it; here they are put to the request, in order. Routes only say which tier they are of.
 */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { CastTokens } from '../cast/tokens.ts';
import { isCastToken } from '../cast/tokens.ts';
import type { AccessConfig } from '../config.ts';
import { AppError } from '../errors.ts';
import { withQuery } from '../hls/query.ts';
import type { Authority } from '../lib/authority.ts';
import { Secret } from '../lib/secret.ts';
import { type Client, clientOf } from './client.ts';
import { checkHost } from './host-policy.ts';
import { type Access, type GuardFacts, judgeClient } from './lan-guard.ts';
import { isNobody, judgeOrigin, type Tier } from './origin-policy.ts';
import { type Rate, RateLimiter } from './rate-limiter.ts';
import type { RouteBook } from './route-book.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, and by which right; set before any handler runs. */
    caller: Caller;
  }
}

type SecretKind = 'cast tokens' | 'keys' | 'launch tokens';

interface Caller extends Client {
  readonly access: Access;
}

export interface GateOptions {
  readonly access: AccessConfig;
  readonly castTokens: CastTokens;
  /** The name or address that the server listens on. */
  readonly listenHost: string;
}

/** Control requests. One person's page needs about 30 at once; programs of this machine are one client together. */
const RATES: Readonly<Record<'local' | 'remote', Rate>> = {
  local: { burst: 20_000, perSecond: 2_000 },
  remote: { burst: 200, perSecond: 20 },
};
/** Wrong ones, of each kind of secret. */
const WRONG: Rate = { burst: 20, perSecond: 0.2 };

const EXPOSED = 'X-Raffi-Slice-Start, Accept-Ranges, Content-Range, Content-Length';
const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl';
/** What Cast receivers ask for, and our own header. */
const MEDIA_HEADERS = 'Content-Type, Accept-Encoding, Range, X-Raffi-Cast-Token';
/** The last is for pages that must send the launch token, and so cannot listen to events by an EventSource. */
const CONTROL_HEADERS = 'Content-Type, Authorization, Range, X-Raffi-Token, X-Raffi-Cast-Token, Last-Event-ID';

export class Gate {
  readonly #access: AccessConfig;
  readonly #castTokens: CastTokens;
  /** Names of this server, besides its addresses. */
  readonly #hosts: readonly Authority[];
  readonly #listenHost: string;
  readonly #book: RouteBook;
  readonly #apiKey: Secret | undefined;
  readonly #launchToken: Secret | undefined;
  readonly #rates = { local: new RateLimiter(RATES.local), remote: new RateLimiter(RATES.remote) };
  /** One for each kind of secret: who guesses at one of them shall not lock out the holder of another. */
  readonly #wrong: Readonly<Record<SecretKind, RateLimiter>> = {
    'cast tokens': new RateLimiter(WRONG),
    keys: new RateLimiter(WRONG),
    'launch tokens': new RateLimiter(WRONG),
  };

  constructor({ access, castTokens, listenHost }: GateOptions, book: RouteBook) {
    const { allowedHosts, castHost } = access;
    this.#hosts = castHost ? [...allowedHosts, castHost] : allowedHosts;
    this.#listenHost = listenHost.toLowerCase();
    this.#access = access;
    this.#castTokens = castTokens;
    this.#book = book;
    this.#apiKey = access.apiKey === undefined ? undefined : new Secret(access.apiKey);
    this.#launchToken = access.launchToken === undefined ? undefined : new Secret(access.launchToken);
  }

  /** Must come before any other hook and any route. */
  register(app: FastifyInstance): void {
    app.decorateRequest('caller');
    app.addHook('onRequest', async (request, reply) => this.admit(request, reply));
    app.addHook('onSend', async (request, reply, payload) => carryToken(request, reply, payload));
    app.options('/*', { config: { tier: 'control' }, schema: { hide: true } }, (request, reply) =>
      this.#answerPreflight(request, reply),
    );
  }

  /** @throws AppError `bad-request`, `misdirected`, `origin-not-allowed`, `unauthorized`, `forbidden`, `too-many-requests`. */
  admit(request: FastifyRequest, reply: FastifyReply): void {
    const { raw } = request;
    const { localAddress = '', localPort = 0 } = raw.socket;
    reply.header('x-content-type-options', 'nosniff');
    const listenHost = this.#listenHost;
    const facts = { rawHeaders: raw.rawHeaders, target: raw.url ?? '', localAddress, localPort, listenHost };
    checkHost(facts, this.#hosts);
    const tier = this.#tierOf(request);
    const client = clientOf(raw);
    this.#checkOrigin(request, reply, tier, client);
    // Before anybody is recognised, so that those who are not have a limit, too.
    if (tier !== 'media') this.#checkRate(reply, client);
    const access = this.#checkClient(request, reply, tier, client);
    request.caller = { ...client, access };
  }

  #checkRate(reply: FastifyReply, { loopback, network }: Client): void {
    const wait = this.#rates[loopback ? 'local' : 'remote'].take(network);
    if (wait > 0) throw tooMany(reply, wait, 'too many requests');
  }

  #tierOf(request: FastifyRequest): Tier {
    const asked = preflightMethod(request);
    const tier = asked === undefined ? configOf(request)?.tier : this.#book.tier(asked, pathOf(request));
    return tier ?? 'control';
  }

  #checkOrigin(request: FastifyRequest, reply: FastifyReply, tier: Tier, client: Client): void {
    const { headers } = request;
    if (tier !== 'media') reply.header('vary', 'Origin');
    reply.header('cross-origin-resource-policy', tier === 'media' ? 'cross-origin' : 'same-origin');
    const allowed = judgeOrigin(
      {
        tier,
        origin: headers.origin,
        fetchSite: single(headers['sec-fetch-site']),
        host: (headers.host ?? '').toLowerCase(),
        namesSession: text(queryOf(request, 'id')) !== undefined,
        preflight: preflightMethod(request) !== undefined,
        hasLaunchToken: tier !== 'media' && isNobody(headers.origin) && this.#hasLaunchToken(request, reply, client),
      },
      { allowedOrigins: this.#access.allowedOrigins, launchToken: this.#launchToken !== undefined },
    );
    if (allowed === undefined) return;
    reply.header('access-control-allow-origin', allowed).header('access-control-expose-headers', EXPOSED);
  }

  #hasLaunchToken({ headers }: FastifyRequest, reply: FastifyReply, { network }: Client): boolean {
    const given = single(headers['x-raffi-token']);
    return given !== undefined && this.#isRight('launch tokens', this.#launchToken, given, reply, network);
  }

  #checkClient(request: FastifyRequest, reply: FastifyReply, tier: Tier, client: Client): Access {
    const { loopback, network } = client;
    const token = castTokenOf(request);
    const facts: Omit<GuardFacts, 'apiKey' | 'cast'> = {
      loopback,
      mode: this.#access.lan,
      method: request.method,
      tier,
      trustedOnly: configOf(request)?.trustedOnly ?? false,
      sessionId: (request.params as { id?: string } | null)?.id,
      preflight: preflightMethod(request) !== undefined,
      path: pathOf(request),
    };
    if (loopback) return judgeClient({ ...facts, apiKey: 'none', cast: 'none' });
    const apiKey = this.#judgeKey(request, reply, network);
    const found = token === undefined ? undefined : this.#castTokens.find(token);
    const leftMs = found?.leftMs ?? 0;
    const sessionId = leftMs > 0 ? found?.sessionId : undefined;
    // A token has 256 bits and is always looked at, unlike what people choose.
    if (token !== undefined && found === undefined && apiKey !== 'right')
      this.#countWrong('cast tokens', reply, network);
    try {
      const access = judgeClient({ ...facts, apiKey, cast: token === undefined ? 'none' : { sessionId } });
      if (access === 'cast') endAfter(reply, leftMs);
      return access;
    } catch (error) {
      // Control has been counted already.
      if (tier === 'media') this.#checkRate(reply, client);
      // RFC 9110, 15.5.2.
      if (error instanceof AppError && error.code === 'unauthorized')
        reply.header('www-authenticate', 'Bearer realm="raffi-server"');
      throw error;
    }
  }

  #judgeKey(request: FastifyRequest, reply: FastifyReply, network: string): GuardFacts['apiKey'] {
    const given = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined || this.#apiKey === undefined) return 'none';
    return this.#isRight('keys', this.#apiKey, given, reply, network) ? 'right' : 'wrong';
  }

  /** Whether it is the secret, which may be guessable: who guesses too often gets no further answers, right or wrong. */
  #isRight(kind: SecretKind, secret: Secret | undefined, given: string, reply: FastifyReply, network: string): boolean {
    const wait = this.#wrong[kind].wait(network);
    if (wait > 0) throw tooMany(reply, wait, `too many wrong ${kind}`);
    if (secret === undefined) return false;
    if (secret.matches(given)) return true;
    this.#countWrong(kind, reply, network);
    return false;
  }

  #countWrong(kind: SecretKind, reply: FastifyReply, network: string): void {
    const wait = this.#wrong[kind].take(network);
    if (wait > 0) throw tooMany(reply, wait, `too many wrong ${kind}`);
  }

  #answerPreflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const media = this.#tierOf(request) === 'media';
    reply.header('access-control-allow-methods', media ? 'GET, HEAD, OPTIONS' : 'GET, HEAD, POST, DELETE, OPTIONS');
    reply.header('access-control-allow-headers', media ? MEDIA_HEADERS : CONTROL_HEADERS);
    reply.header('access-control-max-age', '600');
    // Private Network Access: for pages that may control, never for whoever asks.
    if (!media && request.headers['access-control-request-private-network'] === 'true')
      reply.header('access-control-allow-private-network', 'true');
    return reply.code(204).send();
  }
}

/** Breaks an answer off that is not finished by then. */
function endAfter({ raw }: FastifyReply, ms: number): void {
  const timer = setTimeout(() => raw.destroy(), ms);
  raw.once('close', () => clearTimeout(timer));
}

/** Undefined for an address that the router cannot read. */
function configOf(request: FastifyRequest): FastifyContextConfig | undefined {
  return (request.routeOptions as Partial<FastifyRequest['routeOptions']>).config;
}

function queryOf(request: FastifyRequest, name: string): unknown {
  return (request.query as Readonly<Record<string, unknown>> | null)?.[name];
}

/** The path, also of an absolute target (RFC 9112, 3.2.2). */
export function pathOf(request: FastifyRequest): string {
  return (request.url.replace(/^https?:\/\/[^/?#]*/i, '') || '/').split(/[?#]/, 1)[0] as string;
}

function preflightMethod({ method, headers }: FastifyRequest): string | undefined {
  if (method !== 'OPTIONS' || headers.origin === undefined) return undefined;
  return single(headers['access-control-request-method'])?.toUpperCase();
}

/** The query counts before the header. A repeated one is none of ours, hence wrong. */
function castTokenOf(request: FastifyRequest): string | undefined {
  const token = queryOf(request, 'cast_token');
  if (token !== undefined) return String(token);
  return single(request.headers['x-raffi-cast-token']);
}

/** A playlist asked for with a token in its address carries it on. */
function carryToken(request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
  if (reply.getHeader('content-type') !== PLAYLIST_TYPE || !Buffer.isBuffer(payload)) return payload;
  const token = text(queryOf(request, 'cast_token'));
  if (token === undefined || !isCastToken(token)) return payload;
  return Buffer.from(withQuery(payload.toString('utf8'), 'cast_token', token));
}

function tooMany(reply: FastifyReply, seconds: number, what: string): AppError {
  reply.header('retry-after', String(seconds));
  return new AppError('too-many-requests', `There were ${what} from your address; come back in ${seconds} s.`);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

/** A text that is not empty. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
