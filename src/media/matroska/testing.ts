/** For this folder's tests: sources in memory, media made by FFmpeg, what ffprobe says of it, a tiny EBML writer. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { Source } from '../../source/source.ts';
import type { Cut, MediaReader, Packet } from '../types.ts';

const run = promisify(execFile);

export interface MemorySource extends Source {
  /** [offset, length] of every read. */
  readonly reads: [number, number][];
}

/** Gives copies, and spoils them when they are handed back: what uses memory after that fails its test. */
export function memorySource(bytes: Uint8Array, latency: 'local' | 'remote' = 'local'): MemorySource {
  const reads: [number, number][] = [];
  const given = new WeakSet<Uint8Array>();
  return {
    identity: 'memory',
    label: 'memory.mkv',
    name: 'memory.mkv',
    size: bytes.length,
    latency,
    reads,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (!(offset >= 0 && length >= 0)) throw new Error(`read(${offset}, ${length})`);
      reads.push([offset, length]);
      const copy = bytes.slice(offset, offset + length);
      given.add(copy);
      return copy;
    },
    recycle(part) {
      if (given.delete(part)) part.fill(0xee);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** As of a torrent with pieces of so many bytes. */
export function scarceSource(bytes: Uint8Array, piece: number): MemorySource {
  return {
    ...memorySource(bytes, 'remote'),
    isScarce: true,
    boundaryAfter: (offset) => Math.min(bytes.length, (Math.floor(offset / piece) + 1) * piece),
  };
}

export async function ffmpeg(args: string): Promise<void> {
  await run('ffmpeg', ['-v', 'error', '-y', ...args.split(' ').filter(Boolean)]);
}

/** FFmpeg into a pipe: it can't go back, so there are no Cues and no sizes. */
export async function ffmpegPiped(args: string): Promise<Uint8Array> {
  const { stdout } = await run('ffmpeg', ['-v', 'error', ...args.split(' ').filter(Boolean), 'pipe:1'], {
    encoding: 'buffer',
    maxBuffer: 64 * 1024 * 1024,
  });
  return new Uint8Array(stdout);
}

export interface ProbedPacket {
  pts: number;
  size: number;
  key: boolean;
  crc: string;
}

/** Packets by stream index, in the order of the file. */
export async function probePackets(file: string): Promise<ProbedPacket[][]> {
  const args = ['-v', 'error', '-show_packets', '-show_data_hash', 'crc32', '-of', 'json', '-i', file];
  const { stdout } = await run('ffprobe', args, { maxBuffer: 256 * 1024 * 1024 });
  const parsed = JSON.parse(stdout) as { packets: Record<string, string | number>[] };
  const streams: ProbedPacket[][] = [];
  for (const packet of parsed.packets) {
    const stream = Number(packet.stream_index);
    streams[stream] ??= [];
    streams[stream].push({
      pts: Number(packet.pts_time),
      size: Number(packet.size),
      key: String(packet.flags).startsWith('K'),
      crc: String(packet.data_hash).replace('CRC32:', ''),
    });
  }
  return streams;
}

export function describePacket(packet: Packet): ProbedPacket {
  const crc = crc32(packet.data).toString(16).padStart(8, '0');
  return { pts: packet.pts, size: packet.data.length, key: packet.key, crc };
}

/** A deterministic generator of numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    const swap = copy[i] as T;
    copy[i] = copy[j] as T;
    copy[j] = swap;
  }
  return copy;
}

/** One cut per `group` key frames. */
export function keyCuts(reader: MediaReader, group = 1): Cut[] {
  const index = reader.keyframes;
  if (index === undefined) throw new Error('no index');
  const cuts: Cut[] = [];
  const count = index.times.length;
  for (let key = 0; key < count; key += group) {
    const next = Math.min(key + group, count);
    cuts.push({
      from: key === 0 ? Number.NEGATIVE_INFINITY : (index.starts[key] ?? 0),
      to: next === count ? Number.POSITIVE_INFINITY : (index.starts[next] ?? 0),
      fromKey: key,
      toKey: next,
    });
  }
  return cuts;
}

export function gridCuts(start: number, duration: number, length: number): Cut[] {
  const count = Math.max(1, Math.ceil(duration / length));
  return Array.from({ length: count }, (_, i) => ({
    from: i === 0 ? Number.NEGATIVE_INFINITY : start + i * length,
    to: i === count - 1 ? Number.POSITIVE_INFINITY : start + (i + 1) * length,
    ...(i < count - 1 && { nextTo: i === count - 2 ? Number.POSITIVE_INFINITY : start + (i + 2) * length }),
  }));
}

/** What all cuts of a track give, read in shuffled order, put together in their order. */
export async function readCuts(
  reader: MediaReader,
  trackId: number,
  cuts: readonly Cut[],
  seed = 1,
): Promise<{ packets: ProbedPacket[]; nextStarts: (number | undefined)[]; cuts: ProbedPacket[][] }> {
  const { signal } = new AbortController();
  const parts: ProbedPacket[][] = [];
  const nextStarts: (number | undefined)[] = [];
  for (const i of shuffled([...cuts.keys()], random(seed))) {
    using batch = await reader.read(trackId, cuts[i] as Cut, signal);
    parts[i] = batch.packets.map(describePacket);
    nextStarts[i] = batch.nextStart;
  }
  return { packets: parts.flat(), nextStarts, cuts: parts };
}

export async function load(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}

// A tiny EBML writer.

export function element(id: number, ...parts: (Uint8Array | number[])[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return concat([idBytes(id), sizeBytes(size), ...parts]);
}

export function uint(id: number, value: number): Uint8Array {
  const bytes = [];
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return element(id, bytes);
}

export function text(id: number, value: string): Uint8Array {
  return element(id, new TextEncoder().encode(value));
}

export function double(id: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return element(id, bytes);
}

export function concat(parts: readonly (Uint8Array | number[])[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function idBytes(id: number): number[] {
  const bytes = [];
  for (let rest = id; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return bytes;
}

export function sizeBytes(size: number): number[] {
  if (size < 0x7f) return [0x80 | size];
  return [0x10 | ((size / 2 ** 24) & 0x0f), (size >> 16) & 0xff, (size >> 8) & 0xff, size & 0xff];
}

/** A block's track, relative time and flags. */
export function blockHeader(track: number, relative: number, flags: number): number[] {
  return [0x80 | track, (relative >> 8) & 0xff, relative & 0xff, flags];
}
