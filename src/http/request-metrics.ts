/** Counts requests, and logs them when somebody looks for a fault: how long the server made them wait, how they ended, and what went out. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Metrics } from '../metrics/metrics.ts';

/** Others are counted together: anybody can make one up. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS']);

/** Must come before what may refuse a request. */
export function registerRequestMetrics(app: FastifyInstance, metrics: Metrics): void {
  const heads = new WeakMap<FastifyRequest, number>();
  app.addHook('onRequest', async (request, reply) => {
    const { raw } = reply;
    const { socket } = request.raw;
    const written = socket.bytesWritten;
    raw.once('close', () => {
      const labels = {
        route: request.is404 ? 'none' : (request.routeOptions.url ?? 'none'),
        method: METHODS.has(request.method) ? request.method : 'other',
        status: raw.writableFinished ? String(raw.statusCode) : 'aborted',
      };
      const seconds = (heads.get(request) ?? reply.elapsedTime) / 1000;
      const bytes = Math.max(0, socket.bytesWritten - written);
      const id = (request.params as { id?: string } | null)?.id;
      const ms = Math.round(reply.elapsedTime);
      request.log.debug({ ...labels, ...(id === undefined ? {} : { id }), bytes, ms }, 'answered');
      metrics.record(({ requests, responseBytes }) => {
        requests.observe(labels, seconds);
        responseBytes.inc({ route: labels.route }, bytes);
      });
    });
  });
  app.addHook('onSend', async (request, reply, payload) => {
    heads.set(request, reply.elapsedTime);
    return payload;
  });
}
