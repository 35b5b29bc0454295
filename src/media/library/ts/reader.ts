/**
 * MPEG-TS (ISO/IEC 13818-1), M2TS and 204-byte packets as a MediaReader.
 * Invariant: nothing but memos changes after opening (clock maps, boundaries, the index once scanned); every answer is a function of
 * the file and the cut.
 */
import { AppError } from '../../../errors.ts';
import type { Source } from '../../../source/source.ts';
import { annexBToLengthPrefixed, stripAdts } from '../../codecs/codecs.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, Packet, PacketBatch, Track } from '../../types.ts';
import { accessGrid } from '../grid.ts';
import { readEnds, readHeads, readProgram, type StreamHead } from './discover.ts';
import { detectFraming } from './framing.ts';
import { TICKS } from './pes.ts';
import { type StreamEntry, StreamFile } from './stream-file.ts';
import { Timeline } from './timeline.ts';
import { codecOf, frameTicks, isUsableKeyFrame, makeTrack, startTicks } from './tracks.ts';
import { type Boundary, VideoStream } from './video-stream.ts';

/** Bytes by which a transport stream is recognised. */
export const TS_PROBE = 64 * 1024;

const DEFAULT_FRAME_TICKS = TICKS / 25;

function batch(packets: readonly Packet[], nextStart?: number): PacketBatch {
  return {
    packets,
    ...(nextStart === undefined ? {} : { nextStart }),
    [Symbol.dispose]: () => {},
  };
}

function firstBoundary(head: StreamHead): Boundary | undefined {
  if (!head.key) return undefined;
  return { position: head.key.position, start: Math.min(...head.ticks) / TICKS };
}

class TransportStreamReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes?: KeyframeIndex;
  readonly #file: StreamFile;
  readonly #entries: ReadonlyMap<number, StreamEntry>;
  readonly #video: VideoStream | undefined;
  readonly #frame: number;
  readonly #lifetime = new AbortController();
  #index: KeyframeIndex | undefined;

  constructor(
    file: StreamFile,
    info: MediaInfo,
    entries: readonly StreamEntry[],
    video: VideoStream | undefined,
    frame: number,
  ) {
    this.#file = file;
    this.info = info;
    this.#entries = new Map(entries.map((e) => [e.pid, e]));
    this.#video = video;
    this.#frame = frame / TICKS;
    if (!video) {
      this.keyframes = accessGrid(info.startTime, info.duration, file.source.size);
      this.#index = this.keyframes;
    }
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    if (this.#index) return this.#index;
    const media = this.info.tracks.filter((t) => t.type !== 'subtitle').map((t) => t.id);
    this.#index = await this.#video!.scan(media, this.#alive(signal));
    return this.#index;
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const entry = this.#entries.get(trackId);
    if (!entry) throw new AppError('internal', `There is no track ${trackId} in ${this.#file.source.label}.`);
    const alive = this.#alive(signal);
    alive.throwIfAborted();
    if (this.#video && entry.pid === this.#video.entry.pid) return this.#readVideo(this.#video, cut, alive);
    const packets: Packet[] = [];
    const isAac = entry.kind.codec === 'aac';
    await this.#file.audioFrames(entry, cut.from, cut.to, alive, (data, pts, duration) => {
      packets.push({ data: isAac ? stripAdts(data) : data, pts, duration, key: true });
    });
    return batch(packets);
  }

  async #readVideo(video: VideoStream, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const from = await this.#boundary(video, cut.from, cut.fromKey, signal);
    const to = await this.#boundary(video, cut.to, cut.toKey, signal);
    const convert = video.entry.kind.codec === 'h264' || video.entry.kind.codec === 'hevc';
    const packets: Packet[] = [];
    let previous: number | undefined;
    await video.accessUnits(from.position, to.position, signal, (unit) => {
      const last = packets.at(-1);
      if (last && previous !== undefined) {
        // The step of decode times; a jump of the clock is no duration.
        const step = unit.dts - previous;
        if (step > 0 && step < 10) packets[packets.length - 1] = { ...last, duration: step };
      }
      previous = unit.dts;
      const data = convert ? annexBToLengthPrefixed(unit.data) : unit.data;
      if (data.length > 0) packets.push({ data, pts: unit.pts, duration: this.#frame, key: unit.key });
    });
    return batch(packets, to.start);
  }

  async #boundary(video: VideoStream, time: number, key: number | undefined, signal: AbortSignal): Promise<Boundary> {
    const index = this.#index;
    if (key === undefined || !index) return video.boundary(time, signal);
    if (key >= index.times.length) return { position: Number.POSITIVE_INFINITY };
    return { position: index.positions[key]!, start: index.starts[key]! };
  }

  #alive(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#lifetime.signal]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lifetime.abort(new AppError('server-closing', `${this.#file.source.label} was closed.`));
  }
}

function makeInfo(
  source: Source,
  stride: number,
  heads: readonly StreamHead[],
  scrambled: ReadonlySet<number>,
  ends: ReadonlyMap<number, number>,
): MediaInfo {
  const counts = { video: 0, audio: 0, subtitle: 0 };
  const tracks: Track[] = heads.map((head) => {
    const start = startTicks(head);
    const end = ends.get(head.entry.pid);
    return makeTrack(head, counts[head.entry.kind.type]++, scrambled.has(head.entry.pid) && !head.first, {
      ...(start === undefined ? {} : { start }),
      ...(end === undefined ? {} : { end }),
    });
  });
  const media = tracks.filter((t) => t.type !== 'subtitle');
  const startTime = Math.min(...media.flatMap((t) => t.startTime ?? []));
  const endTime = Math.max(...media.flatMap((t) => t.endTime ?? []));
  if (!Number.isFinite(startTime)) {
    throw new AppError('media-damaged', `${source.label} is a transport stream without any video or audio data.`);
  }
  const video = tracks.find((t) => t.type === 'video' && t.config) ?? tracks.find((t) => t.type === 'video');
  return {
    container: stride === 192 ? 'm2ts' : 'mpegts',
    startTime,
    duration: Number.isFinite(endTime) ? Math.max(0, endTime - startTime) : 0,
    tracks,
    ...(video === undefined ? {} : { videoTrackId: video.id }),
    chapters: [],
    attachments: [],
  };
}

/**
 * @param head the first bytes of the source, TS_PROBE of them when it has as many.
 * @returns undefined when the source is no transport stream.
 * @throws AppError `media-damaged` when it is one without anything in it, `source-*`; the signal's reason.
 */
export async function openTransportStream(
  source: Source,
  head: Uint8Array,
  signal: AbortSignal,
): Promise<MediaReader | undefined> {
  const framing = detectFraming(head);
  if (!framing) return undefined;
  const program = await readProgram(source, framing, signal);
  if (!program) {
    throw new AppError('media-damaged', `${source.label} is a transport stream that announces no video and no audio.`);
  }
  const { heads, reference } = await readHeads(source, framing, program, isUsableKeyFrame, signal);
  const picture = heads.find((h) => h.entry.kind.type === 'video' && h.key);
  const clockHead = picture ?? heads.find((h) => h.entry.kind.type === 'audio' && h.first);
  const clockPid = clockHead?.entry.pid ?? program.streams[0]!.pid;
  const file = new StreamFile(source, framing, new Timeline(reference ?? 0, clockPid));
  const frame = (picture && frameTicks(picture)) ?? DEFAULT_FRAME_TICKS;
  await file.findJumps(frame, signal);
  for (const { entry, first } of heads) {
    if (first?.pts !== undefined) {
      file.clock(entry.pid).add(first.position, file.timeline.ticks(first.dts ?? first.pts, first));
    }
  }
  const entries = heads.map((h) => ({ ...h.entry, kind: { ...h.entry.kind, codec: codecOf(h) } }));
  const ends = await readEnds(file, entries, frame, signal);
  const info = makeInfo(source, framing.stride, heads, program.scrambled, ends);
  const played = heads.find((h) => h.entry.pid === info.videoTrackId);
  const start = played && firstBoundary(played);
  const entry = entries.find((e) => e.pid === info.videoTrackId);
  const video = entry && start ? new VideoStream(file, entry, start) : undefined;
  return new TransportStreamReader(file, info, entries, video, frame);
}
