/** Reads samples with few reads and makes packets that are views of what was read. */
import { AppError } from '../../errors.ts';
import type { Source } from '../../source/source.ts';
import { packetDuration } from '../codecs/codecs.ts';
import type { CodecConfig, Packet, PacketBatch } from '../types.ts';
import type { SampleList } from './presented-track.ts';

/** Neighbouring samples are read together when the gap between them is at most this many bytes. */
const GAP = { local: 256 * 1024, remote: 1024 * 1024 };
const PARALLEL_READS = 4;
/** A cut that needs more is no segment that anyone could play. */
const MAX_CUT_BYTES = 1024 * 1024 * 1024;

/** Over a network a cut's fragments are read in one piece up to this size. */
export const MAX_SPAN = 256 * 1024 * 1024;

/** Bytes of the source, from inclusive, to exclusive. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

export interface ReadOptions {
  /** A range that is read in one piece when it holds any sample: other tracks' reads of the same cut ask for the same. */
  readonly span?: ByteRange | undefined;
  readonly nextStart?: number | undefined;
  /** Audio that is copied: its packets last as long as their codec says, or less where the tables cut them. */
  readonly audio?: CodecConfig | undefined;
}

/** The lowest and the highest byte of a list, and the sum of its sizes. */
export function extent(list: SampleList): ByteRange & { bytes: number } {
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  let bytes = 0;
  for (let i = 0; i < list.count; i++) {
    const offset = list.offsets[i]!;
    const size = list.sizes[i]!;
    if (size === 0) continue;
    if (offset < from) from = offset;
    if (offset + size > to) to = offset + size;
    bytes += size;
  }
  return { from: Math.min(from, to), to, bytes };
}

interface Run {
  readonly from: number;
  to: number;
}

/** Positions in the list by ascending byte position. */
function byPosition(list: SampleList): Uint32Array {
  const order = new Uint32Array(list.count);
  let ascending = true;
  for (let i = 0; i < list.count; i++) {
    order[i] = i;
    if (i > 0 && list.offsets[i]! < list.offsets[i - 1]!) ascending = false;
  }
  return ascending ? order : order.sort((a, b) => list.offsets[a]! - list.offsets[b]!);
}

/** Samples within the span belong to its run, all others to runs of their own. */
function planRuns(
  list: SampleList,
  order: Uint32Array,
  gap: number,
  runOf: Uint32Array,
  span: ByteRange | undefined,
): Run[] {
  const runs: Run[] = span === undefined ? [] : [{ from: span.from, to: span.to }];
  let run: Run | undefined;
  let inSpan = 0;
  for (const i of order) {
    const from = list.offsets[i]!;
    const to = from + list.sizes[i]!;
    if (span !== undefined && from >= span.from && to <= span.to) {
      inSpan += list.sizes[i]!;
      continue;
    }
    if (run === undefined || from > run.to + gap) {
      run = { from, to };
      runs.push(run);
    } else if (to > run.to) run.to = to;
    runOf[i] = runs.length - 1;
  }
  // Nothing of it is needed: an empty run, which is not read.
  if (span !== undefined && inSpan === 0) runs[0] = { from: span.from, to: span.from };
  return runs;
}

function damaged(source: Source, why: string): AppError {
  return new AppError('media-damaged', `${source.label}: ${why}.`);
}

/** Runs are read a few at a time; when one fails, those read are handed back. */
async function readRuns(source: Source, runs: readonly Run[], signal: AbortSignal): Promise<Uint8Array[]> {
  const buffers: Uint8Array[] = new Array(runs.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < runs.length) {
      const at = next++;
      const { from, to } = runs[at]!;
      if (from === to) continue;
      const bytes = await source.read(from, to - from, signal);
      buffers[at] = bytes;
      if (bytes.length < to - from)
        throw damaged(source, `the file ends within a sample (byte ${from + bytes.length})`);
    }
  };
  const workers = Array.from({ length: Math.min(PARALLEL_READS, runs.length) }, worker);
  const results = await Promise.allSettled(workers);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed === undefined) return buffers;
  for (const buffer of buffers) if (buffer !== undefined) source.recycle(buffer);
  throw failed.reason;
}

class Batch implements PacketBatch {
  readonly packets: readonly Packet[];
  readonly nextStart?: number;
  #source: Source;
  #buffers: Uint8Array[];

  constructor(source: Source, buffers: Uint8Array[], packets: readonly Packet[], nextStart: number | undefined) {
    this.packets = packets;
    if (nextStart !== undefined) this.nextStart = nextStart;
    this.#source = source;
    this.#buffers = buffers;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers.splice(0)) this.#source.recycle(buffer);
  }
}

/**
 * The packets of a list, in its order. Samples without bytes are left out.
 * @throws AppError `media-damaged`, `source-*`; the signal's reason.
 */
export async function readSamples(
  source: Source,
  list: SampleList,
  signal: AbortSignal,
  { span, nextStart, audio }: ReadOptions = {},
): Promise<PacketBatch> {
  signal.throwIfAborted();
  const runOf = new Uint32Array(list.count);
  const common = span && { from: span.from, to: Math.min(span.to, source.size) };
  const runs = planRuns(list, byPosition(list), GAP[source.latency], runOf, common);
  const total = runs.reduce((sum, run) => sum + run.to - run.from, 0);
  if (total > MAX_CUT_BYTES) throw damaged(source, `one segment of it would have ${total} bytes`);
  const buffers = await readRuns(source, runs, signal);
  const packets: Packet[] = [];
  for (let i = 0; i < list.count; i++) {
    const size = list.sizes[i]!;
    if (size === 0) continue;
    const run = runOf[i]!;
    const at = list.offsets[i]! - runs[run]!.from;
    const data = buffers[run]!.subarray(at, at + size);
    packets.push({
      data,
      pts: list.pts[i]!,
      duration: audio === undefined ? list.durations[i]! : audioDuration(audio, data, list.durations[i]!),
      key: list.keys[i] === 1,
    });
  }
  return new Batch(source, buffers, packets, nextStart);
}

/** Tables say when the next packet comes: later than this one ends, where there is a gap, or at the end of a fragment. */
function audioDuration(config: CodecConfig, data: Uint8Array, told: number): number {
  const own = packetDuration(config, data);
  return own === undefined ? told : told > 0 ? Math.min(own, told) : own;
}

/** The samples of a list whose presentation times lie from `from` (inclusive) to `to` (exclusive). */
export function withinTime(list: SampleList, from: number, to: number): SampleList {
  let kept = 0;
  for (let i = 0; i < list.count; i++) {
    const pts = list.pts[i]!;
    if (!(pts >= from && pts < to)) continue;
    if (kept !== i) {
      list.offsets[kept] = list.offsets[i]!;
      list.sizes[kept] = list.sizes[i]!;
      list.pts[kept] = pts;
      list.durations[kept] = list.durations[i]!;
      list.keys[kept] = list.keys[i]!;
    }
    kept += 1;
  }
  return { ...list, count: kept };
}
