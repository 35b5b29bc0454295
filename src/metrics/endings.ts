/** One line in the log for everything that has ended, with the id by which it was known; what began it is in it too. */
import type { ClipService } from '../clip/clip-service.ts';
import type { Listeners } from '../lib/listeners.ts';
import type { RunChange } from '../presentation/journal.ts';
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
  /** Tells of runs that begin and end. */
  readonly runs: Listeners<RunChange>;
  /** Milliseconds without a request after which a session ends by itself. */
  readonly idleMs: number;
  readonly log: Log;
}

/** Until the result is disposed of. */
export function logEndings({ sessions, clips, torrents, runs, idleMs, log }: Watched): Disposable {
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
    runs.add((change) => {
      const { run } = change;
      if (run.state !== 'ended') return;
      const fields = runFields(change, sessions.list());
      if (run.error) log.warn({ ...fields, code: run.error.code, err: run.error }, `run ended: ${run.error.detail}`);
      else log.info(fields, 'run ended');
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

function runFields({ run, journal }: RunChange, sessions: readonly Session[]): object {
  const { id, rendition, first, made, position, speed, retries, reason, createdAt, endedAt } = run;
  return {
    run: id,
    // Those of one source share it.
    sessions: sessions.filter(({ opened }) => opened?.journal === journal).map((session) => session.id),
    rendition,
    reason,
    first,
    made,
    position,
    ...(speed === undefined ? {} : { speed: Math.round(speed * 100) / 100 }),
    retries,
    ms: (endedAt ?? createdAt).getTime() - createdAt.getTime(),
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
