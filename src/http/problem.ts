import type { FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import type { AppError, ErrorCode } from '../errors.ts';
import { type Problem, ProblemAnswer } from './schemas.ts';

/**
 * What clients see of each error (RFC 9457). Failures of a source or of its media are the server's answer about something behind it, hence
 * 5xx: the request itself was well-formed.
 */
export const PROBLEMS = {
  'bad-request': { status: 400, title: 'The request is not valid' },
  'not-found': { status: 404, title: 'There is nothing at this address' },
  'method-not-allowed': { status: 405, title: 'This address does not know this method' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'body-too-large': { status: 413, title: 'The request body is too large' },
  'unsupported-media-type': { status: 415, title: 'The request body has an unsupported type' },
  'headers-too-large': { status: 431, title: 'The address or the headers are too long' },
  'origin-not-allowed': { status: 403, title: 'This web page may not control the server' },
  misdirected: { status: 421, title: 'This is not the server that was asked for' },
  unauthorized: { status: 401, title: 'This needs a cast token or the API key' },
  forbidden: { status: 403, title: 'This is not for this client' },
  'precondition-failed': { status: 412, title: 'The file is not the one that was expected' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'server-full': { status: 503, title: 'The server has as much to do as it takes on' },
  'session-not-found': { status: 404, title: 'No such session' },
  'variant-not-found': { status: 404, title: 'No such variant' },
  'segment-not-found': { status: 404, title: 'No such segment' },
  'subtitle-not-found': { status: 404, title: 'No such subtitle track' },
  'clip-not-found': { status: 404, title: 'No such clip' },
  'clip-cancelled': { status: 409, title: 'The clip was cancelled' },
  'range-not-satisfiable': { status: 416, title: 'The range lies outside the file' },
  'source-not-allowed': { status: 403, title: 'This source may not be opened' },
  'source-unsupported': { status: 501, title: 'This kind of source is not supported' },
  'source-not-found': { status: 502, title: 'The source does not exist' },
  'source-not-regular': { status: 502, title: 'The source is not a regular file' },
  'source-empty': { status: 502, title: 'The source is empty' },
  'source-forbidden': { status: 502, title: 'The source may not be read' },
  'source-unreachable': { status: 502, title: 'The source cannot be reached' },
  'source-http-status': { status: 502, title: "The source's server refused" },
  'source-no-range': { status: 502, title: "The source's server cannot send parts of the file" },
  'source-changed': { status: 502, title: 'The source changed while it was being read' },
  'source-truncated': { status: 502, title: 'The source is shorter than it said' },
  'source-stalled': { status: 504, title: 'The source stopped sending' },
  'source-live': { status: 501, title: 'The source is a live stream' },
  'playlist-damaged': { status: 502, title: 'The playlist, or what it names, is damaged' },
  'torrent-not-found': { status: 404, title: 'No such torrent' },
  'torrent-file-not-found': { status: 404, title: 'No such file in the torrent' },
  'torrent-invalid': { status: 502, title: 'The torrent is not valid' },
  'torrent-unsupported': { status: 501, title: 'This kind of torrent is not supported' },
  'torrent-no-metadata': { status: 504, title: 'Nobody has told what is in the torrent' },
  'torrent-no-file': { status: 502, title: 'The torrent has no such file' },
  'torrent-not-ready': { status: 503, title: 'The torrent is not there yet' },
  'torrent-disk-full': { status: 507, title: 'There is no room for the torrent' },
  'torrent-failed': { status: 500, title: 'The torrent failed' },
  'media-unrecognised': { status: 502, title: 'The source is not a known video or audio file' },
  'media-damaged': { status: 502, title: 'The media file is damaged' },
  'media-not-playable': { status: 501, title: 'Nothing in the file can be played without re-encoding' },
  'probe-timeout': { status: 504, title: 'The source took too long to open' },
  'segment-timeout': { status: 504, title: 'The segment took too long to make' },
  'transcode-failed': { status: 502, title: 'The media could not be transcoded' },
  'burn-in-unavailable': { status: 501, title: 'These subtitles cannot be burnt in' },
  'ffmpeg-missing': { status: 501, title: 'FFmpeg is needed and not installed' },
  'addons-unavailable': { status: 502, title: 'There are no add-ons to list' },
  'clips-unwritable': { status: 500, title: 'The clips directory cannot be written' },
  'disk-full': { status: 507, title: 'The disk is full' },
  'not-ready': { status: 503, title: 'The server lacks something that it needs' },
  'server-busy': { status: 503, title: 'The server has too much to do' },
  'server-closing': { status: 503, title: 'The server is shutting down' },
  internal: { status: 500, title: 'Internal error' },
} as const satisfies Record<ErrorCode, { readonly status: number; readonly title: string }>;

/** What every route may answer with: the gate, the connection, and what nobody foresaw. */
const ANYWHERE = [
  'bad-request',
  'unauthorized',
  'forbidden',
  'origin-not-allowed',
  'request-timeout',
  'misdirected',
  'too-many-requests',
  'headers-too-large',
  'server-full',
  'server-closing',
  'internal',
] as const satisfies readonly ErrorCode[];

/** A body can be wrong in more ways than an address. */
export const BODY_PROBLEMS = ['body-too-large', 'unsupported-media-type'] as const satisfies readonly ErrorCode[];

/** Why there are no bytes of a torrent. */
export const TORRENT_PROBLEMS = [
  'torrent-not-found',
  'torrent-invalid',
  'torrent-unsupported',
  'torrent-no-metadata',
  'torrent-no-file',
  'torrent-not-ready',
  'torrent-disk-full',
  'torrent-failed',
] as const satisfies readonly ErrorCode[];

/** Why a source is not open. */
export const SOURCE_PROBLEMS = [
  'session-not-found',
  'source-not-allowed',
  'source-unsupported',
  'source-not-found',
  'source-not-regular',
  'source-empty',
  'source-forbidden',
  'source-unreachable',
  'source-http-status',
  'source-no-range',
  'source-changed',
  'source-truncated',
  'source-stalled',
  ...TORRENT_PROBLEMS,
] as const satisfies readonly ErrorCode[];

/** Why there is no presentation of a source. */
export const MEDIA_PROBLEMS = [
  ...SOURCE_PROBLEMS,
  'source-live',
  'playlist-damaged',
  'media-unrecognised',
  'media-damaged',
  'media-not-playable',
  'ffmpeg-missing',
  'probe-timeout',
] as const satisfies readonly ErrorCode[];

/** The answers of a route that are no success. */
interface ProblemAnswers {
  readonly description: string;
  readonly content: typeof ProblemAnswer.content;
  /** Which they are. */
  readonly problems: readonly ErrorCode[];
}

/**
 * For the schema of a route, as its `default` answer: one serializer for all statuses, which `describeProblems` tells apart.
 * @param codes which the route has besides those that any has.
 */
export function problems(...codes: readonly ErrorCode[]): ProblemAnswers {
  return { ...ProblemAnswer, problems: [...new Set([...ANYWHERE, ...codes])] };
}

/** The answers of a schema as clients are told of them: each status of its problems by itself. */
export function describeProblems(answers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { default: others, ...successes } = answers;
  if (!isProblems(others)) return answers;
  const { problems: codes, content } = others;
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status as number);
  const described = [...byStatus].map(([status, which]) => {
    const description = which.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' ');
    return [status, { description, content }] as const;
  });
  // What a route says itself goes before.
  return { ...Object.fromEntries(described), ...successes };
}

function isProblems(answer: unknown): answer is ProblemAnswers {
  return typeof answer === 'object' && answer !== null && 'problems' in answer;
}

/** The members of RFC 9457 for an error. @param detail what is told instead of the error's own words. */
export function problemBody({ code, detail: own }: AppError, detail = own): Static<typeof Problem> {
  const { status, title } = PROBLEMS[code];
  return { type: `urn:raffi:error:${code}`, title, status, detail, code };
}

/** What guests are told of an error: the domain's own words name paths and addresses. */
export function guestDetail(code: ErrorCode): string {
  return `${PROBLEMS[code].title}.`;
}

/** Whether the client holds a cast token and nothing else. */
function isGuest({ request }: FastifyReply): boolean {
  return (request as { readonly caller?: { readonly access: string } }).caller?.access === 'cast';
}

/**
 * Sends an error as `application/problem+json`.
 * @param more members beside those of RFC 9457.
 */
export function sendProblem(reply: FastifyReply, error: AppError, more: object = {}): FastifyReply {
  const { status } = PROBLEMS[error.code];
  if ((status === 503 || status === 429) && !reply.hasHeader('retry-after')) reply.header('retry-after', '3');
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .header('cache-control', 'no-store')
    .serializer((body: unknown) => JSON.stringify(body))
    .send({ ...problemBody(error, isGuest(reply) ? guestDetail(error.code) : error.detail), ...more });
}
