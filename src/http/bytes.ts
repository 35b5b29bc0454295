import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { AppError, type ErrorCode } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { Source } from '../source/source.ts';
import { problems, SOURCE_PROBLEMS } from './problem.ts';
import { parseRange } from './range.ts';
import { FileAnswer, SessionParams } from './schemas.ts';
import { inTorrentTime, useSession, viewerSignal } from './viewer.ts';

const CHUNK = 1024 * 1024;
/**
 * Between chunks of what comes over a network, ms. Where peers, engine and reader want more than there are processors, a thread that always takes what it can get waits in
 * line for one, and whoever asks it anything waits with it; a thread that has slept is let in at once (decision 32).
 */
const REST_MS = 2;

const TYPES: Readonly<Record<string, string>> = {
  mkv: 'video/x-matroska',
  webm: 'video/webm',
  mp4: 'video/mp4',
  m4v: 'video/mp4',
  mov: 'video/quicktime',
  ts: 'video/mp2t',
  m2ts: 'video/mp2t',
  avi: 'video/x-msvideo',
  m4a: 'audio/mp4',
  mp3: 'audio/mpeg',
  flac: 'audio/flac',
  ogg: 'audio/ogg',
  opus: 'audio/ogg',
  wav: 'audio/wav',
  aac: 'audio/aac',
};

/** `/sessions/{id}/file`: the source's own bytes, with Range. */
export function byteRoutes(store: SessionStore): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.route({
      // HEAD by hand: the framework's own would set the length of an empty body.
      method: ['GET', 'HEAD'],
      exposeHeadRoute: false,
      url: '/sessions/:id/file',
      config: { tier: 'media' },
      schema: {
        summary: "The source's bytes, with Range (RFC 9110)",
        params: SessionParams,
        response: {
          200: FileAnswer,
          206: FileAnswer,
          304: Type.Null({ description: 'Not modified.' }),
          default: problems(...SOURCE_PROBLEMS, 'range-not-satisfiable', 'precondition-failed'),
        },
      },
      handler: async (request, reply) => {
        const session = useSession(store, request.params.id, reply);
        const signal = viewerSignal(reply, session);
        if (session.torrent === undefined) await assertMedia(session, signal);
        const source = await inTorrentTime(session, signal, (ended) => session.openBytes(ended));
        reply.raw.once('close', () => void session.closeBytes(source));
        return sendBytes(request, reply, source, signal);
      },
    });
  };
}

/** What is wrong with what is no media at all; what only cannot be played, or not now, can be sent all the same. */
const NO_MEDIA: ReadonlySet<ErrorCode> = new Set(['media-unrecognised', 'source-unsupported']);

/**
 * This is a server of films: with a session on it, any page that knows the address could read any other file. (What is in a torrent is no secret of this machine.)
 * @throws AppError why the source is no media; the signal's reason.
 */
async function assertMedia(session: Session, signal: AbortSignal): Promise<void> {
  try {
    await session.presentation(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AppError && NO_MEDIA.has(error.code)) throw error;
  }
}

/** Answers with the source's bytes, or the range of them that is asked for. The source stays the caller's. @throws AppError `range-not-satisfiable`. */
export function sendBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  source: Source,
  signal: AbortSignal,
): FastifyReply {
  const etag = `"${createHash('sha256').update(source.identity).digest('base64url').slice(0, 27)}"`;
  const extension = source.name.toLowerCase().split('.').at(-1) ?? '';
  reply.header('etag', etag).header('accept-ranges', 'bytes').header('cache-control', 'no-cache');
  reply.header('content-type', TYPES[extension] ?? 'application/octet-stream');
  const expected = request.headers['if-match'];
  if (expected !== undefined && !namesTag(expected, etag)) {
    throw new AppError('precondition-failed', 'header If-Match: the file has changed, or was never that one.');
  }
  if (request.headers['if-none-match']?.split(',').some((tag) => ['*', etag, `W/${etag}`].includes(tag.trim()))) {
    return reply.code(304).send();
  }
  const conditional = request.headers['if-range'];
  const useRange = conditional === undefined || conditional === etag;
  const range = useRange ? parseRange(request.headers.range, source.size) : undefined;
  if (range === 'unsatisfiable' || range === 'too-many') {
    reply.header('content-range', `bytes */${source.size}`);
    const why = range === 'too-many' ? 'One range at a time, please.' : `The file has ${source.size} bytes.`;
    throw new AppError('range-not-satisfiable', why);
  }
  const { first, last } = range ?? { first: 0, last: source.size - 1 };
  if (range) reply.code(206).header('content-range', `bytes ${first}-${last}/${source.size}`);
  reply.header('content-length', last - first + 1);
  if (request.method === 'HEAD') return reply.send();
  const lent = new Lent(source);
  const stream: Readable = Readable.from(chunks(source, first, last + 1, signal, lent), {
    objectMode: false,
    highWaterMark: CHUNK,
  });
  lent.unsent = () => stream.readableLength + reply.raw.writableLength;
  return reply.send(stream);
}

/**
 * What has been read and not left for the client yet: it is used again as soon as it has, since fresh memory costs more than the copying.
 *
 * Invariant: `#waiting` are the chunks that were given out, in order, and not taken back; `#left` is the sum of the lengths of the others.
 */
class Lent {
  /** Bytes that were given out and are still in somebody's queue here. */
  unsent: () => number = () => Number.POSITIVE_INFINITY;
  readonly #source: Source;
  readonly #waiting: Uint8Array[] = [];
  #given = 0;
  #left = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  give(chunk: Uint8Array): Uint8Array {
    this.#waiting.push(chunk);
    this.#given += chunk.length;
    return chunk;
  }

  takeBack(): void {
    const left = this.#given - this.unsent();
    for (let next = this.#waiting[0]; next !== undefined && this.#left + next.length <= left; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#left += next.length;
      this.#source.recycle(next);
    }
  }
}

/** RFC 9110, 13.1.1: any of the listed tags, compared strongly; `*` is any file. */
function namesTag(header: string, etag: string): boolean {
  return header.split(',').some((tag) => ['*', etag].includes(tag.trim()));
}

/** The bytes from `from` (inclusive) to `to` (exclusive), read as fast as they are taken. */
async function* chunks(
  source: Source,
  from: number,
  to: number,
  signal: AbortSignal,
  lent: Lent,
): AsyncGenerator<Uint8Array> {
  let rested = from;
  for (let position = from; position < to; ) {
    const end = Math.min(to, position + CHUNK, source.boundaryAfter?.(position) ?? to);
    const chunk = await source.read(position, end - position, signal);
    if (chunk.length === 0)
      throw new AppError('source-truncated', `${source.label} ended before its ${source.size} bytes.`);
    position += chunk.length;
    yield lent.give(chunk);
    lent.takeBack();
    if (source.latency !== 'remote' || position - rested < CHUNK) continue;
    rested = position;
    await sleep(REST_MS);
  }
}
