/** For the tests of this folder: sources in memory, media made by FFmpeg, and what ffprobe says of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Source } from '../../source/source.ts';
import type { Cut, MediaReader, Packet } from '../types.ts';

export interface MemorySource extends Source {
  /** Reads so far: offset and length. */
  readonly reads: { offset: number; length: number }[];
}

export function memorySource(bytes: Uint8Array, latency: 'local' | 'remote' = 'local', label = 'test'): MemorySource {
  const reads: { offset: number; length: number }[] = [];
  return {
    identity: label,
    label,
    name: label,
    size: bytes.length,
    latency,
    reads,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      reads.push({ offset, length });
      await null;
      return bytes.subarray(Math.min(offset, bytes.length), Math.min(offset + length, bytes.length));
    },
    recycle() {},
    async [Symbol.asyncDispose]() {},
  };
}

/** A directory that goes away with the tests; `make` runs FFmpeg with the file's path as last argument. */
export class MediaMaker implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'raffi-library-'));

  path(name: string): string {
    return join(this.directory, name);
  }

  make(name: string, ...args: string[]): string {
    const path = this.path(name);
    execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args, path], { stdio: ['ignore', 'ignore', 'pipe'] });
    return path;
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  bytes(name: string): Uint8Array {
    return readFileSync(this.path(name));
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const testVideo = (seconds: number, rate = 25): string[] => [
  '-f',
  'lavfi',
  '-i',
  `testsrc2=size=320x180:rate=${rate}:duration=${seconds}`,
];

export const testTone = (seconds: number, rate = 48_000, frequency = 440): string[] => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=${frequency}:duration=${seconds}:sample_rate=${rate}`,
];

export interface ProbedPacket {
  readonly pts: number;
  readonly dts: number;
  readonly size: number;
  readonly key: boolean;
}

const probed = new Map<string, ProbedPacket[]>();

function runProbe(path: string, stream: string): ProbedPacket[] {
  const out = execFileSync(
    'ffprobe',
    [
      '-v',
      'error',
      '-select_streams',
      stream,
      '-show_entries',
      'packet=pts_time,dts_time,size,flags',
      '-of',
      'json',
      path,
    ],
    { maxBuffer: 1 << 28, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const parsed = JSON.parse(out) as {
    packets: { pts_time?: string; dts_time?: string; size: string; flags: string }[];
  };
  return parsed.packets.map((p) => ({
    pts: Number(p.pts_time),
    dts: Number(p.dts_time),
    size: Number(p.size),
    key: p.flags.startsWith('K'),
  }));
}

/** Packets of one stream (`v:0`, `a:1`) in file order; asked once for each file. */
export function probePackets(path: string, stream: string): readonly ProbedPacket[] {
  const key = `${stream} ${path}`;
  let packets = probed.get(key);
  if (!packets) {
    packets = runProbe(path, stream);
    probed.set(key, packets);
  }
  return packets;
}

/** Cuts of `step` seconds over the whole programme. */
export function gridCuts(reader: MediaReader, step: number): Cut[] {
  const { startTime, duration } = reader.info;
  const count = Math.max(1, Math.floor(duration / step));
  const at = (i: number): number =>
    i <= 0 ? Number.NEGATIVE_INFINITY : i >= count ? Number.POSITIVE_INFINITY : startTime + i * step;
  return Array.from({ length: count }, (_, i) => ({ from: at(i), to: at(i + 1) }));
}

/** The same numbers, in a fixed other order. */
function shuffled<T>(values: readonly T[], seed = 7): T[] {
  const result = [...values];
  let state = seed;
  for (let i = result.length - 1; i > 0; i--) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const j = state % (i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

/** All packets of a track over the cuts, read in shuffled order, put back in the order of the cuts. */
export async function readAll(reader: MediaReader, trackId: number, cuts: readonly Cut[]): Promise<Packet[]> {
  const signal = new AbortController().signal;
  const parts = new Map<number, readonly Packet[]>();
  for (const i of shuffled(cuts.map((_, index) => index))) {
    using batch = await reader.read(trackId, cuts[i]!, signal);
    parts.set(i, batch.packets);
  }
  return cuts.flatMap((_, i) => parts.get(i)!);
}
