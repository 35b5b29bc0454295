/** `raffi-server probe`: what is in a source, and how it would be played. */
import type { Config } from '../config.ts';
import type { SessionInfo, StreamInfo } from '../http/schemas.ts';
import { sessionInfo } from '../http/session-info.ts';
import type { KeyframeIndex } from '../media/types.ts';
import { openSession } from './open-session.ts';
import { plain, table } from './terminal.ts';

/** How densely a source can be cut. Seconds. */
interface KeyFrames {
  readonly count: number;
  readonly average: number;
  readonly longest: number;
}

export interface Probed {
  readonly source: string;
  readonly name: string;
  readonly container: string;
  readonly fileSize: number;
  readonly durationSeconds: number;
  readonly index: 'exact' | 'grid';
  readonly keyFrames: KeyFrames | null;
  readonly chapters: NonNullable<SessionInfo['chapters']>;
  readonly tracks: readonly StreamInfo[];
  readonly playable: boolean;
  /** A sentence. */
  readonly verdict: string;
}

/** @throws AppError why the source cannot be opened; the signal's reason. */
export async function probe(source: string, config: Config, signal: AbortSignal): Promise<Probed> {
  await using opened = await openSession(source, config, {}, signal);
  const { session, presentation } = opened;
  const info = sessionInfo(session, presentation);
  const { index } = presentation.material;
  const tracks = info.availableStreams ?? [];
  const { unplayable, info: media } = presentation;
  return {
    source,
    name: presentation.name,
    container: media.container,
    fileSize: presentation.size,
    durationSeconds: media.duration,
    index: presentation.indexKind,
    keyFrames: index ? keyFrames(index, media.startTime + media.duration) : null,
    chapters: info.chapters ?? [],
    tracks,
    playable: unplayable === undefined,
    verdict: unplayable ? unplayable.detail : verdict(tracks),
  };
}

function keyFrames({ times }: KeyframeIndex, end: number): KeyFrames {
  let longest = 0;
  for (let n = 0; n < times.length; n += 1) longest = Math.max(longest, (times[n + 1] ?? end) - (times[n] as number));
  const average = (end - (times[0] as number)) / times.length;
  return { count: times.length, average: rounded(average), longest: rounded(longest) };
}

function verdict(tracks: readonly StreamInfo[]): string {
  const shown = tracks.filter(({ type, delivery }) => type !== 'subtitle' && delivery !== 'omitted');
  const made = shown.filter(({ delivery }) => delivery === 'transcoded');
  const words = ({ type, index, codec }: StreamInfo): string => `${type} ${index} (${codec})`;
  if (made.length === 0) return 'Plays without re-encoding, wherever its codecs play.';
  if (made.length === shown.length) return `Plays re-encoded: ${made.map(words).join(', ')}.`;
  return `Plays; re-encoded: ${made.map(words).join(', ')}.`;
}

/** For people. */
export function probedText(probed: Probed): string {
  const { name, container, durationSeconds, fileSize, chapters, tracks, verdict: words } = probed;
  const more = chapters.length > 0 ? `, ${chapters.length} chapters` : '';
  const rows = tracks.map((track) => [
    `${track.type} ${track.index}`,
    [track.codec, track.codecString].filter(Boolean).join(' '),
    track.language || '-',
    details(track),
    track.delivery,
    track.reason ?? '',
  ]);
  return `${plain(name)}
  ${container}, ${clock(durationSeconds)}, ${size(fileSize)}${more}
  ${keyFramesText(probed)}

${table([['track', 'codec', 'language', 'details', 'delivery', ''], ...rows.map((row) => row.map(plain))])}
${plain(words)}
`;
}

function keyFramesText({ keyFrames: found }: Probed): string {
  if (found === null) return 'no index of key frames: it is cut every 6 s';
  const { count, average, longest } = found;
  return `${count} key frame${count === 1 ? '' : 's'}, ${average} s apart on the average, ${longest} s at most`;
}

function details({ width, height, frameRate, hdr, channels, sampleRate, title }: StreamInfo): string {
  const parts = [
    width === undefined ? '' : `${width}x${height}`,
    frameRate === undefined ? '' : `${rounded(frameRate)}/s`,
    hdr === undefined || hdr === 'sdr' ? '' : hdr,
    channels === undefined ? '' : channels === 1 ? 'mono' : channels === 2 ? 'stereo' : `${channels} channels`,
    sampleRate === undefined ? '' : `${sampleRate} Hz`,
    title === '' ? '' : `"${title}"`,
  ];
  return parts.filter(Boolean).join(' ');
}

/** To milliseconds. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const part = (value: number): string => String(value % 60).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${part(Math.floor(whole / 60))}:${part(whole)}`;
}

function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${unit === 0 ? bytes : (bytes / 1000 ** unit).toFixed(1)} ${units[unit]}`;
}
