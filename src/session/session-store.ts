import { randomBytes } from 'node:crypto';
import { AppError } from '../errors.ts';
import { Listeners } from '../lib/listeners.ts';
import type { PresentationStore } from '../presentation/presentation-store.ts';
import { openSource, sourceLabel } from '../source/open.ts';
import type { SourceAccess } from '../source/policy.ts';
import type { Source } from '../source/source.ts';
import type { SourceSpec } from '../source/spec.ts';
import type { TorrentClaim } from '../torrent/claim.ts';
import type { TorrentService } from '../torrent/service.ts';
import { Session, type SessionOpeners, type SessionRequest } from './session.ts';

export interface SessionStoreOptions {
  readonly presentations: PresentationStore;
  readonly torrents: TorrentService;
  /** A session without any request for this long ends. */
  readonly idleMs: number;
  /** Sessions at once. */
  readonly maxSessions: number;
  /** Called when a session ends, whatever ends it, before anything of it is closed. */
  readonly onEnded?: (id: string) => void;
}

/**
 * All sessions. It owns them and the timer that ends idle ones.
 *
 * Invariant: a session is in the map from its creation until its disposal begins, so nobody finds a closing one.
 */
export class SessionStore implements AsyncDisposable {
  /** Sessions that began, changed or ended. */
  readonly changes = new Listeners<Session>();
  readonly #sessions = new Map<string, Session>();
  readonly #closing = new Set<Promise<void>>();
  readonly #options: SessionStoreOptions;
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: SessionStoreOptions) {
    this.#options = options;
    const every = Math.min(60_000, Math.max(100, options.idleMs / 4));
    this.#sweeper = setInterval(() => void this.removeIdle(), every);
    this.#sweeper.unref();
  }

  /**
   * Answers at once; the source is opened behind it.
   * @param access what the client may open.
   * @throws AppError `source-not-allowed`, `server-full`; for what can't name a torrent.
   */
  create(request: SessionRequest, spec: SourceSpec, access: SourceAccess): Session {
    const { maxSessions, onEnded, torrents } = this.#options;
    access.admit(spec);
    if (this.#sessions.size >= maxSessions) {
      throw new AppError(
        'server-full',
        `There are ${maxSessions} sessions already, which is the most (RAFFI_MAX_SESSIONS).`,
      );
    }
    const id = randomBytes(16).toString('hex');
    const session =
      spec.kind === 'torrent'
        ? this.#torrentSession(id, request, torrents.open(spec, access), access)
        : new Session(id, request, this.#openers(id, request, spec, access));
    if (onEnded) session.ended.addEventListener('abort', () => onEnded(id), { once: true });
    this.#sessions.set(id, session);
    session.start();
    this.changes.tell(session);
    return session;
  }

  #openers(id: string, request: SessionRequest, spec: SourceSpec, access: SourceAccess): SessionOpeners {
    const { presentations } = this.#options;
    const source = (signal: AbortSignal): Promise<Source> => openSource(spec, { signal, access });
    const opening = { key: `${access.scope} ${request.kind} ${request.source}`, label: sourceLabel(spec), source };
    return {
      bytes: source,
      presentation: (signal, opened) => presentations.open({ ...opening, source: told(source, opened) }, signal),
      changed: () => this.#tell(id),
    };
  }

  #torrentSession(id: string, request: SessionRequest, claim: TorrentClaim, access: SourceAccess): Session {
    const { presentations } = this.#options;
    const { fileIdx } = request;
    const opening = {
      key: `${access.scope} torrent ${claim.infoHash ?? request.source} ${fileIdx ?? ''}`,
      label: 'The torrent',
      source: (signal: AbortSignal) => claim.open(fileIdx, true, signal),
      isPatient: true,
    };
    const openers: SessionOpeners = {
      bytes: (signal) => claim.open(fileIdx, false, signal),
      presentation: (signal, opened) =>
        presentations.open({ ...opening, source: told(opening.source, opened) }, signal),
      changed: () => this.#tell(id),
    };
    return new Session(id, request, openers, claim);
  }

  list(): Session[] {
    return [...this.#sessions.values()];
  }

  /** Those that play this torrent. */
  ofTorrent(infoHash: string): Session[] {
    return this.list().filter(({ torrent }) => torrent?.infoHash === infoHash);
  }

  /** @throws AppError `session-not-found`. */
  get(id: string): Session {
    const session = this.#sessions.get(id);
    if (session === undefined)
      throw new AppError('session-not-found', 'There is no session with this id; it may have ended.');
    return session;
  }

  /** Resolves when the session and all that only it needed is gone. @throws AppError `session-not-found`. */
  async remove(id: string): Promise<void> {
    await this.#end(this.get(id));
  }

  /** Ends the sessions that are idle past the limit; how many. */
  async removeIdle(): Promise<number> {
    const { idleMs } = this.#options;
    const idle = this.list().filter((session) => session.idleMs > idleMs);
    await Promise.all(idle.map((session) => this.#end(session)));
    return idle.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper);
    for (const session of this.list()) void this.#end(session);
    await Promise.all(this.#closing);
    await this.#options.presentations.settled();
  }

  #tell(id: string): void {
    const session = this.#sessions.get(id);
    if (session) this.changes.tell(session);
  }

  #end(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    const disposed = session[Symbol.asyncDispose]();
    this.changes.tell(session);
    const closed = disposed.finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
    return closed;
  }
}

/** Opens a source and says so. */
function told(
  open: (signal: AbortSignal) => Promise<Source>,
  opened: () => void,
): (signal: AbortSignal) => Promise<Source> {
  return async (signal) => {
    const source = await open(signal);
    opened();
    return source;
  };
}
