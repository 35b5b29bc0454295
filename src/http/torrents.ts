import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { TorrentService } from '../torrent/service.ts';
import { sendBytes } from './bytes.ts';
import { problems, TORRENT_PROBLEMS } from './problem.ts';
import { FileAnswer, TorrentStatus } from './schemas.ts';
import { torrentStatus } from './torrent-info.ts';
import { clientSignal } from './viewer.ts';

/** The bytes are waited for as long as it takes, but not for what says which bytes there are. */
const METADATA_WAIT_MS = 18_000;

/** `/torrents/{infohash}`, `/torrents/{infohash}/{fileIdx}`, `/torrents/{infohash}/status`. */
export function torrentRoutes(torrents: TorrentService): FastifyPluginAsyncTypebox {
  return async (app) => {
    const Hash = Type.Object({ infohash: Type.String() });
    app.get(
      '/torrents/:infohash/status',
      {
        config: { tier: 'control' },
        schema: {
          summary: 'How a torrent is getting on',
          params: Hash,
          response: { 200: TorrentStatus, default: problems() },
        },
      },
      async (request) => {
        const swarm = torrents.find(checkedHash(request.params.infohash));
        return torrentStatus(swarm?.status(swarm.selected));
      },
    );

    const answers = {
      200: FileAnswer,
      206: FileAnswer,
      304: Type.Null({ description: 'Not modified.' }),
      default: problems(...TORRENT_PROBLEMS, 'torrent-file-not-found', 'range-not-satisfiable', 'precondition-failed'),
    };
    app.route({
      method: ['GET', 'HEAD'],
      exposeHeadRoute: false,
      url: '/torrents/:infohash',
      config: { tier: 'control' },
      schema: { summary: "The selected file's bytes, with Range, while it downloads", params: Hash, response: answers },
      handler: async (request, reply) => send(torrents, request.params.infohash, undefined, request, reply),
    });
    app.route({
      method: ['GET', 'HEAD'],
      exposeHeadRoute: false,
      url: '/torrents/:infohash/:fileIdx',
      config: { tier: 'control' },
      schema: {
        summary: "A file's bytes, with Range, while it downloads",
        params: Type.Object({ infohash: Type.String(), fileIdx: Type.Integer({ minimum: 0 }) }),
        response: answers,
      },
      handler: async (request, reply) =>
        send(torrents, request.params.infohash, request.params.fileIdx, request, reply),
    });
  };
}

function checkedHash(text: string): string {
  if (/^[0-9a-f]{40}$/i.test(text)) return text.toLowerCase();
  throw new AppError('bad-request', 'params/infohash: must be 40 hexadecimal digits.');
}

async function send(
  torrents: TorrentService,
  hash: string,
  fileIdx: number | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const infoHash = checkedHash(hash);
  const swarm = torrents.find(infoHash);
  if (swarm === undefined) throw new AppError('torrent-not-found', `No session plays the torrent ${infoHash}.`);
  await using held = new AsyncDisposableStack();
  held.use(torrents.lease(infoHash));
  const signal = clientSignal(reply);
  const late = (): Error =>
    new AppError('torrent-not-ready', `The torrent is not there yet: ${swarm.status(undefined).message}`);
  const opening = { fileIdx: fileIdx ?? swarm.selected, wantsIndex: false, release: async () => {} };
  const source = await withDeadline(signal, METADATA_WAIT_MS, late, (ended) => swarm.open(opening, ended)).catch(
    (error: unknown) => {
      // Here it is the address that names the file.
      const isMissing = fileIdx !== undefined && error instanceof AppError && error.code === 'torrent-no-file';
      throw isMissing ? new AppError('torrent-file-not-found', error.detail, { cause: error }) : error;
    },
  );
  held.use(source);
  const owned = held.move();
  reply.raw.once('close', () => void owned.disposeAsync());
  return sendBytes(request, reply, source, signal);
}
