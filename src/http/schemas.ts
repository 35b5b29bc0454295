import type { Readable } from 'node:stream';
import { type Static, Type } from 'typebox';

/** The schemas of requests and answers: validation, TypeScript types and OpenAPI all come from here. */

export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'A stable word in kebab case; docs/errors.md lists them.' }),
  },
  { description: 'RFC 9457 problem details.' },
);

/** Every answer that is no success. */
export const ProblemAnswer = {
  description: 'RFC 9457 problem details.',
  content: { 'application/problem+json': { schema: Problem } },
};

const Kind = Type.Enum(['http', 'torrent', 'file', 'local']);

const Quality = Type.Enum(['original', '1080p', '720p', '480p', '360p', 'auto']);

const Loudness = Type.Enum(['on', 'off'], {
  description: 'Whether the loudness of audio is brought to the target (EBU R 128); RAFFI_LOUDNESS when absent.',
});

/** Bytes: sent as they are, never serialized. */
export const Binary = Type.Unsafe<Buffer | Readable>({ type: 'string', format: 'binary' });

/** A playlist: text, but sent as bytes, since its content type must not get a charset. */
const Playlist = Type.Unsafe<Buffer>({ type: 'string', description: 'A playlist (RFC 8216).' });

export const PlaylistAnswer = {
  description: 'A playlist (RFC 8216).',
  content: { 'application/vnd.apple.mpegurl': { schema: Playlist } },
};

export const SliceAnswer = {
  ...PlaylistAnswer,
  headers: {
    'X-Raffi-Slice-Start': {
      type: 'string',
      description: "Seconds from the presentation's start to that of the slice.",
    },
  },
};

export const SegmentAnswer = {
  description: 'A segment.',
  content: {
    'video/mp4': { schema: Binary },
    'audio/mp4': { schema: Binary },
    'audio/mpeg': { schema: Binary },
    'text/vtt': { schema: Binary },
  },
};

export const FileAnswer = { description: "The source's bytes.", content: { '*/*': { schema: Binary } } };

const Seconds = (description: string) => Type.Number({ minimum: 0, description });

export const CreateSession = Type.Object(
  {
    source: Type.Optional(
      Type.String({
        description:
          'An http(s) URL, a local path, a file:// URL, a magnet link, an infohash, or the path or URL of a .torrent file.',
      }),
    ),
    uri: Type.Optional(Type.String({ description: 'The same as `source`, in the other dialect.' })),
    kind: Type.Optional(Kind),
    type: Type.Optional(Kind),
    startTime: Type.Optional(Seconds('Where to start playing.')),
    fileIdx: Type.Optional(Type.Integer({ minimum: 0, description: "A torrent's file." })),
    quality: Type.Optional(Quality),
    loudness: Type.Optional(Loudness),
  },
  { description: 'Either `source` or `uri` is needed.' },
);
export type CreateSession = Static<typeof CreateSession>;

/** A .torrent file as the body; the other fields are then in the query. */
export const TorrentUpload = Type.Unsafe<Buffer>({ type: 'string', format: 'binary', description: 'A .torrent file.' });
export const UploadQuery = Type.Object({
  startTime: Type.Optional(Seconds('Where to start playing.')),
  fileIdx: Type.Optional(Type.Integer({ minimum: 0, description: "The torrent's file." })),
  quality: Type.Optional(Quality),
});
export type UploadQuery = Static<typeof UploadQuery>;

export const Status = Type.Enum(['created', 'metadata', 'probing', 'ready', 'streaming', 'error', 'closed']);

export const SessionCreated = Type.Object({ id: Type.String(), streamUrl: Type.String(), status: Status });

export const StreamInfo = Type.Object({
  index: Type.Integer({ description: 'Counts within its type.' }),
  type: Type.Enum(['video', 'audio', 'subtitle']),
  codec: Type.String(),
  codecString: Type.Optional(Type.String({ description: 'RFC 6381.' })),
  language: Type.String({ description: 'Empty when unknown.' }),
  title: Type.String({ description: 'Empty when it has none.' }),
  default: Type.Boolean(),
  forced: Type.Boolean(),
  delivery: Type.Enum(['copied', 'transcoded', 'converted', 'omitted'], {
    description: 'converted: text subtitles, as WebVTT.',
  }),
  renditions: Type.Optional(Type.Array(Type.String(), { description: 'The variants that show it.' })),
  reason: Type.Optional(Type.String({ description: 'Why the track is left out, or not copied.' })),
  processing: Type.Optional(
    Type.Array(Type.String(), {
      description: 'What its transcoded renditions do to it, a phrase each: tone-mapped, mixed down, ...',
    }),
  ),
  subtitles: Type.Optional(
    Type.Array(Type.Enum(['webvtt', 'burn-in']), {
      description:
        'How a subtitle track is offered: as a WebVTT rendition, in the picture (`?subtitle={index}`), or not at all.',
    }),
  ),
  ignoredFonts: Type.Optional(
    Type.Array(Type.String(), { description: 'The fonts of the source that are not used for it, a sentence each.' }),
  ),
  width: Type.Optional(Type.Integer()),
  height: Type.Optional(Type.Integer()),
  frameRate: Type.Optional(Type.Number()),
  bitDepth: Type.Optional(Type.Integer()),
  rotation: Type.Optional(Type.Integer({ description: 'Clockwise, degrees.' })),
  hdr: Type.Optional(Type.String({ description: 'sdr, hdr10, hlg or dolby-vision.' })),
  channels: Type.Optional(Type.Integer()),
  sampleRate: Type.Optional(Type.Integer()),
  bitrate: Type.Optional(Type.Integer()),
});
export type StreamInfo = Static<typeof StreamInfo>;

const TorrentStage = Type.Enum(['metadata', 'downloading', 'ready', 'error', 'missing'], {
  description:
    'metadata: nobody has told yet what is in it; downloading: its beginning is not here yet; ready: it can be played; missing: no session has it.',
});

const TorrentInfo = Type.Object({
  name: Type.String(),
  stage: TorrentStage,
  message: Type.String({ description: 'What is going on, a sentence.' }),
  seeds: Type.Integer({ description: 'Connected peers that have all of it.' }),
  knownPeers: Type.Integer({ description: 'Peers that are known, connected or not.' }),
  uploadBytesPerSecond: Type.Number(),
  piecesComplete: Type.Integer(),
  piecesTotal: Type.Integer(),
  fileIdx: Type.Optional(Type.Integer({ description: 'The file that is played.' })),
  files: Type.Array(
    Type.Object({
      index: Type.Integer(),
      name: Type.String(),
      size: Type.Integer(),
      kind: Type.Enum(['video', 'audio', 'other'], { description: 'By its name.' }),
    }),
    { description: 'All of them; of very many, the first 200 that may be played.' },
  ),
  fileCount: Type.Integer(),
  sketch: Type.Optional(
    Type.String({ description: 'How much of each hundredth of the file is at hand: 100 digits, 9 for all of it.' }),
  ),
  positions: Type.Array(Type.Integer(), { description: 'Where the file is being read, bytes.' }),
  startsInSeconds: Type.Optional(
    Type.Number({ description: 'Until what is waited for is there; absent: cannot be told yet.' }),
  ),
  keepsUp: Type.Optional(
    Type.Boolean({ description: 'Whether it comes as fast as it plays; absent: cannot be told yet.' }),
  ),
  playsAtBytesPerSecond: Type.Optional(Type.Number()),
  sources: Type.Array(
    Type.Object({
      label: Type.String(),
      state: Type.Enum(['asking', 'answered', 'failed']),
      peers: Type.Integer(),
      reason: Type.Optional(Type.String()),
    }),
    { description: 'Who is asked for peers, and web seeds.' },
  ),
});
export type TorrentInfo = Static<typeof TorrentInfo>;

export const TorrentStatus = Type.Object({
  stage: TorrentStage,
  ready: Type.Boolean({ description: 'Whether it can be played.' }),
  error: Type.Optional(Type.String()),
  peers: Type.Integer(),
  piecesComplete: Type.Integer(),
  piecesTotal: Type.Integer(),
  progress: Type.Number({ description: 'Of the selected file, 0 to 1.' }),
  downUsefulBytes: Type.Integer({ description: 'Received and verified.' }),
  torrent: Type.Optional(TorrentInfo),
});
export type TorrentStatus = Static<typeof TorrentStatus>;

export const SessionInfo = Type.Object({
  id: Type.String(),
  source: Type.String(),
  kind: Type.Enum(['http', 'file']),
  status: Status,
  createdAt: Type.String({ format: 'date-time' }),
  startTime: Type.Number(),
  quality: Quality,
  loudness: Loudness,
  streamUrl: Type.String(),
  isTorrent: Type.Boolean(),
  torrentInfoHash: Type.String({ description: 'Empty unless it is a torrent.' }),
  audioIndex: Type.Integer({ description: 'The default audio track.' }),
  progress: Type.Number({ description: 'Percent of the source that is at hand.' }),
  peers: Type.Integer(),
  downloadSpeed: Type.String(),
  downloadBytesPerSecond: Type.Number(),
  torrent: Type.Optional(TorrentInfo),
  name: Type.Optional(Type.String()),
  fileSize: Type.Optional(Type.Integer()),
  container: Type.Optional(Type.String()),
  durationSeconds: Type.Optional(Type.Number()),
  index: Type.Optional(Type.Enum(['exact', 'grid'], { description: 'Whether segments follow the key frames.' })),
  chapters: Type.Optional(
    Type.Array(Type.Object({ startTime: Type.Number(), endTime: Type.Number(), title: Type.String() })),
  ),
  availableStreams: Type.Optional(Type.Array(StreamInfo)),
  error: Type.Optional(Type.String({ description: 'What went wrong, in words.' })),
  errorCode: Type.Optional(Type.String()),
});
export type SessionInfo = Static<typeof SessionInfo>;

const Installed = Type.Union([Type.Object({ version: Type.String() }), Type.Null()]);

export const CapabilitiesInfo = Type.Object({
  ffmpeg: Installed,
  ffprobe: Installed,
  video: Type.Boolean({ description: 'Whether video can be transcoded.' }),
  audio: Type.Boolean({ description: 'Whether audio can be transcoded.' }),
  burnIn: Type.Object(
    { pictures: Type.Boolean(), text: Type.Boolean() },
    { description: 'Which subtitles can be put into the picture.' },
  ),
  missing: Type.Array(Type.String(), { description: 'What is not there, one sentence each.' }),
  encoder: Type.Union([Type.String(), Type.Null()], {
    description: 'What encodes video from now on, as FFmpeg calls it.',
  }),
  hardware: Type.Array(
    Type.Object({
      name: Type.String({ description: 'As RAFFI_HWACCEL has it.' }),
      encoder: Type.String({ description: 'As FFmpeg calls it.' }),
      works: Type.Boolean(),
      failure: Type.Optional(Type.String({ description: 'Why it is not used.' })),
    }),
    { description: "Graphics processors' encoders that were tried at start." },
  ),
});

export const CreateClip = Type.Object({
  start: Seconds(
    "Seconds from the presentation's start; the first picture of the clip is the first one not before it.",
  ),
  end: Seconds('Seconds; the last picture is the last one before it. Beyond the end of the source means its end.'),
  name: Type.Optional(Type.String({ description: 'Of the file, made safe; never overwrites another.' })),
  outputPath: Type.Optional(
    Type.String({ description: 'Goes before `name`; only its last component is used, made safe.' }),
  ),
});

export const CreateClipQuery = Type.Object({
  async: Type.Optional(Type.String({ description: '`1`: answer 202 at once with the job.' })),
});

export const ClipMade = Type.Object({ outputPath: Type.String({ description: 'Absolute path of the MP4.' }) });

export const Clip = Type.Object({
  id: Type.String(),
  sessionId: Type.String(),
  state: Type.Enum(['queued', 'running', 'done', 'failed', 'cancelled']),
  progress: Type.Number({ description: '0 to 1.' }),
  start: Type.Number(),
  end: Type.Number(),
  createdAt: Type.String({ format: 'date-time' }),
  endedAt: Type.Optional(Type.String({ format: 'date-time' })),
  outputPath: Type.Optional(Type.String({ description: 'Absolute path of the MP4, when it is done.' })),
  method: Type.Optional(
    Type.Enum(['smart', 'encoded', 'copied'], {
      description: 'smart: whole groups of pictures are copies of the source; copied: sound alone, a copy.',
    }),
  ),
  error: Type.Optional(Type.String({ description: 'What went wrong, in words.' })),
  errorCode: Type.Optional(Type.String()),
});

export const ClipParams = Type.Object({ id: Type.String() });

export const SessionParams = Type.Object({ id: Type.String() });
export const RenditionParams = Type.Object({ id: Type.String(), rendition: Type.String() });
export const SegmentParams = Type.Object({ id: Type.String(), rendition: Type.String(), segment: Type.String() });

const Subtitle = Type.Optional(
  Type.Integer({ minimum: 0, description: 'The subtitle track (its `index`) that is to be in the picture.' }),
);

export const SubtitleQuery = Type.Object({ subtitle: Subtitle });

export const SliceQuery = Type.Object({
  subtitle: Subtitle,
  seek: Type.Optional(Type.Number({ description: 'Seconds; beyond the end means the end.' })),
  seek_id: Type.Optional(Type.String({ maxLength: 200 })),
  force_slice: Type.Optional(Type.String({ description: '`1`: a new slice even for a known seek_id.' })),
});

export const MediaPlaylistQuery = Type.Object({
  subtitle: Subtitle,
  slice: Type.Optional(Type.Integer({ minimum: 0, description: 'The first segment of the playlist.' })),
});
