import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { CHECKS } from '../health/checks.ts';
import type { Health } from '../health/health.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { problems, sendProblem } from './problem.ts';
import { Problem } from './schemas.ts';

const Check = Type.Object({
  name: Type.Enum([...CHECKS]),
  state: Type.Enum(['ok', 'limited', 'failing'], {
    description: 'limited: the server works, but not all of it, or not for long.',
  }),
  detail: Type.String({ description: 'A sentence.' }),
});
const Checks = Type.Array(Check);

const Ready = Type.Object({ status: Type.Literal('ready'), checks: Checks });
const NotReady = Type.Object({ ...Problem.properties, checks: Type.Optional(Checks) });

/** `/health`, `/health/ready`, `/metrics`. */
export function healthRoutes(health: Health, metrics: Metrics): FastifyPluginAsyncTypebox {
  return async (app) => {
    const config = { tier: 'control' } as const;
    app.get(
      '/health',
      {
        config,
        schema: {
          summary: 'Liveness',
          response: { 200: Type.Object({ status: Type.Literal('ok') }), default: problems() },
        },
      },
      async () => ({ status: 'ok' as const }),
    );

    app.get(
      '/health/ready',
      {
        // Paths of this machine are in it.
        config: { ...config, trustedOnly: true },
        schema: {
          summary: 'Readiness: what the server needs of its machine, check by check',
          response: {
            200: Ready,
            503: {
              description: '`not-ready`: `checks` tells which fail. `server-full`, `server-closing`: as everywhere.',
              content: { 'application/problem+json': { schema: NotReady } },
            },
            default: problems(),
          },
        },
      },
      async (_request, reply) => {
        const checks = [...(await health.check())];
        reply.header('cache-control', 'no-store');
        const failing = checks.filter(({ state }) => state === 'failing');
        if (failing.length === 0) return { status: 'ready' as const, checks };
        const error = new AppError('not-ready', failing.map(({ detail }) => detail).join(' '));
        reply.header('retry-after', '10');
        return sendProblem(reply, error, { checks });
      },
    );

    app.get(
      '/metrics',
      {
        config,
        schema: {
          summary: 'Metrics, in the text format of Prometheus',
          response: {
            200: {
              description: 'docs/operations.md explains each.',
              content: { 'text/plain': { schema: Type.String() } },
            },
            default: problems(),
          },
        },
      },
      async (_request, reply) => {
        const { body, contentType } = await metrics.text();
        return reply.header('content-type', contentType).header('cache-control', 'no-store').send(body);
      },
    );
  };
}
