import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { AddonCatalogue } from '../catalogue/catalogue.ts';
import { problems } from './problem.ts';
import { clientSignal } from './viewer.ts';

const Addon = Type.Object(
  {
    transportUrl: Type.String({ description: 'http or https.' }),
    manifest: Type.Object({ id: Type.String(), name: Type.String() }, { additionalProperties: true }),
    name: Type.String(),
    url: Type.String(),
    description: Type.String({ description: 'Empty when it has none.' }),
  },
  {
    additionalProperties: true,
    description: 'A Stremio add-on descriptor, with all the fields that its catalogue gives it.',
  },
);

/** How long clients may keep it (contract). */
const CACHE_CONTROL = 'public, max-age=1800';

/** `/community-addons`. */
export function communityAddonRoutes(catalogue: AddonCatalogue): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/community-addons',
      {
        config: { tier: 'control' },
        schema: {
          summary: "The community's Stremio add-ons, merged from the catalogues",
          response: {
            200: {
              description: 'One of each transport URL and manifest id.',
              content: { 'application/json': { schema: Type.Unsafe<Buffer>(Type.Array(Addon)) } },
            },
            304: Type.Null({ description: 'Not modified.' }),
            default: problems('addons-unavailable'),
          },
        },
      },
      async (request, reply) => {
        const { body, etag } = await catalogue.list(clientSignal(reply));
        reply.header('cache-control', CACHE_CONTROL).header('etag', etag);
        const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
        if (known.includes(etag) || known.includes('*')) return reply.code(304).send(null);
        return reply.header('content-type', 'application/json; charset=utf-8').send(body);
      },
    );
  };
}
