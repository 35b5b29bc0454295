/** Other clients as bench/torrent-shaped.ts measures them, each a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerAddress } from '../../../src/torrent/protocol.ts';
import { PYTHON, tracker } from './swarm.ts';

/** ms from a magnet link to the first bytes, and from a seek to those there; the share of what came that was asked for. */
export interface Shaped {
  readonly first: number;
  readonly seek?: number;
  readonly share?: number;
}

export interface ShapedTask {
  readonly magnet: string;
  readonly directory: string;
  readonly peers: readonly PeerAddress[];
  readonly size: number;
  readonly name: string;
  readonly pieceLength: number;
  /** SHA-1 of the first piece. */
  readonly firstHash: Buffer;
}

const lib = import.meta.dirname;

async function answerOf(command: string, args: readonly string[]): Promise<Shaped> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [words, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  return JSON.parse(words) as Shaped;
}

export function webtorrentShaped({ magnet, directory, peers, size }: ShapedTask): Promise<Shaped> {
  const link = magnet + peers.map(({ host, port }) => `&x.pe=${host}:${port}`).join('');
  return answerOf(process.execPath, [join(lib, 'web-shaped.mjs'), link, directory, String(size)]);
}

export function libtorrentShaped({ magnet, directory, peers }: ShapedTask): Promise<Shaped> {
  const addresses = peers.map(({ host, port }) => `${host}:${port}`);
  return answerOf(PYTHON, [join(lib, 'libtorrent_shaped.py'), magnet, directory, ...addresses]);
}

/** It can't seek: only the way to the first piece can be measured. */
export async function aria2Shaped(task: ShapedTask): Promise<Shaped> {
  const { magnet, directory, peers } = task;
  await using announce = await tracker(peers.map(({ port }) => port));
  const link = `${magnet}&tr=${encodeURIComponent(announce.url)}`;
  const options = ['--no-conf', '--quiet', '--enable-dht=false', '--bt-enable-lpd=false', '--file-allocation=none'];
  const began = performance.now();
  const child: ChildProcess = spawn(
    'aria2c',
    [...options, '--bt-max-peers=100', '--bt-prioritize-piece=head=1M', `--dir=${directory}`, link],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  try {
    while (!(await hasFirst(task))) {
      if (child.exitCode !== null) throw new Error(`aria2 ended with ${child.exitCode}`);
      await sleep(10);
    }
    return { first: performance.now() - began };
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

async function hasFirst({ directory, name, pieceLength, firstHash }: ShapedTask): Promise<boolean> {
  await using file = await open(join(directory, name)).catch(() => undefined);
  if (file === undefined) return false;
  const piece = Buffer.alloc(pieceLength);
  const { bytesRead } = await file.read(piece, 0, pieceLength, 0);
  return bytesRead === pieceLength && createHash('sha1').update(piece).digest().equals(firstHash);
}
