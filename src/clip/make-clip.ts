/** From an opened source to a file: pictures and sound of a stretch of it, interleaved in one MP4. */
import type { FileHandle } from 'node:fs/promises';
import { AppError } from '../errors.ts';
import type { Capabilities } from '../ffmpeg/capabilities.ts';
import type { CopiedTrack } from '../media/fmp4/init-segment.ts';
import { timescaleOf } from '../media/fmp4/init-segment.ts';
import { type MovieTrack, movieBoxGuess } from '../media/mp4/movie-box.ts';
import { ProgressiveFile } from '../media/mp4/progressive-file.ts';
import { SampleLog } from '../media/mp4/sample-log.ts';
import type { Packet, Track } from '../media/types.ts';
import type { Presentation } from '../presentation/presentation.ts';
import { AudioQueue } from './audio-queue.ts';
import { type ClipAudio, clipAudio } from './clip-audio.ts';
import { type ClipVideo, encodedVideo, SpliceConflict, smartVideo, type VideoMaterial } from './clip-video.ts';
import { bytesOf } from './source-packets.ts';

/** Pictures whose time is so little before a bound count as at it: containers round times to milliseconds. Seconds. */
const ROUNDING = 0.001;
/** Media of one track in a row, seconds: who plays the file while it downloads waits for no more. */
const CHUNK_SECONDS = 0.5;
/** Guesses for the room that is left for the movie box. */
const USUAL_FRAME_RATE = 60;
const USUAL_AUDIO_PACKETS = 48;

export interface ClipOrder {
  readonly presentation: Presentation;
  /** Of the session; undefined for the container's default. */
  readonly audioIndex: number | undefined;
  /** Seconds on the presentation's clock: inclusive, exclusive. */
  readonly start: number;
  readonly end: number;
  readonly capabilities: Capabilities;
  /** Of an empty file, for reading and writing; stays the caller's. */
  readonly handle: FileHandle;
  /** Called with the seconds that are done. */
  readonly onProgress: (seconds: number) => void;
}

/** How it was made: `smart` where whole groups of pictures are copies, `copied` where the clip has no pictures and its sound is a copy. */
export type ClipMethod = 'smart' | 'encoded' | 'copied';

/**
 * Writes a clip. Its first picture is the first one of the source whose time is not before `start`, its last one the last whose time is before `end`; time 0 of the
 * file is that of its first picture, and the last picture lasts until `end`.
 * @throws AppError `media-*`, `ffmpeg-missing`, `transcode-failed`, `source-*`; the signal's reason; the file system's error.
 */
export async function makeClip(order: ClipOrder, signal: AbortSignal): Promise<ClipMethod> {
  const { presentation, handle } = order;
  if (presentation.unplayable) throw presentation.unplayable;
  const { info } = presentation;
  const video = info.tracks.find(({ id }) => id === info.videoTrackId);
  const audio = audioTrack(order);
  const bytes = bytesOf(presentation.material, { from: order.start, to: order.end });
  using _confined = bytes && presentation.material.confine(bytes.start, bytes.end);
  const material = video && videoMaterial(order, video);
  const smart = material && (await smartVideo(material, signal));
  try {
    return await write(order, smart ?? (material && encodedVideo(material, signal)), audio, signal);
  } catch (error) {
    if (!(error instanceof SpliceConflict) || !material) throw error;
    await handle.truncate(0);
    return await write(order, encodedVideo(material, signal), audio, signal);
  }
}

function videoMaterial({ presentation, start, end, capabilities }: ClipOrder, track: Track): VideoMaterial {
  const ffmpeg = capabilities.canTranscodeVideo ? capabilities.ffmpeg?.path : undefined;
  const { filters } = capabilities;
  return { ...presentation.material, track, from: start - ROUNDING, to: end - ROUNDING, ffmpeg, filters };
}

/** The track that the session plays. @throws AppError where the source has sound that cannot be played here. */
function audioTrack({ presentation, audioIndex }: ClipOrder): Track | undefined {
  const sounds = presentation.info.tracks.filter(({ type }) => type === 'audio');
  const index = presentation.defaultAudioIndex(audioIndex);
  return sounds.find((track) => track.index === index) ?? sounds[0];
}

/** What one clip is written with. */
class ClipWriter {
  readonly #file: ProgressiveFile;
  readonly #order: ClipOrder;
  readonly #signal: AbortSignal;
  readonly #pictures = new SampleLog(90_000);
  #sound: { readonly log: SampleLog; readonly source: ClipAudio; readonly queue: AudioQueue } | undefined;
  /** Where time 0 of the clip lies on the presentation's clock. */
  #zero: number | undefined;

  constructor(order: ClipOrder, signal: AbortSignal) {
    const { presentation, start, end, handle } = order;
    const video = presentation.info.tracks.find(({ id }) => id === presentation.info.videoTrackId)?.video;
    const pictures = (video?.frameRate ?? USUAL_FRAME_RATE) * 1.1;
    const seconds = end - start;
    this.#file = new ProgressiveFile(handle, movieBoxGuess(seconds * pictures, seconds * USUAL_AUDIO_PACKETS));
    this.#order = order;
    this.#signal = signal;
  }

  /** Time 0, and with it where the sound begins. */
  begin(zero: number, audio: Track | undefined): void {
    this.#zero = zero;
    if (!audio) return;
    const { presentation, end, capabilities } = this.#order;
    const ffmpeg = capabilities.canTranscodeAudio ? capabilities.ffmpeg?.path : undefined;
    const source = clipAudio({ ...presentation.material, track: audio, from: zero, to: end, ffmpeg }, this.#signal);
    const log = new SampleLog(timescaleOf(source.track));
    this.#sound = { log, source, queue: new AudioQueue(source.batches) };
  }

  get begun(): boolean {
    return this.#zero !== undefined;
  }

  async pictures(packets: readonly Packet[]): Promise<void> {
    for (const chunk of chunksOf(packets)) {
      await this.sound((chunk[0] as Packet).pts);
      await this.#file.write(this.#pictures, chunk, this.#zero as number);
      this.#order.onProgress((chunk.at(-1) as Packet).pts - this.#order.start);
    }
  }

  /** All sound that begins before `time`. */
  async sound(time: number): Promise<void> {
    const sound = this.#sound;
    await sound?.queue.before(time, async (packets) => {
      for (const chunk of chunksOf(packets)) {
        this.#signal.throwIfAborted();
        await this.#file.write(sound.log, chunk, this.#zero as number);
        if (this.#pictures.count === 0) this.#order.onProgress((chunk.at(-1) as Packet).pts - this.#order.start);
      }
    });
  }

  async finish(video: CopiedTrack | undefined): Promise<'copied' | 'encoded' | undefined> {
    const end = this.#order.end - (this.#zero as number);
    const tracks: MovieTrack[] = [];
    if (video) tracks.push({ track: video, samples: this.#pictures, end });
    const sound = this.#sound;
    if (sound && sound.log.count > 0) {
      const { log, source } = sound;
      const { sampleRate = 48_000, frameSamples = 1024 } = source.track.config.audio ?? {};
      const last = (log.times.at(-1) as number) / log.timescale + frameSamples / sampleRate;
      tracks.push({ track: source.track, samples: log, end: Math.min(end, last) });
    }
    if (tracks.length === 0)
      throw new AppError('bad-request', 'body/start: there is no picture and no sound between start and end.');
    await this.#file.finish(tracks);
    return sound?.source.method;
  }

  async close(): Promise<void> {
    await this.#sound?.queue.close();
  }
}

async function write(
  order: ClipOrder,
  video: ClipVideo | undefined,
  audio: Track | undefined,
  signal: AbortSignal,
): Promise<ClipMethod> {
  const writer = new ClipWriter(order, signal);
  try {
    for await (const packets of video?.batches ?? []) {
      signal.throwIfAborted();
      const first = packets[0];
      if (!first) continue;
      if (!writer.begun) writer.begin(Math.max(0, first.pts), audio);
      await writer.pictures(packets);
    }
    const hasPictures = writer.begun;
    if (!hasPictures) {
      assertNoPictures(order);
      writer.begin(order.start, audio);
    }
    await writer.sound(order.end);
    const sound = await writer.finish(hasPictures ? video?.describe() : undefined);
    return hasPictures && video ? video.method : (sound ?? 'copied');
  } finally {
    await writer.close();
  }
}

/** Behind the last picture there may be sound; before it, a clip without pictures is no clip of a film. @throws AppError `bad-request`. */
function assertNoPictures({ presentation: { info }, start }: ClipOrder): void {
  const track = info.tracks.find(({ id }) => id === info.videoTrackId);
  if (track === undefined) return;
  const last = (track.endTime ?? info.startTime + info.duration) - 1 / (track.video?.frameRate ?? 25);
  if (start >= last - info.startTime) return;
  throw new AppError('bad-request', 'body/end: there is no picture between start and end.');
}

/** In portions of about `CHUNK_SECONDS`. */
function* chunksOf(packets: readonly Packet[]): Generator<readonly Packet[]> {
  for (let from = 0; from < packets.length; ) {
    const until = (packets[from] as Packet).pts + CHUNK_SECONDS;
    let to = from + 1;
    while (to < packets.length && (packets[to] as Packet).pts < until) to += 1;
    yield packets.slice(from, to);
    from = to;
  }
}
