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
import { AppError, toAppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { TorrentService } from '../torrent/service.ts';
import { byteRoutes } from './bytes.ts';
import { capabilityRoutes } from './capabilities.ts';
import { eventRoutes } from './events.ts';
import { hlsRoutes } from './hls.ts';
import { pageRoutes } from './page.ts';
import { registerOriginPolicy } from './policy.ts';
import { PROBLEMS, sendProblem } from './problem.ts';
import { refuseAddress, refuseConnection, registerRequestChecks } from './refusals.ts';
import { ProblemAnswer } from './schemas.ts';
import { sessionRoutes } from './sessions.ts';
import { torrentRoutes } from './torrents.ts';

export interface ServerOptions {
  readonly sessions: SessionStore;
  readonly torrents: TorrentService;
  readonly capabilities: Promise<Capabilities>;
  readonly log: FastifyBaseLogger;
  readonly version: string;
}

/** The HTTP server with all routes, not yet listening. */
export async function buildServer(options: ServerOptions): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    forceCloseConnections: true,
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: 256 },
    ajv: { customOptions: { allErrors: false } },
    http: { requireHostHeader: false }, // Node's own refusal would have no body
    frameworkErrors: refuseAddress,
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, options.log),
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.removeContentTypeParser('text/plain');

  const methods = rememberMethods(app);
  registerErrors(app);
  registerOriginPolicy(app);
  registerRequestChecks(app as unknown as FastifyInstance);
  // Before the body: one that cannot be read says nothing about an address that is not there.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) throw noSuchRoute(request, reply, methods);
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.header('server', `raffi-server/${options.version}`);
  });
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      {
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'answered',
    );
  });

  await app.register(swagger, {
    exposeHeadRoutes: true,
    openapi: {
      openapi: '3.1.0',
      info: { title: 'raffi-server', description: 'On-demand video server.', version: options.version },
    },
  });
  await app.register(async (scope) => {
    scope.get(
      '/health',
      {
        schema: {
          summary: 'Liveness',
          response: { 200: Type.Object({ status: Type.Literal('ok') }), default: ProblemAnswer },
        },
      },
      async () => ({
        status: 'ok' as const,
      }),
    );
    const description = Type.Unsafe<object>({ type: 'object', additionalProperties: true });
    scope.get(
      '/openapi.json',
      { schema: { summary: 'This description', response: { 200: description, default: ProblemAnswer } } },
      async () => app.swagger(),
    );
  });
  await app.register(capabilityRoutes(options.capabilities));
  await app.register(sessionRoutes(options.sessions));
  await app.register(hlsRoutes(options.sessions));
  await app.register(byteRoutes(options.sessions));
  await app.register(torrentRoutes(options.torrents));
  await app.register(eventRoutes(options.sessions, options.torrents));
  await app.register(pageRoutes);
  await app.ready();
  return app as unknown as FastifyInstance;
}

interface KnownMethods {
  readonly allowed: (path: string) => string[];
}

/** Which methods each registered path knows, to tell 405 from 404. */
function rememberMethods(app: FastifyInstance): KnownMethods {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    if (url.includes('*') || method === 'OPTIONS') return;
    const pattern = new RegExp(
      `^${url
        .split('/')
        .map((part) => (part.startsWith(':') ? '[^/]+' : RegExp.escape(part)))
        .join('/')}$`,
    );
    const route = routes.get(url) ?? { pattern, methods: new Set<string>() };
    for (const name of [method].flat()) route.methods.add(name);
    routes.set(url, route);
  });
  const allowed = (path: string): string[] =>
    [
      ...new Set(
        [...routes.values()].filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods]),
      ),
    ].sort();
  return { allowed };
}

/** Why no route takes a request: 404, or 405, for which it sets `Allow`. */
function noSuchRoute(request: FastifyRequest, reply: FastifyReply, methods: KnownMethods): AppError {
  const allowed = methods.allowed(request.url.split('?', 1)[0] as string);
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
    const status = PROBLEMS[known.code].status;
    if (status >= 500)
      request.log[known.code === 'internal' ? 'error' : 'warn'](
        { err: known, url: request.routeOptions.url },
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
    const missing = first?.params.missingProperty;
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
