import type { Timeline, TimelineSegment } from '../hls/timeline.ts';
import { processPool } from '../lib/buffer-pool.ts';
import { type CopiedTrack, initSegment, isCopied } from '../media/fmp4/init-segment.ts';
import { mediaSegment } from '../media/fmp4/media-segment.ts';
import { packedAudioSegment } from '../media/packed-audio.ts';
import { withSilence } from '../media/silence.ts';
import type { Cut, MediaInfo, MediaReader, PacketBatch } from '../media/types.ts';
import type { CutPlaces } from './cut-places.ts';
import { type Picture, pooledSegment, type Rendition, type Segment, uprightSize } from './rendition.ts';

/** What a track has past a boundary counts to the segment before when it is shorter than this: about one audio frame. */
const LEFTOVER_SECONDS = 0.05;

/** An opened source, as makers of segments need it. */
export interface Opened {
  readonly reader: MediaReader;
  readonly info: MediaInfo;
  /** Of the copied renditions. */
  readonly timeline: Timeline;
  /** Bound how many segments are read at once. */
  readonly places: CutPlaces;
}

/** All tracks that can be copied; `original` is the video. */
export function copiedRenditions(source: Opened): Rendition[] {
  const { info } = source;
  const video = info.tracks.find((track) => track.id === info.videoTrackId);
  const sounds = info.tracks.filter((track) => track.type === 'audio').filter(isCopied);
  return [
    ...(video && isCopied(video) ? [new CopiedRendition('original', video, source)] : []),
    ...sounds.map((track) => new CopiedRendition(`audio-${track.index}`, track, source)),
  ];
}

/** The segments of a timeline in which a track has media. */
export function segmentsUntil(timeline: Timeline, end: number): TimelineSegment[] {
  const until = Math.min(end, timeline.duration);
  const segments = timeline.segments.filter((segment, n) => n === 0 || segment.start < until - LEFTOVER_SECONDS);
  const last = segments.at(-1) as TimelineSegment;
  return [...segments.slice(0, -1), { ...last, duration: Math.max(until - last.start, 0.001) }];
}

/** Where a track ends on the presentation's clock, as far as is known. */
export function endOf(track: { readonly endTime?: number }, info: MediaInfo): number {
  return track.endTime === undefined ? Number.POSITIVE_INFINITY : track.endTime - info.startTime;
}

/** A track whose packets are delivered as they are. It holds no segments: each is made from the source when asked for. */
class CopiedRendition implements Rendition {
  readonly name: string;
  readonly track: CopiedTrack;
  readonly delivery = 'copied';
  readonly codec: string;
  readonly contentType: Rendition['contentType'];
  readonly extension: Rendition['extension'];
  readonly segments: readonly TimelineSegment[];
  readonly #source: Opened;
  /** MP3 goes as packed audio (docs/decisions/0005): no initialization segment, another name for the codec. */
  readonly #packed: boolean;

  constructor(name: string, track: CopiedTrack, source: Opened) {
    this.name = name;
    this.track = track;
    this.#source = source;
    this.#packed = track.config.codec === 'mp3';
    this.codec = this.#packed ? 'mp4a.40.34' : track.config.codecString;
    this.contentType = this.#packed ? 'audio/mpeg' : track.type === 'video' ? 'video/mp4' : 'audio/mp4';
    this.extension = this.#packed ? 'mp3' : 'm4s';
    this.segments = segmentsUntil(source.timeline, endOf(track, source.info));
  }

  get channels(): number | undefined {
    return this.track.config.audio?.channels;
  }

  get picture(): Picture | undefined {
    const { video } = this.track;
    if (!video) return undefined;
    const [width, height] = uprightSize(video).map(Math.round) as [number, number];
    const range = ({ sdr: 'SDR', hdr10: 'PQ', hlg: 'HLG', 'dolby-vision': 'PQ' } as const)[video.hdr];
    const rate = video.frameRate === undefined ? {} : { frameRate: video.frameRate };
    return { width, height, range, ...rate };
  }

  async init(): Promise<Uint8Array | undefined> {
    return this.#packed ? undefined : initSegment(this.track);
  }

  segment(n: number, signal: AbortSignal): Promise<Segment> {
    return this.#source.places.run(n, signal, async () => {
      using batch = await this.#source.reader.read(this.track.id, this.#cut(n), signal);
      return pooledSegment(this.#package(n, batch));
    });
  }

  #package(n: number, { packets, nextStart }: PacketBatch): Uint8Array {
    const { track } = this;
    const { startTime } = this.#source.info;
    const allocate = (length: number): Uint8Array => processPool.acquire(length);
    const common = { track, startTime, sequenceNumber: n + 1 };
    if (track.type === 'video') {
      return mediaSegment({ ...common, packets, ...(nextStart === undefined ? {} : { nextStart }) }, allocate);
    }
    const { start, duration } = this.segments[n] as TimelineSegment;
    const from = start + startTime;
    const sound = withSilence(track.config, packets, from, from + duration);
    if (this.#packed) return packedAudioSegment({ packets: sound, startTime }, allocate);
    return mediaSegment({ ...common, packets: sound }, allocate);
  }

  #cut(n: number): Cut {
    const cut = cutOf(this.#source, n);
    // The last segment of a track that ends early takes what little lies past the boundary.
    return n === this.segments.length - 1 ? { ...cut, to: cut.to + LEFTOVER_SECONDS } : cut;
  }
}

/** Segment `n` of the source's timeline as a cut of the source. */
export function cutOf({ timeline, info }: Opened, n: number): Cut {
  const { segments } = timeline;
  const { startTime } = info;
  const { start, duration, fromKey, toKey } = segments[n] as TimelineSegment;
  const from = n === 0 ? Number.NEGATIVE_INFINITY : start + startTime;
  const to = n === segments.length - 1 ? Number.POSITIVE_INFINITY : start + duration + startTime;
  if (fromKey !== undefined && toKey !== undefined) return { from, to, fromKey, toKey };
  const next = segments[n + 2];
  const nextTo = next === undefined ? Number.POSITIVE_INFINITY : next.start + startTime;
  return n + 1 < segments.length ? { from, to, nextTo } : { from, to };
}
