/** What the benchmarks of the torrent engine download, and from whom. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Debian's, which has libtorrent. */
export const PYTHON = '/usr/bin/python3';
const lib = import.meta.dirname;
export const PEERS = join(lib, '../../../test/fixtures/torrent/libtorrent_peers.py');
export const MEASURE = join(lib, 'measure.py');

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
}

/** A file of random bytes and its torrent, made once. */
export async function torrentOf(
  folder: string,
  megabytes: number,
  pieceLength: number,
): Promise<{ file: string; torrent: string }> {
  const file = join(folder, 'seed', `random-${megabytes}`);
  const torrent = `${file}-${pieceLength}.torrent`;
  await mkdir(join(folder, 'seed'), { recursive: true });
  if (!existsSync(file)) {
    const out = createWriteStream(file);
    for (let n = 0; n < megabytes; n += 1)
      if (!out.write(randomFillSync(Buffer.alloc(1_000_000)))) await once(out, 'drain');
    out.end();
    await once(out, 'close');
  }
  await makeTorrent(file, pieceLength, torrent);
  return { file, torrent };
}

async function makeTorrent(file: string, pieceLength: number, torrent: string): Promise<void> {
  if (!existsSync(torrent)) await run(PYTHON, [join(lib, 'make_torrent.py'), file, String(pieceLength), torrent]);
}

const CACHE = join(import.meta.dirname, '../../../.cache/bench');

/** The first seconds of the bench's film, 5 Mb/s with 4 s between the first key frames, or, with `short`, a like film with 2 s between all of them. Made once. */
export async function filmOf(
  folder: string,
  options: { readonly container: string; readonly seconds: number; readonly short: boolean },
): Promise<{ file: string; size: number }> {
  const { container, seconds, short } = options;
  const file = join(folder, 'seed', `film-${seconds}${short ? '-short' : ''}.${container}`);
  await mkdir(join(folder, 'seed'), { recursive: true });
  if (existsSync(file)) return { file, size: statSync(file).size };
  const quiet = ['-v', 'error', '-y'];
  let from = ['-i', join(CACHE, `film.${container}`)];
  if (short) {
    const minute = join(folder, 'seed', 'minute.mkv');
    const keys = ['-g', '48', '-keyint_min', '48', '-sc_threshold', '0'];
    const rate = ['-b:v', '4800k', '-maxrate', '4800k', '-bufsize', '4800k', '-x264-params', 'nal-hrd=cbr'];
    const video = ['-vf', 'scale=1280:720', '-c:v', 'libx264', '-preset', 'veryfast', ...keys, ...rate];
    if (!existsSync(minute)) await run('ffmpeg', [...quiet, ...from, '-t', '60', ...video, '-c:a', 'copy', minute]);
    from = ['-stream_loop', '-1', '-i', minute];
  }
  await run('ffmpeg', [...quiet, ...from, '-t', String(seconds), '-map', '0', '-c', 'copy', file]);
  return { file, size: statSync(file).size };
}

/** The torrent of a file, beside it. */
export async function torrentOfFile(file: string, pieceLength: number): Promise<string> {
  const torrent = `${file}-${pieceLength}.torrent`;
  await makeTorrent(file, pieceLength, torrent);
  return torrent;
}

export interface Seeders extends AsyncDisposable {
  readonly ports: readonly number[];
}

/** libtorrent seeders, each a session of its own. */
export async function seed(options: Record<string, unknown>): Promise<Seeders> {
  const child: ChildProcess = spawn(PYTHON, [PEERS, JSON.stringify({ ...options, seed: true })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: child.stdout! }), 'line');
  const exited = once(child, 'exit');
  return {
    ports: (JSON.parse(line as string) as { ports: number[] }).ports,
    [Symbol.asyncDispose]: async () => {
      child.stdin!.end();
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** A tracker that names the same peers to everybody, for those who can't be told otherwise. */
export async function tracker(ports: readonly number[]): Promise<{ url: string } & AsyncDisposable> {
  const peers = Buffer.concat(ports.map((port) => Buffer.from([127, 0, 0, 1, port >>> 8, port & 255])));
  const answer = Buffer.concat([Buffer.from(`d8:intervali900e5:peers${peers.length}:`), peers, Buffer.from('e')]);
  const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/announce`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
