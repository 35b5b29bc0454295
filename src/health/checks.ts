/** Whether this machine gives the server what it needs: tried, not guessed. Each check ends in a sentence for the person who runs the server. */
import { randomBytes } from 'node:crypto';
import { open, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const CHECKS = ['ffmpeg', 'temporary', 'cache', 'torrents', 'clips', 'disk', 'port'] as const;
type CheckName = (typeof CHECKS)[number];

export interface Check {
  readonly name: CheckName;
  /** `limited`: the server works, but not all of it, or not for long. */
  readonly state: 'ok' | 'limited' | 'failing';
  /** A sentence. */
  readonly detail: string;
}

/** Folders that the server writes to. Absolute; those that do not exist yet are made when they are needed. */
export type Folders = Readonly<Record<'temporary' | 'cache' | 'torrents' | 'clips', string>>;

/** What is told of a folder, and what to do about it. */
const FOLDERS: Readonly<Record<keyof Folders, { readonly what: string; readonly remedy: string }>> = {
  temporary: { what: 'The folder for temporary files', remedy: 'TMPDIR names another' },
  cache: { what: 'The folder for transcoded segments', remedy: 'RAFFI_CACHE_DIR names another' },
  torrents: { what: "The folder for torrents' data", remedy: 'RAFFI_TORRENT_DIR names another' },
  clips: { what: 'The folder for clips', remedy: 'RAFFI_CLIPS_DIR names another' },
};

const MB = 1024 * 1024;
/** Bytes. Links without Range, torrents and segments all need room; with less than the first nothing is certain to work. */
const ROOM = { failing: 100 * MB, limited: 1024 * MB };

/** Whether files can be made in the folder, or, if it is yet to be made, in the nearest one that exists. */
export async function checkFolder(name: keyof Folders, path: string): Promise<Check> {
  const { what, remedy } = FOLDERS[name];
  try {
    const existing = await nearest(path);
    await tryToWrite(existing);
    return { name, state: 'ok', detail: `${what}, ${path}, can be written.` };
  } catch (error) {
    // Nothing but clips needs theirs.
    const state = name === 'clips' ? 'limited' : 'failing';
    return { name, state, detail: `${what}, ${path}, cannot be written (${codeOf(error)}): ${remedy}.` };
  }
}

/** The least room on any of the disks. */
export async function checkDisk(folders: Folders): Promise<Check> {
  const found = await Promise.all(Object.values(folders).map(roomIn));
  const known = found.filter((one) => one !== undefined);
  const least = known.reduce((a, b) => (b.bytes < a.bytes ? b : a), known[0] ?? { bytes: Number.NaN, path: '' });
  if (Number.isNaN(least.bytes))
    return { name: 'disk', state: 'limited', detail: 'The system does not tell how much room there is.' };
  const room = `${sizeInWords(least.bytes)} are free for ${least.path}`;
  if (least.bytes < ROOM.failing)
    return { name: 'disk', state: 'failing', detail: `Only ${room}: make room, or name another folder.` };
  if (least.bytes < ROOM.limited)
    return {
      name: 'disk',
      state: 'limited',
      detail: `Only ${room}: torrents, and links that cannot be read in parts, will not fit.`,
    };
  return { name: 'disk', state: 'ok', detail: `${room}.` };
}

/** @param missing what FFmpeg lacks, a sentence each. */
export function checkFfmpeg(missing: readonly string[], words: string): Check {
  const state = missing.length === 0 ? 'ok' : 'limited';
  return { name: 'ffmpeg', state, detail: missing.length === 0 ? words : missing.join(' ') };
}

async function nearest(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && dirname(at) !== at) return undefined;
      throw error;
    });
    if (found?.isDirectory()) return at;
    if (found) throw Object.assign(new Error('is a file'), { code: 'ENOTDIR' });
  }
}

async function tryToWrite(folder: string): Promise<void> {
  const path = join(folder, `.raffi-check-${process.pid}-${randomBytes(6).toString('hex')}`);
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile('raffi');
  } finally {
    await handle.close().finally(() => unlink(path));
  }
}

async function roomIn(path: string): Promise<{ bytes: number; path: string } | undefined> {
  try {
    const { bavail, bsize } = await statfs(await nearest(path));
    return { bytes: bavail * bsize, path };
  } catch {
    return undefined; // that it is not there is told of the folder
  }
}

function sizeInWords(bytes: number): string {
  return bytes < 1024 * MB ? `${Math.floor(bytes / MB)} MB` : `${(bytes / (1024 * MB)).toFixed(1)} GB`;
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
