import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { TorrentService } from '../torrent/service.ts';
import type { Swarm } from '../torrent/swarm.ts';
import { Binary, ProblemAnswer } from './schemas.ts';
import { torrentStatus } from './torrent-info.ts';

/** A comment now and then, so that connections without a reader come to light. */
const HEARTBEAT_MS = 15_000;
/** Bytes that wait for a slow reader; beyond, what would come is left out: the next one tells as much. */
const MOST_WAITING = 256 * 1024;

/**
 * `GET /events` (server-sent events): `session` `{id, status, error?}` when a session begins, changes or ends; `torrent` `{infoHash, ...}` as
 * `/torrents/{infohash}/status` has it, at most once a second while something moves. First the state of everything there is.
 */
export function eventRoutes(sessions: SessionStore, torrents: TorrentService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/events',
      {
        exposeHeadRoute: false,
        config: { tier: 'control' },
        schema: {
          summary: 'What sessions and torrents do, as it happens (server-sent events)',
          response: {
            200: { description: 'Events.', content: { 'text/event-stream': { schema: Binary } } },
            default: ProblemAnswer,
          },
        },
      },
      async (_request, reply) => {
        const stream = new Readable({ read() {} });
        const send = (name: string, data: object): void => {
          if (stream.readableLength > MOST_WAITING || stream.destroyed) return;
          stream.push(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
        };
        const heartbeat = setInterval(() => stream.push(':\n\n'), HEARTBEAT_MS);
        const ofSession = (session: Session): void => send('session', sessionEvent(session));
        const ofTorrent = (swarm: Swarm): void => send('torrent', torrentEvent(swarm));
        const listening = [sessions.changes.add(ofSession), torrents.changes.add(ofTorrent)];
        reply.raw.once('close', () => {
          clearInterval(heartbeat);
          for (const one of listening) one[Symbol.dispose]();
          stream.destroy();
        });
        // The head goes out with the first bytes.
        stream.push(':\n\n');
        for (const session of sessions.list()) ofSession(session);
        for (const swarm of torrents.list()) ofTorrent(swarm);
        reply.header('cache-control', 'no-store').header('content-type', 'text/event-stream');
        return reply.send(stream);
      },
    );
  };
}

function sessionEvent({ id, status, error }: Session): object {
  return { id, status, ...(error ? { error: error.detail, errorCode: error.code } : {}) };
}

function torrentEvent(swarm: Swarm): object {
  return { infoHash: swarm.infoHash, ...torrentStatus(swarm.isClosed ? undefined : swarm.status(swarm.selected)) };
}
