/**
 * Makes events of what sessions, runs, torrents and clips do.
 *
 * Invariant: `#told` has what was told last of everything that has not ended; an event that would say the same again is not made.
 */
import type { ClipInfo } from '../clip/clip-job.ts';
import type { ClipService } from '../clip/clip-service.ts';
import type { Listeners } from '../lib/listeners.ts';
import type { RunChange } from '../presentation/journal.ts';
import type { Session } from '../session/session.ts';
import type { SessionStore } from '../session/session-store.ts';
import type { TorrentService } from '../torrent/service.ts';
import type { Swarm } from '../torrent/swarm.ts';
import { clipAnswer } from './clips.ts';
import { EventLog, frame } from './event-log.ts';
import type { RunEvent, SessionEvent, TorrentEvent } from './event-schemas.ts';
import { torrentStatus } from './torrent-info.ts';

export interface EventSources {
  readonly sessions: SessionStore;
  readonly torrents: TorrentService;
  readonly clips: ClipService;
  readonly runs: Listeners<RunChange>;
}

export class EventFeed implements Disposable {
  readonly log = new EventLog();
  readonly #sources: EventSources;
  readonly #listening = new DisposableStack();
  readonly #told = new Map<string, { readonly state: string; readonly text: string }>();
  /** Those that have begun, with the sessions that they work for: when they end with their presentation, no session is on it any more. */
  readonly #runs = new Map<number, { readonly change: RunChange; readonly sessions: readonly string[] }>();

  constructor(sources: EventSources) {
    const { sessions, torrents, clips, runs } = sources;
    this.#sources = sources;
    this.#listening.use(sessions.changes.add((session) => this.#onSession(session)));
    this.#listening.use(torrents.changes.add((swarm) => this.#onTorrent(swarm)));
    this.#listening.use(runs.add((change) => this.#onRun(change)));
    this.#listening.use(clips.subscribe((clip) => this.#onClip(clip)));
  }

  /** The state of everything there is, as it goes over the line. */
  snapshot(): Buffer[] {
    const { sessions, torrents, clips } = this.#sources;
    return [
      ...sessions.list().map((session) => frame('session', sessionEvent(session, 'status'))),
      ...torrents.list().map((swarm) => frame('torrent', torrentEvent(swarm))),
      ...[...this.#runs.values()].map(({ change, sessions: ids }) => frame('run', runEvent(change, ids))),
      ...clips.list().map((clip) => frame('clip', clipAnswer(clip))),
    ];
  }

  [Symbol.dispose](): void {
    this.#listening.dispose();
  }

  #onSession(session: Session): void {
    const key = `session ${session.id}`;
    const hasEnded = session.status === 'closed';
    const change = hasEnded ? 'ended' : this.#told.has(key) ? 'status' : 'created';
    this.#tell(key, 'session', sessionEvent(session, change), session.status, !hasEnded);
  }

  #onTorrent(swarm: Swarm): void {
    const event = torrentEvent(swarm);
    this.#tell(`torrent ${swarm.infoHash}`, 'torrent', event, event.stage, !swarm.isClosed);
    // That it is known what is in it changes the state of those who wait for that.
    for (const session of this.#sources.sessions.list()) {
      const before = this.#told.get(`session ${session.id}`)?.state;
      if (session.torrent?.current === swarm && session.status !== before) this.#onSession(session);
    }
  }

  #onRun(change: RunChange): void {
    const { run, journal } = change;
    const known = this.#runs.get(run.id)?.sessions;
    const sessions =
      known ??
      this.#sources.sessions
        .list()
        .filter(({ opened }) => opened?.journal === journal)
        .map(({ id }) => id);
    if (run.state === 'ended') this.#runs.delete(run.id);
    else this.#runs.set(run.id, { change, sessions });
    this.log.append('run', runEvent(change, sessions));
  }

  #onClip(clip: ClipInfo): void {
    this.#tell(`clip ${clip.id}`, 'clip', clipAnswer(clip), clip.state, clip.endedAt === undefined);
  }

  /** @param state an event that does not change it is progress. @param goesOn whether there will be more of it. */
  #tell(key: string, name: string, data: object, state: string, goesOn: boolean): void {
    const text = JSON.stringify(data);
    const before = this.#told.get(key);
    if (before?.text === text) return;
    if (goesOn) this.#told.set(key, { state, text });
    else this.#told.delete(key);
    this.log.append(name, data, before?.state === state ? key : undefined);
  }
}

function sessionEvent(session: Session, change: SessionEvent['change']): SessionEvent {
  const { id, status } = session;
  const error = session.error ?? session.opened?.unplayable;
  const told = error && status !== 'closed' ? { error: error.detail, errorCode: error.code } : {};
  return { id, change, status: error && status !== 'closed' ? 'error' : status, ...told };
}

function torrentEvent(swarm: Swarm): TorrentEvent {
  return {
    infoHash: swarm.infoHash,
    ...torrentStatus(swarm.isClosed ? undefined : swarm.status(swarm.audience.selected)),
  };
}

function runEvent({ run }: RunChange, sessions: readonly string[]): RunEvent {
  const { id, rendition, first, position, made, speed, reason, error, state } = run;
  return {
    id,
    sessions: [...sessions],
    rendition,
    change: state === 'ended' ? 'ended' : 'started',
    firstSegment: first,
    segmentsMade: made,
    position,
    ...(speed === undefined ? {} : { speed: Math.round(speed * 100) / 100 }),
    ...(reason === undefined ? {} : { reason }),
    ...(error === undefined ? {} : { error: error.detail, errorCode: error.code }),
  };
}
