/**
 * The folder of the segments on disk: `raffi-cache-<host>-<pid>-<random>` in a temporary folder, private, made with the first file.
 *
 * Invariant: a file has its final name only when it is whole; what a reader gets is what was written or nothing (size and CRC-32). Only
 * folders of this host whose process is gone are swept.
 */
import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { lstat, mkdtemp, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { hostTag, isAlive } from '../lib/leftovers.ts';

const PREFIX = 'raffi-cache';
const DEFAULT_BYTES = 4 * 1024 ** 3;

/** What a segment's file must hold. */
export interface StoredFile {
  readonly path: string;
  readonly size: number;
  readonly checksum: number;
}

/** 4 GiB, or a tenth of what is free on the file system of `parent`, whichever is less; 0 (memory only) when that can't be told. */
export function defaultCacheBytes(parent: string): number {
  try {
    const { bavail, bsize } = statfsSync(parent);
    return Math.min(DEFAULT_BYTES, Math.floor((bavail * bsize) / 10));
  } catch {
    return 0;
  }
}

/** Folders of this process that are in use, by any store in it. */
const inUse = new Set<string>();

/** Makes a folder for this user only, which a later process sweeps if this one leaves it. @throws the file system's error. */
export async function temporaryFolder(parent: string): Promise<string> {
  const folder = await mkdtemp(join(parent, `${PREFIX}-${hostTag()}-${process.pid}-`));
  inUse.add(folder);
  return folder;
}

/** Removes a folder made by `temporaryFolder`. Never throws. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => {});
  inUse.delete(folder);
}

export class SegmentFolder implements AsyncDisposable {
  readonly #parent: string;
  /** The present one last: a folder that somebody deleted is replaced by another. */
  readonly #folders: string[] = [];
  #making: Promise<string> | undefined;
  #count = 0;

  constructor(parent: string) {
    this.#parent = parent;
  }

  /**
   * Writes a file. A folder that has gone is made anew.
   * @throws the file system's error; nothing is left behind then.
   */
  async write(key: string, bytes: Uint8Array): Promise<StoredFile> {
    const name = `${createHash('sha256').update(key).digest('hex').slice(0, 32)}-${this.#count++}`;
    const folder = await this.#folder();
    try {
      return await writeWhole(join(folder, name), bytes);
    } catch (error) {
      if (!isMissing(error)) throw error;
      if (this.#folders.at(-1) === folder) this.#making = undefined;
      return await writeWhole(join(await this.#folder(), name), bytes);
    }
  }

  /** The file's bytes; undefined when they are not what was written. @throws the file system's error. */
  async read(file: StoredFile): Promise<Uint8Array | undefined> {
    await using handle = await open(file.path, 'r');
    const bytes = Buffer.allocUnsafeSlow(file.size);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, at);
      if (bytesRead === 0) return undefined;
      at += bytesRead;
    }
    return crc32(bytes) === file.checksum ? bytes : undefined;
  }

  /** Never throws: a file that can't be removed goes with the folder. */
  async remove(files: readonly StoredFile[]): Promise<void> {
    for (const { path } of files) await unlink(path).catch(() => {});
  }

  /** Removes what processes of this host that are no more have left. Never throws. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#parent).catch(() => []);
    for (const name of names) {
      const pid = new RegExp(`^${PREFIX}-${hostTag()}-(\\d{1,10})-\\w+$`).exec(name)?.[1];
      const path = join(this.#parent, name);
      if (pid === undefined || inUse.has(path) || isAlive(Number(pid))) continue;
      const stat = await lstat(path).catch(() => undefined);
      // Others' folders, and links to anywhere, are none of our business.
      if (!stat?.isDirectory() || (process.getuid && stat.uid !== process.getuid())) continue;
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** Removes the folder. Nobody may write any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#making?.catch(() => {});
    for (const folder of this.#folders.splice(0)) await removeFolder(folder);
  }

  #folder(): Promise<string> {
    this.#making ??= this.#make().catch((error: unknown) => {
      this.#making = undefined;
      throw error;
    });
    return this.#making;
  }

  async #make(): Promise<string> {
    const folder = await temporaryFolder(this.#parent);
    this.#folders.push(folder);
    return folder;
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<StoredFile> {
  const temporary = `${path}.part`;
  try {
    {
      await using handle = await open(temporary, 'wx', 0o600);
      let at = 0;
      while (at < bytes.length) at += (await handle.write(bytes, at, bytes.length - at, at)).bytesWritten;
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  return { path, size: bytes.length, checksum: crc32(bytes) };
}
