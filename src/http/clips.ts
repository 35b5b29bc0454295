import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import type { ClipInfo } from '../clip/clip-job.ts';
import type { ClipService } from '../clip/clip-service.ts';
import { AppError } from '../errors.ts';
import type { SessionStore } from '../session/session-store.ts';
import { takeAnyBody } from './any-body.ts';
import { jsonBody } from './json-body.ts';
import { BODY_PROBLEMS, MEDIA_PROBLEMS, problems } from './problem.ts';
import { Clip, ClipMade, ClipParams, CreateClip, CreateClipQuery, SessionParams } from './schemas.ts';
import { useSession, viewerSignal } from './viewer.ts';

/** `/sessions/{id}/clip`, `/clips`, `/clips/{id}`. */
export function clipRoutes(sessions: SessionStore, clips: ClipService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/sessions/:id/clip',
      {
        config: { tier: 'control' },
        validatorCompiler: jsonBody,
        schema: {
          summary: 'Make a clip',
          description:
            'Answers when the clip is done; a client that goes away before cancels it. With `async=1` it answers at once, and the clip goes on by itself.',
          params: SessionParams,
          querystring: CreateClipQuery,
          body: CreateClip,
          response: {
            200: ClipMade,
            202: Clip,
            default: problems(
              ...BODY_PROBLEMS,
              ...MEDIA_PROBLEMS,
              'clip-cancelled',
              'clips-unwritable',
              'disk-full',
              'transcode-failed',
              'server-busy',
            ),
          },
        },
      },
      async (request, reply) => {
        const session = useSession(sessions, request.params.id, reply);
        const signal = viewerSignal(reply, session);
        const job = await clips.create(session, request.body, signal);
        if (isYes(request.query.async)) {
          reply.code(202).header('location', `/clips/${job.id}`);
          return clipAnswer(job.info);
        }
        const cancel = (): void => void job.cancel(new AppError('clip-cancelled', 'Who asked for the clip went away.'));
        signal.addEventListener('abort', cancel, { once: true });
        try {
          const { outputPath } = await job.finished(session.ended);
          return { outputPath: outputPath as string };
        } finally {
          signal.removeEventListener('abort', cancel);
        }
      },
    );

    app.get(
      '/clips',
      {
        config: { tier: 'control' },
        schema: { summary: 'List clips', response: { 200: Type.Array(Clip), default: problems() } },
      },
      async () => clips.list().map(clipAnswer),
    );

    app.get(
      '/clips/:id',
      {
        config: { tier: 'control' },
        schema: { summary: 'A clip', params: ClipParams, response: { 200: Clip, default: problems('clip-not-found') } },
      },
      async (request) => clipAnswer(clips.get(request.params.id)),
    );

    await app.register(removingRoute(clips));
  };
}

/** In a scope of its own that takes any body. */
function removingRoute(clips: ClipService): FastifyPluginAsyncTypebox {
  return async (app) => {
    takeAnyBody(app);
    app.delete(
      '/clips/:id',
      {
        config: { tier: 'control' },
        schema: {
          summary: 'Cancel a clip, or take one that has ended off the list',
          description: 'A file that is whole stays where it is.',
          params: ClipParams,
          response: { 204: Type.Null(), default: problems('clip-not-found', 'body-too-large') },
        },
      },
      async (request, reply) => {
        await clips.remove(request.params.id);
        return reply.code(204).send(null);
      },
    );
  };
}

function isYes(value: string | undefined): boolean {
  return value !== undefined && value !== '0' && value !== 'false';
}

/** A clip as clients see it. */
export function clipAnswer(info: ClipInfo): Static<typeof Clip> {
  const { createdAt, endedAt, error, ...rest } = info;
  return {
    ...rest,
    createdAt: createdAt.toISOString(),
    ...(endedAt && { endedAt: endedAt.toISOString() }),
    ...(error && { error: error.detail, errorCode: error.code }),
  };
}
