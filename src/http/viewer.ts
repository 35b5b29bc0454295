import type { FastifyReply } from 'fastify';
import { AppError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';

/** A signal that aborts when the client goes away before the answer is sent, or its session ends. */
export function viewerSignal(reply: FastifyReply, session: Session): AbortSignal {
  const controller = new AbortController();
  const response = reply.raw;
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new AppError('internal', 'The client went away.'));
  });
  return AbortSignal.any([controller.signal, session.ended]);
}

/** The session, which counts as in use until the answer is sent. @throws AppError `session-not-found`. */
export function useSession(store: SessionStore, id: string, reply: FastifyReply): Session {
  const session = store.get(id);
  const use = session.use();
  reply.raw.once('close', () => use[Symbol.dispose]());
  return session;
}
