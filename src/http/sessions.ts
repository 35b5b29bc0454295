import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { SourcePolicy } from '../source/policy.ts';
import { parseSource } from '../source/spec.ts';
import { LARGEST_TORRENT_FILE } from '../torrent/reference.ts';
import { takeAnyBody } from './any-body.ts';
import { jsonBody } from './json-body.ts';
import { BODY_PROBLEMS, MEDIA_PROBLEMS, problems } from './problem.ts';
import { CreateSession, SessionCreated, SessionInfo, SessionParams, TorrentUpload, UploadQuery } from './schemas.ts';
import { sessionInfo, streamUrl } from './session-info.ts';
import { openedSource, useSession, viewerSignal } from './viewer.ts';

/** How long the session info waits for the probe (contract). */
const INFO_WAIT_MS = 10_000;

/** How sessions are made. */
interface SessionOptions {
  readonly sources: SourcePolicy;
  /** For sessions that do not say. */
  readonly loudness: boolean;
}

/** A client that asks again and again how a torrent gets on shall not wait for it; one that asks once shall get what is almost there. */
const TORRENT_INFO_WAIT_MS = 500;

/** `/sessions`, `/sessions/{id}`, `/sessions/{id}/audio`, `/cleanup`. */
export function sessionRoutes(store: SessionStore, options: SessionOptions): FastifyPluginAsyncTypebox {
  return async (app) => {
    await app.register(creatingRoute(store, options));

    app.get(
      '/sessions',
      {
        config: { tier: 'control' },
        schema: { summary: 'List sessions', response: { 200: Type.Array(SessionInfo), default: problems() } },
      },
      async () => store.list().map((session) => sessionInfo(session, session.opened)),
    );

    app.get(
      '/sessions/:id',
      {
        config: { tier: 'media' },
        schema: {
          summary: 'Session info',
          params: SessionParams,
          response: { 200: SessionInfo, default: problems('session-not-found') },
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
        return sessionInfo(session, session.opened, request.caller.access === 'cast');
      },
    );

    const Index = Type.Object({ index: Type.Integer({ minimum: 0 }) });
    app.post(
      '/sessions/:id/audio',
      {
        config: { tier: 'control' },
        validatorCompiler: jsonBody,
        schema: {
          summary: 'Choose the default audio track',
          params: SessionParams,
          body: Index,
          response: {
            200: Type.Object({ audioIndex: Type.Integer() }),
            default: problems(...BODY_PROBLEMS, ...MEDIA_PROBLEMS),
          },
        },
      },
      async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const { index } = request.body;
        assertPlayable(await openedSource(session, reply), index);
        session.audioIndex = index;
        return { audioIndex: index };
      },
    );

    await app.register(endingRoutes(store));
  };
}

/** In a scope of its own, which takes .torrent files too. */
function creatingRoute(store: SessionStore, options: SessionOptions): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addContentTypeParser(
      'application/x-bittorrent',
      { parseAs: 'buffer', bodyLimit: LARGEST_TORRENT_FILE },
      (_request, body, done) => done(null, body),
    );
    app.post(
      '/sessions',
      {
        config: { tier: 'control' },
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
          response: {
            201: SessionCreated,
            default: problems(
              ...BODY_PROBLEMS,
              'source-not-allowed',
              'source-unsupported',
              'torrent-unsupported',
              'torrent-invalid',
            ),
          },
        },
      },
      async (request, reply) => {
        // Without a content type there is no schema that it could break.
        const body = request.body as CreateSession | Buffer | undefined;
        if (body === undefined) throw new AppError('bad-request', 'body: is missing.');
        const session = Buffer.isBuffer(body)
          ? createUploaded(store, options, request.caller, body, request.query)
          : create(store, options, request.caller, body);
        reply.code(201).header('location', `/sessions/${session.id}`);
        return { id: session.id, streamUrl: streamUrl(session), status: session.status };
      },
    );
  };
}

/** @throws AppError `bad-request` unless this audio track is there, and in the playlists. */
function assertPlayable({ info, renditions }: Presentation, index: number): void {
  const track = info.tracks.find((candidate) => candidate.type === 'audio' && candidate.index === index);
  if (!track) throw new AppError('bad-request', `body/index: the source has no audio track ${index}.`);
  if (renditions.some((rendition) => rendition.track === track)) return;
  const why = track.notCopied ?? 'it cannot be delivered';
  throw new AppError('bad-request', `body/index: audio track ${index} (${track.codec}) cannot be played: ${why}.`);
}

/** What ends sessions, in a scope of its own that takes any body. */
function endingRoutes(store: SessionStore): FastifyPluginAsyncTypebox {
  return async (app) => {
    takeAnyBody(app);
    app.delete(
      '/sessions/:id',
      {
        config: { tier: 'control' },
        schema: {
          summary: 'End a session',
          params: SessionParams,
          response: { 204: Type.Null(), default: problems('session-not-found', 'body-too-large') },
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
      config: { tier: 'beacon' },
      schema: {
        summary: 'End one session, or, without an id, those that are idle past the limit',
        description: 'The id may also be in the body, `{"id": …}`, whatever its content type says.',
        querystring: Type.Object({ id: Type.Optional(Type.String()) }),
        response: { 200: Answer, default: problems('session-not-found', 'body-too-large') },
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

function create(
  store: SessionStore,
  { sources, loudness }: SessionOptions,
  client: Parameters<SourcePolicy['accessOf']>[0],
  body: CreateSession,
): ReturnType<SessionStore['create']> {
  const source = body.source ?? body.uri;
  if (source === undefined) throw new AppError('bad-request', 'body/source: give the path or URL to play (or `uri`).');
  const spec = parseSource(source, body.kind ?? body.type);
  return store.create(
    {
      source,
      kind: spec.kind,
      startTime: body.startTime ?? 0,
      quality: body.quality ?? 'auto',
      loudness: body.loudness === undefined ? loudness : body.loudness === 'on',
      ...(body.fileIdx === undefined ? {} : { fileIdx: body.fileIdx }),
    },
    spec,
    sources.accessOf(client),
  );
}

/** The client has sent the .torrent file itself. */
function createUploaded(
  store: SessionStore,
  { sources, loudness }: SessionOptions,
  client: Parameters<SourcePolicy['accessOf']>[0],
  document: Buffer,
  query: UploadQuery,
): ReturnType<SessionStore['create']> {
  const { startTime = 0, quality = 'auto', fileIdx } = query;
  const spec = { kind: 'torrent', reference: '', document: Uint8Array.from(document) } as const;
  const source = 'upload.torrent';
  const chosen = fileIdx === undefined ? {} : { fileIdx };
  const request = { source, kind: spec.kind, startTime, quality, loudness, ...chosen };
  return store.create(request, spec, sources.accessOf(client));
}
