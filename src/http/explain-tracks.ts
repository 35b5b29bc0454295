/** Which tracks are copied and which re-encoded, and why: what the viewer took, where that is known, else what players will take. */
import type { Static } from 'typebox';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { Presentation } from '../presentation/presentation.ts';
import type { Rendition } from '../presentation/rendition.ts';
import type { Session } from '../session/session.ts';
import type { Explanation, Finding, TrackExplained } from './explain-schemas.ts';
import type { StreamInfo } from './schemas.ts';
import { sessionInfo } from './session-info.ts';

type Verdict = Static<typeof Explanation>['verdict'];

export interface Tracks {
  readonly verdict: Verdict;
  readonly basis: 'played' | 'planned';
  readonly headline: string;
  readonly tracks: TrackExplained[];
  readonly findings: readonly Finding[];
  /** Something is left out that FFmpeg could re-encode, if it were there. */
  readonly needsFfmpeg: boolean;
}

export function explainTracks(
  session: Session,
  presentation: Presentation | undefined,
  capabilities: Capabilities,
): Tracks {
  if (presentation === undefined) {
    return { verdict: 'opening', basis: 'planned', headline: '', tracks: [], findings: [], needsFfmpeg: false };
  }
  const { availableStreams = [] } = sessionInfo(session, presentation);
  const context: Context = { session, presentation, capabilities };
  const described = availableStreams.map((stream) => trackExplained(stream, context));
  const main = (['video', 'audio'] as const).flatMap((type) => chosen(type, described, context) ?? []);
  const left = described.filter(({ type, lacksFfmpeg }) => type !== 'subtitle' && lacksFfmpeg);
  return {
    verdict: verdictOf(main),
    basis: session.playing.size > 0 ? 'played' : 'planned',
    headline: headlineOf(main, left),
    tracks: described.map(({ lacksFfmpeg, why, ...track }) => track),
    findings: left.map(({ type, text }) => ({
      level: 'warning',
      text: `${type === 'video' ? 'Picture' : 'Sound'}: ${text}`,
    })),
    needsFfmpeg: left.length > 0,
  };
}

interface Context {
  readonly session: Session;
  readonly presentation: Presentation;
  readonly capabilities: Capabilities;
}

interface Described extends TrackExplained {
  readonly lacksFfmpeg: boolean;
  /** Why it is re-encoded, in words that follow a colon. */
  readonly why: string;
}

/** The track of this type that is played; undefined where there is none that can be. */
function chosen(type: 'video' | 'audio', tracks: readonly Described[], context: Context): Described | undefined {
  const own = tracks.filter((track) => track.type === type && track.delivery !== 'omitted');
  const { session, presentation } = context;
  const played = own.find(({ rendition }) => rendition !== undefined);
  if (type === 'video') return played ?? own[0];
  const index = presentation.defaultAudioIndex(session.audioIndex);
  return played ?? own.find((track) => track.index === index) ?? own[0];
}

function verdictOf(main: readonly Described[]): Verdict {
  const encoded = main.filter(({ delivery }) => delivery === 'transcoded').map(({ type }) => type);
  if (main.length === 0) return 'failed';
  if (encoded.length === 0) return 'copied';
  if (encoded.length === main.length) return 'transcoded';
  return encoded[0] === 'audio' ? 'audio-transcoded' : 'video-transcoded';
}

function headlineOf(main: readonly Described[], left: readonly Described[]): string {
  const video = main.find(({ type }) => type === 'video');
  const audio = main.find(({ type }) => type === 'audio');
  const without = left
    .filter(({ type }) => !main.some((track) => track.type === type))
    .map(
      ({ type }) => ` Without ${type === 'audio' ? 'sound' : 'a picture'}, since FFmpeg is not there to re-encode it.`,
    )
    .join('');
  const parts: [string, Described | undefined][] = [
    ['the picture', video],
    ['the sound', audio],
  ];
  const there = parts.filter((part): part is [string, Described] => part[1] !== undefined);
  const encoded = there.filter(([, { delivery }]) => delivery === 'transcoded');
  if (encoded.length === 0) return `Nothing is re-encoded: what is in the source goes out as it is.${without}`;
  if (encoded.length === there.length) {
    const both =
      there.length === 2 ? 'Picture and sound are re-encoded.' : `${capital(there[0]?.[0] ?? '')} is re-encoded.`;
    return `${both}${without}`;
  }
  const [copied] = there.filter(([, { delivery }]) => delivery !== 'transcoded');
  return `Only ${encoded[0]?.[0]} is re-encoded; ${copied?.[0]} is copied.${without}`;
}

function trackExplained(stream: StreamInfo, context: Context): Described {
  const { session, presentation } = context;
  const playing = stream.type === 'subtitle' ? undefined : session.playing.get(stream.type);
  const isPlayed = playing !== undefined && playing.track.type === stream.type && playing.track.index === stream.index;
  const delivery = isPlayed ? playing.delivery : stream.delivery;
  const why = isPlayed ? whyPlayed(stream, playing, session, presentation) : (stream.reason ?? '');
  const lacksFfmpeg = stream.delivery === 'omitted' && isForFfmpeg(stream, context);
  return {
    type: stream.type,
    index: stream.index,
    codec: stream.codec,
    delivery,
    ...(isPlayed ? { rendition: playing.name } : {}),
    text: trackInWords(stream, delivery, { why, rendition: isPlayed ? playing : undefined, lacksFfmpeg }),
    lacksFfmpeg,
    why,
  };
}

/** Whether FFmpeg, if it were there and could, would deliver a track that is left out. */
function isForFfmpeg({ type }: StreamInfo, { capabilities, presentation }: Context): boolean {
  const { videoTrackId, tracks } = presentation.info;
  if (type === 'subtitle') return false;
  if (type === 'video' && tracks.find(({ id }) => id === videoTrackId)?.type !== 'video') return false;
  return type === 'video' ? !capabilities.canTranscodeVideo : !capabilities.canTranscodeAudio;
}

/** Why the viewer gets a track as it does, in words that follow a colon; empty for a copy. */
function whyPlayed(stream: StreamInfo, playing: Rendition, session: Session, presentation: Presentation): string {
  if (playing.delivery !== 'transcoded') return '';
  if (stream.delivery === 'transcoded') return stream.reason ?? 'it cannot be copied';
  if (stream.type === 'video') {
    if (!presentation.renditions.includes(playing)) return 'subtitles are drawn into it';
    const { quality } = session.request;
    if (quality !== 'auto' && quality !== 'original') return `the session asks for ${quality} at most`;
    return `the player asks for ${playing.name} instead of the copy, because somebody chose so, its line is slow, or it has no decoder for ${stream.codec}`;
  }
  if (playing.levelled) return 'its loudness is brought to the target';
  return `the player asks for AAC instead of the copy, as players do that have no decoder for ${stream.codec}`;
}

function trackInWords(
  stream: StreamInfo,
  delivery: TrackExplained['delivery'],
  { why, rendition, lacksFfmpeg }: { why: string; rendition: Rendition | undefined; lacksFfmpeg: boolean },
): string {
  const because = why === '' ? '' : `: ${why}`;
  const done = rendition?.processing ?? stream.processing ?? [];
  const also = delivery === 'transcoded' && done.length > 0 ? ` (${done.join(', ')})` : '';
  const to = rendition?.name ?? stream.renditions?.[0] ?? '';
  const format = stream.type === 'audio' ? 'AAC' : to;
  switch (delivery) {
    case 'copied':
      return 'Copied: it goes out as it is.';
    case 'converted':
      return 'Converted to WebVTT.';
    case 'transcoded':
      return `Re-encoded to ${format}${also}${because}.`;
    case 'omitted':
      return lacksFfmpeg
        ? `Left out${because}; FFmpeg could re-encode it, and is not there or cannot.`
        : `Left out${because}.`;
  }
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
