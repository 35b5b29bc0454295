import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { Lease } from '../lib/shared.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { TorrentService } from '../torrent/service.ts';
import type { Swarm } from '../torrent/swarm.ts';
import { sendBytes } from './bytes.ts';
import { problems, TORRENT_PROBLEMS } from './problem.ts';
import { FileAnswer, TorrentStatus } from './schemas.ts';
import { torrentStatus } from './torrent-info.ts';
import { clientSignal, useTorrent } from './viewer.ts';

/** The bytes are waited for as long as it takes, but not for what says which bytes there are. */
const METADATA_WAIT_MS = 18_000;

/** `/torrents/{infohash}`, `/torrents/{infohash}/{fileIdx}`, `/torrents/{infohash}/status`. */
export function torrentRoutes(torrents: TorrentService, store: SessionStore): FastifyPluginAsyncTypebox {
  /** The torrent that is asked for. Its sessions are in use until the answer is sent. @throws AppError `bad-request`, `torrent-not-found`. */
  const used = ({ params }: { params: { infohash: string } }, reply: FastifyReply): Used => {
    const infoHash = checkedHash(params.infohash);
    const swarm = torrents.find(infoHash);
    if (swarm === undefined) throw new AppError('torrent-not-found', `No session plays the torrent ${infoHash}.`);
    useTorrent(store, infoHash, reply);
    return { swarm, lease: torrents.lease(infoHash) };
  };
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
      async (request, reply) => {
        const infoHash = checkedHash(request.params.infohash);
        useTorrent(store, infoHash, reply);
        const swarm = torrents.find(infoHash);
        return torrentStatus(swarm?.status(swarm.audience.selected));
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
      handler: async (request, reply) => send(used(request, reply), undefined, request, reply),
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
      handler: async (request, reply) => send(used(request, reply), request.params.fileIdx, request, reply),
    });
  };
}

interface Used {
  readonly swarm: Swarm;
  readonly lease: Lease<Swarm>;
}

function checkedHash(text: string): string {
  if (/^[0-9a-f]{40}$/i.test(text)) return text.toLowerCase();
  throw new AppError('bad-request', 'params/infohash: must be 40 hexadecimal digits.');
}

async function send(
  { swarm, lease }: Used,
  fileIdx: number | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  await using held = new AsyncDisposableStack();
  held.use(lease);
  const signal = clientSignal(reply);
  const late = (): Error =>
    new AppError('torrent-not-ready', `The torrent is not there yet: ${swarm.status(undefined).message}`);
  const opening = { fileIdx: fileIdx ?? swarm.audience.selected, wantsIndex: false, release: async () => {} };
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
