/**
 * The containers that our Matroska and ISO-BMFF readers leave over: MPEG transport streams (our own demuxer, `ts/`) and ADTS, and Ogg, MP3,
 * FLAC and WAVE by mediabunny, which is loaded when the first of them is opened.
 */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { describeCodec } from '../codecs/codecs.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, PacketBatch, Track } from '../types.ts';
import { openAdts } from './adts.ts';
import { BunnyInput } from './bunny-source.ts';
import { accessGrid } from './grid.ts';
import { lastPageEnd, MAX_OGG_PAGE, oggStreams } from './ogg-streams.ts';
import { openSoundTrack, type SoundTrack } from './sound-track.ts';
import { openTransportStream, TS_PROBE } from './ts/reader.ts';

const CONTAINERS: Readonly<Record<string, string>> = {
  Ogg: 'ogg',
  FLAC: 'flac',
  WAVE: 'wav',
  MP3: 'mp3',
};

/** Invariant: stateless but for the library's own caches; disposing ends every read. */
class SoundReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes: KeyframeIndex;
  readonly #input: BunnyInput;
  readonly #tracks: ReadonlyMap<number, SoundTrack>;

  constructor(input: BunnyInput, info: MediaInfo, keyframes: KeyframeIndex, tracks: readonly SoundTrack[]) {
    this.#input = input;
    this.info = info;
    this.keyframes = keyframes;
    this.#tracks = new Map(tracks.map((t) => [t.track.id, t]));
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    signal.throwIfAborted();
    return this.keyframes;
  }

  async read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const track = this.#tracks.get(trackId);
    const packets = track ? await track.packets(cut, signal) : [];
    return { packets, [Symbol.dispose]: () => {} };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#input[Symbol.dispose]();
  }
}

/** No configuration is read for them, so even a codec that could be copied is not. */
function foreignReason(codec: string): string {
  const described = describeCodec({ codec });
  return 'notCopied' in described ? described.notCopied : `${codec} in Ogg is not read`;
}

/** Streams of an Ogg file that the library does not surface, as tracks that cannot be copied. */
function foreignTracks(head: Uint8Array, known: readonly Track[]): Track[] {
  const indexes = { video: 0, audio: known.length, subtitle: 0 };
  return oggStreams(head)
    .filter((s) => !known.some((t) => t.id === s.serial))
    .map(({ serial, type, codec }) => ({
      id: serial,
      type,
      index: indexes[type]++,
      codec,
      ...(type === 'subtitle' ? {} : { notCopied: foreignReason(codec) }),
      unreadable: true,
      isDefault: false,
      isForced: false,
    }));
}

/** The whole source, but of an Ogg file that is cut off only its whole pages. */
async function usableSize(source: Source, head: Uint8Array, signal: AbortSignal): Promise<number> {
  if (head[0] !== 0x4f || head[1] !== 0x67 || head[2] !== 0x67 || head[3] !== 0x53) return source.size;
  const from = Math.max(0, source.size - 2 * MAX_OGG_PAGE);
  const tail = await source.read(from, source.size - from, signal);
  return lastPageEnd(tail, from) ?? source.size;
}

async function openSound(source: Source, head: Uint8Array, signal: AbortSignal): Promise<MediaReader | undefined> {
  const bunny = await import('mediabunny');
  using stack = new DisposableStack();
  const size = await usableSize(source, head, signal);
  const input = stack.use(new BunnyInput(bunny, source, size, signal));
  const format = await input.wait(async () => {
    try {
      return await input.input.getFormat();
    } catch (error) {
      // What the library cannot make out is none of its formats; failures of the source are told.
      if (error instanceof AppError || signal.aborted) throw error;
      return undefined;
    }
  }, signal);
  if (!format) return undefined;
  const container = CONTAINERS[format.name] ?? format.name.toLowerCase();
  const sounds = await input.wait(async () => {
    const found: SoundTrack[] = [];
    for (const track of await input.input.getTracks()) {
      const sound = await openSoundTrack(bunny, input, track, found.length);
      if (sound) found.push(sound);
    }
    return found;
  }, signal);
  const known = sounds.map((s) => s.track);
  const tracks = [...known, ...(container === 'ogg' ? foreignTracks(head, known) : [])];
  if (tracks.length === 0) throw new AppError('media-damaged', `${source.label} holds no audio that can be read.`);
  const startTime = Math.min(...known.map((t) => t.startTime ?? 0), Number.MAX_VALUE);
  const start = known.length === 0 ? 0 : startTime;
  const duration = Math.max(0, ...known.map((t) => (t.endTime ?? 0) - start));
  const video = tracks.find((t) => t.type === 'video');
  const info: MediaInfo = {
    container,
    startTime: start,
    duration,
    tracks,
    ...(video === undefined ? {} : { videoTrackId: video.id }),
    chapters: [],
    attachments: [],
  };
  input.opened();
  const reader = new SoundReader(input, info, accessGrid(start, duration, source.size), sounds);
  stack.move();
  return reader;
}

/**
 * Opens MPEG-TS, M2TS, Ogg, MP3, FLAC, WAVE and ADTS.
 * @returns undefined when the source is none of them.
 * @throws AppError `media-damaged` when it is one that cannot be read, `source-*`; the signal's reason.
 */
export async function openWithLibrary(source: Source, signal: AbortSignal): Promise<MediaReader | undefined> {
  signal.throwIfAborted();
  const head = await source.read(0, TS_PROBE, signal);
  return (
    (await openTransportStream(source, head, signal)) ??
    (await openAdts(source, head, signal)) ??
    (await openSound(source, head, signal))
  );
}
