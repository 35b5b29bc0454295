/**
 * Where torrents lie on the disk: `<root>/run-<host>-<pid>-<random>/<infohash>` while the process lives, `<root>/kept/<infohash>` when they are to survive it.
 *
 * Invariant: `kept` is used by the one process that holds its lock; another one keeps nothing. Only run folders of this host whose process is gone are swept.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { birthOf } from '../lib/other-process.ts';
import type { InfoHash } from './protocol.ts';

const DEFAULT_BYTES = 20 * 1024 ** 3;
const LOCK = 'lock';
/** Who holds the lock touches it so often; whether a process of another host lives, nothing else tells. */
const TOUCH_MS = 30_000;
const UNTOUCHED_MS = 90_000;

/** Hosts are told apart because containers share folders but not process ids. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

export class TorrentFolder implements AsyncDisposable {
  readonly #root: string;
  readonly #wantsToKeep: boolean;
  #made: Promise<{ readonly path: string; readonly keeps: boolean }> | undefined;
  #touching: NodeJS.Timeout | undefined;

  constructor(root: string, keep: boolean) {
    this.#root = root;
    this.#wantsToKeep = keep;
  }

  /** Whether data survive this process. */
  async keeps(): Promise<boolean> {
    return (await this.#make()).keeps;
  }

  /** The folder of one torrent, which need not exist. @throws the file system's error. */
  async of(infoHash: InfoHash): Promise<string> {
    return join((await this.#make()).path, infoHash);
  }

  /** Removes what processes of this host that are no more have left. Never throws. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#root).catch(() => []);
    for (const name of names) {
      const pid = new RegExp(`^run-${HOST}-(\\d{1,10})-\\w+$`).exec(name)?.[1];
      const path = join(this.#root, name);
      if (pid === undefined || isAlive(Number(pid)) || inUse.has(path)) continue;
      const stat = await lstat(path).catch(() => undefined);
      if (!stat?.isDirectory() || (process.getuid && stat.uid !== process.getuid())) continue;
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** The torrents that earlier runs have kept. */
  async kept(): Promise<InfoHash[]> {
    const names = this.#wantsToKeep ? await readdir(join(this.#root, 'kept')).catch(() => []) : [];
    return names.filter((name) => /^[0-9a-f]{40}$/.test(name));
  }

  /** 20 GiB, or half of what is free, whichever is less. */
  async defaultBytes(): Promise<number> {
    await mkdir(this.#root, { recursive: true }).catch(() => {});
    try {
      const { bavail, bsize } = await statfs(this.#root);
      return Math.min(DEFAULT_BYTES, Math.floor((bavail * bsize) / 2));
    } catch {
      return DEFAULT_BYTES;
    }
  }

  /** Removes what does not survive. Nobody may write any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const made = await this.#made?.catch(() => undefined);
    clearInterval(this.#touching);
    if (made === undefined) return;
    const path = join(made.path, LOCK);
    if (!made.keeps) await rm(made.path, { recursive: true, force: true }).catch(() => {});
    else if ((await textOf(path)) === ownLock) await rm(path, { force: true }).catch(() => {});
    inUse.delete(made.path);
  }

  /** Whether the folder of what is kept is ours from now on. */
  async #take(kept: string): Promise<boolean> {
    if (inUse.has(kept)) return false;
    inUse.add(kept); // before anything is waited for: another service of this process would take its lock for a predecessor's
    const isOurs = await lock(kept).catch((error: unknown) => {
      inUse.delete(kept);
      throw error;
    });
    if (!isOurs) inUse.delete(kept);
    else this.#touching = setInterval(() => void this.#touch(join(kept, LOCK)), TOUCH_MS).unref();
    return isOurs;
  }

  async #touch(lock: string): Promise<void> {
    if (!(await touch(lock))) clearInterval(this.#touching);
  }

  #make(): Promise<{ readonly path: string; readonly keeps: boolean }> {
    this.#made ??= this.#makeFolder().catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }

  async #makeFolder(): Promise<{ readonly path: string; readonly keeps: boolean }> {
    await mkdir(this.#root, { recursive: true });
    const kept = join(this.#root, 'kept');
    if (this.#wantsToKeep && (await this.#take(kept))) return { path: kept, keeps: true };
    // mkdtemp makes it accessible to this user only.
    const path = await mkdtemp(join(this.#root, `run-${HOST}-${process.pid}-`));
    inUse.add(path);
    return { path, keeps: false };
  }
}

/** Folders of this process that are in use, by any service in it. */
const inUse = new Set<string>();

/** What our own locks say. */
const ownLock = `${HOST} ${process.pid} ${birthOf(process.pid) ?? ''}\n`;

const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

/** @returns whether the lock is still ours: while we slept, another host may have taken it for that of a dead process. */
async function touch(path: string): Promise<boolean> {
  if ((await textOf(path)) !== ownLock) return false;
  const now = new Date();
  await utimes(path, now, now).catch(() => {});
  return true;
}

/** Whether the folder is ours now: nobody has a lock on it, or its holder is gone. */
async function lock(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, LOCK);
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(path, ownLock, { flag: 'wx' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const text = await textOf(path);
    if (text !== undefined && ((await isHeld(path, text)) || !(await remove(path, text)))) return false;
  }
  return false;
}

/** Removes a dead process's lock. @returns false when another process was faster, and it is that one's by now. */
async function remove(path: string, text: string): Promise<boolean> {
  const aside = `${path}-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return true; // gone: whoever writes it first has it
  }
  const moved = await textOf(aside);
  if (moved !== text) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
  return moved === text;
}

/** A lock of this host is its process's; that of another host, which shares the folder or was what this container had been before, whoever's who touches it. */
async function isHeld(path: string, text: string): Promise<boolean> {
  const [host, pid, birth] = text.trim().split(' ');
  if (host === HOST) return isAlive(Number(pid), birth);
  const touched = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  return Math.abs(Date.now() - touched) < UNTOUCHED_MS;
}

/** A process with our own number that is not us was a predecessor; one that began at another time, too, where that can be told. @param birth when it had begun. */
function isAlive(pid: number, birth?: string): boolean {
  if (pid === process.pid || !(pid > 0)) return false;
  const now = birthOf(pid);
  if (birth && now !== undefined && now !== birth) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
