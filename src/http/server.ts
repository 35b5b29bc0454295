import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { Type } from 'typebox';
import type { AddonCatalogue } from '../catalogue/catalogue.ts';
import type { ClipService } from '../clip/clip-service.ts';
import type { AccessConfig } from '../config.ts';
import { AppError, toAppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { Encoders } from '../ffmpeg/hardware.ts';
import type { Health } from '../health/health.ts';
import type { Listeners } from '../lib/listeners.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RunChange } from '../presentation/journal.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { SourcePolicy } from '../source/policy.ts';
import type { TorrentService } from '../torrent/service.ts';
import { byteRoutes } from './bytes.ts';
import { capabilityRoutes } from './capabilities.ts';
import { type CastOptions, castRoutes } from './cast.ts';
import { clipRoutes } from './clips.ts';
import { communityAddonRoutes } from './community-addons.ts';
import { lateCompilers } from './compilers.ts';
import { Connections, REQUEST_TIMEOUTS } from './connections.ts';
import { EventFeed } from './event-feed.ts';
import { eventRoutes } from './events.ts';
import { explainRoutes } from './explain.ts';
import { Gate, pathOf } from './gate.ts';
import { healthRoutes } from './health.ts';
import { hlsRoutes } from './hls.ts';
import { pageRoutes } from './page.ts';
import { describeProblems, PROBLEMS, problems, sendProblem } from './problem.ts';
import { refuseAddress, refuseConnection, registerAnswers } from './refusals.ts';
import { registerRequestMetrics } from './request-metrics.ts';
import { RouteBook } from './route-book.ts';
import { sessionRoutes } from './sessions.ts';
import { torrentRoutes } from './torrents.ts';

/** Bytes of a body that is too large; of a larger one, the connection is closed. */
const MOST_THROWN_AWAY = 64 * 1024 * 1024;
/** Listeners of one event of an answer. */
const MOST_WAITING = 20;

export interface ServerOptions {
  readonly sessions: SessionStore;
  readonly sources: SourcePolicy;
  readonly access: AccessConfig;
  /** The name or address that the server listens on. */
  readonly listenHost: string;
  readonly cast: Omit<CastOptions, 'sessions'>;
  readonly clips: ClipService;
  readonly torrents: TorrentService;
  /** Tells of runs that begin and end. */
  readonly runs: Listeners<RunChange>;
  readonly addons: AddonCatalogue;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly capabilities: Promise<Capabilities>;
  readonly encoders: Encoders;
  /** Whether sessions that do not say get their loudness brought to the target. */
  readonly loudness: boolean;
  readonly log: FastifyBaseLogger;
  readonly version: string;
}

/** The HTTP server with all routes, not yet listening. */
export async function buildServer(options: ServerOptions): Promise<FastifyInstance & { readonly book: RouteBook }> {
  const app = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    forceCloseConnections: true,
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: 256 },
    ajv: { customOptions: { allErrors: false } },
    schemaController: { compilersFactory: lateCompilers() },
    requestTimeout: REQUEST_TIMEOUTS.whole,
    http: {
      requireHostHeader: false, // Node's own refusal would have no body
      headersTimeout: REQUEST_TIMEOUTS.headers,
      connectionsCheckingInterval: REQUEST_TIMEOUTS.checkedEvery,
    },
    frameworkErrors: (error, request, reply) => {
      options.metrics.record(({ malformed }) => malformed.inc());
      refuseAddress(gate, error, request, reply);
    },
    clientErrorHandler: (error, socket) => {
      options.metrics.record(({ malformed }) => malformed.inc());
      refuseConnection(error, socket, options.log);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.removeContentTypeParser('text/plain');

  const server = app as unknown as FastifyInstance;
  const book = new RouteBook(server);
  const gate = new Gate(
    { access: options.access, castTokens: options.cast.tokens, listenHost: options.listenHost },
    book,
  );
  registerRequestMetrics(server, options.metrics);
  registerErrors(app);
  registerAnswers(server);
  gate.register(server);
  new Connections().register(server);
  // As many wait for the end of an answer as there are things that end with it: the framework, the gate, a session, its source, whoever counts.
  app.addHook('onRequest', async (_request, reply) => {
    reply.raw.setMaxListeners(MOST_WAITING);
  });
  // Before the body: one that cannot be read says nothing about an address that is not there.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) throw noSuchRoute(request, reply, book);
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.header('server', `raffi-server/${options.version}`);
  });

  await app.register(swagger, {
    exposeHeadRoutes: true,
    transform: ({ schema, url }) => {
      const answers = schema?.response as Record<string, unknown> | undefined;
      return { schema: answers ? { ...schema, response: describeProblems(answers) } : schema, url };
    },
    openapi: {
      openapi: '3.1.0',
      info: { title: 'raffi-server', description: 'On-demand video server.', version: options.version },
      components: { securitySchemes: SECURITY_SCHEMES },
    },
  });
  await app.register(async (scope) => {
    const description = Type.Unsafe<object>({ type: 'object', additionalProperties: true });
    scope.get(
      '/openapi.json',
      {
        config: { tier: 'control' },
        schema: { summary: 'This description', response: { 200: description, default: problems() } },
      },
      async () => app.swagger(),
    );
  });
  await app.register(healthRoutes(options.health, options.metrics));
  await app.register(capabilityRoutes(options.capabilities, options.encoders));
  await app.register(sessionRoutes(options.sessions, options));
  await app.register(explainRoutes(options.sessions, options.capabilities));
  await app.register(clipRoutes(options.sessions, options.clips));
  await app.register(hlsRoutes(options.sessions));
  await app.register(byteRoutes(options.sessions));
  await app.register(castRoutes({ ...options.cast, sessions: options.sessions }));
  await app.register(torrentRoutes(options.torrents, options.sessions));
  await app.register(eventRoutes(new EventFeed(options)));
  await app.register(communityAddonRoutes(options.addons));
  await app.register(pageRoutes);
  await app.ready();
  return Object.assign(server, { book });
}

/** For clients of other machines; those of this one need none of it. */
const SECURITY_SCHEMES = {
  apiKey: { type: 'http', scheme: 'bearer', description: 'RAFFI_API_KEY: the whole API.' },
  castToken: { type: 'apiKey', in: 'query', name: 'cast_token', description: 'GET and HEAD of one session.' },
  castTokenHeader: { type: 'apiKey', in: 'header', name: 'X-Raffi-Cast-Token', description: 'The same.' },
  launchToken: {
    type: 'apiKey',
    in: 'header',
    name: 'X-Raffi-Token',
    description: 'RAFFI_LAUNCH_TOKEN: for pages whose origin is `null` or `file://`.',
  },
} as const;

/** Why no route takes a request: 404, or 405, for which it sets `Allow`. */
function noSuchRoute(request: FastifyRequest, reply: FastifyReply, book: RouteBook): AppError {
  const allowed = book.methods(pathOf(request));
  if (allowed.length === 0 || allowed.includes(request.method)) {
    return new AppError('not-found', 'There is nothing at this address.');
  }
  reply.header('allow', allowed.join(', '));
  return new AppError('method-not-allowed', `${request.method} is not possible here; ${allowed.join(', ')} are.`);
}

function registerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = fromFramework(error);
    if (reply.raw.destroyed) {
      request.log.debug({ code: known.code, detail: known.detail }, 'the client went away');
      return reply;
    }
    // Who is still sending, and finds the connection closed, may never read why: what is left of the body is thrown away as it comes.
    if (known.code === 'body-too-large' && Number(request.headers['content-length']) <= MOST_THROWN_AWAY)
      reply.removeHeader('connection');
    const status = PROBLEMS[known.code].status;
    if (status >= 500)
      request.log[known.code === 'internal' ? 'error' : 'warn'](
        { err: known, route: request.routeOptions.url, id: (request.params as { id?: string } | null)?.id },
        known.detail,
      );
    return sendProblem(reply, known);
  });
}

/** The framework's own errors in our terms. */
function fromFramework(error: FastifyError | AppError): AppError {
  if (error instanceof AppError) return error;
  if (error.validation) {
    const first = error.validation[0];
    const { missingProperty, requiredProperties } = first?.params ?? {};
    const missing = missingProperty ?? (Array.isArray(requiredProperties) ? requiredProperties[0] : undefined);
    const field = `${error.validationContext ?? 'request'}${first?.instancePath ?? ''}${missing ? `/${missing}` : ''}`;
    return new AppError('bad-request', `${field}: ${first?.message ?? 'is not valid'}.`, { cause: error });
  }
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new AppError('body-too-large', 'The request body is larger than 64 kB (a .torrent file: 8 MB).', {
        cause: error,
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new AppError(
        'unsupported-media-type',
        'Send the body as application/json, or a .torrent file as application/x-bittorrent.',
        { cause: error },
      );
  }
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new AppError('bad-request', `body: ${error.message}.`, { cause: error });
  }
  return toAppError(error);
}
