/** One line in the log for everything that has ended, with the id by which it was known; what began it is in it too. */
import type { ClipService } from '../clip/clip-service.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { TorrentService } from '../torrent/service.ts';
import type { Swarm } from '../torrent/swarm.ts';

interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface Watched {
  readonly sessions: SessionStore;
  readonly clips: ClipService;
  readonly torrents: TorrentService;
  /** Milliseconds without a request after which a session ends by itself. */
  readonly idleMs: number;
  readonly log: Log;
}

/** Until the result is disposed of. */
export function logEndings({ sessions, clips, torrents, idleMs, log }: Watched): Disposable {
  const listening = new DisposableStack();
  listening.use(
    sessions.changes.add((session) => {
      if (session.status === 'closed') log.info(sessionFields(session, idleMs), 'session ended');
    }),
  );
  listening.use(
    clips.subscribe(({ id, sessionId, state, method, start, end, createdAt, endedAt, error }) => {
      if (endedAt === undefined) return;
      const fields = {
        clip: id,
        session: sessionId,
        state,
        method,
        start,
        end,
        ms: endedAt.getTime() - createdAt.getTime(),
      };
      if (state === 'failed') log.warn({ ...fields, code: error?.code, err: error }, `clip failed: ${error?.detail}`);
      else log.info(fields, `clip ${state}`);
    }),
  );
  listening.use(
    torrents.changes.add((swarm) => {
      if (swarm.isClosed) log.info(torrentFields(swarm), 'torrent ended');
    }),
  );
  return listening;
}

function sessionFields(session: Session, idleMs: number): object {
  const { id, request, createdAt, error, torrent } = session;
  return {
    session: id,
    kind: request.kind,
    // As the client wrote it; the log's own fence takes its secrets away.
    source: torrent?.infoHash ?? request.source,
    ms: Date.now() - createdAt.getTime(),
    expired: session.idleMs > idleMs,
    ...(error ? { code: error.code, reason: error.detail } : {}),
  };
}

function torrentFields({ infoHash, stats }: Swarm): object {
  return {
    torrent: infoHash,
    received: stats?.downloadedBytes ?? 0,
    wasted: stats?.wastedBytes ?? 0,
    sent: stats?.uploadedBytes ?? 0,
    badPieces: stats?.badPieces ?? 0,
  };
}
