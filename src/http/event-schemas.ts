import { type Static, Type } from 'typebox';
import { Clip, Status, TorrentStatus } from './schemas.ts';

/** What the events of `GET /events` say; docs/events.md explains them, and a test keeps the two equal. */

const Failure = {
  error: Type.Optional(Type.String({ description: 'What went wrong, in words.' })),
  errorCode: Type.Optional(Type.String()),
};

const HelloEvent = Type.Object({
  resumed: Type.Boolean({ description: 'Whether what follows continues behind the event of Last-Event-ID.' }),
});

const GapEvent = Type.Object({
  lastEventId: Type.String({ description: 'The Last-Event-ID that cannot be continued.' }),
  message: Type.String(),
});

const SessionEvent = Type.Object({
  id: Type.String(),
  change: Type.Enum(['created', 'status', 'ended']),
  status: Status,
  ...Failure,
});
export type SessionEvent = Static<typeof SessionEvent>;

export const RunReason = Type.Enum(['complete', 'idle', 'displaced', 'no-room', 'closed', 'failed'], {
  description:
    'complete: it made the last segment; idle: nobody asked for more; displaced: another run needed its place; no-room: it never got a place; closed: nobody has the source open any more.',
});

const RunEvent = Type.Object({
  id: Type.Integer({ description: 'Of the run, in this process.' }),
  sessions: Type.Array(Type.String(), { description: 'Ids of those it works for.' }),
  rendition: Type.String(),
  change: Type.Enum(['started', 'ended']),
  firstSegment: Type.Integer(),
  segmentsMade: Type.Integer(),
  position: Type.Number({ description: 'Seconds up to which it has made segments.' }),
  speed: Type.Optional(Type.Number({ description: 'Seconds of the presentation made per second of work.' })),
  reason: Type.Optional(RunReason),
  ...Failure,
});
export type RunEvent = Static<typeof RunEvent>;

const TorrentEvent = Type.Object({ infoHash: Type.String(), ...TorrentStatus.properties });
export type TorrentEvent = Static<typeof TorrentEvent>;

/** By the name of the event. */
export const EVENTS = {
  hello: HelloEvent,
  gap: GapEvent,
  session: SessionEvent,
  run: RunEvent,
  torrent: TorrentEvent,
  clip: Clip,
};
