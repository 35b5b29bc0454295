/** A session in this process, for commands that serve nothing. */
import { openRooms, type Rooms } from '../app.ts';
import type { Config } from '../config.ts';
import { createLog } from '../log.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Session } from '../session/session.ts';
import { parseSource } from '../source/spec.ts';
import { Progress } from './terminal.ts';

export interface OpenSession extends AsyncDisposable {
  readonly rooms: Rooms;
  readonly session: Session;
  readonly presentation: Presentation;
}

/**
 * Opens a source as the person at this machine may.
 * @throws AppError why it cannot be opened; the signal's reason.
 */
export async function openSession(
  source: string,
  config: Config,
  changes: Partial<Config>,
  signal: AbortSignal,
): Promise<OpenSession> {
  const log = createLog(config.debug ? 'debug' : 'error');
  await using resources = new AsyncDisposableStack();
  using progress = new Progress();
  progress.show('Opening the source');
  // No trial of graphics processors: nobody waits for pictures.
  const rooms = resources.use(openRooms({ ...config, hwaccel: 'none', ...changes }, log));
  const spec = parseSource(source);
  const request = { source, kind: spec.kind, startTime: 0, quality: 'auto', loudness: false } as const;
  const session = rooms.sessions.create(request, spec, rooms.sources.accessOf({ loopback: true }));
  const tell = (): void => {
    const status = session.torrent?.current?.status(undefined);
    if (status) progress.show(status.message);
  };
  using _torrents = rooms.torrents.changes.add(tell);
  const presentation = await session.presentation(signal);
  const owned = resources.move();
  return { rooms, session, presentation, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
