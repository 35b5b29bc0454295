/** Tracks of a transport stream, from what its start shows. */
import {
  annexBToLengthPrefixed,
  ascFromAdts,
  avcConfigFromAnnexB,
  describeCodec,
  hdrKind,
  hevcConfigFromAnnexB,
} from '../../codecs/codecs.ts';
import { sequenceHeader } from '../../codecs/mpeg2.ts';
import type { CodecConfig, Track } from '../../types.ts';
import type { StreamHead } from './discover.ts';
import { TICKS } from './pes.ts';

/** hvcC or avcC of a key frame; undefined when its parameter sets are not in it, or the codec has none. */
function videoConfiguration(codec: string, keyFrame: Uint8Array): Uint8Array | undefined {
  if (codec === 'h264') return avcConfigFromAnnexB(keyFrame);
  if (codec === 'hevc') return hevcConfigFromAnnexB(keyFrame);
  return undefined;
}

/** May the presentation begin at this key frame? Where the codec has parameter sets, they must be in it. */
export function isUsableKeyFrame(codec: string, keyFrame: Uint8Array): boolean {
  return (codec !== 'h264' && codec !== 'hevc') || videoConfiguration(codec, keyFrame) !== undefined;
}

/** Ticks between frames: the median distance of the first decode times; undefined with fewer than three frames. */
export function frameTicks(head: StreamHead): number | undefined {
  const steps = head.decodeTicks.slice(1).map((t, i) => t - head.decodeTicks[i]!);
  const positive = steps.filter((s) => s > 0).sort((a, b) => a - b);
  return positive.length < 2 ? undefined : positive[positive.length >> 1];
}

/** Rates that 90 kHz ticks round: the exact one where it is near, else what the ticks say, to the thousandth. */
function frameRate(ticks: number): number {
  const rate = TICKS / ticks;
  const exact = [24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 100, 120].find(
    (r) => Math.abs(TICKS / r - ticks) <= 1,
  );
  return exact ?? Math.round(rate * 1000) / 1000;
}

type Described = { config: CodecConfig } | { notCopied: string };

function describeHead(head: StreamHead, codec: string): Described {
  if (head.entry.kind.type === 'video') {
    const privateData = head.key && videoConfiguration(codec, head.key.data);
    if (!head.key) return { notCopied: 'no complete key frame was found near its beginning' };
    const ticks = frameTicks(head);
    return describeCodec({
      codec,
      ...(privateData === undefined ? {} : { privateData, firstPacket: annexBToLengthPrefixed(head.key.data) }),
      ...(ticks === undefined ? {} : { frameRate: frameRate(ticks) }),
    });
  }
  if (!head.first) return { notCopied: 'the file holds none of its data near the beginning' };
  const { frame, header } = head;
  const privateData = codec === 'aac' && frame ? ascFromAdts(frame) : undefined;
  return describeCodec({
    codec,
    ...(privateData === undefined ? {} : { privateData }),
    ...(frame === undefined ? {} : { firstPacket: frame }),
    ...(header === undefined ? {} : { sampleRate: header.sampleRate, channels: header.channels }),
  });
}

/** The PMT tells MPEG audio without its layer, and AC-3 where E-AC-3 may come: the first frame decides. */
export function codecOf(head: StreamHead): string {
  return head.header?.codec ?? head.entry.kind.codec;
}

/** Video that can't be copied still tells its size, for those who transcode it. */
function foreignVideo({ key, entry }: StreamHead): Pick<Track, 'video'> {
  const header = entry.kind.codec.startsWith('mpeg') && key ? sequenceHeader(key.data) : undefined;
  if (header === undefined) return {};
  const { width, height, displayWidth, frameRate: rate } = header;
  const size = { width, height, displayWidth, displayHeight: height };
  return { video: { ...size, rotation: 0, hdr: 'sdr', ...(rate === undefined ? {} : { frameRate: rate }) } };
}

function videoOf(config: CodecConfig | undefined, head: StreamHead): Pick<Track, 'video'> {
  if (!config?.video) return foreignVideo(head);
  const { width, height, bitDepth, colour, pixelAspect } = config.video;
  const [horizontal, vertical] = pixelAspect ?? [1, 1];
  const ticks = frameTicks(head);
  const rate = ticks === undefined ? config.video.frameRate : frameRate(ticks);
  return {
    video: {
      width,
      height,
      displayWidth: Math.max(1, Math.round((width * horizontal) / Math.max(1, vertical))),
      displayHeight: height,
      rotation: 0,
      ...(rate === undefined ? {} : { frameRate: rate }),
      bitDepth,
      hdr: hdrKind(colour),
      ...(colour === undefined ? {} : { colour }),
    },
  };
}

function audioOf(config: CodecConfig | undefined, head: StreamHead): Pick<Track, 'audio'> {
  if (config?.audio) {
    return { audio: { sampleRate: config.audio.sampleRate, channels: config.audio.channels } };
  }
  if (!head.header) return {};
  return { audio: { sampleRate: head.header.sampleRate, channels: head.header.channels } };
}

/** Presentation time of a stream's first packet, unwrapped ticks; of video, of its first key frame and what is shown before it. */
export function startTicks(head: StreamHead): number | undefined {
  if (head.entry.kind.type === 'video') return head.ticks.length === 0 ? undefined : Math.min(...head.ticks);
  return head.frameTicks ?? head.first?.pts;
}

export interface TrackTimes {
  /** Unwrapped ticks. */
  readonly start?: number;
  readonly end?: number;
}

export function makeTrack(head: StreamHead, index: number, scrambled: boolean, times: TrackTimes): Track {
  const { type } = head.entry.kind;
  const codec = codecOf(head);
  const described: Described | undefined =
    type === 'subtitle' ? undefined : scrambled ? { notCopied: 'the track is encrypted' } : describeHead(head, codec);
  const config = described && 'config' in described ? described.config : undefined;
  return {
    id: head.entry.pid,
    type,
    index,
    codec,
    ...described,
    ...(scrambled ? { unreadable: true as const } : {}),
    ...(head.entry.language === undefined ? {} : { language: head.entry.language }),
    isDefault: index === 0 && type !== 'subtitle',
    isForced: false,
    ...(times.start === undefined ? {} : { startTime: times.start / TICKS }),
    ...(times.end === undefined ? {} : { endTime: times.end / TICKS }),
    ...(type === 'video' ? videoOf(config, head) : {}),
    ...(type === 'audio' ? audioOf(config, head) : {}),
  };
}
