import type { AppError } from '../errors.ts';
import type { Track } from '../media/types.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Rendition } from '../presentation/rendition.ts';
import type { Session } from '../session/session.ts';
import { guestDetail } from './problem.ts';
import type { SessionInfo, StreamInfo } from './schemas.ts';
import { torrentFields } from './torrent-info.ts';

export function streamUrl(session: Session): string {
  return `/sessions/${session.id}/stream.m3u8`;
}

/**
 * What clients are told of a session; without the media fields until its source is opened.
 * @param guest whether the client may only play it: the address of the source may hold secrets, its name does not.
 */
export function sessionInfo(session: Session, presentation: Presentation | undefined, guest = false): SessionInfo {
  const { request } = session;
  const error = session.error ?? presentation?.unplayable;
  const isTorrent = request.kind === 'torrent';
  const info: SessionInfo = {
    id: session.id,
    source: request.source,
    kind: request.kind === 'file' ? 'file' : 'http', // the desktop client expects `http` for torrents too
    status: error ? 'error' : session.status,
    createdAt: session.createdAt.toISOString(),
    startTime: request.startTime,
    quality: request.quality,
    loudness: request.loudness ? 'on' : 'off',
    streamUrl: streamUrl(session),
    isTorrent,
    torrentInfoHash: '',
    audioIndex: session.audioIndex ?? 0,
    progress: isTorrent ? 0 : 100, // a torrent's is below
    peers: 0,
    downloadSpeed: '0 B/s',
    downloadBytesPerSecond: 0,
    ...(error ? { error: error.detail, errorCode: error.code } : {}),
    ...(presentation ? mediaFields(session, presentation) : {}),
    ...(isTorrent ? torrentFields(session) : {}),
  };
  return guest ? forGuest(info, presentation, error) : info;
}

/** Without what names the source, and without all words in which it may be named. */
function forGuest(
  { torrent: _torrent, ...info }: SessionInfo,
  presentation: Presentation | undefined,
  error: AppError | undefined,
): SessionInfo {
  return {
    ...info,
    source: presentation?.name ?? '',
    torrentInfoHash: '',
    ...(error ? { error: guestDetail(error.code) } : {}),
    ...(info.availableStreams
      ? { availableStreams: info.availableStreams.map(({ reason: _reason, ...stream }) => stream) }
      : {}),
  };
}

function mediaFields(session: Session, presentation: Presentation): Partial<SessionInfo> {
  const { info } = presentation;
  return {
    name: presentation.name,
    fileSize: presentation.size,
    container: info.container,
    durationSeconds: info.duration,
    index: presentation.indexKind,
    audioIndex: presentation.defaultAudioIndex(session.audioIndex),
    chapters: info.chapters.map(({ startTime, endTime, title }) => ({
      startTime: Math.max(0, startTime - info.startTime),
      endTime: Math.max(0, endTime - info.startTime),
      title,
    })),
    availableStreams: info.tracks.map((track) =>
      streamInfo(track, presentation.renditionsFor(session.request), presentation, session.request.loudness),
    ),
  };
}

function streamInfo(
  track: Track,
  all: readonly Rendition[],
  presentation: Presentation,
  wantsLoudness: boolean,
): StreamInfo {
  const renditions = all.filter((rendition) => rendition.track === track);
  const delivery = renditions.some((rendition) => rendition.delivery === 'copied')
    ? 'copied'
    : (renditions[0]?.delivery ?? 'omitted');
  const reason =
    track.notCopied ??
    (track.type === 'subtitle' ? subtitleReason(track, presentation) : 'only one video track is played');
  const done = renditions.flatMap((rendition) => rendition.processing ?? []);
  const isLeft = wantsLoudness && track.type === 'audio' && !renditions.some(({ levelled }) => levelled);
  const processing = [...new Set([...done, ...(isLeft ? [loudnessReason(presentation)] : [])])];
  return {
    index: track.index,
    type: track.type,
    codec: track.codec,
    language: track.language ?? '',
    title: track.title ?? '',
    default: track.isDefault,
    forced: track.isForced,
    delivery,
    ...(delivery === 'copied' || delivery === 'converted' ? {} : { reason }),
    ...(track.type === 'subtitle' ? subtitleFields(track, delivery === 'converted', presentation) : {}),
    ...(renditions.length > 0 ? { renditions: renditions.map(({ name }) => name) } : {}),
    ...(processing.length > 0 ? { processing } : {}),
    ...(track.config ? { codecString: track.config.codecString } : {}),
    ...(track.bitrate === undefined ? {} : { bitrate: Math.round(track.bitrate) }),
    ...(track.audio ? { channels: track.audio.channels, sampleRate: track.audio.sampleRate } : {}),
    ...(track.video ? videoFields(track.video) : {}),
  };
}

/** Why a session that wants its loudness levelled does not get that. */
function loudnessReason({ material }: Presentation): string {
  const why = material.direct
    ? 'it is measured only in containers that the server reads itself'
    : 'FFmpeg cannot measure it, or not decode the track';
  return `loudness is left as it is: ${why}`;
}

/** How a subtitle track is offered. */
function subtitleFields(
  track: Track,
  isConverted: boolean,
  { burntIn }: Presentation,
): Pick<StreamInfo, 'subtitles' | 'ignoredFonts'> {
  const canBurnIn = burntIn.refusal(track) === undefined;
  const ignoredFonts = canBurnIn ? [...burntIn.ignoredFonts(track)] : [];
  return {
    subtitles: [...(isConverted ? ['webvtt' as const] : []), ...(canBurnIn ? ['burn-in' as const] : [])],
    ...(ignoredFonts.length > 0 ? { ignoredFonts } : {}),
  };
}

function subtitleReason(track: Track, { burntIn }: Presentation): string {
  const refusal = burntIn.refusal(track);
  if (refusal === undefined) return `${track.codec} is shown by burning it in (?subtitle=${track.index})`;
  if (track.unreadable) return refusal;
  return `${track.codec} is no text that could become WebVTT, and cannot be burnt in: ${refusal}`;
}

function videoFields(video: NonNullable<Track['video']>): Partial<StreamInfo> {
  return {
    width: video.width,
    height: video.height,
    rotation: video.rotation,
    hdr: video.hdr,
    ...(video.frameRate === undefined ? {} : { frameRate: video.frameRate }),
    ...(video.bitDepth === undefined ? {} : { bitDepth: video.bitDepth }),
  };
}
