/** Archives beside the executables, and the sums of both. */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** As `sha256sum --check` reads them. Two, since whoever downloads has the archives, and the executables only later, if at all. */
export const SUMS = { archives: 'SHA256SUMS', executables: 'SHA256SUMS.executables' };

/** @param {string} file an executable */
export const packedName = (file) => `${file}.tar.xz`;

/**
 * One `.tar.xz` each, which keeps the right to be run, and the sums of both.
 * @param {string} folder
 * @param {readonly string[]} files names in it
 */
export async function archive(folder, files) {
  const lines = { archives: '', executables: '' };
  for (const file of files) {
    const packed = packedName(file);
    await compress(folder, file, packed);
    console.log(`${packed}: ${(statSync(join(folder, packed)).size / 1e6).toFixed(1)} MB`);
    lines.archives += `${await sumOf(join(folder, packed))}  ${packed}\n`;
    lines.executables += `${await sumOf(join(folder, file))}  ${file}\n`;
  }
  writeFileSync(join(folder, SUMS.archives), lines.archives);
  writeFileSync(join(folder, SUMS.executables), lines.executables);
}

/**
 * @param {string} folder
 * @param {string} file
 * @param {string} packed
 */
async function compress(folder, file, packed) {
  const tar = spawn('tar', ['-C', folder, '--owner=0', '--group=0', '--numeric-owner', '-cf', '-', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const xz = spawn('xz', ['-6', '-T0', '-c'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = [tar, xz].map(async (child) => {
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}`);
  });
  await Promise.all([
    ...ended,
    pipeline(tar.stdout, xz.stdin),
    pipeline(xz.stdout, createWriteStream(join(folder, packed))),
  ]);
}

/** In hexadecimal. @param {string} path */
export async function sumOf(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
