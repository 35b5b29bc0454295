/** For tests only: real media made by FFmpeg in a temporary folder, and what its own MP4 muxer wrote into them. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Owns its folder: removed on disposal. */
export class MediaFolder implements AsyncDisposable {
  readonly #path: Promise<string> = mkdtemp(join(tmpdir(), 'raffi-codecs-'));
  #count = 0;

  async #make(suffix: string, args: readonly string[]): Promise<string> {
    const file = join(await this.#path, `${this.#count++}.${suffix}`);
    await run('ffmpeg', ['-v', 'error', '-nostdin', ...args, '-bitexact', file]);
    return file;
  }

  /** A picture of 320 x 180 at 25 frames per second, a few frames long. */
  video(suffix: string, ...args: string[]): Promise<string> {
    return this.#make(suffix, ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=0.4', ...args]);
  }

  /** Half a second of sine. */
  audio(suffix: string, rate: number, channels: number, ...args: string[]): Promise<string> {
    const source = `sine=frequency=440:sample_rate=${rate}:duration=0.5`;
    return this.#make(suffix, ['-f', 'lavfi', '-i', source, '-ac', String(channels), ...args]);
  }

  copy(file: string, suffix: string, ...args: string[]): Promise<string> {
    return this.#make(suffix, ['-i', file, '-c', 'copy', ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(await this.#path, { recursive: true, force: true });
  }
}

export async function bytesOf(file: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(file));
}

/** The box of that type, with its header, by its name: the files are small and ours. */
export function findBox(data: Uint8Array, type: string): Uint8Array {
  const at = Buffer.from(data).lastIndexOf(type) - 4;
  if (at < 0) throw new Error(`no box ${type}`);
  return data.slice(at, at + new DataView(data.buffer, data.byteOffset).getUint32(at));
}

export interface ProbedStream {
  readonly profile: string;
  readonly level: number;
  readonly width: number;
  readonly height: number;
  readonly sample_rate: string;
  readonly channels: number;
}

export interface ProbedPacket {
  readonly data: Uint8Array;
  /** Seconds. */
  readonly duration: number;
}

/** The only stream of a file as ffprobe sees it, with its packets as they stand in the file. */
export async function probe(file: string): Promise<{ stream: ProbedStream; packets: ProbedPacket[] }> {
  const args = ['-v', 'error', '-of', 'json', '-show_streams', '-show_packets', file];
  const { stdout } = await run('ffprobe', args, { maxBuffer: 64 * 1024 * 1024 });
  const found = JSON.parse(stdout) as {
    streams: ProbedStream[];
    packets: { pos: string; size: string; duration_time: string }[];
  };
  const data = await bytesOf(file);
  const packets = found.packets.map(({ pos, size, duration_time }) => ({
    data: data.subarray(Number(pos), Number(pos) + Number(size)),
    duration: Number(duration_time),
  }));
  return { stream: found.streams[0]!, packets };
}
