import { type Static, Type } from 'typebox';
import { RunReason } from './event-schemas.ts';
import { Status } from './schemas.ts';

/** What `GET /sessions/{id}/explain` answers. Everything is there as data, and in `text`, `headline` and `findings` in words. */

const Verdict = Type.Enum(['opening', 'failed', 'copied', 'audio-transcoded', 'video-transcoded', 'transcoded'], {
  description: 'What the viewer gets; `transcoded`: both, or the only one there is.',
});

const Finding = Type.Object({
  level: Type.Enum(['info', 'warning', 'error']),
  text: Type.String(),
});
export type Finding = Static<typeof Finding>;

const SourceExplained = Type.Object({
  label: Type.String(),
  text: Type.String(),
  container: Type.Optional(Type.String()),
  durationSeconds: Type.Optional(Type.Number()),
  size: Type.Optional(Type.Integer()),
  index: Type.Optional(Type.Enum(['exact', 'grid'])),
  readBy: Type.Optional(Type.Enum(['server', 'ffmpeg'])),
  transfer: Type.Optional(
    Type.Object(
      {
        requests: Type.Integer(),
        bytes: Type.Integer(),
        interruptions: Type.Integer({
          description: 'Answers that broke off, stalled or were refused, and were asked for again.',
        }),
        lastInterruption: Type.Optional(Type.String()),
      },
      { description: 'Of a remote source: what all sessions on it fetched since it was opened.' },
    ),
  ),
});

const TrackExplained = Type.Object({
  type: Type.Enum(['video', 'audio', 'subtitle']),
  index: Type.Integer(),
  codec: Type.String(),
  delivery: Type.Enum(['copied', 'transcoded', 'converted', 'omitted'], {
    description: 'How the viewer gets it; before anything was asked for, how a player is expected to take it.',
  }),
  rendition: Type.Optional(Type.String({ description: 'The one that the viewer took a segment of last.' })),
  text: Type.String(),
});
export type TrackExplained = Static<typeof TrackExplained>;

const RunExplained = Type.Object({
  id: Type.Integer(),
  rendition: Type.String(),
  state: Type.Enum(['queued', 'working', 'waiting', 'ended'], {
    description: 'queued: for a place among RAFFI_MAX_RUNS; waiting: until somebody wants more.',
  }),
  firstSegment: Type.Integer(),
  segmentsMade: Type.Integer(),
  position: Type.Number({ description: 'Seconds up to which it has made segments.' }),
  speed: Type.Optional(Type.Number({ description: 'Seconds of the presentation made per second of work.' })),
  retries: Type.Integer({ description: 'How often it broke and went on.' }),
  startedAt: Type.String({ format: 'date-time' }),
  endedAt: Type.Optional(Type.String({ format: 'date-time' })),
  reason: Type.Optional(RunReason),
  error: Type.Optional(Type.String()),
  errorCode: Type.Optional(Type.String()),
  text: Type.String(),
});
export type RunExplained = Static<typeof RunExplained>;

const ErrorExplained = Type.Object({
  at: Type.String({ format: 'date-time', description: 'The last time.' }),
  count: Type.Integer(),
  what: Type.String({ description: 'What could not be done.' }),
  code: Type.String(),
  detail: Type.String(),
  ffmpeg: Type.Optional(Type.String({ description: "FFmpeg's last lines, addresses left out." })),
});

const Step = Type.Object({
  step: Type.Enum(['source', 'probe', 'index', 'prepare', 'player', 'first-byte'], {
    description:
      'source: until it answers, or the metadata of a torrent are there; probe: until it is known what is in it; index: until its key frames are known; prepare: until it is planned how it is delivered; player: until it asks for a segment; first-byte: until that is there.',
  }),
  ms: Type.Integer({ description: 'So far, where it is not over.' }),
  isOver: Type.Boolean(),
  text: Type.String(),
});

const TorrentExplained = Type.Object({
  health: Type.Enum(['complete', 'good', 'poor', 'searching', 'dead', 'failed'], {
    description:
      'poor: slower than it plays, or nobody has all of it; dead: nobody is there and nobody is left to ask, or it takes too long.',
  }),
  text: Type.String(),
  stage: Type.String(),
  peers: Type.Integer(),
  seeds: Type.Integer(),
  knownPeers: Type.Integer(),
  downloadBytesPerSecond: Type.Integer(),
  progress: Type.Number({ description: 'Of the file, 0 to 1.' }),
  sources: Type.Array(
    Type.Object({
      label: Type.String(),
      state: Type.String(),
      peers: Type.Integer(),
      reason: Type.Optional(Type.String()),
    }),
    { description: 'Who was asked for peers.' },
  ),
});
export type TorrentExplained = Static<typeof TorrentExplained>;

export const Explanation = Type.Object(
  {
    id: Type.String(),
    status: Status,
    verdict: Verdict,
    basis: Type.Enum(['played', 'planned'], {
      description: 'Whether it says what the viewer took, or what a player is expected to take.',
    }),
    headline: Type.String(),
    findings: Type.Array(Finding),
    source: SourceExplained,
    tracks: Type.Array(TrackExplained),
    ffmpeg: Type.Object({
      installed: Type.Boolean(),
      version: Type.Optional(Type.String()),
      missing: Type.Array(Type.String(), { description: 'What is not there, one sentence each.' }),
    }),
    runs: Type.Array(RunExplained, {
      description: 'Of all sessions on this source: those at work, and the last that ended.',
    }),
    cache: Type.Object({
      copiedSegments: Type.Integer(),
      copiedBytes: Type.Integer(),
      copiedMs: Type.Optional(Type.Number({ description: 'On the average, until a copied segment was there.' })),
      hits: Type.Integer({ description: 'Transcoded segments that were there when they were asked for.' }),
      misses: Type.Integer({ description: 'Those that had to be waited for.' }),
      text: Type.String(),
    }),
    errors: Type.Array(ErrorExplained, { description: 'The last ones, the latest first.' }),
    startup: Type.Object({
      steps: Type.Array(Step),
      totalMs: Type.Integer({ description: 'From POST to the first segment, or until now.' }),
      isOver: Type.Boolean(),
      text: Type.String(),
    }),
    torrent: Type.Optional(TorrentExplained),
  },
  { description: 'Why a session plays as it does, or does not.' },
);
export type Explanation = Static<typeof Explanation>;
