/** Makes the `Track` that callers see out of a track box, its codec and what its samples tell. */
import { describeCodec, hdrKind } from '../codecs/codecs.ts';
import type { CodecConfig, MediaInfo, Track } from '../types.ts';
import type { SampleEntry } from './sample-entry.ts';
import type { TrackBox } from './track-box.ts';

export interface TrackFacts {
  readonly startTime?: number;
  readonly endTime?: number;
  readonly bytes?: () => number;
  readonly frameRate?: number;
}

export interface TrackInput {
  readonly box: TrackBox;
  /** The description that its first sample uses. */
  readonly entry: SampleEntry;
  readonly firstPacket: Uint8Array | undefined;
  readonly facts: TrackFacts;
}

/** Tracks in the file's order; positions and default flags come from it. */
export function makeTracks(inputs: readonly TrackInput[]): Track[] {
  const counts = { video: 0, audio: 0, subtitle: 0 };
  return inputs.map((input) => {
    const { kind } = input.box;
    const ofKind = inputs.filter(({ box }) => box.kind === kind);
    // The first enabled track of a type is the default one; where none is enabled, the first (subtitles: none).
    const chosen = ofKind.find(({ box }) => box.enabled) ?? (kind === 'subtitle' ? undefined : ofKind[0]);
    return makeTrack(input, counts[kind]++, chosen === input);
  });
}

function makeTrack({ box, entry, firstPacket, facts }: TrackInput, index: number, isDefault: boolean): Track {
  const codec = box.kind === 'subtitle' ? undefined : copyOrReason(entry, firstPacket, facts);
  const config = codec && 'config' in codec ? codec.config : undefined;
  const seconds = (facts.endTime ?? 0) - (facts.startTime ?? 0);
  // Adding up all sizes is what takes longest in opening a film: only where the container does not tell.
  const measured = (): number | undefined =>
    facts.bytes !== undefined && seconds > 0 ? Math.round((facts.bytes() * 8) / seconds) : undefined;
  const bitrate = entry.bitrate ?? measured();
  return {
    id: box.id,
    type: box.kind,
    index,
    codec: entry.codec,
    ...codec,
    ...(entry.encrypted && { unreadable: true as const }),
    ...(box.language !== undefined && { language: box.language }),
    ...(box.title !== undefined && { title: box.title }),
    isDefault,
    isForced: entry.forced,
    ...(facts.startTime !== undefined && { startTime: facts.startTime }),
    ...(facts.endTime !== undefined && { endTime: facts.endTime }),
    ...(bitrate !== undefined && { bitrate }),
    ...(box.kind === 'video' && { video: videoOf(box, entry, config, facts.frameRate) }),
    ...(box.kind === 'audio' && {
      audio: {
        sampleRate: config?.audio?.sampleRate ?? entry.audio?.sampleRate ?? 0,
        channels: config?.audio?.channels ?? entry.audio?.channels ?? 0,
      },
    }),
    ...(config === undefined && entry.privateData && { codecPrivate: entry.privateData.slice() }),
    ...(config === undefined &&
      entry.whole && {
        matroska: {
          codecId: box.kind === 'video' ? 'V_QUICKTIME' : 'A_QUICKTIME',
          codecPrivate: entry.whole.slice(),
        },
      }),
  };
}

function copyOrReason(
  entry: SampleEntry,
  firstPacket: Uint8Array | undefined,
  facts: TrackFacts,
): { config: CodecConfig } | { notCopied: string } {
  if (entry.encrypted) return { notCopied: 'it is encrypted (DRM)' };
  const { video, audio } = entry;
  return describeCodec({
    codec: entry.codec,
    ...(entry.privateData && { privateData: entry.privateData }),
    ...(firstPacket && { firstPacket }),
    ...(video && { width: video.width, height: video.height }),
    ...(video?.colour && { colour: video.colour }),
    ...(facts.frameRate !== undefined && { frameRate: facts.frameRate }),
    ...(audio && { sampleRate: audio.sampleRate, channels: audio.channels, bitDepth: audio.bitDepth }),
  });
}

function videoOf(box: TrackBox, entry: SampleEntry, config: CodecConfig | undefined, rate: number | undefined) {
  const width = config?.video?.width ?? entry.video?.width ?? 0;
  const height = config?.video?.height ?? entry.video?.height ?? 0;
  const colour = config?.video?.colour ?? entry.video?.colour;
  const frameRate = rate ?? config?.video?.frameRate;
  const bitDepth = config?.video?.bitDepth;
  return {
    width,
    height,
    ...displaySize(box, width, height, entry.video?.pixelAspect ?? config?.video?.pixelAspect),
    rotation: box.rotation,
    ...(frameRate !== undefined && { frameRate }),
    ...(bitDepth !== undefined && { bitDepth }),
    hdr: hdrKind(colour, { dolbyVision: entry.video?.dolbyVisionOnly ?? false }),
    ...(colour && { colour }),
  };
}

/** pasp or the bitstream decides; else the track header's size, when its shape clearly differs from the coded one. */
function displaySize(box: TrackBox, width: number, height: number, aspect: readonly [number, number] | undefined) {
  const upright = { displayWidth: width, displayHeight: height };
  if (width === 0 || height === 0) return upright;
  const shape = (box.presentedWidth / box.presentedHeight) * (height / width);
  let ratio = 1;
  if (aspect !== undefined && aspect[0] > 0 && aspect[1] > 0) ratio = aspect[0] / aspect[1];
  else if (Number.isFinite(shape) && Math.abs(shape - 1) > 0.02) ratio = shape;
  if (ratio < 0.1 || ratio > 10) return upright;
  return { displayWidth: Math.max(1, Math.round(width * ratio)), displayHeight: height };
}

const STILL_CODECS = new Set(['png', 'mjpeg', 'jpeg2000', 'mjpegb']);

/** The video that is played: the default one, else the first, that is neither a picture nor a chapter's thumbnail. */
export function playedVideo(tracks: readonly Track[], samplesOf: (id: number) => number): Track | undefined {
  const moving = tracks.filter(
    (track) => track.type === 'video' && samplesOf(track.id) > (STILL_CODECS.has(track.codec) ? 1 : 0),
  );
  return moving.find((track) => track.isDefault) ?? moving[0];
}

/** Start and duration of the programme: over video and audio only. */
export function programme(tracks: readonly Track[]): Pick<MediaInfo, 'startTime' | 'duration'> {
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  for (const { type, startTime, endTime } of tracks) {
    if (type === 'subtitle') continue;
    if (startTime !== undefined) start = Math.min(start, startTime);
    if (endTime !== undefined) end = Math.max(end, endTime);
  }
  if (!Number.isFinite(start)) start = 0;
  return { startTime: start, duration: Math.max(0, Number.isFinite(end) ? end - start : 0) };
}
