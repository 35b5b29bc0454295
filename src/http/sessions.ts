import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { SessionStore } from '../session/session-store.ts';
import { parseSource } from '../source/spec.ts';
import { LARGEST_TORRENT_FILE } from '../torrent/reference.ts';
import { jsonBody } from './json-body.ts';
import {
  CreateSession,
  ProblemAnswer,
  SessionCreated,
  SessionInfo,
  SessionParams,
  TorrentUpload,
  UploadQuery,
} from './schemas.ts';
import { sessionInfo, streamUrl } from './session-info.ts';
import { openedSource, useSession, viewerSignal } from './viewer.ts';

/** How long the session info waits for the probe (contract). */
const INFO_WAIT_MS = 10_000;

/** A client that asks again and again how a torrent gets on shall not wait for it; one that asks once shall get what is almost there. */
const TORRENT_INFO_WAIT_MS = 500;

/** `/sessions`, `/sessions/{id}`, `/sessions/{id}/audio`, `/cleanup`. */
export function sessionRoutes(store: SessionStore): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addContentTypeParser(
      'application/x-bittorrent',
      { parseAs: 'buffer', bodyLimit: LARGEST_TORRENT_FILE },
      (_request, body, done) => done(null, body),
    );
    app.post(
      '/sessions',
      {
        validatorCompiler: jsonBody,
        schema: {
          summary: 'Create a session',
          description:
            'A body of application/x-bittorrent is a .torrent file; the other fields are then query parameters.',
          querystring: UploadQuery,
          body: {
            content: {
              'application/json': { schema: CreateSession },
              'application/x-bittorrent': { schema: TorrentUpload },
            },
          },
          response: { 201: SessionCreated, default: ProblemAnswer },
        },
      },
      async (request, reply) => {
        const body = request.body as CreateSession | Buffer;
        const session = Buffer.isBuffer(body) ? createUploaded(store, body, request.query) : create(store, body);
        reply.code(201).header('location', `/sessions/${session.id}`);
        return { id: session.id, streamUrl: streamUrl(session), status: session.status };
      },
    );

    app.get(
      '/sessions',
      { schema: { summary: 'List sessions', response: { 200: Type.Array(SessionInfo), default: ProblemAnswer } } },
      async () => store.list().map((session) => sessionInfo(session, session.opened)),
    );

    app.get(
      '/sessions/:id',
      {
        config: { media: true },
        schema: {
          summary: 'Session info',
          params: SessionParams,
          response: { 200: SessionInfo, default: ProblemAnswer },
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const late = (): Error => new Error('not probed yet');
        const patience = session.torrent ? TORRENT_INFO_WAIT_MS : INFO_WAIT_MS;
        const wait = withDeadline(viewerSignal(reply, session), patience, late, (signal) =>
          session.presentation(signal),
        );
        const answered = wait.catch(() => undefined);
        // A failed or slow probe never fails this call: it answers without the media fields. What comes of a torrent is told as it comes.
        if (session.torrent === undefined || session.torrent.current?.content) await answered;
        return sessionInfo(session, session.opened);
      },
    );

    const Index = Type.Object({ index: Type.Integer({ minimum: 0 }) });
    app.post(
      '/sessions/:id/audio',
      {
        validatorCompiler: jsonBody,
        schema: {
          summary: 'Choose the default audio track',
          params: SessionParams,
          body: Index,
          response: { 200: Type.Object({ audioIndex: Type.Integer() }), default: ProblemAnswer },
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const { index } = request.body;
        const { info } = await openedSource(session, reply);
        if (!info.tracks.some((track) => track.type === 'audio' && track.index === index)) {
          throw new AppError('bad-request', `body/index: the source has no audio track ${index}.`);
        }
        session.audioIndex = index;
        return { audioIndex: index };
      },
    );

    await app.register(endingRoutes(store));
  };
}

/**
 * What ends sessions, in a scope of its own that takes any body: `sendBeacon` chooses the content type, and many clients name one on a DELETE
 * without a body.
 */
function endingRoutes(store: SessionStore): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 64 * 1024 }, (_request, body, done) =>
      done(null, body),
    );
    // A content type that is empty or no media type would be refused before any parser is asked.
    app.addHook('onRequest', async ({ headers }) => {
      if (headers['content-type'] !== undefined) headers['content-type'] = 'application/octet-stream';
    });
    app.delete(
      '/sessions/:id',
      {
        schema: {
          summary: 'End a session',
          params: SessionParams,
          response: { 204: Type.Null(), default: ProblemAnswer },
        },
      },
      async (request, reply) => {
        await store.remove(request.params.id);
        return reply.code(204).send(null);
      },
    );
    const Answer = Type.Object({ removed: Type.Integer() });
    app.route({
      method: ['POST', 'DELETE'],
      url: '/cleanup',
      schema: {
        summary: 'End one session, or, without an id, those that are idle past the limit',
        description: 'The id may also be in the body, `{"id": …}`, whatever its content type says.',
        querystring: Type.Object({ id: Type.Optional(Type.String()) }),
        response: { 200: Answer, default: ProblemAnswer },
      },
      handler: async (request) => {
        const id = request.query.id ?? idInBody(request.body);
        if (id === undefined) return { removed: await store.removeIdle() };
        await store.remove(id);
        return { removed: 1 };
      },
    });
  };
}

/** The `id` in a JSON body; in that of a form too, which is what `sendBeacon` makes of URLSearchParams. */
function idInBody(body: unknown): string | undefined {
  if (typeof body !== 'string' || body.trim() === '') return undefined;
  const id = new URLSearchParams(body).get('id') ?? idInJson(body);
  if (id === undefined || typeof id === 'string') return id;
  throw new AppError('bad-request', 'body/id: must be string.');
}

function idInJson(body: string): unknown {
  try {
    const json: unknown = JSON.parse(body.replace(/^\ufeff/, ''));
    return (json as { id?: unknown } | null)?.id ?? undefined;
  } catch {
    throw new AppError('bad-request', 'body: is not JSON; give {"id": "..."}, or ?id= in the address.');
  }
}

function create(store: SessionStore, body: CreateSession): ReturnType<SessionStore['create']> {
  const source = body.source ?? body.uri;
  if (source === undefined) throw new AppError('bad-request', 'body/source: give the path or URL to play (or `uri`).');
  const spec = parseSource(source, body.kind ?? body.type);
  return store.create(
    {
      source,
      kind: spec.kind,
      startTime: body.startTime ?? 0,
      quality: body.quality ?? 'auto',
      ...(body.fileIdx === undefined ? {} : { fileIdx: body.fileIdx }),
    },
    spec,
  );
}

/** The client has sent the .torrent file itself. */
function createUploaded(store: SessionStore, document: Buffer, query: UploadQuery): ReturnType<SessionStore['create']> {
  const { startTime = 0, quality = 'auto', fileIdx } = query;
  const spec = { kind: 'torrent', reference: '', document: Uint8Array.from(document) } as const;
  const source = 'upload.torrent';
  const request = { source, kind: spec.kind, startTime, quality, ...(fileIdx === undefined ? {} : { fileIdx }) };
  return store.create(request, spec);
}
