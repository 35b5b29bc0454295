/**
 * AAC in ADTS frames (ISO/IEC 13818-7 section 6.2) without a container, read by ourselves: the library (1.61) never ends, and takes
 * all memory, on a frame whose length is 0.
 * Invariant: the table of frames is complete once opened; a frame's time is its count of samples before it.
 */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { ascFromAdts, describeCodec, stripAdts } from '../codecs/codecs.ts';
import type { Cut, KeyframeIndex, MediaInfo, MediaReader, Packet, PacketBatch, Track } from '../types.ts';
import { accessGrid } from './grid.ts';
import { type FrameHeader, parserFor } from './ts/audio-frames.ts';
import { lowerBound } from './ts/clock-map.ts';
import { turn } from './ts/framing.ts';

const parse = parserFor('aac')!;
const HEADER = 7;
/** A frame's length has 13 bits. */
const MAX_FRAME = 8191;
const MAX_TAGS = 8;
/** Two days of sound; more is no music. Frames. */
const MAX_FRAMES = 10_000_000;

interface Frames {
  readonly positions: Float64Array;
  readonly sizes: Uint16Array;
  /** Samples before each frame, and after the last one: one longer than the others. */
  readonly samples: Float64Array;
}

/** Where the sound begins: after the ID3v2 tags (id3.org, 2.4.0 section 3.1). */
async function afterTags(source: Source, head: Uint8Array, signal: AbortSignal): Promise<number> {
  let position = 0;
  for (let count = 0; count < MAX_TAGS; count++) {
    const bytes = position + 10 <= head.length ? head.subarray(position) : await source.read(position, 10, signal);
    if (bytes.length < 10 || bytes[0] !== 0x49 || bytes[1] !== 0x44 || bytes[2] !== 0x33) break;
    const size = [6, 7, 8, 9].reduce((sum, i) => sum * 128 + (bytes[i]! & 0x7f), 0);
    position += 10 + size + (bytes[5]! & 0x10 ? 10 : 0);
  }
  return position;
}

function sameStream(a: FrameHeader, b: FrameHeader): boolean {
  return a.sampleRate === b.sampleRate && a.channels === b.channels;
}

/** The header at `at` when the next frame, or the end of the file, confirms it. */
function confirmed(
  bytes: Uint8Array,
  at: number,
  first: FrameHeader | undefined,
  atEnd: boolean,
): FrameHeader | undefined {
  const header = parse(bytes, at);
  if (!header || (first && !sameStream(header, first))) return undefined;
  const end = at + header.size;
  if (end + HEADER > bytes.length) return atEnd && end <= bytes.length ? header : undefined;
  const next = parse(bytes, end);
  return next && sameStream(header, next) ? header : undefined;
}

/** A growing list of numbers without a box for each. */
class Numbers {
  #values = new Float64Array(4096);
  #count = 0;

  push(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
  }

  get count(): number {
    return this.#count;
  }

  view(): Float64Array {
    return this.#values.slice(0, this.#count);
  }
}

/** Reads the whole source for its frames; what lies between them is passed over. */
async function readFrames(source: Source, from: number, first: FrameHeader, signal: AbortSignal): Promise<Frames> {
  const chunk = source.latency === 'remote' ? 8 * 1024 * 1024 : 1024 * 1024;
  const positions = new Numbers();
  const sizes = new Numbers();
  const samples = new Numbers();
  let total = 0;
  let position = from;
  while (position < source.size) {
    const bytes = await source.read(position, chunk, signal);
    if (bytes.length === 0) break;
    const atEnd = position + bytes.length >= source.size;
    const limit = atEnd ? bytes.length - HEADER : bytes.length - MAX_FRAME - HEADER;
    let at = 0;
    while (at <= limit) {
      const header = confirmed(bytes, at, first, atEnd);
      if (!header) {
        const next = bytes.indexOf(0xff, at + 1);
        at = next < 0 ? bytes.length : next;
        continue;
      }
      positions.push(position + at);
      sizes.push(header.size);
      samples.push(total);
      total += header.samples;
      at += header.size;
      if (positions.count > MAX_FRAMES) throw new AppError('media-damaged', `${source.label} has too many frames.`);
    }
    if (atEnd) break;
    position += Math.max(1, Math.min(at, bytes.length));
    await turn();
  }
  samples.push(total);
  return { positions: positions.view(), sizes: Uint16Array.from(sizes.view()), samples: samples.view() };
}

class AdtsReader implements MediaReader {
  readonly info: MediaInfo;
  readonly keyframes: KeyframeIndex;
  readonly #source: Source;
  readonly #frames: Frames;
  readonly #rate: number;
  readonly #lifetime = new AbortController();

  constructor(source: Source, info: MediaInfo, frames: Frames, rate: number) {
    this.#source = source;
    this.info = info;
    this.#frames = frames;
    this.#rate = rate;
    this.keyframes = accessGrid(0, info.duration, source.size);
  }

  async scan(signal: AbortSignal): Promise<KeyframeIndex> {
    signal.throwIfAborted();
    return this.keyframes;
  }

  async read(_trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch> {
    const alive = AbortSignal.any([signal, this.#lifetime.signal]);
    alive.throwIfAborted();
    const { positions, sizes, samples } = this.#frames;
    const count = positions.length;
    const first = this.#at(cut.from);
    const end = this.#at(cut.to);
    const packets: Packet[] = [];
    if (first < end) {
      const from = positions[first]!;
      const length = positions[end - 1]! + sizes[end - 1]! - from;
      const bytes = await this.#source.read(from, length, alive);
      for (let i = first; i < end && i < count; i++) {
        const at = positions[i]! - from;
        if (at + sizes[i]! > bytes.length) {
          throw new AppError('source-truncated', `${this.#source.label} is shorter than its size says.`);
        }
        const data = stripAdts(bytes.subarray(at, at + sizes[i]!));
        const duration = (samples[i + 1]! - samples[i]!) / this.#rate;
        packets.push({ data, pts: samples[i]! / this.#rate, duration, key: true });
      }
    }
    return { packets, [Symbol.dispose]: () => {} };
  }

  /** First frame whose time is >= `time`: the same division as for its packet, so that neighbours meet. */
  #at(time: number): number {
    const { samples } = this.#frames;
    const count = this.#frames.positions.length;
    if (time === Number.NEGATIVE_INFINITY) return 0;
    if (time === Number.POSITIVE_INFINITY) return count;
    let i = Math.min(count, lowerBound(samples, time * this.#rate));
    while (i > 0 && samples[i - 1]! / this.#rate >= time) i--;
    while (i < count && samples[i]! / this.#rate < time) i++;
    return i;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lifetime.abort(new AppError('server-closing', `${this.#source.label} was closed.`));
  }
}

function makeTrack(header: FrameHeader, frame: Uint8Array, duration: number): Track {
  const privateData = ascFromAdts(frame);
  const described = describeCodec({
    codec: 'aac',
    ...(privateData === undefined ? {} : { privateData }),
    firstPacket: frame,
    sampleRate: header.sampleRate,
    channels: header.channels,
  });
  const config = 'config' in described ? described.config : undefined;
  const channels = config?.audio?.channels ?? header.channels;
  return {
    id: 1,
    type: 'audio',
    index: 0,
    codec: 'aac',
    ...described,
    isDefault: true,
    isForced: false,
    startTime: 0,
    endTime: duration,
    audio: { sampleRate: header.sampleRate, channels },
  };
}

/**
 * @param head first bytes of the source.
 * @returns undefined when the source is no ADTS stream.
 * @throws AppError `media-damaged`, `source-*`; the signal's reason.
 */
export async function openAdts(
  source: Source,
  head: Uint8Array,
  signal: AbortSignal,
): Promise<MediaReader | undefined> {
  const from = await afterTags(source, head, signal);
  const bytes = await source.read(from, 2 * MAX_FRAME, signal);
  const first = confirmed(bytes, 0, undefined, false);
  if (!first) return undefined;
  const frames = await readFrames(source, from, first, signal);
  const duration = frames.samples.at(-1)! / first.sampleRate;
  const track = makeTrack(first, bytes.subarray(0, first.size), duration);
  const info: MediaInfo = {
    container: 'adts',
    startTime: 0,
    duration,
    tracks: [track],
    chapters: [],
    attachments: [],
  };
  return new AdtsReader(source, info, frames, first.sampleRate);
}
