/** Audio frames in the byte stream of PES packets: where each starts, how long it lasts, what time it has. */
import { type Pes, TICKS } from './pes.ts';
import type { Timeline } from './timeline.ts';

export interface AudioFrame {
  readonly data: Uint8Array;
  /** Unwrapped 90 kHz ticks, with a fraction after the first frame of a PES packet. */
  readonly ticks: number;
  /** Seconds. */
  readonly duration: number;
}

export interface FrameHeader {
  /** Bytes of the frame, header included. */
  readonly size: number;
  readonly samples: number;
  readonly sampleRate: number;
  readonly channels: number;
  /** Codec that the header shows, where the PMT leaves it open. */
  readonly codec: string;
  /** E-AC-3: belongs to the frame before it (a dependent substream, or a further programme). */
  readonly dependent?: boolean;
}

/** Undefined when no frame starts at `at`, null when more bytes are needed to tell. */
export type HeaderParser = (bytes: Uint8Array, at: number) => FrameHeader | undefined | null;

const AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/** ISO/IEC 13818-7 section 6.2. */
function parseAdts(bytes: Uint8Array, at: number): FrameHeader | undefined | null {
  if (at + 7 > bytes.length) return null;
  if (bytes[at] !== 0xff || (bytes[at + 1]! & 0xf6) !== 0xf0) return undefined;
  const sampleRate = AAC_RATES[(bytes[at + 2]! >> 2) & 15];
  const size = ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
  if (sampleRate === undefined || size < 8) return undefined;
  const configuration = ((bytes[at + 2]! & 1) << 2) | (bytes[at + 3]! >> 6);
  const blocks = (bytes[at + 6]! & 3) + 1;
  return {
    size,
    samples: 1024 * blocks,
    sampleRate,
    channels: configuration === 7 ? 8 : configuration,
    codec: 'aac',
  };
}

const MPEG_RATES = [44100, 48000, 32000];
const BITRATES: Readonly<Record<string, readonly number[]>> = {
  '1-1': [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  '1-2': [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  '1-3': [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  '2-1': [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  '2-2': [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};

/** ISO/IEC 11172-3 section 2.4.1.3 and 13818-3. */
function parseMpegAudio(bytes: Uint8Array, at: number): FrameHeader | undefined | null {
  if (at + 4 > bytes.length) return null;
  const b1 = bytes[at + 1]!;
  const b2 = bytes[at + 2]!;
  if (bytes[at] !== 0xff || (b1 & 0xe0) !== 0xe0) return undefined;
  const version = (b1 >> 3) & 3; // 0: 2.5, 2: 2, 3: 1
  const layer = 4 - ((b1 >> 1) & 3);
  const base = MPEG_RATES[(b2 >> 2) & 3];
  if (version === 1 || layer === 4 || base === undefined) return undefined;
  const table = version === 3 ? `1-${layer}` : layer === 1 ? '2-1' : '2-2';
  const kbps = BITRATES[table]![b2 >> 4];
  if (!kbps) return undefined;
  const sampleRate = version === 3 ? base : version === 2 ? base / 2 : base / 4;
  const samples = layer === 1 ? 384 : layer === 3 && version !== 3 ? 576 : 1152;
  const padding = (b2 >> 1) & 1;
  const size =
    layer === 1
      ? (Math.floor((12_000 * kbps) / sampleRate) + padding) * 4
      : Math.floor(((samples / 8) * kbps * 1000) / sampleRate) + padding;
  const channels = bytes[at + 3]! >> 6 === 3 ? 1 : 2;
  return { size, samples, sampleRate, channels, codec: layer === 3 ? 'mp3' : layer === 2 ? 'mp2' : 'mp1' };
}

const AC3_RATES = [48000, 44100, 32000];
const AC3_KBPS = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const AC3_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5];

/** ETSI TS 102 366 section 4.4.1 (AC-3) and E.1.3 (E-AC-3), told apart by bsid. */
function parseAc3(bytes: Uint8Array, at: number): FrameHeader | undefined | null {
  if (at + 8 > bytes.length) return null;
  if (bytes[at] !== 0x0b || bytes[at + 1] !== 0x77) return undefined;
  const bsid = bytes[at + 5]! >> 3;
  if (bsid > 16) return undefined;
  if (bsid > 10) return parseEac3(bytes, at);
  const rate = AC3_RATES[bytes[at + 4]! >> 6];
  const code = bytes[at + 4]! & 0x3f;
  const kbps = AC3_KBPS[code >> 1];
  if (rate === undefined || kbps === undefined) return undefined;
  const words = rate === 44100 ? Math.floor((kbps * 96_000) / 44_100) + (code & 1) : (kbps * 96_000) / rate;
  const mode = bytes[at + 6]! >> 5;
  const skip = (mode & 1 && mode !== 1 ? 2 : 0) + (mode & 4 ? 2 : 0) + (mode === 2 ? 2 : 0);
  const lfe = (((bytes[at + 6]! << 8) | bytes[at + 7]!) >> (12 - skip)) & 1;
  return { size: words * 2, samples: 1536, sampleRate: rate, channels: AC3_CHANNELS[mode]! + lfe, codec: 'ac3' };
}

function parseEac3(bytes: Uint8Array, at: number): FrameHeader | undefined {
  const type = bytes[at + 2]! >> 6;
  const substream = (bytes[at + 2]! >> 3) & 7;
  const size = ((((bytes[at + 2]! & 7) << 8) | bytes[at + 3]!) + 1) * 2;
  const b4 = bytes[at + 4]!;
  const half = b4 >> 6 === 3;
  const rate = half ? AC3_RATES[(b4 >> 4) & 3] : AC3_RATES[b4 >> 6];
  if (type === 3 || rate === undefined || size < 8) return undefined;
  const blocks = half ? 6 : [1, 2, 3, 6][(b4 >> 4) & 3]!;
  return {
    size,
    samples: 256 * blocks,
    sampleRate: half ? rate / 2 : rate,
    channels: AC3_CHANNELS[(b4 >> 1) & 7]! + (b4 & 1),
    codec: 'eac3',
    dependent: type === 1 || substream !== 0,
  };
}

const PARSERS: ReadonlyMap<string, HeaderParser> = new Map<string, HeaderParser>([
  ['aac', parseAdts],
  ['mp3', parseMpegAudio],
  ['mp2', parseMpegAudio],
  ['ac3', parseAc3],
  ['eac3', parseAc3],
]);

/** Undefined for codecs whose frames are not told apart here: their PES packets are taken as they are. */
export function parserFor(codec: string): HeaderParser | undefined {
  return PARSERS.get(codec);
}

/** More than any frame: what is carried over beyond it is no frame. */
const MAX_CARRY = 64 * 1024;

interface Growing {
  parts: Uint8Array[];
  ticks: number;
  duration: number;
}

/**
 * Cuts PES payloads into frames. The time of a PES packet is that of the first frame that *commences* in it (section 2.4.3.7);
 * the frames after it follow by their durations.
 * Invariant: `carry` is empty or starts with the header of a frame whose end has not come yet.
 */
export class AudioFramer {
  readonly #parse: HeaderParser;
  readonly #timeline: Timeline;
  readonly #emit: (frame: AudioFrame) => void;
  #carry: Uint8Array = new Uint8Array(0);
  #next: number | undefined;
  #growing: Growing | undefined;
  #synced = false;

  constructor(parse: HeaderParser, timeline: Timeline, emit: (frame: AudioFrame) => void) {
    this.#parse = parse;
    this.#timeline = timeline;
    this.#emit = emit;
  }

  push(pes: Pes): void {
    const boundary = this.#carry.length;
    let bytes = pes.data;
    if (boundary > 0) {
      bytes = new Uint8Array(boundary + pes.data.length);
      bytes.set(this.#carry);
      bytes.set(pes.data, boundary);
    }
    let anchor = pes.pts === undefined ? undefined : this.#timeline.ticks(pes.pts, pes);
    let at = 0;
    for (;;) {
      const header = this.#headerAt(bytes, at);
      if (header === undefined) {
        this.#synced = false;
        at += 1;
        continue;
      }
      if (header === null || at + header.size > bytes.length) break;
      this.#synced = true;
      if (at >= boundary && anchor !== undefined && !header.dependent) {
        this.#next = anchor;
        anchor = undefined;
      }
      this.#add(header, bytes.subarray(at, at + header.size));
      at += header.size;
    }
    // Where synchronisation was lost, what is left may be anything: it is looked at again with what follows.
    this.#carry = bytes.length - at > MAX_CARRY ? new Uint8Array(0) : bytes.subarray(at);
    // A frame that commenced before the next packet takes this packet's time when it is the first to commence here.
    if (anchor !== undefined && at >= boundary && at < bytes.length && (this.#synced || this.#headerAt(bytes, at))) {
      this.#next = anchor;
    }
  }

  /** Gives the last frame out. */
  flush(): void {
    if (this.#growing) this.#give(this.#growing);
    this.#growing = undefined;
  }

  /** Undefined: no frame here. Null: the bytes do not suffice to tell. */
  #headerAt(bytes: Uint8Array, at: number): FrameHeader | undefined | null {
    const header = this.#parse(bytes, at);
    if (!header || this.#synced) return header;
    // Out of step: the next header must confirm this one, unless the packet ends exactly here.
    const end = at + header.size;
    if (end >= bytes.length) return header;
    return this.#parse(bytes, end) === undefined ? undefined : header;
  }

  #add(header: FrameHeader, data: Uint8Array): void {
    if (header.dependent) {
      this.#growing?.parts.push(data);
      return;
    }
    this.flush();
    if (this.#next === undefined) return; // No time is known yet.
    const duration = header.samples / header.sampleRate;
    this.#growing = { parts: [data], ticks: this.#next, duration };
    this.#next += duration * TICKS;
    if (header.codec !== 'eac3') this.flush();
  }

  #give(frame: Growing): void {
    const [first] = frame.parts;
    const data = frame.parts.length === 1 ? first! : Buffer.concat(frame.parts);
    this.#emit({ data, ticks: frame.ticks, duration: frame.duration });
  }
}
