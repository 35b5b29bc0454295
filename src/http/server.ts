import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type HTTPMethods,
  LogController,
} from 'fastify';
import { Type } from 'typebox';
import { AppError, toAppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { SessionStore } from '../session/session-store.ts';
import { byteRoutes } from './bytes.ts';
import { capabilityRoutes } from './capabilities.ts';
import { hlsRoutes } from './hls.ts';
import { pageRoutes } from './page.ts';
import { registerOriginPolicy } from './policy.ts';
import { PROBLEMS, sendProblem } from './problem.ts';
import { sessionRoutes } from './sessions.ts';

export interface ServerOptions {
  readonly sessions: SessionStore;
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
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.removeContentTypeParser('text/plain');

  const methods = rememberMethods(app);
  registerErrors(app, methods);
  registerOriginPolicy(app);
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
    openapi: {
      openapi: '3.1.0',
      info: { title: 'raffi-server', description: 'On-demand video server.', version: options.version },
    },
  });
  await app.register(async (scope) => {
    scope.get(
      '/health',
      { schema: { summary: 'Liveness', response: { 200: Type.Object({ status: Type.Literal('ok') }) } } },
      async () => ({
        status: 'ok' as const,
      }),
    );
    scope.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  });
  await app.register(capabilityRoutes(options.capabilities));
  await app.register(sessionRoutes(options.sessions));
  await app.register(hlsRoutes(options.sessions));
  await app.register(byteRoutes(options.sessions));
  await app.register(pageRoutes);
  await app.ready();
  return app as unknown as FastifyInstance;
}

/** Which methods each registered path knows, to tell 405 from 404. */
function rememberMethods(app: FastifyInstance): { allowed: (path: string) => string[] } {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    if (url.includes('*')) return;
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

function registerErrors(app: FastifyInstance, methods: { allowed: (path: string) => string[] }): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] as string;
    const allowed = methods.allowed(path);
    if (allowed.length > 0 && !allowed.includes(request.method as HTTPMethods)) {
      reply.header('allow', allowed.join(', '));
      return sendProblem(
        reply,
        new AppError('method-not-allowed', `${request.method} is not possible here; ${allowed.join(', ')} are.`),
      );
    }
    return sendProblem(reply, new AppError('not-found', 'There is nothing at this address.'));
  });

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
      return new AppError('body-too-large', 'The request body is larger than 64 kB.', { cause: error });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new AppError('unsupported-media-type', 'Send the body as application/json.', { cause: error });
  }
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new AppError('bad-request', `body: ${error.message}.`, { cause: error });
  }
  return toAppError(error);
}
