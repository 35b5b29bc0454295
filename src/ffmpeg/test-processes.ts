/** For tests: shell scripts in the place of FFmpeg, and who is still alive. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findBinary } from './binaries.ts';

export const never = new AbortController().signal;

/** The folders of PATH. */
export const pathEntries = (process.env.PATH ?? '').split(delimiter);

/** The real FFmpeg. */
export async function realFfmpeg(): Promise<string> {
  const path = await findBinary('ffmpeg', { pathEntries, configured: process.env.RAFFI_FFMPEG_BIN ?? 'ffmpeg' });
  if (path === undefined) throw new Error('the tests need FFmpeg');
  return path;
}

/** A folder that goes with the test file. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'raffi-ffmpeg-'));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** How a script begins that finds what the tests find, whatever the server's PATH is. */
export const SHELL = `#!/bin/sh\nPATH='${process.env.PATH}'\n`;

export function script(path: string, body: string): string {
  writeFileSync(path, `${SHELL}${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Ids of living processes, zombies not counted, with `word` as a part of their command line. */
export function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** User and system time of a process, in ticks. */
export function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Waits for a file with content. */
export async function contentOf(path: string): Promise<string> {
  for (;;) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text !== '') return text;
    await delay(10);
  }
}

/** Waits until a value has been the same for half a second. */
export async function settled<T>(read: () => T): Promise<T> {
  for (let last = read(), since = performance.now(); ; await delay(20)) {
    const now = read();
    if (now !== last) {
      last = now;
      since = performance.now();
    } else if (performance.now() - since > 500) return now;
  }
}

/** A sequence of bytes in pieces whose sizes `nextSize` tells. */
export async function* inPieces(bytes: Uint8Array, nextSize: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(0, nextSize());
    // Memory of its own, as pieces from a pipe have.
    yield bytes.slice(at, at + size);
    at += size;
  }
}

export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
