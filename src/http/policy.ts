import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** GET and HEAD of media under a session's id: readable by any web page that knows the id. */
    media?: boolean;
  }
}

const EXPOSED = 'X-Raffi-Slice-Start, Accept-Ranges, Content-Range, Content-Length';
const APP_SCHEMES = new Set(['app:', 'raffi:', 'tauri:', 'capacitor:']);

/**
 * Which web pages may use what: media under an unguessable session id is for every origin, control only for pages from this machine and for
 * applications. Requests without an Origin do not come from a foreign page's script.
 */
export function registerOriginPolicy(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers;
    const media = request.routeOptions.config.media === true;
    if (media) {
      reply.header('access-control-allow-origin', '*').header('access-control-expose-headers', EXPOSED);
      reply.header('cross-origin-resource-policy', 'cross-origin');
      return;
    }
    if (origin === undefined) return;
    if (!isAllowedOrigin(origin)) {
      throw new AppError(
        'origin-not-allowed',
        'Only pages from this machine and applications may control this server.',
      );
    }
    reply.header('access-control-allow-origin', origin).header('vary', 'Origin');
    reply.header('access-control-expose-headers', EXPOSED);
  });

  // `audio` beside the wildcard of media: it is control.
  for (const path of ['/*', '/sessions/:id/audio']) {
    app.options(path, { schema: { hide: true } }, async (_request, reply) => {
      reply.header('access-control-allow-methods', 'GET, HEAD, POST, DELETE, OPTIONS');
      reply.header('access-control-allow-headers', 'Content-Type, Authorization, Range');
      reply.header('access-control-max-age', '600');
      return reply.code(204).send();
    });
  }
  for (const path of ['/sessions/:id/*', '/stream/:id/*']) {
    app.options(path, { config: { media: true }, schema: { hide: true } }, async (_request, reply) => {
      reply.header('access-control-allow-methods', 'GET, HEAD, OPTIONS');
      reply.header('access-control-allow-headers', 'Range');
      return reply.code(204).send();
    });
  }
}

function isAllowedOrigin(origin: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, hostname } = new URL(origin);
  if (APP_SCHEMES.has(protocol)) return true;
  if (protocol !== 'http:' && protocol !== 'https:') return false;
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}
