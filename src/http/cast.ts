import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { CastTokens } from '../cast/tokens.ts';
import type { SessionStore } from '../session/session-store.ts';
import { jsonBody } from './json-body.ts';
import { BODY_PROBLEMS, problems } from './problem.ts';
import { streamUrl } from './session-info.ts';

/** Seconds that a token is good for. */
const TTL = { shortest: 30, longest: 3_600, usual: 900 };

const CastRequest = Type.Object({
  sessionId: Type.String(),
  duration: Type.Optional(
    Type.Number({
      description: 'Seconds, 30 to 3600: what is less or more counts as that. 900 when absent, 0 or less.',
    }),
  ),
  ttlSeconds: Type.Optional(Type.Number({ description: 'The same as `duration`, in the other dialect.' })),
});

const CastAnswer = Type.Object({
  token: Type.String(),
  expiresAt: Type.String({ format: 'date-time' }),
  streamUrl: Type.String({ description: 'Absolute, with the token.' }),
  warning: Type.Optional(Type.String({ description: 'Why other devices will not reach it.' })),
});

export interface CastOptions {
  readonly sessions: SessionStore;
  readonly tokens: CastTokens;
  /** `http://HOST:PORT` as other devices reach it. */
  readonly origin: () => Promise<{ readonly url: string; readonly warning?: string }>;
}

/** `/cast/token`. */
export function castRoutes({ sessions, tokens, origin }: CastOptions): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/cast/token',
      {
        config: { tier: 'control', trustedOnly: true },
        validatorCompiler: jsonBody,
        schema: {
          summary: 'A token with which another device may play one session',
          body: CastRequest,
          response: { 200: CastAnswer, default: problems(...BODY_PROBLEMS, 'session-not-found') },
        },
      },
      async ({ body }) => {
        const session = sessions.get(body.sessionId.trim());
        const asked = body.duration ?? body.ttlSeconds ?? 0;
        const seconds = asked > 0 ? Math.min(Math.max(asked, TTL.shortest), TTL.longest) : TTL.usual;
        const { url, warning } = await origin();
        // Only now: the session may have ended while the address was looked for.
        const { token, expiresAt } = tokens.issue(sessions.get(session.id).id, seconds * 1000);
        return {
          token,
          expiresAt: expiresAt.toISOString(),
          streamUrl: `${url}${streamUrl(session)}?cast_token=${token}`,
          ...(warning === undefined ? {} : { warning }),
        };
      },
    );
  };
}
