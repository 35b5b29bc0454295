import type { FastifyReply } from 'fastify';
import { AppError } from '../errors.ts';
import { withDeadline } from '../lib/abort.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';

/** A signal that aborts when the client goes away before the answer is sent. */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const response = reply.raw;
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new AppError('internal', 'The client went away.'));
  });
  return controller.signal;
}

/** The same, which aborts when the session ends, too. */
export function viewerSignal(reply: FastifyReply, session: Session): AbortSignal {
  return AbortSignal.any([clientSignal(reply), session.ended]);
}

/** The session, which counts as in use until the answer is sent. @throws AppError `session-not-found`. */
export function useSession(store: SessionStore, id: string, reply: FastifyReply): Session {
  const session = store.get(id);
  const use = session.use();
  reply.raw.once('close', () => use[Symbol.dispose]());
  return session;
}

/** The sessions that play a torrent count as in use until the answer is sent. */
export function useTorrent(store: SessionStore, infoHash: string, reply: FastifyReply): void {
  const uses = store.ofTorrent(infoHash).map((session) => session.use());
  reply.raw.once('close', () => {
    for (const use of uses) use[Symbol.dispose]();
  });
}

/** No answer takes longer than this, however long a torrent may take. */
const TORRENT_WAIT_MS = 18_000;

/**
 * Waits for what a torrent has to bring first; anything else has its own deadlines.
 * @throws AppError `torrent-not-ready`; what `work` throws.
 */
export async function inTorrentTime<T>(
  session: Session,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { torrent } = session;
  if (torrent === undefined) return work(signal);
  const late = (): Error => {
    const message = torrent.current?.status(session.request.fileIdx).message ?? 'The .torrent file is being read.';
    return new AppError('torrent-not-ready', `The torrent is not there yet: ${message}`);
  };
  return withDeadline(signal, TORRENT_WAIT_MS, late, work);
}

/** The opened source of a session, for an answer that needs it. @throws AppError. */
export function openedSource(session: Session, reply: FastifyReply): Promise<Presentation> {
  return inTorrentTime(session, viewerSignal(reply, session), (signal) => session.presentation(signal));
}
