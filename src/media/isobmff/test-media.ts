/** For the tests of this folder: media made by FFmpeg, ffprobe's view of it, and sources in memory. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Source } from '../../source/source.ts';
import type { Cut, KeyframeIndex, MediaReader } from '../types.ts';

const run = promisify(execFile);

/** A directory for made files; removed by `dispose`. */
export async function workshop(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'isobmff-'));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export async function ffmpeg(...args: string[]): Promise<void> {
  await run('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args], { maxBuffer: 1 << 24 });
}

/** Lavfi inputs: a moving picture and as many tones as wanted. */
export function inputs(seconds: number, tones = 1, rate = 24): string[] {
  const picture = ['-f', 'lavfi', '-i', `testsrc2=s=128x96:r=${rate}:d=${seconds}`];
  const sound = Array.from({ length: tones }, (_, i) => [
    '-f',
    'lavfi',
    '-i',
    `sine=f=${440 * (i + 1)}:r=48000:d=${seconds}`,
  ]);
  return [...picture, ...sound.flat()];
}

export interface Seen {
  readonly pts: number;
  readonly duration: number;
  readonly key: boolean;
  readonly size: number;
  readonly hash: string;
}

interface ProbePacket {
  stream_index: number;
  pts_time?: string;
  duration_time?: string;
  flags: string;
  size: string;
  data_hash: string;
}

/** ffprobe's packets, by stream index. */
export async function probePackets(path: string, ...options: string[]): Promise<Map<number, Seen[]>> {
  const { stdout } = await run(
    'ffprobe',
    ['-v', 'quiet', ...options, '-show_packets', '-show_data_hash', 'MD5', '-of', 'json', path],
    { maxBuffer: 1 << 28 },
  );
  const streams = new Map<number, Seen[]>();
  for (const packet of (JSON.parse(stdout) as { packets: ProbePacket[] }).packets) {
    const list = streams.get(packet.stream_index) ?? [];
    streams.set(packet.stream_index, list);
    list.push({
      pts: Number(packet.pts_time),
      duration: Number(packet.duration_time ?? 0),
      key: packet.flags.startsWith('K'),
      size: Number(packet.size),
      hash: packet.data_hash.slice(4),
    });
  }
  return streams;
}

/** One cut for each key frame. */
export function cutsOf({ times, starts }: KeyframeIndex): Cut[] {
  return Array.from(times, (_, i) => ({
    from: i === 0 ? Number.NEGATIVE_INFINITY : starts[i]!,
    to: starts[i + 1] ?? Number.POSITIVE_INFINITY,
    fromKey: i,
    toKey: i + 1,
  }));
}

/** Cuts without an index, `length` seconds each. */
export function gridOf(start: number, duration: number, length: number): Cut[] {
  const count = Math.max(1, Math.ceil(duration / length));
  return Array.from({ length: count }, (_, i) => ({
    from: i === 0 ? Number.NEGATIVE_INFINITY : start + i * length,
    to: i === count - 1 ? Number.POSITIVE_INFINITY : start + (i + 1) * length,
    ...(i < count - 1 && { nextTo: i === count - 2 ? Number.POSITIVE_INFINITY : start + (i + 2) * length }),
  }));
}

/** Numbers from 0 (inclusive) to 1 (exclusive), the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const next = random(seed);
  return items
    .map((item) => ({ item, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** All packets of a track, its cuts read in shuffled order and put together in order. */
export async function readAll(reader: MediaReader, trackId: number, cuts: readonly Cut[]): Promise<Seen[]> {
  const signal = new AbortController().signal;
  const parts = new Map<Cut, Seen[]>();
  for (const cut of shuffled(cuts, 7)) {
    using batch = await reader.read(trackId, cut, signal);
    parts.set(
      cut,
      batch.packets.map(({ data, pts, duration, key }) => ({
        pts,
        duration,
        key,
        size: data.length,
        hash: createHash('md5').update(data).digest('hex'),
      })),
    );
  }
  return cuts.flatMap((cut) => parts.get(cut)!);
}

/** A source in memory that counts its reads. */
export class MemorySource implements Source {
  readonly identity = 'memory';
  readonly label = 'test file';
  readonly name = 'test.mp4';
  readonly latency: Source['latency'];
  readonly #bytes: Uint8Array;
  readonly reads: { offset: number; length: number }[] = [];

  constructor(bytes: Uint8Array, latency: Source['latency'] = 'local') {
    this.#bytes = bytes;
    this.latency = latency;
  }

  get size(): number {
    return this.#bytes.length;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    if (!(offset >= 0 && length >= 0)) throw new RangeError(`impossible read ${offset}+${length}`);
    this.reads.push({ offset, length });
    return this.#bytes.subarray(offset, offset + length);
  }

  recycle(): void {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
