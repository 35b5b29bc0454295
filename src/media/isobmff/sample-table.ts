/**
 * Sample tables (ISO/IEC 14496-12, 8.6 and 8.7), read where they lie in the movie box. A film of two hours has half a million samples: nothing
 * is made per sample; chunks and runs get prefix sums, everything else is computed for the range that is asked for.
 *
 * Invariant: every index below `count` has a size, a chunk and a time, and its bytes lie within the file.
 */
import { BoxError, child, entryCount, u64, withWords } from './boxes.ts';
import type { SampleEntry } from './sample-entry.ts';
import {
  type CompositionRuns,
  compositionRuns,
  lastAtMost,
  syncSamples,
  type TimeRuns,
  timeRuns,
} from './sample-times.ts';

/** No film has more; a table without sizes of its own could claim four thousand million in 20 bytes. */
const MAX_SAMPLES = 20_000_000;

export interface SampleTableOptions {
  readonly kind: 'video' | 'audio' | 'subtitle';
  /** The entry that the first chunk uses is chosen from these. */
  readonly entries: readonly SampleEntry[];
  /** Bytes of the file. */
  readonly fileSize: number;
}

/** Where a chunk run's description stands: `stsc` entries, by first chunk (from 0). */
interface ChunkRuns {
  readonly firstChunk: Uint32Array;
  readonly samples: Uint32Array;
  readonly description: Uint32Array;
}

export class SampleTable {
  /** Packets: samples, or blocks of PCM frames where a sample is one frame. */
  readonly count: number;
  /** Samples that the file ends before. */
  readonly missing: number;
  /** Random access points, ascending, from 0; undefined: every sample is one. */
  readonly sync: Uint32Array | undefined;
  /** Position in `entries` of the description that the first sample uses. */
  readonly descriptionIndex: number;
  readonly #entries: readonly SampleEntry[];
  readonly #sizes: DataView | undefined;
  readonly #constantSize: number;
  /** First sample of each chunk, and `count` at the end. */
  readonly #chunkFirst: Uint32Array;
  readonly #chunkOffsets: DataView;
  readonly #wide: boolean;
  readonly #runs: ChunkRuns;
  readonly #times: TimeRuns;
  readonly #composition: CompositionRuns;
  readonly #packed: Packing | undefined;

  /** @throws BoxError when the tables contradict the boxes that hold them. */
  constructor(stbl: DataView, options: SampleTableOptions) {
    this.#entries = options.entries;
    const sizes = readSizes(stbl);
    this.#times = timeRuns(child(stbl, 'stts'));
    const co64 = child(stbl, 'co64');
    const offsets = child(stbl, 'stco') ?? co64;
    this.#wide = offsets === co64;
    this.#chunkOffsets = offsets ?? new DataView(new ArrayBuffer(8));
    const chunks = offsets === undefined ? 0 : entryCount(offsets, 4, this.#wide ? 8 : 4, 'stco');
    this.#runs = chunkRuns(child(stbl, 'stsc'));
    const used = this.#runs.description[0] ?? 1;
    this.descriptionIndex = used >= 1 && used <= options.entries.length ? used - 1 : 0;
    this.#packed = packing(options, this.descriptionIndex, sizes, this.#times);
    this.#sizes = sizes.table;
    this.#constantSize = this.#packed?.frameBytes ?? sizes.constant;
    const limit = this.#packed ? sizes.count : Math.min(sizes.count, MAX_SAMPLES, fitting(sizes, options.fileSize));
    this.#chunkFirst = chunkStarts(this.#runs, chunks, limit, this.#packed);
    const total = this.#chunkFirst[chunks]!;
    this.count = this.#samplesInFile(total, options.fileSize);
    this.missing = total - this.count;
    this.#composition = compositionRuns(child(stbl, 'ctts'), this.count);
    this.sync = options.kind === 'video' ? syncSamples(stbl, this.count) : undefined;
  }

  /** Lowest and highest composition offset, in ticks. */
  get minOffset(): number {
    return this.#composition.min;
  }

  get maxOffset(): number {
    return this.#composition.max;
  }

  /** Bytes of all samples. */
  totalBytes(): number {
    if (this.#packed) return this.#packedBytes();
    const sizes = this.#sizes;
    if (sizes === undefined) return this.count * this.#constantSize;
    return withWords(sizes, 0, this.count, (table) => {
      let total = 0;
      for (let i = 0; i < table.length; i++) total += table[i]!;
      return total;
    });
  }

  /** Byte positions and sizes of the samples from `first` (inclusive) to `end` (exclusive) into the arrays, from 0 on. */
  locate(first: number, end: number, offsets: Float64Array, sizes: Uint32Array): void {
    if (first >= end) return;
    if (this.#packed) {
      this.#locatePacked(this.#packed, first, end, offsets, sizes);
      return;
    }
    let chunk = lastAtMost(this.#chunkFirst, first);
    let offset = this.#chunkOffset(chunk);
    for (let i = this.#chunkFirst[chunk]!; i < first; i++) offset += this.#size(i);
    let next = this.#chunkFirst[chunk + 1]!;
    for (let i = first; i < end; i++) {
      while (i >= next) {
        chunk += 1;
        offset = this.#chunkOffset(chunk);
        next = this.#chunkFirst[chunk + 1]!;
      }
      const size = this.#size(i);
      offsets[i - first] = offset;
      sizes[i - first] = size;
      offset += size;
    }
  }

  /**
   * Decode times (ticks), composition offsets and durations (ticks) of the samples from `first` (inclusive) to `end` (exclusive) into the
   * arrays, from 0 on.
   */
  times(first: number, end: number, decode: Float64Array, offsets: Int32Array, durations: Uint32Array): void {
    if (first >= end) return;
    if (this.#packed) {
      this.#timesPacked(this.#packed, first, end, decode, offsets, durations);
    } else {
      this.#times.fill(first, end, decode, durations);
      this.#composition.fill(first, end, offsets);
    }
  }

  /** Ticks. */
  decodeTime(index: number): number {
    return this.#packed ? this.#packedStart(this.#packed, index) : this.#times.at(index);
  }

  /** Ticks. */
  compositionTime(index: number): number {
    return this.decodeTime(index) + this.#composition.at(index);
  }

  /** The last sample whose decode time is <= `ticks`; -1 before the first. */
  indexAtDecodeTime(ticks: number): number {
    if (this.#packed === undefined) return Math.min(this.count - 1, this.#times.indexAt(ticks));
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#packedStart(this.#packed, middle) <= ticks) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Whether any of the samples from `first` (inclusive) to `end` (exclusive) uses another description than the first one does. */
  changesDescription(first: number, end: number): boolean {
    const { description, firstChunk } = this.#runs;
    if (first >= end || description.length <= 1) return false;
    const firstUsed = this.#entryOf(description[0]!);
    const last = lastAtMost(this.#chunkFirst, end - 1);
    for (let run = lastAtMost(firstChunk, lastAtMost(this.#chunkFirst, first)); run < firstChunk.length; run++) {
      if (firstChunk[run]! > last) return false;
      if (this.#entryOf(description[run]!) !== firstUsed) return true;
    }
    return false;
  }

  /** The entry that a number of `stsc` names; the first one where there is none. */
  #entryOf(number: number): SampleEntry | undefined {
    return this.#entries[number - 1] ?? this.#entries[0];
  }

  #size(index: number): number {
    return this.#sizes === undefined ? this.#constantSize : this.#sizes.getUint32(4 * index);
  }

  #chunkOffset(chunk: number): number {
    return this.#wide ? u64(this.#chunkOffsets, 8 + 8 * chunk) : this.#chunkOffsets.getUint32(8 + 4 * chunk);
  }

  /**
   * Cuts off what lies beyond the end of the file: a download that stopped. Writers store chunks in order, so that the last one tells whether
   * to look; a single chunk out of place is an error of the cut that needs it.
   */
  #samplesInFile(total: number, fileSize: number): number {
    if (total === 0) return 0;
    const chunks = this.#chunkFirst.length - 1;
    const last = lastAtMost(this.#chunkFirst, total - 1);
    if (this.#firstBeyond(last, last + 1, fileSize) < 0) return total;
    const beyond = this.#firstBeyond(0, chunks, fileSize);
    return beyond < 0 ? total : beyond;
  }

  /** The first sample of the chunks that does not lie within the file; -1 when all do. */
  #firstBeyond(firstChunk: number, endChunk: number, fileSize: number): number {
    const offsets = new Float64Array(1024);
    const sizes = new Uint32Array(1024);
    const end = this.#chunkFirst[endChunk]!;
    for (let first = this.#chunkFirst[firstChunk]!; first < end; first += 1024) {
      const stop = Math.min(end, first + 1024);
      this.locate(first, stop, offsets, sizes);
      for (let i = 0; i < stop - first; i++) if (offsets[i]! + sizes[i]! > fileSize) return first + i;
    }
    return -1;
  }

  #packedStart({ chunkFrames, perPacket }: Packing, index: number): number {
    const chunk = lastAtMost(this.#chunkFirst, index);
    return chunkFrames[chunk]! + (index - this.#chunkFirst[chunk]!) * perPacket;
  }

  #packedBytes(): number {
    const { chunkFrames, frameBytes, frameSamples } = this.#packed!;
    const chunk = lastAtMost(this.#chunkFirst, Math.max(0, this.count - 1));
    return ((chunkFrames[chunk + 1] ?? 0) / frameSamples) * frameBytes;
  }

  #locatePacked(packing: Packing, first: number, end: number, offsets: Float64Array, sizes: Uint32Array): void {
    const { chunkFrames, perPacket, frameBytes, frameSamples } = packing;
    let chunk = lastAtMost(this.#chunkFirst, first);
    for (let i = first; i < end; i++) {
      while (i >= this.#chunkFirst[chunk + 1]!) chunk += 1;
      const skip = (i - this.#chunkFirst[chunk]!) * perPacket;
      const frames = Math.min(perPacket, chunkFrames[chunk + 1]! - chunkFrames[chunk]! - skip);
      offsets[i - first] = this.#chunkOffset(chunk) + Math.floor(skip / frameSamples) * frameBytes;
      sizes[i - first] = Math.ceil(frames / frameSamples) * frameBytes;
    }
  }

  #timesPacked(
    packing: Packing,
    first: number,
    end: number,
    decode: Float64Array,
    offsets: Int32Array,
    durations: Uint32Array,
  ): void {
    const { chunkFrames, perPacket } = packing;
    let chunk = lastAtMost(this.#chunkFirst, first);
    for (let i = first; i < end; i++) {
      while (i >= this.#chunkFirst[chunk + 1]!) chunk += 1;
      const start = chunkFrames[chunk]! + (i - this.#chunkFirst[chunk]!) * perPacket;
      decode[i - first] = start;
      offsets[i - first] = 0;
      durations[i - first] = Math.min(perPacket, chunkFrames[chunk + 1]! - start);
    }
  }
}

/** Uncompressed audio, whose samples are single PCM frames: blocks of them become packets, as FFmpeg makes them. */
interface Packing {
  /** Bytes of `frameSamples` PCM frames. */
  readonly frameBytes: number;
  readonly frameSamples: number;
  /** PCM frames in a packet, at most. */
  readonly perPacket: number;
  /** PCM frames before each chunk, and all at the end. Filled by `chunkStarts`. */
  chunkFrames: Float64Array;
}

const PACKET_FRAMES = 1024;

function packing(options: SampleTableOptions, used: number, sizes: Sizes, times: TimeRuns): Packing | undefined {
  const audio = options.entries[used]?.audio;
  if (options.kind !== 'audio' || audio === undefined || audio.frameBytes === 0 || sizes.table !== undefined) return;
  if (!times.everyTick) return;
  const frameSamples = Math.min(audio.frameSamples, PACKET_FRAMES);
  if (audio.frameBytes > 65536) throw new BoxError('its audio frames have an impossible size');
  return {
    frameBytes: audio.frameBytes,
    frameSamples,
    perPacket: Math.floor(PACKET_FRAMES / frameSamples) * frameSamples,
    chunkFrames: new Float64Array(0),
  };
}

interface Sizes {
  readonly count: number;
  /** 0 when the table has them. */
  readonly constant: number;
  /** 32 bits each, from 0 on. */
  readonly table: DataView | undefined;
}

/** Samples of equal size cannot be more than the file has room for. */
function fitting(sizes: Sizes, fileSize: number): number {
  return sizes.table === undefined ? Math.floor(fileSize / Math.max(1, sizes.constant)) : sizes.count;
}

function readSizes(stbl: DataView): Sizes {
  const stsz = child(stbl, 'stsz');
  if (stsz !== undefined && stsz.byteLength >= 12) {
    const constant = stsz.getUint32(4);
    if (constant !== 0) return { count: stsz.getUint32(8), constant, table: undefined };
    const count = entryCount(stsz, 8, 4, 'stsz');
    return { count, constant: 0, table: new DataView(stsz.buffer, stsz.byteOffset + 12, 4 * count) };
  }
  const stz2 = child(stbl, 'stz2');
  if (stz2 === undefined || stz2.byteLength < 12)
    return { count: 0, constant: 0, table: new DataView(new ArrayBuffer(0)) };
  const bits = stz2.getUint8(7);
  if (bits !== 4 && bits !== 8 && bits !== 16) throw new BoxError('its table stz2 has an unknown field size');
  const count = entryCount(stz2, 8, bits / 8, 'stz2');
  const table = new DataView(new ArrayBuffer(4 * count));
  for (let i = 0; i < count; i++) {
    const nibbles = bits === 4 ? stz2.getUint8(12 + (i >> 1)) : 0;
    const size =
      bits === 16
        ? stz2.getUint16(12 + 2 * i)
        : bits === 8
          ? stz2.getUint8(12 + i)
          : i & 1
            ? nibbles & 15
            : nibbles >> 4;
    table.setUint32(4 * i, size);
  }
  return { count, constant: 0, table };
}

/** `stsc` (8.7.4). Entries out of order are left out. */
function chunkRuns(stsc: DataView | undefined): ChunkRuns {
  if (stsc === undefined) return chunkRunsOf(new Uint32Array(0));
  return withWords(stsc, 8, 3 * entryCount(stsc, 4, 12, 'stsc'), chunkRunsOf);
}

/** @param table first chunk (from 1), samples per chunk and description, of each entry. */
function chunkRunsOf(table: Uint32Array): ChunkRuns {
  const count = table.length / 3;
  const firstChunk = new Uint32Array(count);
  const samples = new Uint32Array(count);
  const description = new Uint32Array(count);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const first = table[3 * i]!;
    if (first === 0 || (kept > 0 ? first - 1 <= firstChunk[kept - 1]! : first !== 1)) continue;
    firstChunk[kept] = first - 1;
    samples[kept] = table[3 * i + 1]!;
    description[kept] = table[3 * i + 2]!;
    kept += 1;
  }
  return {
    firstChunk: firstChunk.subarray(0, kept),
    samples: samples.subarray(0, kept),
    description: description.subarray(0, kept),
  };
}

/** The first packet of each chunk, and the number of all at the end; `packed.chunkFrames` on the way. */
function chunkStarts(runs: ChunkRuns, chunks: number, limit: number, packed: Packing | undefined): Uint32Array {
  const starts = new Uint32Array(chunks + 1);
  const frames = packed && new Float64Array(chunks + 1);
  let samples = 0;
  let packets = 0;
  for (let run = 0; run < runs.firstChunk.length; run++) {
    const end = run + 1 < runs.firstChunk.length ? Math.min(chunks, runs.firstChunk[run + 1]!) : chunks;
    const perChunk = runs.samples[run]!;
    if (packed === undefined && perChunk * (end - runs.firstChunk[run]!) <= limit - samples) {
      for (let chunk = runs.firstChunk[run]!; chunk < end; chunk++) starts[chunk + 1] = samples += perChunk;
      packets = samples;
      continue;
    }
    for (let chunk = runs.firstChunk[run]!; chunk < end; chunk++) {
      const inChunk = Math.min(runs.samples[run]!, limit - samples);
      samples += inChunk;
      packets += packed ? Math.ceil(inChunk / packed.perPacket) : inChunk;
      if (packets > MAX_SAMPLES) throw new BoxError('its tables claim more samples than any film has');
      starts[chunk + 1] = packets;
      if (frames) frames[chunk + 1] = samples;
    }
  }
  if (packed && frames) packed.chunkFrames = frames;
  return starts;
}
